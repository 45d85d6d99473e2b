"""What is done to a running QEMU beyond its life: dumps and looks into memory, displays, I/O threads."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from frontinus.api.errors import HypervisorFailed, Unsupported
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.cpu.made import MadeCpu
from frontinus.domain.cpu.model import Cpu
from frontinus.ports.hypervisor import RunRecord
from frontinus.ports.limits import Threads
from frontinus.ports.tending import Progress
from frontinus.qemu.argv.machine.cpu import model_props
from frontinus.qemu.caps.replies import Expansion
from frontinus.qemu.figure_answers import Cpu as Cpus
from frontinus.qemu.monitor.client import Command, Event, Monitor
from frontinus.qemu.news import device_of

DUMP = "core-dump"
CLIENT = "display-client"
"""Our names for descriptors inside QEMU."""
LOOK_SECONDS = 1.0
"""Between two looks at how far a dump is."""
DUMP_FORMATS: Mapping[str, str] = {"raw": "elf"}
"""QEMU's names of dump formats where they are not ours."""
IO_STATUS: Mapping[str, str] = {"nospace": "no space", "failed": "unspecified"}


class _Iothread(msgspec.Struct, rename="kebab"):
    id: str
    thread_id: int


class _Block(msgspec.Struct, rename="kebab"):
    qdev: str = ""
    device: str = ""
    io_status: str = "ok"


class _Formats(msgspec.Struct):
    formats: list[str]


class _Dump(msgspec.Struct):
    status: str
    completed: int = 0
    total: int = 0


class QemuTending:
    """`ports.Tending` on a monitor."""

    record: RunRecord

    @property
    def monitor(self) -> Monitor:
        raise NotImplementedError

    async def threads(self) -> Threads:
        cpus = await self.monitor.ask(list[Cpus], "query-cpus-fast")
        found = await self.monitor.ask(list[_Iothread], "query-iothreads")
        numbers = {int(m.group(1)): t.thread_id for t in found if (m := re.fullmatch(r"iothread(\d+)", t.id))}
        return Threads(self.record.pid, {cpu.cpu_index: cpu.thread_id for cpu in cpus}, numbers)

    async def made_cpu(self, cpu: Cpu, caps: Capabilities) -> MadeCpu:
        """QEMU tells quickly what it dropped, and what it makes of a model before that; one feature at a time, slowly."""
        cpus = await self.monitor.ask(list[Cpus], "query-cpus-fast")
        props = model_props(cpu, caps)
        model = {"name": props.pop("model"), "props": props}
        dropped, made = await self.monitor.execute_many([
            Command("qom-get", {"path": cpus[0].qom_path if cpus else "", "property": "unavailable-features"}),
            Command("query-cpu-model-expansion", {"type": "full", "model": model}),
        ])  # fmt: skip
        lost = frozenset(() if dropped.error else dropped.value(list[str]))
        if made.error is not None:
            return MadeCpu(lost)
        said = made.value(Expansion).model.props
        return MadeCpu(lost, frozenset(name for name, value in said.items() if value is True) - lost)

    async def dump(self, fd: int, format: str, progress: Progress) -> None:
        name = DUMP_FORMATS.get(format, format)
        known = (await self.monitor.ask(_Formats, "query-dump-guest-memory-capability")).formats
        if name not in known:
            raise Unsupported(f"this QEMU cannot dump as {format}; it knows {', '.join(known)}")
        await self.monitor.execute("getfd", {"fdname": DUMP}, fds=[fd])
        with self.monitor.expect(lambda event: event.name == "DUMP_COMPLETED") as ended:
            await self.monitor.execute(
                "dump-guest-memory", {"paging": False, "protocol": f"fd:{DUMP}", "detach": True, "format": name})  # fmt: skip
            event = await self._watch_dump(ended, progress)
        if error := event.data.get("error"):
            raise HypervisorFailed(f"the memory was not dumped: {error}")

    async def _watch_dump(self, ended: asyncio.Future[Event], progress: Progress) -> Event:
        while not (await asyncio.wait([ended], timeout=LOOK_SECONDS))[0]:
            state = await self.monitor.ask(_Dump, "query-dump")
            progress(state.completed, state.total)
        return ended.result()

    async def peek(self, path: str, address: int, size: int, *, physical: bool) -> None:
        command = "pmemsave" if physical else "memsave"
        await self.monitor.execute(command, {"val": address, "size": size, "filename": path})

    async def disk_errors(self) -> Mapping[str, str]:
        blocks = await self.monitor.ask(list[_Block], "query-block")
        return {device_of(b.qdev) or b.device: IO_STATUS[b.io_status] for b in blocks if b.io_status in IO_STATUS}

    async def open_display(self, protocol: str, fd: int) -> None:
        await self.monitor.execute("getfd", {"fdname": CLIENT}, fds=[fd])
        await self.monitor.execute("add_client", {"protocol": protocol, "fdname": CLIENT, "skipauth": True})

    async def add_iothread(self, number: int, properties: Mapping[str, int]) -> None:
        await self.monitor.execute("object-add", {"qom-type": "iothread", "id": f"iothread{number}", **properties})

    async def del_iothread(self, number: int) -> None:
        await self.monitor.execute("object-del", {"id": f"iothread{number}"})

    async def set_iothread(self, number: int, properties: Mapping[str, int]) -> None:
        for name, value in properties.items():
            place = {"path": f"/objects/iothread{number}", "property": name}
            await self.monitor.execute("qom-set", {**place, "value": value})

    async def end_on_reboot(self, ends: bool) -> None:
        try:
            await self.monitor.execute("set-action", {"reboot": "shutdown" if ends else "reset"})
        except HypervisorFailed as error:
            if error.details.get("class") == "CommandNotFound":
                raise Unsupported("this QEMU takes what a reboot does at its start only") from None
            raise

    async def set_stats_period(self, balloon: str, seconds: int) -> None:
        place = {"path": f"/machine/peripheral/{balloon}", "property": "guest-stats-polling-interval"}
        await self.monitor.execute("qom-set", {**place, "value": seconds})

    async def confinement(self) -> Sequence[tuple[str, str, bool]]:
        process = Path("/proc", str(self.record.pid))
        return await asyncio.to_thread(_confinement, process)


def _confinement(process: Path) -> list[tuple[str, str, bool]]:
    """DAC always confines; SELinux and AppArmor where the kernel labels the process. proc(5): attr/current, status."""
    try:
        owner = process.stat()
    except OSError as error:
        raise HypervisorFailed(f"the guest's process is gone: {error.strerror}") from None
    found = [("dac", f"+{owner.st_uid}:+{owner.st_gid}", False)]
    try:
        label = (process / "attr/current").read_text().strip(" \0\n")
    except OSError:
        label = ""
    if label.count(":") >= 2:
        found.append(("selinux", label, _says_one(Path("/sys/fs/selinux/enforce"))))
    elif label.startswith("frontinus-"):
        name, _, mode = label.partition(" ")
        found.append(("apparmor", name, mode == "(enforce)"))
    return found


def _says_one(file: Path) -> bool:
    try:
        return file.read_text().strip() == "1"
    except OSError:
        return False
