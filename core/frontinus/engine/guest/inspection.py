"""Looking into a guest: dumps, memory, disks, its displays, the state of its monitor, what confines it."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from frontinus.api.descriptor import Descriptor
from frontinus.api.errors import InvalidValue, NoSuchDevice, StorageFailed, Unsupported, WrongState
from frontinus.api.inspection import ControlInfo, DiskError, DumpFormat, SecurityView
from frontinus.api.options import DumpFlag
from frontinus.engine.guest import directio, ending
from frontinus.engine.jobs import Job
from frontinus.engine.record import Record, Running
from frontinus.engine.tuning.tuning import find_disk
from frontinus.engine.world import World

MOST = 4 * 2**20
"""Bytes of one look."""
FORMATS: tuple[DumpFormat, ...] = ("raw", "kdump-zlib", "kdump-lzo", "kdump-snappy", "win-dmp")


class Inspection:
    """The use cases that look."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def core_dump(self, guest: str, path: str, memory_only: bool = False, format: DumpFormat = "raw",
                        live: bool = False, crash: bool = False, reset: bool = False) -> None:  # fmt: skip
        said: dict[DumpFlag, bool] = {"memory-only": memory_only, "live": live, "crash": crash, "reset": reset}
        await self.dump_with(guest, path, format, [name for name, on in said.items() if on])

    async def dump_with(
        self, guest: str, path: str, format: DumpFormat = "raw", flags: Sequence[DumpFlag] = ()
    ) -> None:
        record = self.world.guests.find(guest)
        memory_only, live, crash, reset = (name in flags for name in ("memory-only", "live", "crash", "reset"))
        _check_dump(path, memory_only, format, live=live, crash=crash, reset=reset)
        async with record.lock.hold("core dump"):
            running = record.need_running()
            was_running = record.state == "running"
            async with self.world.jobs.run("dump", record.uuid) as job:
                if was_running and not live:
                    await self._pause(record, running)
                try:
                    direct = "bypass-cache" in flags
                    await _dump(running, Path(path), format if memory_only else None, job, direct=direct)
                except BaseException:
                    await self._go_on(record, running, was_running)
                    raise
            if crash:
                running.ending = "crashed"
                await ending.kill(record, graceful=False)
                return
            if reset:
                await running.process.reset()
            await self._go_on(record, running, was_running)

    async def _pause(self, record: Record, running: Running) -> None:
        with running.hushed():
            await running.process.pause()
        record.become("paused", "dumping")
        self.world.lifecycle(record, "suspended", "paused")

    async def _go_on(self, record: Record, running: Running, was_running: bool) -> None:
        """The guest runs on as it did, unless it has ended meanwhile."""
        if not was_running or record.running is not running or running.ending is not None:
            return
        paused = record.state == "paused"
        with running.hushed():
            await running.process.resume()
        if paused:
            record.become("running", "unpaused")
            self.world.lifecycle(record, "resumed", "unpaused")

    async def memory_peek(self, guest: str, offset: int, size: int, physical: bool = False) -> bytes:
        record = self.world.guests.find(guest)
        _check_range(offset, size)
        running = record.need_running()
        path = Path(running.process.record.folder) / "peek"
        async with record.lock.hold("look into memory"):
            try:
                await running.process.peek(str(path), offset, size, physical=physical)
                return await asyncio.to_thread(_read_at, path, 0, size, os.O_NOFOLLOW)  # the folder is the guest's
            finally:
                await asyncio.to_thread(path.unlink, missing_ok=True)

    async def block_peek(self, guest: str, disk: str, offset: int, size: int) -> bytes:
        _check_range(offset, size)
        chosen = find_disk(self.world.guests.find(guest).guest, disk)
        if not chosen.source_path:
            raise NoSuchDevice(f"disk '{disk}' has no medium")
        if chosen.source is not None and chosen.source.fdgroup is not None:
            raise Unsupported(f"disk '{disk}' is reached by descriptors (fdgroup), which the guest alone has")
        if chosen.type not in ("file", "block") or (chosen.format or "raw") != "raw":
            raise Unsupported(f"disk '{disk}' is not raw: its bytes are not those that the guest sees")
        return await asyncio.to_thread(_read_at, Path(chosen.source_path), offset, size)

    async def disk_errors(self, guest: str) -> list[DiskError]:
        running = self.world.guests.find(guest).need_running()
        found = await running.process.disk_errors()
        return [DiskError(disk=disk.target or "", error=found[disk.alias or ""])
                for disk in running.guest.devices.disks if disk.alias in found]  # fmt: skip

    async def control_info(self, guest: str) -> ControlInfo:
        record = self.world.guests.find(guest)
        if record.unreachable is not None:
            return ControlInfo(state="error", reason="monitor")
        record.need_running()
        if record.lock.holder is None:
            return ControlInfo(state="ok")
        return ControlInfo(state="job", since=int((time.monotonic() - record.lock.since) * 1000))

    async def security_labels(self, guest: str) -> list[SecurityView]:
        running = self.world.guests.find(guest).need_running()
        return [SecurityView(model=model, label=label, enforcing=enforcing)
                for model, label, enforcing in await running.process.confinement()]  # fmt: skip

    async def open_graphics(self, guest: str, index: int = 0) -> Descriptor:
        record = self.world.guests.find(guest)
        running = record.need_running()
        displays = running.guest.devices.graphics
        if not 0 <= index < len(displays):
            raise NoSuchDevice(f"guest '{record.name}' has no display {index}")
        if displays[index].type not in ("vnc", "spice"):
            raise Unsupported(f"a display of type '{displays[index].type}' has no clients")
        ours, theirs = socket.socketpair()
        try:
            async with record.lock.hold("open a display"):
                await running.process.open_display(displays[index].type, theirs.fileno())
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return Descriptor(ours.detach())


async def _dump(running: Running, path: Path, format: DumpFormat | None, job: Job, *, direct: bool) -> None:
    """Write the file; what could not be finished is removed."""

    def progress(done: int, total: int) -> None:
        job.processed, job.total = done, total

    fd = await asyncio.to_thread(_create, path)
    try:
        async with directio.writer(path, fd) if direct else nullcontext(fd) as target:
            if format is None:
                await running.process.save(str(path), target)
            else:
                await running.process.dump(target, format, progress)
        await asyncio.to_thread(os.fsync, fd)
    except BaseException as error:
        await asyncio.to_thread(path.unlink, missing_ok=True)
        if isinstance(error, OSError):
            raise StorageFailed(f"cannot write '{path}': {error.strerror}", path=str(path)) from None
        raise
    finally:
        os.close(fd)


def _create(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StorageFailed(f"cannot write '{path}': {error.strerror}", path=str(path)) from None


def _check_dump(path: str, memory_only: bool, format: str, *, live: bool, crash: bool, reset: bool) -> None:
    if not Path(path).is_absolute():
        raise InvalidValue(f"'{path}' is not an absolute path", field="path")
    if format not in FORMATS:
        raise InvalidValue(f"unknown format '{format}'", field="format")
    if format != "raw" and not memory_only:
        raise InvalidValue(f"a dump as {format} holds memory only", field="format")
    if live + crash + reset > 1:
        raise InvalidValue("live, crash and reset exclude each other", field="live")
    if live and not memory_only:
        raise WrongState("the hypervisor's own stream is written of a paused guest; live dumps hold memory only")


def _check_range(offset: int, size: int) -> None:
    if not 0 < size <= MOST:
        raise InvalidValue(f"1 to {MOST} bytes can be looked at, not {size}", field="size")
    if not 0 <= offset < 2**63:
        raise InvalidValue("the address is out of range", field="offset")


def _read_at(path: Path, offset: int, size: int, flags: int = 0) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | flags)
        try:
            data = os.pread(fd, size, offset)
        finally:
            os.close(fd)
    except OSError as error:
        raise StorageFailed(f"cannot read '{path}': {error.strerror}", path=str(path)) from None
    if len(data) < size:
        raise InvalidValue(f"'{path}' ends before byte {offset + size}", field="offset")
    return data
