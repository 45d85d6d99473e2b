"""Carrying out what is planned for a device of a running guest: steps forward, and on failure or unplug backward."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from frontinus.api.errors import FrontinusError, HypervisorFailed
from frontinus.domain.plan import DevicePlan, Resource, Step, Tap
from frontinus.procfs import tap_name
from frontinus.qemu.monitor.client import Command, Event, Monitor, failed
from frontinus.qemu.news import refused_eject

log = logging.getLogger(__name__)

HUMAN = "human-monitor-command"
HELD = (" is busy", " in use")
"""How QEMU refuses to remove a chardev, an object or a block node that something still refers to."""
LET_GO_SECONDS, LOOK_AGAIN_SECONDS = 10.0, 0.02
TRIES = 20


async def plug(monitor: Monitor, plan: DevicePlan, fds: Mapping[int, int]) -> None:
    """Take the steps. On failure those taken are taken back, last first, and the failure is raised.

    A step that was not answered, or not waited for, may have been taken all the same.
    """
    begun: list[Step] = []
    try:
        for step in plan.steps:
            begun.append(step)
            for name, number in step.fds:
                await _give(monitor, step, name, fds[number])
            if step.command == HUMAN:
                await _by_hand(monitor, step)
            elif step.first is not None:
                await _after(monitor, step, step.first)
            elif step.command != "add-fd":
                await monitor.execute(step.command, step.arguments, deadline=step.seconds)
    except BaseException as error:
        if isinstance(error, HypervisorFailed):
            begun.pop()
        await asyncio.shield(_take_back(monitor, reversed(begun)))
        raise


async def _after(monitor: Monitor, step: Step, first: tuple[str, Mapping[str, object]]) -> None:
    """Both in one write, so that the guest has next to no time between them. Raises HypervisorFailed after some refusals."""
    for left in reversed(range(TRIES)):
        before, answer = await monitor.execute_many(
            [Command(*first), Command(step.command, step.arguments)], deadline=step.seconds
        )
        before.value(msgspec.Raw)
        if answer.error is None:
            return
        if not left:
            raise failed(answer.command, answer.error)


async def _by_hand(monitor: Monitor, step: Step) -> None:
    """A step of the human monitor, which says nothing when it could be taken. Raises HypervisorFailed."""
    said = await monitor.ask(str, step.command, step.arguments, deadline=step.seconds)
    if said.strip():
        raise HypervisorFailed(said.strip().removeprefix("Error: "))


async def _give(monitor: Monitor, step: Step, name: str, fd: int) -> None:
    """A descriptor goes into a set when the step is about the set, else it gets a name for the command that follows."""
    if step.command == "add-fd":
        await monitor.execute("add-fd", step.arguments, fds=[fd])
    else:
        await monitor.execute("getfd", {"fdname": name}, fds=[fd])


async def _take_back(monitor: Monitor, steps: Iterable[Step]) -> None:
    """What several steps share, the set of several descriptors, is taken back once."""
    done: list[tuple[str, Mapping[str, object]]] = []
    until = asyncio.get_running_loop().time() + LET_GO_SECONDS
    for step in steps:
        if step.undo is not None and step.undo not in done:
            done.append(step.undo)
            try:
                await _undo(monitor, step.undo, until)
            except FrontinusError as error:
                log.warning("%s could not be undone: %s", step.command, error.message)


async def _undo(monitor: Monitor, undo: tuple[str, Mapping[str, object]], until: float) -> None:
    """QEMU tells that a device is gone before its last reference is, so what is behind it may still be in use."""
    while True:
        try:
            await monitor.execute(*undo)
            return
        except HypervisorFailed as error:
            held = any(words in error.message for words in HELD)
            if not held or asyncio.get_running_loop().time() > until:
                raise
        await asyncio.sleep(LOOK_AGAIN_SECONDS)


async def unplug(monitor: Monitor, plan: DevicePlan, deadline: float) -> bool:
    """Take back what plugging did: first what the guest sees, and once it gave that up, what is behind it."""
    deadline += asyncio.get_running_loop().time()
    devices = [step for step in reversed(plan.steps) if step.command == "device_add"]
    for step in devices:
        if not await _remove(monitor, str(step.arguments["id"]), deadline):
            return False
    await _take_back(monitor, (step for step in reversed(plan.steps) if step not in devices))
    return True


async def _remove(monitor: Monitor, alias: str, deadline: float) -> bool:
    def about(event: Event) -> bool:
        if event.name == "ACPI_DEVICE_OST":
            return refused_eject(event.data) == alias
        return event.data.get("device") == alias and event.name in ENDS

    with monitor.expect(about) as ended:
        try:
            await monitor.execute("device_del", {"id": alias})
        except HypervisorFailed as error:
            if error.details.get("class") == "DeviceNotFound":  # gone before; what is behind it may be left
                return True
            if "in the process of unplug" not in error.message:  # asked before; only the waiting is left
                raise
        await asyncio.wait([ended], timeout=max(0, deadline - asyncio.get_running_loop().time()))
        if not ended.done():
            return not await _is_there(monitor, alias)
        if ended.result().name != "DEVICE_DELETED":
            raise HypervisorFailed(f"the guest refused to give up '{alias}'")
    return True


async def _is_there(monitor: Monitor, alias: str) -> bool:
    """Some devices go without a word: QEMU 7.2's xHCI is still referred to from somewhere when it has left the guest."""
    try:
        await monitor.execute("qom-list", {"path": f"/machine/peripheral/{alias}"})
    except HypervisorFailed:
        return False
    return True


ENDS = frozenset({"DEVICE_DELETED", "DEVICE_UNPLUG_GUEST_ERROR", "MEM_UNPLUG_ERROR"})


def tap_names(resources: Sequence[Resource], fds: Mapping[int, int]) -> dict[str, str]:
    """The network devices behind the taps of a plan, by device alias, as our own descriptors tell."""
    found = {r.alias: tap_name("self", fds[r.fds[0]]) for r in resources if isinstance(r, Tap) and r.fds[0] in fds}
    return {alias: name for alias, name in found.items() if name}
