"""Placement: which of the host's CPUs a guest's threads run on, and its I/O threads."""

from __future__ import annotations

from collections.abc import Sequence

from frontinus.api.errors import AlreadyExists, InvalidValue, WrongState
from frontinus.api.tuning import IothreadView, VcpuPin
from frontinus.domain import limits, tuning
from frontinus.domain.guest import Guest
from frontinus.domain.tuning import CpuTune, EmulatorPin, Iothread, IothreadPin
from frontinus.engine.halves import Halves
from frontinus.engine.record import Record
from frontinus.engine.world import World


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
