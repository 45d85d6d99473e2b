"""Recovery: what an earlier engine left is found again. No guest is lost, none doubled, nothing leaks."""

from __future__ import annotations

import logging

from frontinus.api.errors import FrontinusError
from frontinus.api.views import REASONS, State
from frontinus.domain.definition import parse_guest
from frontinus.engine import runstate, saving
from frontinus.engine.halves import KIND
from frontinus.engine.news import follow
from frontinus.engine.record import Record, Running
from frontinus.engine.runstate import RunState
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

REASON = {"io-error": "I/O error", "watchdog": "watchdog", "guest-panicked": "panicked"}


async def recover(world: World) -> None:
    """Load all definitions, then all run states; re-attach to what lives, clean up after what died, sweep the rest."""
    await _load_definitions(world)
    folders: list[str] = []
    for stored in await world.store.load(runstate.KIND):
        state = await _decode(world, stored)
        if state is not None and await _revive(world, state):
            folders.append(state.folder)
    await world.resources.sweep(folders)


async def _load_definitions(world: World) -> None:
    marked = {stored.key for stored in await world.store.load("autostart")}
    for stored in await world.store.load(KIND):
        try:
            guest = parse_guest(stored.text)
            if guest.uuid != stored.key:
                raise ValueError(f"holds the guest {guest.uuid}")
            world.guests.claim(stored.key, guest.name)
        except (FrontinusError, ValueError) as error:
            place = await world.store.set_aside(KIND, stored.key, str(error))
            log.error("definition %s does not load and was set aside as %s: %s", stored.key, place, error)
            continue
        record = Record(stored.key, guest.name, definition=guest, autostart=stored.key in marked)
        record.managed_save = saving.managed_path(world, record.uuid).exists()
        world.guests.add(record)


async def _decode(world: World, stored: Stored) -> RunState | None:
    try:
        return runstate.decode(stored.text)
    except ValueError as error:
        place = await world.store.set_aside(runstate.KIND, stored.key, str(error))
        log.error("run state %s does not load and was set aside as %s: %s", stored.key, place, error)
        return None


async def _revive(world: World, state: RunState) -> bool:
    """Re-attach to a guest; False, with its books closed, if it is no more."""
    record = world.guests.get(state.uuid)
    try:
        guest = state.guest()
        if state.process is None:
            raise ValueError("its start was not finished")
        process = await world.hypervisor.attach(state.process)
        status = await process.status()
    except (FrontinusError, ValueError) as error:
        log.warning("guest %s does not run any more: %s", state.name, error)
        await _bury(world, record, state)
        return False
    record = record or Record(state.uuid, state.name)
    caps = await world.hypervisor.capabilities(guest.devices.emulator)
    running = Running(guest, process, caps, undo=state.undo, tainted=state.tainted, redefined=state.redefined)
    record.running = running
    world.guests.add(record)
    world.guests.taken_id(guest.id or 0)
    world.ports.adopt(guest)
    _place(record, state, status)
    running.news = world.spawn(follow(world, record, running), f"news of {record.name}")
    return True


def _place(record: Record, state: RunState, status: str) -> None:
    """The state that QEMU is in; the reason that we knew, if the state is still the same."""
    now = STATUS.get(status, "paused")
    if now == state.state and state.reason in REASONS[now]:
        record.become(now, state.reason)
        record.since = state.since or record.since
    else:
        reason = REASON.get(status, "unknown")
        record.become(now, reason if reason in REASONS[now] else "unknown")


async def _bury(world: World, record: Record | None, state: RunState) -> None:
    """A guest that died while nobody watched, or never started: give back what it held and say so."""
    await world.hypervisor.end_strays(state.folder)
    await world.resources.tear_down(state.undo)
    await world.store.delete(runstate.KIND, state.uuid)
    if record is not None and state.process is not None:
        record.become("shutoff", "daemon")
        world.lifecycle(record, "stopped", "failed")
