"""Enforcing what a definition asks for: limits of the guest's group, CPUs of its threads. At its start, and anew when
threads have come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from frontinus.domain import limits
from frontinus.domain.guest import Guest
from frontinus.domain.limits import Limit
from frontinus.engine.record import Running
from frontinus.engine.world import World
from frontinus.ports.limits import Controller, Setting, Threads


async def enforce(world: World, running: Running) -> None:
    """Raises Unsupported for a limit that this host cannot keep, HostFailed."""
    for nic in running.guest.devices.interfaces:
        if nic.target and (nic.inbound or nic.outbound):
            await world.limits.shape(nic.target, nic.inbound, nic.outbound)
    wanted = list(limits.limits(running.guest))
    if wanted or _placed(running.guest):
        threads = await running.process.threads()
        await world.limits.apply(running.process.record.folder, settings(wanted, threads), threads)
        await _place(world, running.guest, threads)


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
    return bool(guest.vcpu_cpuset or (tune and (tune.vcpu_pins or tune.emulator_pin or tune.iothread_pins)))


async def _place(world: World, guest: Guest, threads: Threads) -> None:
    """The emulator's threads first: those that they start later run where they do."""
    if (cpus := limits.emulator_cpus(guest)) is not None:
        await world.limits.pin(await world.limits.emulator(threads), cpus)
    for number, thread in threads.vcpus.items():
        if (cpus := limits.vcpu_cpus(guest, number)) is not None:
            await world.limits.pin([thread], cpus)
    for number, thread in threads.iothreads.items():
        if (cpus := limits.iothread_cpus(guest, number)) is not None:
            await world.limits.pin([thread], cpus)
