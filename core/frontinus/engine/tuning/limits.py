"""Limits: how much CPU time, memory and block I/O a guest may take, and which nodes its memory comes from."""

from __future__ import annotations

from collections.abc import Mapping

from frontinus.api.errors import InvalidValue, WrongState
from frontinus.api.tuning import (
    NO_LIMIT,
    BlkioDevice,
    BlkioParameters,
    MemoryParameters,
    NumaParameters,
    SchedulerParameters,
)
from frontinus.domain import limits, tuning
from frontinus.domain.guest import Guest
from frontinus.domain.limits import BLKIO, MEMORY, SCHEDULER, Limit
from frontinus.engine.halves import Halves
from frontinus.engine.tuning.enforcing import change
from frontinus.engine.tuning.placement import shown
from frontinus.engine.world import World
from frontinus.xml.codecs import format_ranges

KIB = 1024
PERIODS = (1000, 1_000_000)
QUOTAS = (1000, 17_592_186_044_415)
"""µs: what Linux's CPU bandwidth control takes, and what libvirt's users know."""
SHARES = (2, 262_144)
WEIGHTS = (100, 1000)
MODES = ("strict", "preferred", "interleave", "restrictive")


class Limiting:
    """The use cases on shares of the host."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def scheduler_parameters(self, guest: str, inactive: bool = False) -> SchedulerParameters:
        tune = shown(self.world.guests.find(guest), inactive).cpu_tune
        return SchedulerParameters(**{name: getattr(tune, name) for name in SCHEDULER}) if tune else (
            SchedulerParameters())  # fmt: skip

    async def set_scheduler_parameters(self, guest: str, values: SchedulerParameters, live: bool = False,
                                       config: bool = False) -> None:  # fmt: skip
        record = self.world.guests.find(guest)
        given = {name: value for name in SCHEDULER if (value := getattr(values, name)) is not None}
        _check_scheduler(given)
        async with record.lock.hold("set scheduler parameters"):
            halves = Halves.of(record, live=live, config=config)
            for half in halves:
                half.cpu_tune = half.cpu_tune or tuning.CpuTune()
                for name, value in given.items():
                    setattr(half.cpu_tune, name, value)
            if halves.live is not None:
                await change(self.world, record.need_running(), limits.scheduler(given))
            await halves.commit(self.world)

    async def memory_parameters(self, guest: str, inactive: bool = False) -> MemoryParameters:
        tune = shown(self.world.guests.find(guest), inactive).mem_tune
        values = {name: getattr(tune, name) if tune else None for name in MEMORY}
        return MemoryParameters(**{name: NO_LIMIT if value is None else value for name, value in values.items()})

    async def set_memory_parameters(self, guest: str, values: MemoryParameters, live: bool = False,
                                    config: bool = False) -> None:  # fmt: skip
        record = self.world.guests.find(guest)
        given = {name: value for name in MEMORY if (value := getattr(values, name)) is not None}
        async with record.lock.hold("set memory parameters"):
            halves = Halves.of(record, live=live, config=config)
            for half in halves:
                half.mem_tune = half.mem_tune or tuning.MemTune()
                for name, value in given.items():
                    setattr(half.mem_tune, name, None if value < 0 else value // KIB * KIB)
                _check_memory(half.mem_tune)
            if halves.live is not None:
                await change(self.world, record.need_running(), limits.memory(given))
            await halves.commit(self.world)

    async def blkio_parameters(self, guest: str, inactive: bool = False) -> BlkioParameters:
        tune = shown(self.world.guests.find(guest), inactive).blkio_tune
        if tune is None:
            return BlkioParameters()
        devices = (BlkioDevice(path=d.path, **{name: getattr(d, name) for name in BLKIO}) for d in tune.devices)
        return BlkioParameters(weight=tune.weight, devices=tuple(devices))

    async def set_blkio_parameters(self, guest: str, values: BlkioParameters, live: bool = False,
                                   config: bool = False) -> None:  # fmt: skip
        record = self.world.guests.find(guest)
        for weight in (values.weight, *(device.weight for device in values.devices)):
            if weight and not WEIGHTS[0] <= weight <= WEIGHTS[1]:
                raise InvalidValue(f"a weight is {WEIGHTS[0]} to {WEIGHTS[1]}, not {weight}", field="weight")
        async with record.lock.hold("set block I/O parameters"):
            halves = Halves.of(record, live=live, config=config)
            for half in halves:
                _set_blkio(half, values)
            if halves.live is not None:
                await change(self.world, record.need_running(), _blkio(values))
            await halves.commit(self.world)

    async def numa_parameters(self, guest: str, inactive: bool = False) -> NumaParameters:
        tune = shown(self.world.guests.find(guest), inactive).numa_tune
        memory = tune.memory if tune else None
        return NumaParameters(
            mode=(memory.mode if memory else None) or "strict", nodes=memory.nodes if memory else None
        )

    async def set_numa_parameters(self, guest: str, values: NumaParameters, live: bool = False,
                                  config: bool = False) -> None:  # fmt: skip
        record = self.world.guests.find(guest)
        if values.mode not in (None, *MODES):
            raise InvalidValue(f"unknown mode '{values.mode}'", field="mode")
        async with record.lock.hold("set NUMA parameters"):
            halves = Halves.of(record, live=live, config=config)
            if halves.live is not None:
                _check_live_nodes(halves.live, values)
            for half in halves:
                tune = half.numa_tune = half.numa_tune or tuning.NumaTune()
                memory = tune.memory = tune.memory or tuning.NumaMemory()
                memory.mode = values.mode or memory.mode or "strict"
                memory.nodes = values.nodes or memory.nodes
                memory.placement = "static" if memory.nodes else memory.placement
            if halves.live is not None and values.nodes:
                mems = Limit("cpuset", "mems", format_ranges(values.nodes))
                await change(self.world, record.need_running(), [mems])
            await halves.commit(self.world)


def _check_scheduler(given: Mapping[str, int]) -> None:
    for name, value in given.items():
        least, most = PERIODS if name.endswith("period") else QUOTAS if name.endswith("quota") else SHARES
        if not (least <= value <= most or (name.endswith("quota") and value == NO_LIMIT)):
            raise InvalidValue(f"{name} is {least} to {most}, not {value}", field=name)


def _check_memory(tune: tuning.MemTune) -> None:
    hard, swap = tune.hard_limit, tune.swap_hard_limit
    if hard is not None and swap is not None and swap < hard:
        raise InvalidValue("memory with swap cannot be limited to less than memory alone", field="swap_hard_limit")


def _set_blkio(half: Guest, values: BlkioParameters) -> None:
    tune = half.blkio_tune = half.blkio_tune or tuning.BlkioTune()
    if values.weight is not None:
        tune.weight = values.weight
    for given in values.devices:
        known = next((device for device in tune.devices if device.path == given.path), None)
        if known is None:
            known = tuning.BlkioDevice(path=given.path)
            tune.devices = [*tune.devices, known]
        for name in BLKIO:
            if (value := getattr(given, name)) is not None:
                setattr(known, name, value or None)
    tune.devices = [device for device in tune.devices if any(getattr(device, name) for name in BLKIO)]


def _blkio(values: BlkioParameters) -> list[Limit]:
    found = [] if values.weight is None else [Limit("blkio", "weight", values.weight)]
    for device in values.devices:
        for name in BLKIO:
            if (value := getattr(device, name)) is not None:
                found.append(Limit("blkio", name, value, device=device.path))
    return found


def _check_live_nodes(live: Guest, values: NumaParameters) -> None:
    mode = live.numa_tune.memory.mode if live.numa_tune and live.numa_tune.memory else None
    if values.mode is not None and values.mode != (mode or "strict"):
        raise WrongState("the NUMA mode of a running guest cannot change")
    if (mode or "strict") not in ("strict", "restrictive"):
        raise WrongState(f"nodes of a running guest can only change in mode strict or restrictive, not {mode}")
