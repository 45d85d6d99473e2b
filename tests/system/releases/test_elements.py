"""Elements of the domain XML on the newest releases: a real guest has each, and QEMU says of it what the document says."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

import releases
from frontinus.api.errors import Unsupported
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.complete import complete
from frontinus.domain.definition import parse_guest
from frontinus.domain.host import HostFacts
from frontinus.linux import tools
from frontinus.linux.host import probe_facts
from frontinus.qemu.argv.devices import passt, tpm
from frontinus.qemu.driver import QemuHypervisor
from frontinus.qemu.guest import QemuGuest
from frontinus.qemu.monitor.client import Command
from support.releases import ALL, answers, emulator
from support.started import paths_in, started
from support.whole_guest import text

SUITES = ("trixie", "sid") if ALL else ("trixie",)
MIB = 2**20


@dataclass(frozen=True)
class Element:
    """What stands in the document, and what QEMU then says: properties by the device's alias, its type or "machine".

    `needs`: a property of one of QEMU's types, without which it is left out (test_newest shows that it is refused then).
    """

    xml: str
    said: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    needs: tuple[str, str] | None = None


def disk(name: str, bus: str, driver: str = "", more: str = "", kind: str = "raw", target: str = "",
         device: str = "disk") -> str:  # fmt: skip
    """A disk whose alias is ua-NAME, on an image of its own."""
    return (f"<disk type='file' device='{device}'><driver name='qemu' type='{kind}' {driver}/>"
            f"<source file='{{place}}/{kind}.{name}'/>"
            f"<target dev='{name}' bus='{bus}' {target}/>{more}<alias name='ua-{name}'/></disk>")  # fmt: skip


def card(number: int, model: str, more: str = "", kind: str = "user") -> str:
    """A network card whose alias is ua-MODEL."""
    return (f"<interface type='{kind}'><mac address='52:54:00:00:01:{number:02x}'/><model type='{model}'/>{more}"
            f"<alias name='ua-{model}'/></interface>")  # fmt: skip


TWO_THREADS = (
    "<iothreads><iothread id='1'><queue id='0'/></iothread><iothread id='2'><queue id='1'/></iothread></iothreads>"
)
MAPPED = [{"iothread": "iothread1", "vqs": [0]}, {"iothread": "iothread2", "vqs": [1]}]
SHARED = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"

STORAGE: Mapping[str, Element] = {
    "queues of a disk": Element(
        disk("vda", "virtio", "queues='2' queue_size='256' packed='on' discard='unmap' detect_zeroes='unmap'",
             "<blockio logical_block_size='512' physical_block_size='4096' discard_granularity='4096'/><serial>one</serial>"),
        {"ua-vda": {"num-queues": 2, "queue-size": 256, "packed": True, "logical_block_size": 512, "serial": "one",
                    "physical_block_size": 4096, "discard_granularity": 4096, "discard": True}}),
    "a disk on two threads": Element(
        disk("vdb", "virtio", "queues='2'").replace("/><source", f">{TWO_THREADS}</driver><source"),
        {"ua-vdb": {"iothread-vq-mapping": MAPPED, "num-queues": 2}}),
    "discard without unreference": Element(
        disk("vdc", "virtio", "discard='unmap' discard_no_unref='on'", kind="qcow2"),
        {"node": {"vdc": {"drv": "qcow2"}}}),
    "a throttled group": Element(
        disk("vdd", "virtio", more="<throttlefilters><throttlefilter group='slow'/></throttlefilters>"),
        {"node": {"throttle-": {"drv": "throttle"}}}),
    "a SCSI disk": Element(
        "<controller type='scsi' model='virtio-scsi'><driver queues='2' cmd_per_lun='64' max_sectors='4096'>"
        f"{TWO_THREADS}</driver><alias name='ua-scsi'/></controller>"
        + disk("sda", "scsi", more="<vendor>ACME</vendor><product>Disk</product><wwn>5000c50015ea71ac</wwn>",
               target="rotation_rate='7200' removable='on' dpofua='on'"),
        {"ua-scsi": {"num_queues": 2, "cmd_per_lun": 64, "max_sectors": 4096, "iothread-vq-mapping": MAPPED},
         "ua-sda": {"rotation_rate": 7200, "removable": True, "dpofua": True, "vendor": "ACME", "product": "Disk",
                    "wwn": 0x5000C50015EA71AC}}),
    "NVMe": Element(
        "<controller type='nvme'><serial>NV-1</serial><alias name='ua-nvme'/></controller>"
        + disk("nvme0n1", "nvme") + disk("nvme0n7", "nvme"),
        {"ua-nvme": {"serial": "NV-1"}, "ua-nvme0n1": {"nsid": 1}, "ua-nvme0n7": {"nsid": 7}}),
    "a USB stick": Element(
        disk("sdz", "usb", target="removable='on'"), {"ua-sdz": {"removable": True}}),
    "a disk of SATA that turns": Element(
        disk("sdb", "sata", "copy_on_read='on'", target="rotation_rate='1'"), {"ua-sdb": {"rotation_rate": 1}}),
}  # fmt: skip

NETWORK: Mapping[str, Element] = {
    "a card of virtio": Element(
        card(1, "virtio", "<driver rx_queue_size='1024' packed='on' page_per_vq='on'>"
             "<host csum='off' tso4='off'/><guest tso6='off' ecn='off'/></driver><acpi index='7'/>"),
        {"ua-virtio": {"rx_queue_size": 1024, "packed": True, "page-per-vq": True, "csum": False, "host_tso4": False,
                       "guest_tso6": False, "guest_ecn": False, "acpi-index": 7,
                       "mac": "52:54:00:00:01:01"}}),
    "igb": Element(card(2, "igb"), {"ua-igb": {"mac": "52:54:00:00:01:02"}}),
    "vmxnet3": Element(card(3, "vmxnet3"), {"ua-vmxnet3": {"mac": "52:54:00:00:01:03"}}),
    "usb-net": Element(card(4, "usb-net"), {"ua-usb-net": {"mac": "52:54:00:00:01:04"}}),
    "passt": Element(
        card(5, "e1000e", "<backend type='passt'/>"), {"ua-e1000e": {"mac": "52:54:00:00:01:05"}}),
    "passt by vhost-user": Element(
        card(6, "virtio-non-transitional", "<backend type='passt'/>", "vhostuser"),
        {"ua-virtio-non-transitional": {"mac": "52:54:00:00:01:06"}}),
    "hashes of flows": Element(
        card(7, "virtio-transitional", "<driver rss='on' rss_hash_report='on'/>"),
        {"ua-virtio-transitional": {"rss": True, "hash": True}}),
}  # fmt: skip

DISPLAYS: Mapping[str, Element] = {
    "the agent of the clipboard": Element(
        "<channel type='qemu-vdagent'><source><clipboard copypaste='yes'/><mouse mode='client'/></source>"
        "<target type='virtio' name='com.redhat.spice.0'/><alias name='ua-agent'/></channel>",
        {"ua-agent": {"name": "com.redhat.spice.0"}, "chardev": {"ua-agent": "vdagent"}}),
    "a display on D-Bus between two": Element("<graphics type='dbus' p2p='yes'/>"),
    "VNC": Element("<graphics type='vnc'><listen type='socket'/></graphics>"),
    "a card of virtio with screens": Element(
        "<video><model type='virtio' heads='2' primary='yes'><resolution x='1024' y='768'/></model>"
        "<alias name='ua-card'/></video>",
        {"ua-card": {"max_outputs": 2, "xres": 1024, "yres": 768}}),
    "sound of virtio": Element(
        "<sound model='virtio' streams='2'><alias name='ua-sound'/></sound>", {"ua-sound": {"streams": 2}}),
    "sound by USB": Element(
        "<sound model='usb' multichannel='yes'><alias name='ua-usb'/></sound>", {"ua-usb": {"multi": True}}),
    "sound into D-Bus": Element("<audio id='1' type='dbus'/>"),
    "a tablet of virtio": Element(
        "<input type='tablet' bus='virtio'><alias name='ua-tablet'/></input>", {"ua-tablet": {"realized": True}}),
    "no PS/2": Element("", {"machine": {"i8042": False}}),
}  # fmt: skip

SPICE: Mapping[str, Element] = {
    "SPICE": Element(
        "<graphics type='spice'><listen type='none'/><image compression='off'/><streaming mode='filter'/></graphics>"
        "<video><model type='qxl' ram='65536' vram='65536' vgamem='16384' heads='1'/><alias name='ua-qxl'/></video>",
        {"ua-qxl": {"ram_size": 64 * MIB, "vram_size": 64 * MIB, "vgamem_mb": 16, "max_outputs": 1}}),
    "channels of SPICE": Element(
        "<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/><alias name='ua-vmc'/></channel>"
        "<channel type='spiceport'><source channel='org.example.port'/><target type='virtio' name='org.example.0'/>"
        "<alias name='ua-port'/></channel><redirdev bus='usb' type='spicevmc'><alias name='ua-redir'/></redirdev>",
        {"ua-vmc": {"name": "com.redhat.spice.0"}, "ua-port": {"name": "org.example.0"},
         "chardev": {"ua-vmc": "spicevmc", "ua-port": "spiceport", "ua-redir": "spicevmc"}}),
    "sound into SPICE": Element(
        "<audio id='1' type='spice'/><sound model='ich9'><codec type='output'/><alias name='ua-hda'/></sound>",
        {"ua-hda": {"realized": True}}),
    "the watchdog of the chipset": Element(
        "<watchdog model='itco' action='poweroff'/>", {"ICH9-LPC": {"noreboot": False}}),
}  # fmt: skip

CHIPS: Mapping[str, Element] = {
    "AMD's IOMMU": Element(
        "<iommu model='amd'><driver intremap='on' dma_translation='on' xtsup='on' iotlb='on'/></iommu>",
        {"amd-iommu": {"intremap": "on", "dma-translation": True, "xtsup": True, "device-iotlb": True}},
        ("amd-iommu", "pci-id")),
    "panic on PCI": Element(
        "<panic model='pvpanic'/>", {"pvpanic-pci": {"realized": True}}),
    "records that outlast a crash": Element(
        "<pstore backend='acpi-erst'><path>{place}/erst</path><size unit='KiB'>64</size><alias name='ua-erst'/></pstore>",
        {"ua-erst": {"record_size": 8192}}),
    "a TPM": Element(
        "<tpm model='tpm-crb'><backend type='emulator' version='2.0'><active_pcr_banks><sha256/></active_pcr_banks>"
        "</backend><alias name='ua-tpm'/></tpm>", {"ua-tpm": {"tpmdev": "tpm-ua-tpm"}}),
    "ciphers": Element(
        "<crypto model='virtio' type='qemu'><backend model='builtin' queues='1'/><alias name='ua-crypto'/></crypto>",
        {"ua-crypto": {"realized": True}}),
    "chance": Element(
        "<rng model='virtio'><rate period='2000' bytes='1234'/><backend model='builtin'/><alias name='ua-rng'/></rng>",
        {"ua-rng": {"period": 2000, "max-bytes": 1234}}),
    "a balloon": Element(
        "<memballoon model='virtio' autodeflate='on' freePageReporting='on'><alias name='ua-balloon'/></memballoon>",
        {"ua-balloon": {"deflate-on-oom": True, "free-page-reporting": True}}),
    "shared memory": Element(
        "<shmem name='frontinus-{pid}'><model type='ivshmem-plain'/><size unit='M'>4</size><alias name='ua-shmem'/></shmem>",
        {"ua-shmem": {"memdev": "/objects/shmmem-ua-shmem"}}),
    "a smartcard": Element(
        "<smartcard mode='passthrough' type='null'><alias name='ua-smart'/></smartcard>", {"ua-smart": {"realized": True}}),
    "ports": Element(
        "<controller type='pci' model='pcie-root-port' index='20'><target hotplug='off' memReserve='2048'/>"
        "<alias name='ua-port'/></controller>"
        "<controller type='usb' model='qemu-xhci' ports='8'><alias name='ua-xhci'/></controller>",
        {"ua-port": {"hotplug": False, "mem-reserve": 2048 * 1024}, "ua-xhci": {"p2": 8, "p3": 8}}),
    "no timers of the wrong kind": Element("", {"machine": {"hpet": False, "smm": "on"}, "mch": {"extended-tseg-mbytes": 16}}),
}  # fmt: skip

MEMORY: Mapping[str, Element] = {
    "Intel's IOMMU": Element(
        "<iommu model='intel'><driver intremap='on' caching_mode='on' eim='on' iotlb='on' aw_bits='48' "
        "dma_translation='on'/></iommu>",
        {"intel-iommu": {"intremap": "on", "caching-mode": True, "eim": "on", "device-iotlb": True, "aw-bits": 48,
                         "dma-translation": True}}),
    "virtio-mem": Element(
        "<memory model='virtio-mem'><target dynamicMemslots='yes'><size unit='MiB'>128</size><node>0</node>"
        "<block unit='MiB'>2</block><requested unit='MiB'>64</requested></target><alias name='ua-mem'/></memory>",
        {"ua-mem": {"dynamic-memslots": True, "requested-size": 64 * MIB, "block-size": 2 * MIB, "node": 0}}),
    "virtio-pmem": Element(
        "<memory model='virtio-pmem' access='shared'><source><path>{place}/pmem</path></source>"
        "<target><size unit='MiB'>16</size></target><alias name='ua-pmem'/></memory>", {"ua-pmem": {"realized": True}}),
    "a dimm": Element(
        "<memory model='dimm'><target><size unit='MiB'>128</size><node>1</node></target><alias name='ua-dimm'/></memory>",
        {"ua-dimm": {"node": 1, "size": 128 * MIB}}),
    "an nvdimm": Element(
        "<memory model='nvdimm'><source><path>{place}/nvdimm</path></source><target><size unit='MiB'>128</size>"
        "<node>0</node><label><size unit='KiB'>128</size></label></target><alias name='ua-nvdimm'/></memory>",
        {"ua-nvdimm": {"node": 0, "label-size": 128 * 1024}}),
    "distances and caches": Element("", {"machine": {"hmat": True}}),
    "an expander of a node": Element(
        "<controller type='pci' model='pcie-expander-bus'><target busNr='180'><node>1</node></target>"
        "<alias name='ua-pxb'/></controller>", {"ua-pxb": {"bus_nr": 180, "numa_node": 1}}),
    "a folder, to be read": Element(
        "<filesystem><driver type='virtiofs' queue='512'/><source dir='{place}/share'/><target dir='tag'/><readonly/>"
        "<alias name='ua-fs'/></filesystem>", {"ua-fs": {"tag": "tag", "queue-size": 512}}),
}  # fmt: skip

FIRMWARE: Mapping[str, Element] = {
    "UEFI that checks signatures": Element("", {"/machine/system.flash0": {"secure": True}, "machine": {"smm": "on"}}),
}  # fmt: skip

BARE: Mapping[str, Element] = {
    "no USB, no ACPI": Element("<controller type='usb' model='none'/>", {"machine": {"usb": False, "acpi": "off"}}),
}

CELLS = f"""<maxMemory slots='8' unit='GiB'>4</maxMemory><vcpu>4</vcpu>{SHARED}<cpu mode='maximum'>
<topology sockets='1' dies='2' clusters='1' cores='2' threads='1'/><numa><cell id='0' cpus='0-1' memory='64' unit='MiB'>
<distances><sibling id='0' value='10'/><sibling id='1' value='21'/></distances></cell><cell id='1' cpus='2-3' memory='64'
unit='MiB'><distances><sibling id='0' value='21'/><sibling id='1' value='10'/></distances></cell><interconnects>
<latency initiator='0' target='0' type='access' value='5'/><latency initiator='0' target='1' type='access' value='10'/>
<latency initiator='1' target='0' type='access' value='10'/><latency initiator='1' target='1' type='access' value='5'/>
<bandwidth initiator='0' target='0' type='access' value='1' unit='GiB'/><bandwidth initiator='0' target='1' type='access'
value='1' unit='GiB'/><bandwidth initiator='1' target='0' type='access' value='1' unit='GiB'/><bandwidth initiator='1'
target='1' type='access' value='1' unit='GiB'/></interconnects></numa></cpu>"""
OVMF = "{suite}/root/usr/share/OVMF/OVMF_"
SPLIT = "<acpi/><apic/><ioapic driver='qemu'/>"

GUESTS: Mapping[str, tuple[Mapping[str, Element], Mapping[str, str]]] = {
    "storage": (STORAGE, {"more": "<vcpu>2</vcpu><iothreads>2</iothreads><throttlegroups><throttlegroup>"
                                  "<group_name>slow</group_name><total_iops_sec>100</total_iops_sec></throttlegroup></throttlegroups>"}),
    "network": (NETWORK, {"more": f"<vcpu>4</vcpu>{SHARED}"}),
    "displays": (DISPLAYS, {"features": "<acpi/><ps2 state='off'/>"}),
    "SPICE": (SPICE, {}),
    "chips": (CHIPS, {"features": f"{SPLIT}<smm state='on'><tseg unit='MiB'>16</tseg></smm>",
                      "more": "<clock><timer name='hpet' present='no'/></clock>"}),
    "memory": (MEMORY, {"features": SPLIT, "more": CELLS, "memory": ""}),
    "firmware": (FIRMWARE, {"features": "<acpi/><smm state='on'/>", "os": f"""<loader readonly='yes' secure='yes'
        type='pflash'>{OVMF}CODE_4M.secboot.fd</loader><nvram template='{OVMF}VARS_4M.ms.fd' templateFormat='raw'
        format='qcow2'>{{place}}/vars.qcow2</nvram>"""}),
    "bare": (BARE, {"features": "<apic/>"}),
}  # fmt: skip
"""Elements that fit into one guest, and what it says outside its devices."""


@pytest.fixture(scope="module", params=SUITES)
def other(request: pytest.FixtureRequest) -> Path:
    """The emulator of another release."""
    return emulator(request.param)


@pytest.fixture
def host(other: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> HostFacts:
    """This host, with the programs of the other release beside QEMU."""
    beside = {name: str(releases.beside(other, name)) for name in releases.BESIDE}
    monkeypatch.setattr(tpm, "SWTPM", beside["swtpm"])
    monkeypatch.setattr(tpm, "SETUP", beside["swtpm_setup"])
    monkeypatch.setattr(passt, "PROGRAM", beside["passt"])
    return replace(
        probe_facts(paths_in(place)), ask=None, virtiofsd=beside["virtiofsd"],
        virtiofsd_options=told(tools.options, beside["virtiofsd"]), swtpm_setup=told(tools.features, beside["swtpm_setup"]),
    )  # fmt: skip


def told(ask: Callable[[str], frozenset[str]], program: str) -> frozenset[str]:
    """What a program says that it can do. On a loaded machine it may have no time to: it is asked again."""
    return next((found for _ in range(12) if (found := ask(program))), frozenset())


def capabilities(other: Path, place: Path) -> Capabilities:
    return asyncio.run(QemuHypervisor(str(other), paths_in(place)).capabilities())


@pytest.mark.parametrize("name", GUESTS)
def test_the_guest_has_what_the_document_says(other: Path, host: HostFacts, place: Path, name: str) -> None:
    wanted, parts = GUESTS[name]
    caps = capabilities(other, place)
    elements = {what: e for what, e in wanted.items() if e.needs is None or caps.has_property(*e.needs)}
    devices = "".join(element.xml for element in elements.values())
    words = {"{place}": str(place), "{pid}": str(os.getpid()), "{suite}": str(other.parent)}
    devices = replaced(devices, words)
    make_images(devices, place)
    document = replaced(text(**{"memory": "<memory unit='MiB'>256</memory>", **parts}), words)
    guest = complete(parse_guest(document.replace("</domain>", f"<devices>{devices}</devices></domain>")), caps, host)

    async def look() -> dict[str, str]:
        async with started(guest, str(other), paths_in(place), 1, host=host) as running:
            return {what: wrong for what, e in elements.items() if (wrong := await differences(running, e))}

    try:
        assert asyncio.run(look()) == {}
    finally:
        Path(f"/dev/shm/frontinus-{os.getpid()}").unlink(missing_ok=True)


def replaced(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def make_images(devices: str, place: Path) -> None:
    """What the disks and file systems of a document stand on."""
    (place / "share").mkdir()
    for kind in ("pmem", "nvdimm"):
        with (place / kind).open("wb") as file:
            file.truncate(16 * MIB if kind == "pmem" else 128 * MIB)
    for path, kind in re.findall(r"file='([^']*/(raw|qcow2)\.[^']*)'", devices):
        subprocess.run(["qemu-img", "create", "-q", "-f", kind, path, "1M"], check=True)


async def differences(guest: QemuGuest, element: Element) -> str:
    """What QEMU says otherwise than the document, for a person to read."""
    paths = await device_paths(guest)
    found: list[str] = []
    for who, properties in element.said.items():
        if who in ("node", "chardev"):
            found += await _named(guest, who, properties)
            continue
        path = paths.get(who, who)
        values = await answers(guest, [Command("qom-get", {"path": path, "property": name}) for name in properties])
        found += [f"{who}.{name}: {value!r}, not {wanted!r}"
                  for (name, wanted), value in zip(properties.items(), values, strict=True) if value != wanted]  # fmt: skip
    return "; ".join(found)


async def device_paths(guest: QemuGuest) -> dict[str, str]:
    """QOM paths by alias, and of devices without one by type."""
    paths = {"machine": "/machine", "mch": "/machine/q35/mch"}
    for folder in ("peripheral", "peripheral-anon"):
        (listed,) = await answers(guest, [Command("qom-list", {"path": f"/machine/{folder}"})])
        for entry in listed:
            path = f"/machine/{folder}/{entry['name']}"
            paths |= {entry["name"]: path, entry["type"].removeprefix("child<").removesuffix(">"): path}
    (unattached,) = await answers(guest, [Command("qom-list", {"path": "/machine/unattached"})])
    return paths | {e["type"][6:-1]: f"/machine/unattached/{e['name']}" for e in unattached if "<" in e["type"]}


async def _named(guest: QemuGuest, kind: str, wanted: Mapping[str, Any]) -> list[str]:
    """Block nodes with properties and character devices with a kind, by a part of their name."""
    if kind == "chardev":
        (listed,) = await answers(guest, [Command("query-chardev")])
        return [f"{name}: no {what}" for name, what in wanted.items()
                if not any(name in c["label"] and what in c["filename"] for c in listed)]  # fmt: skip
    (listed,) = await answers(guest, [Command("query-named-block-nodes")])
    return [f"no node {name} with {properties}" for name, properties in wanted.items()
            if not any(properties.items() <= node.items() for node in listed)]  # fmt: skip


@pytest.mark.parametrize("removal", ["", " removeDisabled='check'"])
def test_a_profile_of_a_tpm(other: Path, host: HostFacts, place: Path, removal: str) -> None:
    """A chip is made by a profile where swtpm knows them (0.10); elsewhere the start says that it does not."""
    knows = "cmdarg-profile" in host.swtpm_setup
    document = text(memory="<memory unit='MiB'>64</memory>").replace(
        "</domain>",
        f"""<devices><tpm model='tpm-crb'>
        <backend type='emulator' version='2.0'><profile source='builtin:custom'{removal}/></backend><alias name='ua-tpm'/>
        </tpm></devices></domain>""",
    )
    guest = complete(parse_guest(document), capabilities(other, place), host)

    async def start() -> str:
        async with started(guest, str(other), paths_in(place), 1, host=host) as running:
            return await differences(running, Element("", {"ua-tpm": {"tpmdev": "tpm-ua-tpm"}}))

    if knows:
        assert asyncio.run(start()) == ""
        log = next((place / "state").glob("swtpm/*/swtpm.log")).read_text()
        assert '"custom' in log, log
    else:
        with pytest.raises(Unsupported, match="swtpm_setup"):
            asyncio.run(start())
