"""Disks and controllers on a real QEMU: it takes what we say, and shows the graph and the hardware that was meant."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from frontinus.domain.complete import complete
from frontinus.domain.definition import parse_guest
from frontinus.domain.plan import Overlay
from frontinus.domain.prepare import prepare
from frontinus.linux.overlays import Overlays
from frontinus.linux.setup import Setup
from frontinus.qemu.argv.block import disks
from frontinus.qemu.argv.context import Context, Item, write
from frontinus.qemu.argv.devices import controllers
from frontinus.qemu.argv.secrets import Sealed, SecretUse
from frontinus.qemu.plan import json_options
from support.guests import document, host, qemu72

EMULATOR = "/usr/bin/qemu-system-x86_64"
KEY, IV = bytes(range(32)), bytes(range(16))
PASSWORD = "open sesame"
MIB = 1 << 20


class Monitor:
    """A QMP connection that waits for each answer."""

    def __init__(self, path: Path, process: subprocess.Popen[str]) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 90
        try:
            while process.poll() is None and time.monotonic() < deadline and self._socket.connect_ex(str(path)):
                time.sleep(0.02)  # the socket is there some moments before it listens
            self._lines = self._socket.makefile("r")
            self._lines.readline()
            self.run("qmp_capabilities")
        except OSError:
            process.kill()
            raise AssertionError(process.communicate()[0]) from None

    def run(self, command: str, **arguments: object) -> Any:
        """The answer of one command; a refusal fails the test."""
        self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = json.loads(self._lines.readline())
            if "event" not in answer:
                assert "error" not in answer, (command, arguments, answer)
                return answer["return"]

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


def seal(use: SecretUse) -> Sealed:
    """Encrypts the one password of these tests."""
    done = subprocess.run(
        ["openssl", "enc", "-aes-256-cbc", "-K", KEY.hex(), "-iv", IV.hex(), "-a", "-A"],
        input=(use.value or PASSWORD).encode(), capture_output=True, check=True,
    )  # fmt: skip
    vector = subprocess.run(["openssl", "base64", "-A"], input=IV, capture_output=True, check=True).stdout
    return Sealed(done.stdout.decode(), vector.decode())


@contextmanager
def running(folder: Path, devices: str, machine: str = "pc", more: str = "", *args: str) -> Iterator[Monitor]:
    """A stopped QEMU with the controllers and disks of a guest, and what the plan says to do before it runs."""
    caps = qemu72()
    guest = prepare(complete(parse_guest(document(devices, machine, more)), caps, host()), caps, host(), guest_id=1)
    ctx = Context(guest, caps, host(), str(folder), seal=seal)
    key = folder / "key"
    key.write_bytes(KEY)
    ctx.items.append(Item("object", {"qom-type": "secret", "id": "masterKey0", "format": "raw", "file": str(key)}))
    controllers.build(ctx)
    disks.build(ctx)
    for resource in ctx.resources:
        if isinstance(resource, Overlay):
            Overlays().make(resource, [], Setup(None, str(folder)))
    path = folder / "qmp"
    argv = [EMULATOR, "-S", "-no-user-config", "-nodefaults", "-display", "none", "-machine", f"{machine},accel=tcg",
            "-m", "64", "-qmp", f"unix:{path},server=on,wait=off", *args,
            *write(ctx.items, json_options(caps))]  # fmt: skip
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        monitor = Monitor(path, process)
        for command, arguments in ctx.commands:
            monitor.run(command, **arguments)
        yield monitor
        monitor.close()
    finally:
        process.kill()
        process.communicate()


def image(path: Path, kind: str = "raw", backing: Path | None = None, backing_kind: str = "raw") -> Path:
    """An image of 1 MiB."""
    below = ["-F", backing_kind, "-b", str(backing)] if backing else []
    subprocess.run(["qemu-img", "create", "-q", "-f", kind, *below, str(path), "1M"], check=True)
    return path


def disk(path: Path | str, target: str = "vda", bus: str = "virtio", driver: str = "type='raw'", inside: str = "",
         device: str = "disk", kind: str = "file") -> str:  # fmt: skip
    attribute = {"file": "file", "block": "dev", "dir": "dir"}[kind]
    source = f"<source {attribute}='{path}'/>" if path else ""
    return (f"<disk type='{kind}' device='{device}'><driver name='qemu' {driver}/>{source}{inside}"
            f"<target dev='{target}' bus='{bus}'/></disk>")  # fmt: skip


def drives(monitor: Monitor) -> dict[str, dict[str, Any]]:
    """What query-block says of each drive, by the device's alias."""
    found = [one for one in monitor.run("query-block") if "qdev" in one]
    return {one["qdev"].removeprefix("/machine/peripheral/").split("/")[0]: one for one in found}


def test_a_declared_chain_is_the_graph(tmp_path: Path) -> None:
    base = image(tmp_path / "base.raw")
    middle = image(tmp_path / "middle.qcow2", "qcow2", base)
    top = image(tmp_path / "top.qcow2", "qcow2", middle, "qcow2")
    chain = f"""<backingStore type='file'><format type='qcow2'/><source file='{middle}'/>
        <backingStore type='file'><format type='raw'/><source file='{base}'/><backingStore/></backingStore>
        </backingStore>"""
    with running(tmp_path, disk(top, driver="type='qcow2' cache='writeback' discard='unmap' detect_zeroes='unmap'",
                                inside=chain)) as qemu:  # fmt: skip
        seen = drives(qemu)["virtio-disk0"]["inserted"]
        assert seen["node-name"] == "frontinus-1-format"
        assert [seen["image"]["filename"], seen["backing_file_depth"]] == [str(top), 2]
        assert seen["detect_zeroes"] == "unmap"
        nodes = {node["node-name"]: node for node in qemu.run("query-named-block-nodes", flat=True)}
        assert {name for name in nodes if name.startswith("frontinus-")} == {
            f"frontinus-{n}-{layer}" for n in (1, 2, 3) for layer in ("storage", "format")
        }
        assert [nodes[f"frontinus-{n}-format"]["ro"] for n in (1, 2, 3)] == [False, True, True]


def test_a_chain_that_is_cut_off_is_not_followed(tmp_path: Path) -> None:
    base = image(tmp_path / "base.raw")
    top = image(tmp_path / "top.qcow2", "qcow2", base)
    with running(tmp_path, disk(top, driver="type='qcow2'", inside="<backingStore/>")) as qemu:
        assert drives(qemu)["virtio-disk0"]["inserted"]["backing_file_depth"] == 0


def test_slices_and_caches(tmp_path: Path) -> None:
    raw, holder, inner = image(tmp_path / "a.raw"), tmp_path / "b.raw", image(tmp_path / "c.qcow2", "qcow2")
    holder.write_bytes(bytes(MIB) + inner.read_bytes() + bytes(MIB))
    size = -(-inner.stat().st_size // 512) * 512
    devices = (
        disk("", "vda").replace("<target", f"""<source file='{raw}'><slices><slice type='storage' offset='65536'
             size='131072'/></slices></source><target""")
        + f"""<disk type='file' device='disk'><driver name='qemu' type='qcow2'><metadata_cache>
             <max_size unit='bytes'>1048576</max_size></metadata_cache></driver><source file='{holder}'><slices>
             <slice type='storage' offset='{MIB}' size='{size}'/></slices></source><target dev='vdb' bus='virtio'/></disk>"""
    )  # fmt: skip
    with running(tmp_path, devices) as qemu:
        seen = drives(qemu)
        assert seen["virtio-disk0"]["inserted"]["image"]["virtual-size"] == 131072
        assert seen["virtio-disk1"]["inserted"]["image"]["virtual-size"] == MIB
        assert "frontinus-2-slice" in {n["node-name"] for n in qemu.run("query-named-block-nodes", flat=True)}


def test_luks_opens_with_a_sealed_secret(tmp_path: Path) -> None:
    path = tmp_path / "luks"
    command = ["qemu-img", "create", "-q", "-f", "luks", "--object", f"secret,id=s,data={PASSWORD}", "-o",
               "key-secret=s,iter-time=10", str(path), "1M"]  # fmt: skip
    for _ in range(100):  # it measures how fast this machine is, and gives up where the measure wavers
        path.unlink(missing_ok=True)
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    inside = """<encryption format='luks'><secret type='passphrase' uuid='0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f'/>
        </encryption>"""
    with running(tmp_path, disk(path, inside=inside)) as qemu:
        seen = drives(qemu)["virtio-disk0"]["inserted"]
        assert (seen["drv"], seen["encrypted"]) == ("luks", True)
        assert seen["image"]["virtual-size"] == MIB


def test_limits_are_set_and_shared_by_a_group(tmp_path: Path) -> None:
    tune = "<iotune><total_bytes_sec>1000000</total_bytes_sec><total_bytes_sec_max>2000000</total_bytes_sec_max>{}</iotune>"
    group = tune.format("<group_name>pair</group_name><total_bytes_sec_max_length>5</total_bytes_sec_max_length>")
    devices = disk(image(tmp_path / "a"), "vda", inside=group) + disk(
        image(tmp_path / "b"), "sda", "scsi", inside=group
    )
    with running(tmp_path, devices) as qemu:
        for alias in ("virtio-disk0", "scsi0-0-0"):
            seen = drives(qemu)[alias]["inserted"]
            assert [seen["bps"], seen["bps_max"], seen["bps_max_length"], seen["group"]] == [
                1000000,
                2000000,
                5,
                "pair",
            ]


def test_copy_on_read_stands_on_top(tmp_path: Path) -> None:
    with running(tmp_path, disk(image(tmp_path / "a", "qcow2"), driver="type='qcow2' copy_on_read='on'")) as qemu:
        assert drives(qemu)["virtio-disk0"]["inserted"]["node-name"] == "frontinus-CoR-vda"


@pytest.mark.parametrize("share", ["", " shareBacking='yes'"])
def test_a_transient_disk_leaves_its_image_alone(tmp_path: Path, share: str) -> None:
    path = image(tmp_path / "a", "qcow2")
    with running(tmp_path, disk(path, driver="type='qcow2'", inside=f"<transient{share}/>"), "pc") as qemu:
        seen = drives(qemu)["virtio-disk0"]["inserted"]
        assert seen["image"]["filename"] == f"{path}.TRANSIENT-test"
        assert (seen["backing_file_depth"], seen["ro"]) == (1, False)
        nodes = {node["node-name"]: node for node in qemu.run("query-named-block-nodes", flat=True)}
        assert nodes["frontinus-1-format"]["ro"], "nothing may write to the image itself"


def test_removable_drives(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "readme").write_text("hello")
    devices = (
        disk("", "hdc", "ide", device="cdrom")
        + disk(image(tmp_path / "iso"), "hdd", "ide", device="cdrom", inside="<readonly/>")
        + disk(image(tmp_path / "f"), "fda", "fdc", device="floppy")
        + disk(folder, "fdb", "fdc", "type='fat'", "<readonly/>", "floppy", "dir")
    )
    with running(tmp_path, devices) as qemu:
        seen = drives(qemu)
        assert "inserted" not in seen["ide0-1-0"]
        assert seen["ide0-1-1"]["inserted"]["ro"]
        assert seen["fdc0-0-0"]["inserted"]["drv"] == "raw"
        assert seen["fdc0-0-1"]["inserted"]["image"]["filename"].startswith(('json:{"driver": "raw"', "fat:", "json:"))


@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_floppies_boot_first(tmp_path: Path, machine: str) -> None:
    boot = "<boot order='1'/>"
    devices = disk(image(tmp_path / "f"), "fda", "fdc", device="floppy", inside=boot)
    with running(tmp_path, devices, machine) as qemu:
        found = qemu.run("qom-list", path="/machine/unattached" if machine == "pc" else "/machine/peripheral-anon")
        parents = [f"/machine/{'unattached' if machine == 'pc' else 'peripheral-anon'}/{one['name']}" for one in found
                   if one["type"] == "child<isa-fdc>"]  # fmt: skip
        assert [qemu.run("qom-get", path=path, property="bootindexA") for path in parents] == [1]


SCSI = ("lsilogic", "lsisas1068", "lsisas1078", "vmpvscsi", "dc390", "am53c974", "virtio-scsi", "virtio-transitional",
        "virtio-non-transitional")  # fmt: skip


@pytest.mark.parametrize("model", SCSI)
def test_every_scsi_controller_carries_a_disk(tmp_path: Path, model: str) -> None:
    devices = f"<controller type='scsi' index='0' model='{model}'/>" + disk(image(tmp_path / "a"), "sda", "scsi", inside=(
        "<serial>S1</serial><wwn>5000c50015ea71ac</wwn><vendor>ACME</vendor><product>DISK</product>"))  # fmt: skip
    with running(tmp_path, devices) as qemu:
        (alias,) = drives(qemu)
        path = f"/machine/peripheral/{alias}"
        assert qemu.run("qom-get", path=path, property="wwn") == 0x5000C50015EA71AC
        assert qemu.run("qom-get", path=path, property="device_id") == "S1"


USB = ("piix3-uhci", "piix4-uhci", "ehci", "pci-ohci", "nec-xhci", "qemu-xhci", "ich9-ehci1")


@pytest.mark.parametrize("model", USB)
def test_every_usb_controller_carries_a_disk(tmp_path: Path, model: str) -> None:
    ports = " ports='8'" if model in ("nec-xhci", "qemu-xhci") else ""
    companions = "".join(f"<controller type='usb' index='0' model='ich9-uhci{n}'/>" for n in (1, 2, 3))
    devices = f"<controller type='usb' index='0' model='{model}'{ports}/>" + disk(image(tmp_path / "a"), "sda", "usb")
    with running(tmp_path, devices + (companions if model == "ich9-ehci1" else "")) as qemu:
        assert list(drives(qemu)) == ["usb-disk0"]
        assert qemu.run("qom-get", path="/machine/peripheral/usb-disk0", property="removable") is False


BLOCKS = "<blockio logical_block_size='4096' physical_block_size='4096'/>"


def test_sata_and_virtio_options_on_q35(tmp_path: Path) -> None:
    options = "type='raw' queues='2' queue_size='64' event_idx='off' ioeventfd='on' packed='on' error_policy='enospace'"
    devices = (
        disk(image(tmp_path / "a"), "sda", "sata", inside="<geometry cyls='10' heads='4' secs='16'/>")
        + disk(image(tmp_path / "b"), "sdg", "sata")
        + disk("", "sdb", "sata", device="cdrom")
        + disk(image(tmp_path / "c"), "vda", driver=options, inside=f"<shareable/>{BLOCKS}")
    )
    with running(tmp_path, devices, "q35") as qemu:
        assert set(drives(qemu)) == {"sata0-0-0", "sata0-0-1", "sata1-0-0", "virtio-disk0"}
        path = "/machine/peripheral/virtio-disk0"
        names = (
            "num-queues",
            "queue-size",
            "event_idx",
            "packed",
            "share-rw",
            "logical_block_size",
            "write-cache",
            "werror",
        )
        seen = {name: qemu.run("qom-get", path=path, property=name) for name in names}
        assert seen == {"num-queues": 2, "queue-size": 64, "event_idx": False, "packed": True, "share-rw": True,
                        "logical_block_size": 4096, "write-cache": "on", "werror": "enospc"}  # fmt: skip


def bridges(answer: Any) -> Iterator[dict[str, Any]]:
    """Every PCI function of query-pci."""
    for bus in answer if isinstance(answer, list) else [answer]:
        for device in bus["devices"]:
            yield device
            if "pci_bridge" in device:
                yield from bridges(device["pci_bridge"]) if "devices" in device["pci_bridge"] else ()


CELL = ("-object", "memory-backend-ram,id=m0,size=64M", "-numa", "node,nodeid=0,memdev=m0")
TOPOLOGIES: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "conventional": ("pc", "", """
        <controller type='pci' index='1' model='pci-bridge'/><controller type='pci' index='2' model='pci-bridge'>
        <address type='pci' bus='1' slot='4' function='0'/></controller>""", ()),
    "expander": ("pc", "<cpu><numa><cell id='0' cpus='0' memory='512' unit='MiB'/></numa></cpu>", """
        <controller type='pci' index='1' model='pci-expander-bus'><target busNr='240'><node>0</node></target></controller>
        """, CELL),
    "express": ("q35", "", """
        <controller type='pci' index='1' model='pcie-root-port'><target hotplug='off'/></controller>
        <controller type='pci' index='2' model='pcie-switch-upstream-port'/>
        <controller type='pci' index='3' model='pcie-switch-downstream-port'/>
        <controller type='pci' index='4' model='pcie-root-port'><model name='ioh3420'/></controller>
        <controller type='pci' index='5' model='pcie-to-pci-bridge'/>
        <controller type='pci' index='6' model='dmi-to-pci-bridge'/>
        <controller type='pci' index='7' model='pci-bridge'><address type='pci' bus='6' slot='1' function='0'/></controller>
        """, ()),
    "express expander": ("q35", "<cpu><numa><cell id='0' cpus='0' memory='512' unit='MiB'/></numa></cpu>", """
        <controller type='pci' index='1' model='pcie-expander-bus'><target busNr='240'><node>0</node></target></controller>
        <controller type='pci' index='2' model='pcie-root-port'><address type='pci' bus='1' slot='0' function='0'/>
        </controller>""", CELL),
    "holes": ("q35", "", """
        <controller type='pci' index='0' model='pcie-root'><pcihole64 unit='KiB'>1048576</pcihole64></controller>""", ()),
    "ccid": ("q35", "", """
        <controller type='ccid' index='0'/><controller type='virtio-serial' index='0' ports='8' vectors='2'/>""", ()),
}  # fmt: skip


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_topologies(tmp_path: Path, name: str) -> None:
    machine, more, devices, args = TOPOLOGIES[name]
    with running(tmp_path, devices, machine, more, *args) as qemu:
        plugged = {one["name"]: one["type"] for one in qemu.run("qom-list", path="/machine/peripheral")}
        wanted = {"conventional": {"pci.1", "pci.2"}, "expander": {"pci.1"}, "express": {f"pci.{n}" for n in range(1, 8)},
                  "express expander": {"pci.1", "pci.2"}, "holes": set[str](), "ccid": {"virtio-serial0"}}  # fmt: skip
        assert wanted[name] <= set(plugged)
        check: dict[str, Callable[[], object]] = {
            "expander": lambda: qemu.run("qom-get", path="/machine/peripheral/pci.1", property="bus_nr") == 240,
            "express": lambda: qemu.run("qom-get", path="/machine/peripheral/pci.1", property="hotplug") is False,
            "holes": lambda: qemu.run("qom-get", path="/machine/q35", property="pci-hole64-size") == 1 << 30,
        }
        assert check.get(name, lambda: True)()
