"""A real QEMU on what the resources port set up: definition to process to nothing, without the engine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from frontinus.api.errors import HypervisorFailed
from frontinus.domain.complete import complete
from frontinus.domain.definition import parse_guest
from frontinus.domain.host import Paths
from frontinus.domain.plan import LaunchPlan
from frontinus.domain.prepare import prepare
from frontinus.linux.host import probe_facts
from frontinus.linux.resources import LinuxResources
from frontinus.ports import Prepared
from frontinus.qemu.driver import QemuHypervisor
from frontinus.qemu.guest import QemuGuest
from frontinus.qemu.links import LinkCounters
from support.namespaces import in_own_network
from support.started import DYING

UUID = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"
XML = """
<domain type='qemu'><name>a guest</name><uuid>{uuid}</uuid><memory unit='MiB'>64</memory>
  <os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>
  <devices>
    <disk type='file'><driver name='qemu' type='raw'/><source file='{place}/disk.img'/><target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='{place}/cd.iso'/><target dev='sda' bus='sata'/>
      <readonly/></disk>
    <interface type='bridge'><source bridge='br0'/><mac address='52:54:00:12:34:56'/><model type='virtio'/>
      <driver queues='2'/></interface>
    <serial type='file'><source path='{place}/serial.log'/><target port='0'/></serial>
    <channel type='unix'><source mode='bind' path='{place}/state/{long}/agent'/>
      <target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    {more}
  </devices></domain>
"""
TPM = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"


class Stage:
    """One guest on an engine's ports."""

    def __init__(self, place: Path, more: str = "") -> None:
        self.place = place
        self.paths = Paths(
            *(f"{place}/{name}" for name in ("config", "state", "run", "log", "cache", "state/nvram", "state/ram"))
        )
        self.resources = LinuxResources(self.paths, (70000, 70009))
        self.hypervisor = QemuHypervisor(None, self.paths)
        self.agent = f"{place}/state/{'x' * 100}/agent"
        self.xml = XML.format(uuid=UUID, place=place, long="x" * 100, more=more)
        for name, owner in (("disk.img", 1001), ("cd.iso", 1002)):
            (place / name).write_bytes(bytes(1 << 20))
            os.chown(place / name, owner, owner)
            (place / name).chmod(0o600)

    async def plan(self) -> LaunchPlan:
        caps = await self.hypervisor.capabilities()
        host = probe_facts(self.paths)
        guest = prepare(complete(parse_guest(self.xml), caps, host), caps, host, guest_id=1)
        return self.hypervisor.plan(guest, caps, host)

    async def start(self) -> tuple[QemuGuest, Prepared]:
        async def journal(undo: Sequence[dict[str, object]]) -> None:
            pass

        plan = await self.plan()
        self.who = await self.resources.credentials(UUID)
        prepared = await self.resources.set_up(plan.resources, self.who, journal)
        try:
            return await self.hypervisor.launch(plan, prepared.fds, self.who), prepared
        except BaseException:
            await self.resources.tear_down(prepared.undo)
            raise
        finally:
            for fd in prepared.fds.values():
                os.close(fd)


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout


def below(place: Path) -> set[str]:
    return {str(path.relative_to(place)) for path in place.rglob("*") if not path.is_dir()}


def descriptors(pid: int) -> dict[str, str]:
    """What a process has open, by what it is, with the access mode of files."""
    found = {}
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it is closed meanwhile
            flags = re.search(r"flags:\s*(\d+)", Path(f"/proc/{pid}/fdinfo/{fd.name}").read_text())
            assert flags
            found[os.readlink(fd)] = ("r", "w", "rw")[int(flags[1], 8) & os.O_ACCMODE]  # noqa: PTH115
    return found


@pytest.mark.needs("ip", "swtpm")
@pytest.mark.parametrize("more", ["", TPM], ids=["plain", "tpm"])
def test_a_guest_gets_what_its_definition_asks_for_and_nothing_is_left(place: Path, more: str) -> None:
    if not list(Path("/usr/share/OVMF").glob("OVMF_CODE*")):
        pytest.skip("no UEFI firmware: install ovmf")

    async def work() -> None:
        ip("link", "add", "br0", "type", "bridge")
        stage = Stage(place, more)
        before = below(place)
        guest, prepared = await stage.start()
        uid = stage.who.uid if stage.who else None
        assert Path(f"/proc/{guest.record.pid}").stat().st_uid == uid == 70000
        opened = descriptors(guest.record.pid)
        assert opened[f"{place}/disk.img"] == "rw" and opened[f"{place}/cd.iso"] == "r"
        assert opened[f"{place}/serial.log"] == "w" and opened["/dev/net/tun"] == "rw"
        store = Path(stage.paths.nvram, "a guest_VARS.fd")
        assert opened[str(store)] == "rw" and store.stat().st_uid == uid
        foreign = [name for name in opened if name.startswith("/") and str(place) not in name]
        assert {name for name in foreign if not name.startswith(("/dev/", "/usr/share/", "/memfd:"))} == set()
        assert "vnet0" in ip("link", "show", "master", "br0") and prepared.names == {"net0": "vnet0"}
        assert LinkCounters().read("vnet0")
        with socket.socket(socket.AF_UNIX) as client:
            folder = os.open(Path(stage.agent).parent, os.O_PATH)
            client.connect(f"/proc/self/fd/{folder}/agent")
            os.close(folder)
        await guest.quit(graceful=False, deadline=DYING)
        await stage.resources.tear_down(prepared.undo)
        kept = ("serial.log", "state/nvram/", "state/swtpm/", "log/", "cache/")
        assert [name for name in below(place) - before if not name.startswith(kept)] == []
        assert [Path(place, name).stat().st_uid for name in ("disk.img", "cd.iso")] == [1001, 1002]
        assert os.listxattr(place / "disk.img") == os.listxattr(place / "cd.iso") == []
        assert store.stat().st_uid == 0
        assert not Path(stage.paths.guest(1, "a guest")).exists() and not os.path.lexists(stage.agent)
        async with asyncio.timeout(60):
            while "vnet0" in ip("link"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    in_own_network(work)


@pytest.mark.needs("ip")
def test_a_guest_that_qemu_refuses_leaves_nothing(place: Path) -> None:
    async def work() -> None:
        ip("link", "add", "br0", "type", "bridge")
        stage = Stage(place)
        stage.xml = stage.xml.replace("type='raw'", "type='qcow2'", 1)
        with pytest.raises(HypervisorFailed, match="disk|qcow2"):
            await stage.start()
        assert (place / "disk.img").stat().st_uid == 1001
        assert not Path(stage.paths.guest(1, "a guest")).exists()

    in_own_network(work)
