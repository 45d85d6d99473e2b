"""Placement: which of the host's CPUs a guest's threads run on, and its I/O threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from frontinus.api.errors import AlreadyExists, InvalidValue, WrongState
from frontinus.api.tuning import IothreadParameters, IothreadView, VcpuPin
from frontinus.domain import limits, tuning
from frontinus.domain.guest import Guest
from frontinus.domain.tuning import CpuTune, EmulatorPin, Iothread, IothreadPin
from frontinus.engine.halves import Halves
from frontinus.engine.record import Record
from frontinus.engine.world import World

WORKERS = 64
"""Most workers of an I/O thread that nobody limited (QEMU: util/event-loop-base.c)."""


class Placement:
    """The use cases on pins and I/O threads."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def vcpu_pins(self, guest: str, inactive: bool = False) -> list[VcpuPin]:
        half = shown(self.world.guests.find(guest), inactive)
        every = self.world.limits.cpus()
        return [VcpuPin(vcpu=n, cpus=limits.vcpu_cpus(half, n) or every) for n in range(half.vcpus or 1)]

    async def emulator_pin(self, guest: str, inactive: bool = False) -> list[int]:
        half = shown(self.world.guests.find(guest), inactive)
        return list(limits.emulator_cpus(half) or self.world.limits.cpus())

    async def iothreads(self, guest: str, inactive: bool = False) -> list[IothreadView]:
        half = shown(self.world.guests.find(guest), inactive)
        every = self.world.limits.cpus()
        return [IothreadView(id=n, cpus=limits.iothread_cpus(half, n) or every) for n in _numbers(half)]

    async def pin_vcpu(
        self, guest: str, vcpu: int, cpus: Sequence[int], live: bool = False, config: bool = False
    ) -> None:
        record, chosen = self.world.guests.find(guest), _chosen(cpus)
        async with record.lock.hold("pin a vCPU"):
            halves = Halves.of(record, live=live, config=config)
            for half in halves:
                if not 0 <= vcpu < (half.vcpus or 1):
                    raise InvalidValue(f"guest '{record.name}' has no vCPU {vcpu}", field="vcpu")
                tune = half.cpu_tune = half.cpu_tune or CpuTune()
                others = [pin for pin in tune.vcpu_pins if pin.vcpu != vcpu]
                tune.vcpu_pins = sorted([*others, tuning.VcpuPin(vcpu=vcpu, cpus=chosen)], key=lambda pin: pin.vcpu)
            if halves.live is not None:
                threads = await record.need_running().process.threads()
                if vcpu in threads.vcpus:
                    await self.world.limits.pin([threads.vcpus[vcpu]], chosen)
            await halves.commit(self.world)

    async def pin_emulator(self, guest: str, cpus: Sequence[int], live: bool = False, config: bool = False) -> None:
        record, chosen = self.world.guests.find(guest), _chosen(cpus)
        async with record.lock.hold("pin the emulator"):
            halves = Halves.of(record, live=live, config=config)
            for half in halves:
                half.cpu_tune = half.cpu_tune or CpuTune()
                half.cpu_tune.emulator_pin = EmulatorPin(cpus=chosen)
            if halves.live is not None:
                threads = await record.need_running().process.threads()
                await self.world.limits.pin(await self.world.limits.emulator(threads), chosen)
            await halves.commit(self.world)

    async def pin_iothread(self, guest: str, iothread: int, cpus: Sequence[int], live: bool = False,
                           config: bool = False) -> None:  # fmt: skip
        record, chosen = self.world.guests.find(guest), _chosen(cpus)
        async with record.lock.hold("pin an I/O thread"):
            halves = Halves.of(record, live=live, config=config)
            for half in halves:
                _need(half, iothread)
                tune = half.cpu_tune = half.cpu_tune or CpuTune()
                others = [pin for pin in tune.iothread_pins if pin.iothread != iothread]
                tune.iothread_pins = [*others, IothreadPin(iothread=iothread, cpus=chosen)]
            if halves.live is not None:
                threads = await record.need_running().process.threads()
                await self.world.limits.pin([threads.iothreads[iothread]], chosen)
            await halves.commit(self.world)

    async def add_iothread(self, guest: str, iothread: int, live: bool = False, config: bool = False) -> None:
        record = self.world.guests.find(guest)
        if not 1 <= iothread < 2**32:
            raise InvalidValue("the number of an I/O thread begins at 1", field="iothread")
        async with record.lock.hold("add an I/O thread"):
            halves = Halves.of(record, live=live, config=config)
            for half in halves:
                if iothread in _numbers(half):
                    raise AlreadyExists(f"guest '{record.name}' has an I/O thread {iothread}")
                half.iothread_ids = [*half.all_iothreads(), Iothread(id=iothread)]
                half.iothreads = len(half.iothread_ids)
            if halves.live is not None:
                await record.need_running().process.add_iothread(iothread, {})
            await halves.commit(self.world)

    async def set_iothread(self, guest: str, iothread: int, values: IothreadParameters, live: bool = False,
                           config: bool = False) -> None:  # fmt: skip
        record = self.world.guests.find(guest)
        given = {name: value for name, value in msgspec.structs.asdict(values).items() if value is not None}
        if not given or any(not 0 <= value < 2**31 for value in given.values()):
            raise InvalidValue("give at least one value, from 0 to 2147483647", field="values")
        async with record.lock.hold("set an I/O thread"):
            halves = Halves.of(record, live=live, config=config)
            properties: dict[str, int] = {}
            for half in halves:
                _need(half, iothread)
                half.iothread_ids = half.all_iothreads()
                thread = next(one for one in half.iothread_ids if one.id == iothread)
                if half is halves.live:
                    properties = _in_order(thread, given)
                tuning.set_parameters(thread, given)
                if (thread.pool_min or 0) > (thread.pool_max if thread.pool_max is not None else WORKERS):
                    raise InvalidValue("fewest workers are more than most", field="thread_pool_min")
            if halves.live is not None:
                await record.need_running().process.set_iothread(iothread, properties)
            await halves.commit(self.world)

    async def del_iothread(self, guest: str, iothread: int, live: bool = False, config: bool = False) -> None:
        record = self.world.guests.find(guest)
        async with record.lock.hold("remove an I/O thread"):
            halves = Halves.of(record, live=live, config=config)
            for half in halves:
                _need(half, iothread)
                _need_unused(half, iothread)
                half.iothread_ids = [thread for thread in half.all_iothreads() if thread.id != iothread]
                half.iothreads = len(half.iothread_ids) or None
                if half.cpu_tune is not None:
                    half.cpu_tune.iothread_pins = [p for p in half.cpu_tune.iothread_pins if p.iothread != iothread]
            if halves.live is not None:
                await record.need_running().process.del_iothread(iothread)
            await halves.commit(self.world)


def _in_order(thread: Iothread, given: Mapping[str, int]) -> dict[str, int]:
    """QEMU's properties, so that fewest and most workers never cross: what grows first is the upper bound."""
    grows = given.get("thread_pool_max", 0) >= (thread.pool_max if thread.pool_max is not None else WORKERS)
    first = "thread_pool_max" if grows else "thread_pool_min"
    names = sorted(given, key=lambda name: name != first)
    return {name.replace("_", "-"): given[name] for name in names}


def shown(record: Record, inactive: bool) -> Guest:
    """The half that a question is about: the running guest, or the definition. Raises WrongState."""
    return record.need_definition() if inactive else record.guest


def _chosen(cpus: Sequence[int]) -> tuple[int, ...]:
    found = tuple(sorted(set(cpus)))
    if not found or found[0] < 0 or found[-1] >= 2**16:
        raise InvalidValue("name at least one of the host's CPUs", field="cpus")
    return found


def _numbers(guest: Guest) -> list[int]:
    return [thread.id for thread in guest.all_iothreads()]


def _need(guest: Guest, iothread: int) -> None:
    if iothread not in _numbers(guest):
        raise InvalidValue(f"guest '{guest.name}' has no I/O thread {iothread}", field="iothread")


def _need_unused(guest: Guest, iothread: int) -> None:
    for device in (*guest.devices.disks, *guest.devices.controllers):
        if getattr(device, "iothread", None) == iothread:
            raise WrongState(f"I/O thread {iothread} is used by {device.tag} '{device.alias or ''}'")
