"""What may be changed through FRONTINUS-MIB, planned: each action with the states in which it makes sense, and its way back."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from frontinus.api.engine import Engine
from frontinus.api.errors import AlreadyExists
from frontinus.api.views import GuestView
from frontinus_snmp import definitions
from frontinus_snmp.ber import Oid
from frontinus_snmp.change import Refusal, Step, Wish
from frontinus_snmp.pdu import (
    INCONSISTENT_NAME,
    INCONSISTENT_VALUE,
    NO_CREATION,
    RESOURCE_UNAVAILABLE,
    WRONG_VALUE,
)  # fmt: skip
from frontinus_snmp.rows import State

Wishes = Mapping[str, Wish]
Call = Callable[[Engine, str], Awaitable[Any]]


@dataclass(frozen=True)
class Action:
    """`name` in the MIB; `fits` a guest's view; `undo` is None where nothing takes it back."""

    name: str
    fits: Callable[[GuestView], bool]
    do: Call
    undo: Callable[[GuestView], Call] | None = None


def _off(view: GuestView) -> bool:
    return not view.active


def _on(view: GuestView) -> bool:
    return view.active


def _runs(view: GuestView) -> bool:
    return view.state in ("running", "blocked")


def _unstart(view: GuestView) -> Call:
    """A guest that came back from its save goes there again; another is as off as it was."""
    if view.managed_save:
        return lambda engine, guest: engine.managed_save(guest)
    return lambda engine, guest: engine.destroy(guest)


def _back(call: Call) -> Callable[[GuestView], Call]:
    return lambda view: call


ACTIONS: Sequence[Action] = (
    Action("none", lambda view: True, lambda engine, guest: asyncio.sleep(0), _back(lambda engine, guest: asyncio.sleep(0))),
    Action("start", _off, lambda engine, guest: engine.start(guest), _unstart),
    Action("startPaused", _off, lambda engine, guest: engine.start(guest, paused=True), _unstart),
    Action("pause", _runs, lambda engine, guest: engine.suspend(guest), _back(lambda engine, guest: engine.resume(guest))),
    Action("resume", lambda view: view.state == "paused", lambda engine, guest: engine.resume(guest),
           _back(lambda engine, guest: engine.suspend(guest))),
    Action("shutdown", _on, lambda engine, guest: engine.shutdown(guest)),
    Action("reboot", _on, lambda engine, guest: engine.reboot(guest)),
    Action("reset", _on, lambda engine, guest: engine.reset(guest)),
    Action("powerOff", _on, lambda engine, guest: engine.destroy(guest)),
    Action("save", lambda view: view.active and view.persistent, lambda engine, guest: engine.managed_save(guest),
           _back(lambda engine, guest: engine.start(guest))),
    Action("discardSave", lambda view: view.managed_save and not view.active,
           lambda engine, guest: engine.managed_save_remove(guest)),
    Action("wakeUp", lambda view: view.state == "pmsuspended", lambda engine, guest: engine.pm_wakeup(guest)),
)  # fmt: skip
"""By their numbers in the MIB, from 1."""
BY_NAME = {action.name: action for action in ACTIONS}

STATES: Mapping[int, Mapping[str, str]] = {
    1: {"running": "none", "blocked": "none", "shutoff": "start", "paused": "resume", "pmsuspended": "wakeUp"},
    3: {"paused": "none", "running": "pause", "blocked": "pause", "shutoff": "startPaused"},
    4: {"shutdown": "none", "running": "shutdown", "blocked": "shutdown"},
    5: {"shutoff": "none", "running": "powerOff", "blocked": "powerOff", "paused": "powerOff", "shutdown": "powerOff",
        "crashed": "powerOff", "pmsuspended": "powerOff"},
}  # fmt: skip
"""What a state that is asked for (running, paused, shutdown, shutoff) means in the state that the guest is in."""
ACTIVE, CREATE, DESTROY = 1, 4, 6


LATER = ("frnGuestAutostart", "frnGuestAction", "frnGuestState")
AT_BIRTH = ("frnGuestRowStatus", "frnGuestDefinition", "frnGuestName", *LATER)
"""What can be set together with the creation of a row."""


def engine_of(state: State, wishes: Wishes) -> Engine:
    """The engine to change something with. Raises Refusal."""
    if state.manage is None:
        raise Refusal(RESOURCE_UNAVAILABLE, next(iter(wishes.values())).place)
    return state.manage


def guest_change(state: State, index: Oid, wishes: Wishes) -> Sequence[Step]:
    """Steps for a row of frnGuestTable."""
    engine = engine_of(state, wishes)
    view = next((guest.view for guest in state.guests if (guest.index,) == index), None)
    status = wishes.get("frnGuestRowStatus")
    if status is not None and status.number not in (ACTIVE, CREATE, DESTROY):
        raise Refusal(WRONG_VALUE, status.place)
    if status is not None and status.number == CREATE:
        if view is not None:
            raise Refusal(INCONSISTENT_VALUE, status.place)
        return _create(state, engine, index, wishes)
    if status is not None and status.number == DESTROY:
        return _delete(engine, view, status, wishes)
    if view is None:
        raise Refusal(INCONSISTENT_NAME, next(iter(wishes.values())).place)
    return [*_settings(engine, view, wishes), *_act(engine, view, wishes)]


def _settings(engine: Engine, view: GuestView, wishes: Wishes) -> list[Step]:
    """What is set to a value and back: name, autostart, virtual CPUs."""
    steps: list[Step] = []
    guest = view.uuid
    if (made := wishes.get("frnGuestDefinition")) is not None:
        raise Refusal(INCONSISTENT_VALUE, made.place)
    if (wish := wishes.get("frnGuestName")) is not None:
        if view.active:
            raise Refusal(INCONSISTENT_VALUE, wish.place)
        name = wish.text
        steps.append(Step(wish.place, f"rename {view.name} to {name}", lambda: engine.rename(guest, name),
                          lambda: engine.rename(guest, view.name)))  # fmt: skip
    if (wish := wishes.get("frnGuestAutostart")) is not None:
        on = wish.number == 1
        if not view.persistent:
            raise Refusal(INCONSISTENT_VALUE, wish.place)
        steps.append(Step(wish.place, f"autostart of {view.name}: {on}", lambda: engine.set_autostart(guest, on),
                          lambda: engine.set_autostart(guest, view.autostart)))  # fmt: skip
    if (wish := wishes.get("frnGuestVcpus")) is not None:
        count = wish.number
        if not 0 < count <= view.max_vcpus:
            raise Refusal(INCONSISTENT_VALUE, wish.place)
        steps.append(Step(wish.place, f"virtual CPUs of {view.name}: {count}", lambda: engine.set_vcpus(guest, count),
                          lambda: engine.set_vcpus(guest, view.vcpus)))  # fmt: skip
    return steps


def _act(engine: Engine, view: GuestView, wishes: Wishes) -> list[Step]:
    """An action, asked for by its name or by the state that it leads to."""
    by_name, by_state = wishes.get("frnGuestAction"), wishes.get("frnGuestState")
    if by_name is not None and by_state is not None:
        raise Refusal(INCONSISTENT_VALUE, max(by_name.place, by_state.place))
    if by_state is not None:
        if by_state.number not in STATES:
            raise Refusal(WRONG_VALUE, by_state.place)
        name = STATES[by_state.number].get(view.state)
        if name is None:
            raise Refusal(INCONSISTENT_VALUE, by_state.place)
        return [_step(engine, view, BY_NAME[name], by_state.place)]
    if by_name is None:
        return []
    action = ACTIONS[by_name.number - 1]
    if not action.fits(view):
        raise Refusal(INCONSISTENT_VALUE, by_name.place)
    return [_step(engine, view, action, by_name.place)]


def _step(engine: Engine, view: GuestView, action: Action, place: int) -> Step:
    undo = None if action.undo is None else action.undo(view)
    guest = view.uuid
    return Step(place, f"{action.name} {view.name}", lambda: action.do(engine, guest),
                None if undo is None else lambda: undo(engine, guest))  # fmt: skip


def _delete(engine: Engine, view: GuestView | None, status: Wish, wishes: Wishes) -> Sequence[Step]:
    """Forget a guest that is off. Its variable store stays, so that the definition can be put back as it was."""
    other = next((wish for wish in wishes.values() if wish is not status), None)
    if other is not None:
        raise Refusal(INCONSISTENT_VALUE, other.place)
    if view is None:
        return []
    if view.active or not view.persistent or view.managed_save:
        raise Refusal(INCONSISTENT_VALUE, status.place)
    guest, kept = view.uuid, []

    async def do() -> None:
        kept.append(await engine.guest_xml(guest, ["inactive", "secure"]))
        await engine.undefine(guest, nvram=False)

    async def undo() -> None:
        await engine.define(kept[0])
        await engine.set_autostart(guest, view.autostart)

    return [Step(status.place, f"delete {view.name}", do, undo)]


def _create(state: State, engine: Engine, index: Oid, wishes: Wishes) -> Sequence[Step]:
    """A guest from a stored definition, under a name and a UUID of its own, at the number that comes next."""
    status, source = wishes["frnGuestRowStatus"], wishes.get("frnGuestDefinition")
    if source is None:
        raise Refusal(INCONSISTENT_VALUE, status.place)
    path = state.definitions.get(source.text)
    if path is None:
        raise Refusal(INCONSISTENT_VALUE, source.place)
    other = next((wish for name, wish in wishes.items() if name not in AT_BIRTH), None)
    if other is not None:
        raise Refusal(INCONSISTENT_VALUE, other.place)
    numbers = state.numbering
    if numbers is None or index != (numbers.next,):
        raise Refusal(NO_CREATION if len(index) != 1 else INCONSISTENT_NAME, status.place)
    guest, number = str(uuid.uuid4()), index[0]
    name = wishes["frnGuestName"].text if "frnGuestName" in wishes else None

    async def do() -> None:
        xml = await asyncio.to_thread(definitions.instance, path, guest, name)
        try:
            await asyncio.to_thread(numbers.assign, guest, number)
        except (OSError, ValueError) as error:
            raise AlreadyExists(str(error)) from None
        await engine.define(xml)

    made = GuestView(uuid=guest, name=name or source.text, state="shutoff", reason="unknown", max_vcpus=1)
    rest = {
        key: wish for key, wish in wishes.items() if key in ("frnGuestAutostart", "frnGuestAction", "frnGuestState")
    }
    first = Step(status.place, f"create {made.name} from {source.text}", do, lambda: engine.undefine(guest, nvram=True))
    return [first, *_settings(engine, made, rest), *_act(engine, made, rest)]


def memory_change(state: State, index: Oid, wishes: Wishes) -> Sequence[Step]:
    """Steps for a row of frnMemoryTable: the balloon of a running guest, else its definition's memory."""
    engine = engine_of(state, wishes)
    wish = wishes["frnMemoryBalloon"]
    view = next((guest.view for guest in state.guests if (guest.index,) == index), None)
    if view is None:
        raise Refusal(NO_CREATION, wish.place)
    size = wish.number * 1024
    if not 0 < size <= view.max_memory:
        raise Refusal(INCONSISTENT_VALUE, wish.place)
    return [Step(wish.place, f"memory of {view.name}: {wish.number} KiB", lambda: engine.set_memory(view.uuid, size),
                 lambda: engine.set_memory(view.uuid, view.memory))]  # fmt: skip


def job_change(state: State, index: Oid, wishes: Wishes) -> Sequence[Step]:
    """Steps for a row of frnJobTable: a job is aborted."""
    engine = engine_of(state, wishes)
    wish = wishes["frnJobAbort"]
    job = next((job for number, job in state.jobs if (number,) == index), None)
    if job is None:
        raise Refusal(NO_CREATION, wish.place)
    if wish.number == 1:
        return []
    if job.state != "running":
        raise Refusal(INCONSISTENT_VALUE, wish.place)
    return [Step(wish.place, f"abort {job.kind} {job.id}", lambda: engine.abort_job(job.id), None)]
