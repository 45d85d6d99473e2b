"""Enforcing what a definition asks for: limits of the guest's group, CPUs and scheduling of its threads. At its
start, and anew when threads have come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from frontinus.api.errors import Unsupported
from frontinus.domain import limits, resctrl
from frontinus.domain.guest import Guest
from frontinus.domain.limits import Limit, Scheduling
from frontinus.domain.unkept import unkept
from frontinus.engine.record import Running
from frontinus.engine.world import World
from frontinus.ports.limits import Controller, Setting, Threads


async def enforce(world: World, running: Running) -> None:
    """Raises Unsupported for a limit that this host cannot keep, HostFailed."""
    for nic in running.guest.devices.interfaces:
        if nic.target and (nic.inbound or nic.outbound):
            await world.limits.shape(nic.target, nic.inbound, nic.outbound)
    wanted = list(limits.limits(running.guest))
    shares = resctrl.shares(running.guest)
    if wanted or shares or _placed(running.guest):
        threads = await running.process.threads()
        await world.limits.apply(running.process.record.folder, settings(wanted, threads), threads)
        await _place(world, running.guest, threads)
        if shares:
            await world.limits.allocate(running.process.record.folder, shares, threads)
            resctrl.tell_names(running.guest)


def need_kept(guest: Guest, before: Guest | None = None) -> None:
    """Raises Unsupported for what a guest asks for and nothing here does, unless it ran `before` all the same."""
    known = set(unkept(before)) if before is not None else set()
    if (lacking := next((element for element in unkept(guest) if element not in known), None)) is not None:
        raise Unsupported(f"<{lacking}>: this host has no means for it", element=lacking)


async def change(world: World, running: Running, wanted: Iterable[Limit]) -> None:
    """Set some limits of a running guest."""
    threads = await running.process.threads()
    await world.limits.apply(running.process.record.folder, settings(wanted, threads), threads)


def settings(wanted: Iterable[Limit], threads: Threads) -> list[Setting]:
    """Limits as values of groups: what is for each vCPU, or each I/O thread, is set for each."""
    return [
        Setting(cast("Controller", limit.controller), limit.key, limit.value, part, limit.device)
        for limit in wanted
        for part in _parts(limit.part, threads)
    ]


def _parts(part: str, threads: Threads) -> Iterator[str]:
    numbers = {"vcpu": threads.vcpus, "iothread": threads.iothreads}.get(part)
    if numbers is None:
        yield part
    else:
        yield from (f"{part}{number}" for number in numbers)


def _placed(guest: Guest) -> bool:
    tune = guest.cpu_tune
    said = tune and (tune.vcpu_pins or tune.emulator_pin or tune.iothread_pins or tune.vcpu_scheds
                     or tune.emulator_sched or tune.iothread_scheds)  # fmt: skip
    return bool(guest.vcpu_cpuset or said)


async def _place(world: World, guest: Guest, threads: Threads) -> None:
    """The emulator's threads first: those that they start later run where and as they do."""
    parts: list[tuple[Sequence[int], tuple[int, ...] | None, Scheduling | None]] = [
        (await world.limits.emulator(threads), limits.emulator_cpus(guest), limits.emulator_scheduling(guest)),
        *(([thread], limits.vcpu_cpus(guest, number), limits.vcpu_scheduling(guest, number))
          for number, thread in threads.vcpus.items()),
        *(([thread], limits.iothread_cpus(guest, number), limits.iothread_scheduling(guest, number))
          for number, thread in threads.iothreads.items()),
    ]  # fmt: skip
    for group, cpus, how in parts:
        if cpus is not None:
            await world.limits.pin(group, cpus)
        if how is not None:
            await world.limits.schedule(group, *how)
