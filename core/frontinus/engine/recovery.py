"""Recovery: what an earlier engine left is found again. No guest is lost, none doubled, nothing leaks."""

from __future__ import annotations

import asyncio
import logging

from frontinus.api.errors import FrontinusError, InvalidXML, NoSuchProcess
from frontinus.api.views import REASONS, State
from frontinus.domain.custom_capabilities import customized
from frontinus.domain.definition import parse_guest
from frontinus.domain.guest import Guest
from frontinus.engine import runstate
from frontinus.engine.block.works import Works
from frontinus.engine.filter.filtering import leave, restore_filters
from frontinus.engine.guest import ending, saving
from frontinus.engine.guest.logs import follow_logs
from frontinus.engine.guest.news import follow
from frontinus.engine.halves import KIND
from frontinus.engine.loading import loading
from frontinus.engine.network import netports
from frontinus.engine.record import Record, Running
from frontinus.engine.runstate import RunState
from frontinus.engine.snapshot import books as bookkeeping
from frontinus.engine.snapshot import doomed
from frontinus.engine.snapshot.aftermath import settle
from frontinus.engine.world import World
from frontinus.ports import Stored

log = logging.getLogger(__name__)

STATUS: dict[str, State] = {
    "running": "running", "paused": "paused", "prelaunch": "paused", "suspended": "pmsuspended", "shutdown": "shutdown",
    "guest-panicked": "crashed", "internal-error": "paused", "io-error": "paused", "watchdog": "paused",
    "inmigrate": "paused", "postmigrate": "paused", "save-vm": "paused", "finish-migrate": "paused", "debug": "paused",
    "restore-vm": "paused", "colo": "running",
}  # fmt: skip
"""QEMU's RunState (qapi/run-state.json) in our words."""

RETRY = 2.0
"""Seconds between two questions to a guest that does not answer."""

REASON = {"io-error": "I/O error", "watchdog": "watchdog", "guest-panicked": "panicked"}


async def recover(world: World) -> None:
    """Load all definitions, then all run states; re-attach to what lives, clean up after what died, sweep the rest."""
    world.books = await bookkeeping.load(world.store)
    await _load_definitions(world)
    states = [await _decode(world, stored) for stored in await world.store.load(runstate.KIND)]
    found = [state for state in states if state is not None]
    alive = await asyncio.gather(*(_revive(world, state) for state in found))
    await restore_filters(world, [state for state, lives in zip(found, alive, strict=True) if lives])
    living = [state.folder for state, lives in zip(found, alive, strict=True) if lives]
    await doomed.recover(world)
    await world.resources.sweep(living)
    await world.limits.sweep(living)
    for record in world.guests:
        if record.running is None and record.unreachable is None and record.books.pending is not None:
            world.spawn(settle(world, record), f"work on images of {record.name}")


async def _load_definitions(world: World) -> None:
    marked = {stored.key for stored in await world.store.load("autostart")}
    for stored in await world.store.load(KIND):
        guest = await _definition(world, stored)
        if guest is None:
            continue
        record = Record(stored.key, guest.name, definition=guest, autostart=stored.key in marked,
                        books=world.books_of(stored.key))  # fmt: skip
        await saving.find_managed(world, record, lives=False)
        world.guests.add(record)


async def _definition(world: World, stored: Stored) -> Guest | None:
    async with loading(world.store, KIND, stored.key, f"definition {stored.key}"):
        guest = parse_guest(stored.text)
        if guest.uuid != stored.key:
            raise ValueError(f"holds the guest {guest.uuid}")
        world.guests.claim(stored.key, guest.name)
        return guest
    return None


async def _decode(world: World, stored: Stored) -> RunState | None:
    async with loading(world.store, runstate.KIND, stored.key, f"run state {stored.key}"):
        return runstate.decode(stored.text)
    return None


async def _revive(world: World, state: RunState) -> bool:
    """Re-attach to a guest; False, with its books closed, if it is no more."""
    try:
        if state.process is None:
            raise NoSuchProcess("its start was not finished")
        await _attach(world, state, state.guest())
    except (NoSuchProcess, InvalidXML) as error:
        await _bury(world, state, error)
        return False
    except FrontinusError as error:
        _keep_trying(world, state, error)
    return True


async def _attach(world: World, state: RunState, guest: Guest) -> None:
    """Raises NoSuchProcess for a guest that is gone, another FrontinusError for one that does not answer."""
    assert state.process is not None
    process = await world.hypervisor.attach(state.process)
    status = await process.status()
    record = world.guests.get(state.uuid) or Record(
        state.uuid, state.name, starting=guest, books=world.books_of(state.uuid)
    )
    caps = customized(await world.hypervisor.capabilities(guest.devices.emulator), guest.qemu_capabilities)
    running = Running(guest, process, caps, undo=state.undo, tainted=state.tainted, redefined=state.redefined,
                      hidden=state.hidden, held=state.held, agent_timeout=state.agent_timeout,
                      asked_cpu=state.cpu(), works=Works(state.works), backup=state.backup)  # fmt: skip
    record.running, record.unreachable = running, None
    world.guests.add(record)
    world.guests.taken_id(guest.id or 0)
    world.ports.adopt(guest)
    follow_logs(world, record)
    _place(record, state, status)
    if not state.hidden:
        await saving.find_managed(world, record, lives=True)
    running.news = world.spawn(follow(world, record, running), f"news of {record.name}")
    world.spawn(settle(world, record), f"work on images of {record.name}")
    if state.autodestroy:  # its connection was to an earlier engine
        record.ends_with_caller = True
        world.spawn(ending.abandoned(record, running), f"end of {record.name}")


def _keep_trying(world: World, state: RunState, error: FrontinusError) -> None:
    """A process that lives but does not answer is neither lost nor started a second time: it is asked again."""
    log.error("guest %s lives, but does not answer: %s", state.name, error)
    guest = state.guest()
    record = world.guests.get(state.uuid) or Record(
        state.uuid, state.name, starting=guest, books=world.books_of(state.uuid)
    )
    record.unreachable = state.folder
    record.become("nostate", "unknown")
    world.guests.add(record)
    world.guests.taken_id(guest.id or 0)
    world.ports.adopt(guest)
    world.spawn(_ask_again(world, record, state), f"waiting for {state.name}")


async def _ask_again(world: World, record: Record, state: RunState) -> None:
    while record.unreachable is not None:
        await asyncio.sleep(RETRY)
        try:
            await _attach(world, state, state.guest())
            log.warning("guest %s answers again", state.name)
            world.changed(record)
        except NoSuchProcess as error:
            record.unreachable = None
            await _bury(world, state, error)
        except FrontinusError as error:
            log.debug("guest %s still does not answer: %s", state.name, error)


def _place(record: Record, state: RunState, status: str) -> None:
    """The state that QEMU is in; the reason that we knew, if the state is still the same."""
    now = STATUS.get(status, "paused")
    if now == state.state and state.reason in REASONS[now]:
        record.become(now, state.reason)
        record.since = state.since or record.since
    else:
        reason = REASON.get(status, "unknown")
        record.become(now, reason if reason in REASONS[now] else "unknown")


async def _bury(world: World, state: RunState, why: Exception) -> None:
    """A guest that died while nobody watched, or never started: give back what it held and say so."""
    log.warning("guest %s does not run any more: %s", state.name, why)
    await world.hypervisor.end_strays(state.folder)
    await leave(world, state.uuid)
    await world.resources.tear_down(state.undo)
    await netports.release(world, state.uuid)
    await world.limits.remove(state.folder)
    await world.store.delete(runstate.KIND, state.uuid)
    record = world.guests.get(state.uuid)
    if record is not None and state.process is not None:
        record.become("shutoff", "daemon")
        gone = record.definition is None
        if gone:
            world.guests.remove(record)
        world.lifecycle(record, "stopped", "failed", gone=gone)
