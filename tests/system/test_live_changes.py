"""Each row of `domain.changes` on a guest that runs: what QEMU and the host say of it, and both documents."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.domain.changes import CHANGES
from support.namespaces import own_network
from support.waiting import until
from system.test_guest_devices import nbd_server
from system.test_linux_taps import gathered
from system.test_networks_guests import ip, links, running

pytestmark = [pytest.mark.needs("ip", "nft", "dnsmasq", "tc", "losetup", "qemu-nbd")]

GUEST = """<domain type='qemu'><name>live</name><maxMemory slots='2' unit='MiB'>512</maxMemory><memory unit='MiB'>128</memory>
<vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
<cpu mode='maximum'><numa><cell id='0' cpus='0' memory='128' unit='MiB'/></numa></cpu><devices>
<controller type='usb' model='qemu-xhci'/><controller type='scsi' model='virtio-scsi'/>
<disk type='file'><driver name='qemu' type='qcow2'/><source file='{place}/vda.qcow2'/><target dev='vda' bus='virtio'/>
  <serial>one</serial></disk>
<disk type='file' device='cdrom'><target dev='hda' bus='ide'/><boot order='1'/></disk>
<disk type='file' device='cdrom'><target dev='sda' bus='scsi'/></disk>
<disk type='file' device='floppy'><target dev='fda' bus='fdc'/></disk>
<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='left'/><model type='virtio'/></interface>
<interface type='network'><mac address='52:54:00:00:00:02'/><source network='east'/><model type='e1000'/></interface>
<redirdev bus='usb' type='unix'><source mode='bind' path='{place}/redir'/></redirdev>
<graphics type='vnc' autoport='yes' passwd='old'/><video><model type='cirrus'/></video>
<memory model='virtio-mem'><target><size unit='MiB'>64</size><node>0</node><block unit='MiB'>2</block>
  <requested unit='MiB'>0</requested></target></memory>
<memballoon model='virtio'/></devices></domain>"""
NETWORK = """<network><name>{name}</name><bridge name='{bridge}' stp='off'/><bandwidth><inbound average='1000'/></bandwidth>
<ip address='10.77.{number}.1' prefix='24'/>
<portgroup name='gold'><bandwidth><inbound average='50' floor='300'/></bandwidth></portgroup></network>"""
FILTER = "<filter name='quiet'><rule action='drop' direction='out'><udp dstportstart='7'/></rule></filter>"

DISK = "<disk type='file'><source file='{place}/vda.qcow2'/><target dev='vda'/>{}</disk>"
CARD = "<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='{}'/>{}</interface>"
ON_NETWORK = "<interface type='network'><mac address='52:54:00:00:00:02'/><source network='{}'/>{}</interface>"
CDROM = "<disk type='{}' device='cdrom'>{}<target dev='sda' bus='scsi'/></disk>"
LOGIN = "<graphics type='vnc' passwd='{}' {}/>"
PLUGGED = """<interface type='bridge'><mac address='52:54:00:00:00:03'/><source bridge='left'/>
<bandwidth><inbound average='100'/></bandwidth><model type='virtio'/></interface>"""
FIXED = (
    (DISK.format("<serial>two</serial>", place="{place}"), Unsupported, "<disk>: serial cannot change"),
    (DISK.format("<readonly/>", place="{place}"), Unsupported, "<readonly>: only a CD-ROM's"),
    (DISK.format("<boot order='1'/>", place="{place}"), InvalidXML, "order 1 stands at two devices"),
    ("<disk type='file'><source file='/other'/><target dev='vda'/></disk>", Unsupported, "only a CD-ROM's or floppy's"),
    (CARD.format("left", "<model type='e1000'/>"), Unsupported, "<interface>: model type cannot change"),
    (CARD.format("left", "<bandwidth><outbound peak='7'/></bandwidth>"), InvalidXML, "neither an average nor a floor"),
    (CARD.format("nowhere", ""), Exception, "nowhere"),
    ("<interface type='user'><mac address='52:54:00:00:00:01'/></interface>", Unsupported, "from bridge to bridge only"),
    (ON_NETWORK.format("nowhere", ""), Exception, "nowhere"),
)  # fmt: skip
"""What is refused, and leaves everything as it was."""


UNTRIED = frozenset({"PciHostdev.boot_order", "UsbHostdev.boot_order", "Disk.auth", "Disk.encryption"})
"""There is no such hardware here; a medium with a key or a login comes as its disk does, in tests/unit/test_hotplug.py."""


@dataclass(frozen=True)
class Row:
    """A change: the fields that it shows, the element, what the documents say then, and what is so."""

    shows: str
    xml: str
    said: str
    holds: Callable[[Guest], Awaitable[bool]]


class Guest:
    """The running guest, as QEMU and the host have it."""

    def __init__(self, engine: Engine, place: Path) -> None:
        self.engine, self.place = engine, place

    async def ask(self, command: str, **arguments: object) -> Any:
        text = json.dumps({"execute": command, "arguments": arguments})
        return json.loads(await self.engine.monitor_command("live", text))["return"]

    async def get(self, alias: str, name: str) -> Any:
        return await self.ask("qom-get", path=f"/machine/peripheral/{alias}", property=name)

    async def block(self, alias: str) -> dict[str, Any]:
        return next(one for one in await self.ask("query-block") if alias in one["qdev"].split("/"))

    async def link(self, mac: str) -> dict[str, Any]:
        return next(
            one for one in links() if str(one["address"]).endswith(mac) and str(one["ifname"]).startswith("vnet")
        )

    async def documents(self) -> list[str]:
        return [await self.engine.guest_xml("live"), await self.engine.guest_xml("live", ["inactive"])]


def medium(driver: str, alias: str = "scsi0-0-0-0") -> Callable[[Guest], Awaitable[bool]]:
    """Whether a drive has a medium that QEMU reaches by some driver."""

    async def holds(guest: Guest) -> bool:
        nodes = {node["node-name"]: node["drv"] for node in await guest.ask("query-named-block-nodes")}
        inserted = (await guest.block(alias)).get("inserted")
        return inserted is not None and driver in nodes.values()

    return holds


async def empty(guest: Guest) -> bool:
    return "inserted" not in await guest.block("scsi0-0-0-0")


def throttled(rate: int) -> Callable[[Guest], Awaitable[bool]]:
    async def holds(guest: Guest) -> bool:
        return bool((await guest.block("virtio-disk0"))["inserted"]["iops"] == rate)

    return holds


def first(alias: str, order: int) -> Callable[[Guest], Awaitable[bool]]:
    async def holds(guest: Guest) -> bool:
        return bool(await guest.get(alias, "bootindex") == order)

    return holds


def master(mac: str, bridge: str) -> Callable[[Guest], Awaitable[bool]]:
    async def holds(guest: Guest) -> bool:
        return bool((await guest.link(mac))["master"] == bridge)

    return holds


def promised(bridge: str, there: bool) -> Callable[[Guest], Awaitable[bool]]:
    async def holds(guest: Guest) -> bool:
        shown = subprocess.run(
            ["tc", "class", "show", "dev", bridge], capture_output=True, text=True, check=True
        ).stdout
        return ("class htb 1:3" in shown) is there and (await guest.link("00:02"))["master"] == bridge

    return holds


def shaped(there: bool, mac: str = "00:01") -> Callable[[Guest], Awaitable[bool]]:
    async def holds(guest: Guest) -> bool:
        name = str((await guest.link(mac))["ifname"])
        shown = subprocess.run(["tc", "class", "show", "dev", name], capture_output=True, text=True, check=True).stdout
        return ("800Kbit" in shown) is there

    return holds


async def isolated(guest: Guest) -> bool:
    return bool((await guest.link("00:01"))["linkinfo"]["info_slave_data"]["isolated"])


async def coalesced(guest: Guest) -> bool:
    return gathered(str((await guest.link("00:01"))["ifname"])) == 32


async def filtered(guest: Guest) -> bool:
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    return str((await guest.link("00:01"))["ifname"]) in rules


async def secured(guest: Guest) -> bool:
    return bool((await guest.ask("query-vnc"))["auth"] == "vnc")


async def resized(guest: Guest) -> bool:
    return bool(await guest.get("virtiomem0", "requested-size") == 32 << 20)


async def polled(guest: Guest) -> bool:
    return bool(await guest.get("balloon0", "guest-stats-polling-interval") == 7)


async def told(guest: Guest) -> bool:
    """It is a matter of documents, or only the guest would see it."""
    return True


def rows(loop: str) -> Iterator[Row]:
    memory = """<memory model='virtio-mem'><target><size unit='MiB'>64</size><node>0</node><block unit='MiB'>2</block>
        <requested unit='MiB'>32</requested></target></memory>"""
    nbd = "<source protocol='nbd' name='x'><host transport='unix' socket='{place}/nbd.sock'/></source>"
    tune = "<iotune><total_iops_sec>77</total_iops_sec></iotune>"
    yield Row("Disk.iotune", DISK.replace("{}", tune), "<total_iops_sec>77<", throttled(77))
    yield Row("Disk.snapshot", DISK.replace("{}", "").replace("<disk ", "<disk snapshot='external' "), "snapshot='external'",
              throttled(77))  # fmt: skip
    yield Row("Disk.boot_order", DISK.replace("{}", "<boot order='2'/>"), "<boot order='2'/>", first("virtio-disk0", 2))
    yield Row("Disk.source", DISK.replace("{}", "").replace("<source ", "<source startupPolicy='optional' ").replace(
        "disk type='file'", "disk type='file' device='disk'"), "startupPolicy='optional'", first("virtio-disk0", 2))  # fmt: skip
    yield Row("Disk.type Disk.source Disk.readonly", CDROM.format("file", "<source file='{place}/cd.iso'/>"),
              "cd.iso", medium("raw"))  # fmt: skip
    yield Row("Disk.format", CDROM.format("file", "<driver type='qcow2'/><source file='{place}/cd.qcow2'/>"), "cd.qcow2",
              medium("qcow2"))  # fmt: skip
    yield Row("Disk.type", CDROM.format("block", f"<source dev='{loop}'/>"), loop, medium("host_device"))
    yield Row("Disk.type", CDROM.format("network", nbd), "protocol='nbd'", medium("nbd"))
    yield Row("Disk.type", CDROM.format("volume", "<source pool='media' volume='disc.iso'/>"), "volume='disc.iso'",
              medium("raw"))  # fmt: skip
    yield Row("Disk.backing_store", CDROM.format("file", "<driver type='qcow2'/><source file='{place}/top.qcow2'/>"
        "<backingStore type='file'><format type='raw'/><source file='{place}/cd.iso'/></backingStore>"), "top.qcow2",
        medium("qcow2"))  # fmt: skip
    yield Row("Disk.source", CDROM.format("file", ""), "device='cdrom'", empty)
    yield Row("Disk.source", "<disk type='file' device='floppy'><source file='{place}/fd.img'/><target dev='fda'/></disk>",
              "fd.img", medium("raw", "fdc0-0-0"))  # fmt: skip
    yield Row("Disk.type", "<disk type='dir' device='floppy'><driver type='fat'/><source dir='{place}/folder'/>"
              "<target dev='fda' bus='fdc'/><readonly/></disk>", "folder", medium("vvfat", "fdc0-0-0"))  # fmt: skip
    yield Row("Interface.link", CARD.format("left", "<link state='down'/>"), "<link state='down'/>", told)
    yield Row("Interface.isolated", CARD.format("left", "<port isolated='yes'/>"), "<port isolated='yes'/>", isolated)
    yield Row("Interface.coalesce", CARD.format("left", "<coalesce><rx><frames max='32'/></rx></coalesce>"), "max='32'",
              coalesced)  # fmt: skip
    yield Row("Interface.inbound Interface.outbound", CARD.format("left", "<bandwidth><inbound average='100'/></bandwidth>"),
              "<inbound average='100'/>", shaped(True))  # fmt: skip
    yield Row("Interface.inbound", CARD.format("left", "<boot order='3'/>"), "<source bridge='left'", shaped(False))
    yield Row("Interface.boot_order", CARD.format("left", ""), "<source bridge='left'", first("net0", 3))
    yield Row("Interface.filter Interface.filter_parameters", CARD.format("left", "<filterref filter='quiet'>"
              "<parameter name='IP' value='10.0.0.9'/></filterref>"), "filter='quiet'", filtered)  # fmt: skip
    yield Row("Interface.trust_filters", CARD.format("left", "").replace("type='b", "trustGuestRxFilters='yes' type='b"),
              "trustGuestRxFilters='yes'", told)  # fmt: skip
    yield Row("Interface.source", CARD.format("right", ""), "<source bridge='right'", master("00:01", "right"))
    yield Row("Interface.source", ON_NETWORK.format("west", ""), "network='west'", master("00:02", "west0"))
    yield Row("Interface.source", ON_NETWORK.format("west' portgroup='gold", ""), "portgroup='gold'",
              promised("west0", True))  # fmt: skip
    yield Row("Interface.source", ON_NETWORK.format("east", ""), "network='east'", promised("east0", False))
    yield Row("Interface.type", ON_NETWORK.format("x", "").replace("type='network'", "type='bridge'").replace(
        "network='x'", "bridge='left'"), "<source bridge='left'", master("00:02", "left"))  # fmt: skip
    yield Row("Graphics.password Graphics.password_until Graphics.connected",
              LOGIN.format("new", "passwdValidTo='2040-01-01T00:00:00' connected='keep'"), "2040-01-01", secured)  # fmt: skip
    yield Row("MemoryDevice.requested", memory, "<requested unit='KiB'>32768<", resized)
    yield Row("Memballoon.period", "<memballoon model='virtio'><stats period='7'/></memballoon>", "period='7'", polled)
    yield Row("Redirdev.boot_order", "<redirdev bus='usb' type='unix'>"
              "<source mode='bind' path='{place}/redir'/><boot order='9'/></redirdev>", "<boot order='9'/>",
              first("redir0", 9))  # fmt: skip


def test_every_row_is_tried() -> None:
    tried = {name for row in rows("/dev/loop0") for name in row.shows.split()}
    able = {f"{kind.__name__}.{name}" for kind, change in CHANGES.items() for name in (*change.clear, *change.kept)}
    assert able - tried == UNTRIED


def images(place: Path) -> None:
    for name in ("cd.iso", "fd.img", "loop.img", "media/disc.iso"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_bytes(bytes(1440 << 10))
    (place / "folder").mkdir()
    (place / "folder/file").write_text("text")
    for name in ("vda", "cd"):
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(place / f"{name}.qcow2"), "1M"], check=True)
    below = ["-F", "raw", "-b", str(place / "cd.iso")]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *below, str(place / "top.qcow2")], check=True)
    for path in place.rglob("*"):
        path.chmod(0o777 if path.is_dir() else 0o666)


def places() -> dict[object, object]:
    """The host's links, and the bridge that each is on."""
    return {link["ifname"]: link.get("master") for link in links()}


async def set_up(engine: Engine, place: Path) -> None:
    ip("link", "set", "lo", "up")
    for bridge in ("left", "right"):
        ip("link", "add", bridge, "type", "bridge")
    for number, name in enumerate(("east", "west")):
        await engine.create_network(NETWORK.format(name=name, bridge=f"{name}0", number=number))
    await engine.define_filter(FILTER)
    await engine.create_pool(f"<pool type='dir'><name>media</name><target><path>{place}/media</path></target></pool>")
    await engine.define(GUEST.format(place=place))
    await engine.start("live", paused=True)


async def change(guest: Guest, row: Row) -> str:
    """Try a row; what went wrong."""
    try:
        await guest.engine.update_device("live", row.xml.replace("{place}", str(guest.place)), live=True, config=True)
    except Exception as error:
        return f"{row.shows}: {error}"
    if not await row.holds(guest):
        return f"{row.shows}: is not so"
    told = [row.said in document for document in await guest.documents()]
    return "" if all(told) else f"{row.shows}: the documents say {told}"


@own_network
async def test_what_can_change_changes(place: Path) -> None:
    images(place)
    loop = subprocess.run(
        ["losetup", "-f", "--show", str(place / "loop.img")], capture_output=True, text=True, check=True
    )
    server = await nbd_server(place)
    try:
        async with running(place) as (_, engine):
            await set_up(engine, place)
            guest = Guest(engine, place)
            before = await guest.documents(), places()
            for xml, kind, message in FIXED:
                with pytest.raises(kind, match=message):
                    await engine.update_device("live", xml.replace("{place}", str(place)), live=True)
            assert (await guest.documents(), places()) == before
            problems = [await change(guest, row) for row in rows(loop.stdout.strip())]
            assert [problem for problem in problems if problem] == []
            assert [port.owner_name for name in ("east", "west") for port in await engine.network_ports(name)] == []
            await engine.attach_device("live", PLUGGED, live=True)
            assert await shaped(True, "00:03")(guest)  # what is plugged has its rate from its first packet
            await engine.destroy("live")
            await until(lambda: links("master", "left") == [])
    finally:
        server.terminate()
        await server.wait()
        subprocess.run(["losetup", "-d", loop.stdout.strip()], check=True)
