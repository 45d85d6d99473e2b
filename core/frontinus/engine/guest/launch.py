"""Starting a guest: plan, then act, and walk back on any failure."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

from frontinus.api.errors import HypervisorFailed, Unsupported
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.cpu.host import misfits
from frontinus.domain.cpu.made import as_made, deviation
from frontinus.domain.cpu.model import Cpu
from frontinus.domain.custom_capabilities import customized
from frontinus.domain.defaults import says_model
from frontinus.domain.firmware import with_firmware
from frontinus.domain.guest import Guest
from frontinus.domain.prepare import prepare
from frontinus.engine import apart, runstate, trail
from frontinus.engine.block.chains import with_layers
from frontinus.engine.filter import filtering
from frontinus.engine.guest import ending, handing
from frontinus.engine.guest.displays import is_busy
from frontinus.engine.guest.logs import follow_logs
from frontinus.engine.guest.news import follow
from frontinus.engine.network import netports
from frontinus.engine.record import Record, Running
from frontinus.engine.tuning.enforcing import enforce, need_kept
from frontinus.engine.world import World
from frontinus.ports import Journal, Prepared, RunningGuest

PORT_TRIES = 5
"""Starts of one guest that are tried with ports that looked free."""


async def launch(world: World, record: Record, definition: Guest, *, soon: runstate.Soon,
                 incoming: int | None = None, hidden: bool = False, asked_cpu: Cpu | None = None) -> Running:  # fmt: skip
    """Bring a guest to life with its CPUs stopped. On failure nothing is left and the error says why.

    `soon`: the state that the caller brings it to then, which the run state says already: it is written once.
    `asked_cpu`: of a guest that comes back with the CPU that it had, the one that was asked for at first.
    """
    caps = customized(await world.hypervisor.capabilities(definition.devices.emulator), definition.qemu_capabilities)
    firm = await with_layers(world, with_firmware(definition, caps, world.host))
    guest_id = world.guests.new_id()
    for last in (*[False] * (PORT_TRIES - 1), True):
        live = prepare(firm, caps, world.host, guest_id=guest_id, free_port=world.ports.take)
        try:
            running = await _start(world, record, live, caps, soon=soon, incoming=incoming, hidden=hidden,
                                   asked_cpu=asked_cpu)  # fmt: skip
            break
        except BaseException as error:
            if last or not isinstance(error, HypervisorFailed) or not is_busy(error, live):
                trail.refused(world, record, type(error).__name__)
                raise
            world.ports.avoid(live)
    running.news = world.spawn(follow(world, record, running), f"news of {record.name}")
    return running


async def _start(world: World, record: Record, live: Guest, caps: Capabilities, *, soon: runstate.Soon,
                 incoming: int | None, hidden: bool, asked_cpu: Cpu | None) -> Running:  # fmt: skip
    prepared = Prepared()
    process: RunningGuest | None = None
    try:
        if reasons := list(misfits(live, caps)):
            raise Unsupported("; ".join(reasons), element="cpu")
        await netports.plug(world, record, live)
        need_kept(live)
        plan = await apart.planning(live, partial(
            world.hypervisor.plan, live, caps, handing.host_for(world, record), incoming=incoming is not None,
            secrets=world.secrets.value))  # fmt: skip
        edition = world.filters.edition
        resources = await filtering.with_filters(world, record, netports.with_floors(world, live, plan.resources))
        who = await world.resources.credentials(record.uuid)
        prepared = await handing.set_up(world, record, resources, who, _journal(world, record, plan.folder))
        process = await world.hypervisor.launch(
            plan, prepared.fds, who, incoming, born=lambda pid: world.limits.enter(plan.folder, pid)
        )
        running = Running(live, process, caps, prepared.undo, asked_cpu=asked_cpu, hidden=hidden)
        await _learn_cpu(running)
        await _learn(running, prepared)
        await filtering.join(world, record, live.devices.interfaces, edition)
        await enforce(world, running)
        record.running = running
        follow_logs(world, record)
        await runstate.save_running(world.store, record, soon=soon)
    except BaseException:
        await _walk_back(world, record, live, process, prepared)
        raise
    finally:
        for fd in prepared.fds.values():
            os.close(fd)
    return running


async def _walk_back(
    world: World, record: Record, live: Guest, process: RunningGuest | None, prepared: Prepared
) -> None:
    """Take back whatever a start that failed has made."""
    record.running = None
    world.logs.forget(record.uuid)
    world.ports.release(live)
    if process is not None:
        await process.quit(graceful=False, deadline=5.0)
    await world.limits.remove(world.host.paths.guest(live.id or 0, live.name))
    await filtering.leave(world, record.uuid)
    await world.resources.tear_down(prepared.undo)
    await world.store.delete(runstate.KIND, record.uuid)
    await netports.release(world, record.uuid)


async def set_going(record: Record, running: Running) -> None:
    """Let the CPUs of a guest that was brought to life run. If they cannot, it is ended: it has not started.

    Another may hold an image, which QEMU finds out only now. Raises what the hypervisor says.
    """
    try:
        with running.hushed():
            await running.process.resume()
    except BaseException:
        running.ending = "failed"
        await ending.kill(record, graceful=False)
        raise


def _journal(world: World, record: Record, folder: str) -> Journal:
    """Writes the undo records of a start under way into the guest's run state."""

    async def journal(undo: Sequence[dict[str, object]]) -> None:
        state = runstate.RunState(uuid=record.uuid, name=record.name, folder=folder, undo=list(undo))
        await runstate.write(world.store, state)

    return journal


async def _learn_cpu(running: Running) -> None:
    """Let the document say what CPU the guest has. One that is checked in full is the one asked for. Raises Unsupported."""
    cpu = running.guest.cpu
    if cpu is None or not says_model(cpu):
        return
    found = deviation(cpu, await running.process.made_cpu(cpu, running.capabilities), running.capabilities)
    reasons = list(found.reasons())
    if reasons and cpu.check == "full" and cpu.mode == "custom":
        raise Unsupported(f"<cpu check='full'>: {'; '.join(reasons)}", element="cpu")
    changed = as_made(cpu, found)
    if running.asked_cpu is None and changed != cpu:
        running.asked_cpu = cpu
    running.guest.cpu = changed


async def _learn(running: Running, prepared: Prepared) -> None:
    """Take over what the host and the hypervisor chose: tap names, pty paths."""
    for interface in running.guest.devices.interfaces:
        if interface.alias in prepared.names:
            interface.target = prepared.names[interface.alias]
    paths = await running.process.device_info("chardev")
    devices = running.guest.devices
    for device in (*devices.serials, *devices.consoles, *devices.channels, *devices.parallels):
        path = paths.get(f"char{device.alias}")
        if device.type == "pty" and isinstance(path, str):
            device.source_path = path.removeprefix("pty:")
