"""A small real guest without the engine: a hand-made launch plan, its folder, its listening sockets, its user."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from frontinus.domain.host import Paths
from frontinus.domain.plan import LaunchPlan
from frontinus.ports import Credentials, RunningGuest
from frontinus.qemu.driver import QemuHypervisor
from frontinus.qemu.guest import QemuGuest
from guest_image import READY, GuestImage

EMULATOR = "/usr/bin/qemu-system-x86_64"
USER = Credentials(64201, 64201)
MEMORY = 128 << 20
DISK = 16 << 20
BOOT_SECONDS = 300.0


class QemuRig:
    """Launches guests in a folder. Without an image a guest has hardware only: its firmware finds nothing to boot."""

    disk = "virtio-disk0"

    def __init__(self, folder: Path, image: GuestImage | None = None) -> None:
        self.folder = folder
        self.image = image
        self.hypervisor = QemuHypervisor(EMULATOR, Paths(cache=str(folder / "cache")))
        self.guests: list[QemuGuest] = []
        self._count = 0

    def plan(self, extra: Sequence[str] = (), commands: Sequence[tuple[str, Mapping[str, object]]] = (),
             limits: Mapping[str, int] | None = None, job: str = "idle") -> LaunchPlan:  # fmt: skip
        """A guest with a virtio disk, a NIC, a balloon, a video card, a serial port, and the agent's channel."""
        self._count += 1
        place = self.folder / f"guest{self._count}"
        place.mkdir(mode=0o700)
        disk = place / "disk.raw"
        disk.touch()
        os.truncate(disk, DISK)
        for path in (place, disk):
            os.chown(path, USER.uid, USER.gid)
        boot = []
        if self.image is not None:
            boot = ["-kernel", str(self.image.kernel), "-initrd", str(self.image.initrd),
                    "-append", self.image.cmdline(job)]  # fmt: skip
        argv = (
            EMULATOR, "-name", "guest=rig,debug-threads=on", "-S", "-no-user-config", "-nodefaults", "-no-shutdown",
            "-machine", "q35,accel=tcg", "-cpu", "max", "-m", str(MEMORY >> 20), "-smp", "1,maxcpus=2", "-display", "none",
            "-chardev", "socket,id=charmonitor,fd=3,server=on,wait=off", "-mon", "chardev=charmonitor,mode=control",
            "-device", "pcie-root-port,id=pci.1,chassis=1,addr=0x4", "-device", "pcie-root-port,id=pci.2,chassis=2,addr=0x5",
            "-blockdev", f'{{"driver":"file","filename":"{disk}","node-name":"storage1"}}',
            "-blockdev", '{"driver":"raw","file":"storage1","node-name":"format1"}',
            "-device", "virtio-blk-pci,drive=format1,id=virtio-disk0",
            "-netdev", "user,id=hostnet0", "-device", "virtio-net-pci,netdev=hostnet0,id=net0,mac=52:54:00:00:00:01",
            "-device", "virtio-balloon-pci,id=balloon0", "-device", "VGA,id=video0", "-device", "ide-cd,id=sata0-0-1",
            "-object", "iothread,id=iothread1",
            "-chardev", f"file,id=charserial0,path={place}/console", "-device", "isa-serial,chardev=charserial0,id=serial0",
            "-device", "virtio-serial-pci,id=virtio-serial0",
            "-chardev", "socket,id=charchannel0,fd=4,server=on,wait=off",
            "-device", "virtserialport,chardev=charchannel0,id=channel0,name=org.qemu.guest_agent.0",
            *boot, *extra, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
            "-msg", "timestamp=on",
        )  # fmt: skip
        return LaunchPlan(
            argv, {"LC_ALL": "C"}, (), str(place), str(place / "monitor"), agent=str(place / "agent"),
            agent_device="channel0", log=str(place / "log"), monitor_commands=tuple(commands), limits=limits or {},
        )  # fmt: skip

    async def launch(self, incoming: int | None = None, plan: LaunchPlan | None = None,
                     more: Mapping[int, int] | None = None) -> QemuGuest:  # fmt: skip
        """Launch as the guest's own user, with `more` descriptors; the guest is ended with the rig."""
        plan = plan or self.plan(["-incoming", "defer"] if incoming is not None else [])
        listeners = {3: listener(plan.monitor), 4: listener(plan.agent or "")}
        try:
            fds = {number: s.fileno() for number, s in listeners.items()} | dict(more or {})
            guest = await self.hypervisor.launch(plan, fds, USER, incoming)
        finally:
            for s in listeners.values():
                s.close()
        self.guests.append(guest)
        return guest

    async def booted(self, guest: RunningGuest) -> None:
        """Wait until the guest's own system is up; it says so on its console."""
        async with asyncio.timeout(BOOT_SECONDS):
            while True:
                if READY in self.console(guest):
                    return
                await asyncio.sleep(0.05)

    def console(self, guest: RunningGuest) -> str:
        """What the guest wrote to its serial port."""
        path = Path(guest.record.folder, "console")
        return path.read_text(errors="replace") if path.exists() else ""

    async def close(self) -> None:
        """End the guests that a test has left and not let go."""
        for guest in self.guests:
            if guest.process.watched:
                await guest.quit(graceful=False, deadline=60)


def listener(path: str) -> socket.socket:
    """A listening socket, as the host's side makes one."""
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(1)
    return s
