"""Saved state: a guest written to a file and brought back."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

from frontinus.api.errors import InvalidXML, StorageFailed, WrongState
from frontinus.api.options import RestoreFlag, SavedXmlFlag, SaveFlag
from frontinus.api.views import GuestView
from frontinus.domain.abi import as_started, differences
from frontinus.domain.cpu.model import Cpu
from frontinus.domain.definition import format_cpu, parse_cpu, parse_guest
from frontinus.domain.guest import Guest
from frontinus.engine import apart, runstate, trail
from frontinus.engine.flags import paused_of
from frontinus.engine.guest import directio, ending, launch, savefile
from frontinus.engine.jobs import Job, Measure
from frontinus.engine.record import Record, Running
from frontinus.engine.snapshot.variables import reset_variables
from frontinus.engine.world import World

log = logging.getLogger(__name__)

TOLD = 5
"""How many differences a refusal names."""


def managed_path(world: World, uuid: str) -> Path:
    """Where the engine keeps a guest's managed save."""
    return Path(world.host.paths.state) / "save" / f"{uuid}.save"


class Saving:
    """The use cases around saved state."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def managed_save(self, guest: str, paused: bool | None = None) -> None:
        await self.save_with(guest, flags=_flags(paused))

    async def save_with(self, guest: str, path: str | None = None, xml: str | None = None,
                        flags: Sequence[SaveFlag] = ()) -> None:  # fmt: skip
        record, paused, direct = self.world.guests.find(guest), paused_of(flags), "bypass-cache" in flags
        if path is not None:
            async with record.lock.hold("save"):
                await self._save(record, _absolute(path), xml, paused, direct=direct)
            return
        record.need_definition()
        async with record.lock.hold("managed save"):
            await self._save(record, managed_path(self.world, record.uuid), xml, paused, direct=direct)
            record.managed_save = True
        self.world.changed(record)

    async def managed_save_remove(self, guest: str) -> None:
        record = self.world.guests.find(guest)
        async with record.lock.hold("remove the managed save"):
            await forget_managed(self.world, record)
        self.world.changed(record)

    async def save(self, guest: str, path: str, xml: str | None = None, paused: bool | None = None) -> None:
        await self.save_with(guest, path, xml, _flags(paused))

    async def _save(self, record: Record, path: Path, xml: str | None, paused: bool | None, *,
                    direct: bool) -> None:  # fmt: skip
        running = record.need_running()
        if record.state not in ("running", "paused"):
            raise WrongState(f"guest '{record.name}' is {record.state}", state=record.state)
        record.refuse_with_jobs()  # they would end with the process, and nobody know how far they got
        was_running = record.state == "running"
        guest = await _compatible(self.world, running.guest, running.asked_cpu, xml) if xml else running.guest
        document = await apart.document(guest, active=True, secrets=True)
        header = savefile.Header(xml=document, running=was_running if paused is None else not paused,
                                 uuid=record.uuid, name=record.name, cpu=format_cpu(running.asked_cpu))  # fmt: skip
        async with self.world.jobs.run("save", record.uuid) as job:
            job.measure = written(running)
            fd = await asyncio.to_thread(savefile.create, path, header)
            try:
                with running.hushed():
                    await self._write(record, running, path, fd, was_running=was_running, direct=direct)
            finally:
                os.close(fd)
            running.ending = "saved"
            await ending.kill(record, graceful=False)

    async def _write(self, record: Record, running: Running, path: Path, fd: int, *, was_running: bool,
                     direct: bool) -> None:  # fmt: skip
        try:
            async with directio.writer(path, fd) if direct else nullcontext(fd) as target:
                await running.process.save(str(path), target)
            await asyncio.to_thread(savefile.finish, fd, path)
        except BaseException as error:
            await asyncio.to_thread(savefile.remove, path)
            await self._carry_on(record, was_running)
            if isinstance(error, OSError):
                raise StorageFailed(f"cannot write '{path}': {error.strerror}", path=str(path)) from None
            raise

    async def _carry_on(self, record: Record, was_running: bool) -> None:
        """The save failed: the guest goes on as it was, unless it has ended meanwhile."""
        running = record.running
        if running is not None and was_running and running.ending is None:
            await running.process.resume()
            record.become("running", "save canceled")

    async def restore(self, path: str, xml: str | None = None, paused: bool | None = None) -> GuestView:
        return await self.restore_with(path, xml, _flags(paused))

    async def restore_with(self, path: str, xml: str | None = None, flags: Sequence[RestoreFlag] = ()) -> GuestView:
        paused = paused_of(flags)
        fd, header = await asyncio.to_thread(savefile.open_saved, _absolute(path))
        try:
            guest = await _saved_guest(header)
            if xml:
                guest = await _compatible(self.world, guest, parse_cpu(header.cpu), xml)
            known = self.world.guests.claim(header.uuid, guest.name)
            record = known or Record(header.uuid, guest.name, starting=guest)
            async with record.lock.hold("restore"):
                if record.running is not None:
                    raise WrongState(f"guest '{record.name}' is running", state=record.state)
                if known is None:
                    self.world.guests.add(record)
                try:
                    if "reset-nvram" in flags:
                        await reset_variables(self.world, guest)
                    async with (
                        directio.reader(Path(path), fd) if "bypass-cache" in flags else nullcontext(fd) as source
                    ):
                        await _bring_back(self.world, record, header, source, guest, paused)
                except BaseException:
                    if known is None:
                        self.world.guests.remove(record)
                    raise
                return record.view()
        finally:
            os.close(fd)

    async def redefine_saved(self, path: str, xml: str, paused: bool | None = None) -> None:
        place = _absolute(path)
        fd, header = await asyncio.to_thread(savefile.open_saved, place)
        os.close(fd)
        guest = await _compatible(self.world, await _saved_guest(header), parse_cpu(header.cpu), xml)
        changed = savefile.Header(xml=await apart.document(guest, active=True, secrets=True), uuid=header.uuid, name=header.name,
                                  running=header.running if paused is None else not paused, cpu=header.cpu)  # fmt: skip
        await asyncio.to_thread(savefile.rewrite, place, changed)

    async def redefine_managed(self, guest: str, xml: str, paused: bool | None = None) -> None:
        record = self.world.guests.find(guest)
        async with record.lock.hold("change the managed save"):
            await self.redefine_saved(str(_need_managed(self.world, record)), xml, paused)

    async def saved_xml(self, path: str) -> str:
        return await self.saved_definition(path)

    async def saved_definition(self, path: str, flags: Sequence[SavedXmlFlag] = ()) -> str:
        fd, header = await asyncio.to_thread(savefile.open_saved, _absolute(path))
        os.close(fd)
        return await apart.document(await _saved_guest(header), secrets="secure" in flags)

    async def managed_definition(self, guest: str, flags: Sequence[SavedXmlFlag] = ()) -> str:
        record = self.world.guests.find(guest)
        return await self.saved_definition(str(_need_managed(self.world, record)), flags)


def _flags(paused: bool | None) -> list[Literal["running", "paused"]]:
    return [] if paused is None else ["paused" if paused else "running"]


def _need_managed(world: World, record: Record) -> Path:
    """Where the managed save is. Raises WrongState for a guest without one."""
    if not record.managed_save:
        raise WrongState(f"guest '{record.name}' has no managed save", state=record.state)
    return managed_path(world, record.uuid)


def written(running: Running) -> Measure:
    """How far the writing of a guest's memory is."""

    async def measure(job: Job) -> None:
        done, total = await running.process.saved()
        if total:
            job.processed, job.total = done, total

    return measure


async def restore_managed(world: World, record: Record, *, paused: bool | None, direct: bool = False) -> None:
    """Bring a guest back from its managed save, which is used up once the CPUs run.

    It must not be found again after they did: the disks are not those of its moment any more.
    """
    path = managed_path(world, record.uuid)
    used = used_path(path)
    fd, header = await asyncio.to_thread(savefile.open_saved, path)
    try:
        async with directio.reader(path, fd) if direct else nullcontext(fd) as source:
            await _bring_back(world, record, header, source, await _saved_guest(header), paused,
                              lambda: asyncio.to_thread(savefile.rename, path, used))  # fmt: skip
    except BaseException:
        await asyncio.shield(asyncio.to_thread(savefile.rename, used, path))
        raise
    finally:
        os.close(fd)
    await forget_managed(world, record)
    world.changed(record)  # the guest was told of while its saved state was still there


async def forget_managed(world: World, record: Record) -> None:
    path = managed_path(world, record.uuid)
    for place in (path, used_path(path)):
        await asyncio.to_thread(savefile.remove, place)
    record.managed_save = False


def used_path(path: Path) -> Path:
    """What a managed save is called from the moment when its guest is about to run."""
    return path.with_suffix(".used")


async def find_managed(world: World, record: Record, *, lives: bool) -> None:
    """Of an earlier engine's managed save only a whole one counts, whose guest has not run since."""
    path = managed_path(world, record.uuid)
    if not (path.exists() or used_path(path).exists()):
        record.managed_save = False
        return
    record.managed_save = not lives and await asyncio.to_thread(savefile.is_finished, path)
    if not record.managed_save:
        log.warning("the saved state of guest %s is not whole, or used up: it is removed", record.name)
        await forget_managed(world, record)


async def _bring_back(world: World, record: Record, header: savefile.Header, fd: int, guest: Guest,
                      paused: bool | None, before: Callable[[], Awaitable[None]] | None = None) -> None:  # fmt: skip
    """`before`: what is done when its memory is there, and nothing of it has run."""
    stay = not header.running if paused is None else paused
    soon: runstate.Soon = ("paused", "user") if stay else ("running", "restored")
    running = await launch.launch(world, record, guest, soon=soon, incoming=fd, asked_cpu=parse_cpu(header.cpu))
    record.become("paused", "starting up")
    if before is not None:
        await before()
    if not stay:
        await launch.set_going(record, running)
    record.become(*soon)
    world.lifecycle(record, "started", "restored")
    trail.started(world, record, "restored")
    if stay:
        world.lifecycle(record, "suspended", "restored")


async def _saved_guest(header: savefile.Header) -> Guest:
    return await apart.reading(header.xml, lambda: parse_guest(header.xml))


async def _compatible(world: World, guest: Guest, asked: Cpu | None, xml: str) -> Guest:
    """The guest as a user's XML has it, with the CPU that it has. Raises InvalidXML where the guest would notice.

    The XML may have the CPU of the running guest, or the one that was `asked` for.
    """
    parsed = await apart.reading(xml, lambda: parse_guest(xml))
    if parsed.uuid != guest.uuid:
        raise InvalidXML(f"the guest has UUID {guest.uuid}, the XML has {parsed.uuid}", element="uuid")
    caps = await world.hypervisor.capabilities(parsed.devices.emulator)
    changed = await apart.reading(xml, lambda: as_started(parsed, caps, world.host))
    found = differences(guest, changed)
    if found and asked is not None:
        found = min(found, differences(guest.clone(cpu=asked), changed), key=len)
    if found:
        what = "; ".join(map(str, found[:TOLD])) + ("; ..." if len(found) > TOLD else "")
        raise InvalidXML(f"the XML gives the guest other hardware than it has: {what}", element=found[0].element)
    if guest.cpu is not None and changed.cpu is not None:
        changed.cpu = guest.cpu.clone(numa=changed.cpu.numa)
    return changed


def _absolute(path: str) -> Path:
    found = Path(path)
    if not found.is_absolute():
        raise StorageFailed(f"'{path}' is not an absolute path", path=path)
    return found
