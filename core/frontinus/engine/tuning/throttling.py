"""Throttling: limits of single disks and NICs, how often memory figures come, performance events."""

from __future__ import annotations

from collections.abc import Mapping

from frontinus.api.errors import InvalidValue, InvalidXML, NoSuchDevice, Unsupported
from frontinus.api.tuning import BlockIoTune, InterfaceParameters, Rate
from frontinus.domain.devices import netparts
from frontinus.domain.devices.block.disk import Disk
from frontinus.domain.devices.block.iotune import IoTune
from frontinus.domain.devices.interface import Interface
from frontinus.domain.guest import Guest
from frontinus.engine.halves import Halves
from frontinus.engine.tuning.placement import shown
from frontinus.engine.tuning.tuning import find_disk
from frontinus.engine.world import World

NAMES = tuple(name for name in BlockIoTune.__struct_fields__)
TOTALS = ("bytes_sec", "iops_sec", "bytes_sec_max", "iops_sec_max")
"""Rates that are limited in total, or for reads and writes: who sets one way takes the other back."""


class Throttling:
    """The use cases on rates."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def block_io_tune(self, guest: str, disk: str, inactive: bool = False) -> BlockIoTune:
        tune = find_disk(shown(self.world.guests.find(guest), inactive), disk).iotune
        return BlockIoTune(**{name: getattr(tune, name) for name in NAMES}) if tune else BlockIoTune()

    async def set_block_io_tune(self, guest: str, disk: str, values: BlockIoTune, live: bool = False,
                                config: bool = False) -> None:  # fmt: skip
        record = self.world.guests.find(guest)
        given = {name: value for name in NAMES if (value := getattr(values, name)) is not None}
        async with record.lock.hold("limit a disk"):
            halves = Halves.of(record, live=live, config=config)
            for half in halves:
                find_disk(half, disk).iotune = _changed(find_disk(half, disk), given)
            if halves.live is not None:
                running = record.need_running()
                plan = self.world.hypervisor.plan_update(
                    halves.live, find_disk(running.guest, disk), find_disk(halves.live, disk), running.capabilities,
                    self.world.host)  # fmt: skip
                await running.process.update(plan, {})
            await halves.commit(self.world)

    async def interface_parameters(self, guest: str, device: str, inactive: bool = False) -> InterfaceParameters:
        nic = find_nic(shown(self.world.guests.find(guest), inactive), device)
        return InterfaceParameters(inbound=_rate(nic.inbound), outbound=_rate(nic.outbound))

    async def set_interface_parameters(self, guest: str, device: str, values: InterfaceParameters, live: bool = False,
                                       config: bool = False) -> None:  # fmt: skip
        record = self.world.guests.find(guest)
        async with record.lock.hold("limit a NIC"):
            halves = Halves.of(record, live=live, config=config)
            for half in halves:
                _limit(find_nic(half, device), values)
            if halves.live is not None:
                nic = find_nic(halves.live, device)
                await self.world.limits.shape(nic.target or "", nic.inbound, nic.outbound)
            await halves.commit(self.world)

    async def set_memory_stats_period(self, guest: str, seconds: int, live: bool = False,
                                      config: bool = False) -> None:  # fmt: skip
        record = self.world.guests.find(guest)
        if not 0 <= seconds < 2**31:
            raise InvalidValue("a period is 0 or more seconds", field="seconds")
        async with record.lock.hold("set the period of memory figures"):
            halves = Halves.of(record, live=live, config=config)
            for half in halves:
                balloon = half.devices.memballoon
                if balloon is None or balloon.model == "none":
                    raise NoSuchDevice(f"guest '{record.name}' has no balloon, which tells memory figures")
                balloon.period = seconds or None
            if halves.live is not None and halves.live.devices.memballoon is not None:
                alias = halves.live.devices.memballoon.alias or ""
                await record.need_running().process.set_stats_period(alias, seconds)
            await halves.commit(self.world)

    async def perf_events(self, guest: str, inactive: bool = False) -> dict[str, bool]:
        """What the definition asks for; nothing is counted."""
        half = shown(self.world.guests.find(guest), inactive)
        return {event.name: event.enabled for event in half.perf}

    async def set_perf_events(self, guest: str, events: dict[str, bool], live: bool = False,
                              config: bool = False) -> None:  # fmt: skip
        self.world.guests.find(guest)
        raise Unsupported("performance events of guests are not counted by this engine")


def find_nic(guest: Guest, name: str) -> Interface:
    """The NIC of a host device or a MAC address. Raises NoSuchDevice."""
    for nic in guest.devices.interfaces:
        if name and name.lower() in (nic.target, (nic.mac or "").lower()):
            return nic
    raise NoSuchDevice(f"guest '{guest.name}' has no NIC '{name}'")


def _changed(disk: Disk, given: Mapping[str, int | str]) -> IoTune | None:
    """The limits of a disk with some changed. Raises InvalidValue."""
    tune = disk.iotune.clone() if disk.iotune else IoTune()
    for kind in TOTALS:
        ways = [way for way in ("total", "read", "write") if given.get(f"{way}_{kind}")]
        for way in ("read", "write") if "total" in ways else ("total",) if ways else ():
            if f"{way}_{kind}" not in given:
                setattr(tune, f"{way}_{kind}", None)
    for name, value in given.items():
        setattr(tune, name, value)
    tune.complete()
    for reason in tune.check():
        if "a group without limits" not in reason:
            raise InvalidValue(reason, field="iotune")
    return tune if tune.has_limits else None


def _rate(rate: netparts.Rate | None) -> Rate | None:
    return Rate(average=rate.average, peak=rate.peak, burst=rate.burst, floor=rate.floor) if rate else None


def _limit(nic: Interface, values: InterfaceParameters) -> None:
    for direction in ("inbound", "outbound"):
        given: Rate | None = getattr(values, direction)
        if given is None:
            continue
        if not given.average and not given.floor:
            setattr(nic, direction, None)
            continue
        rate = netparts.Rate(average=given.average, peak=given.peak, burst=given.burst, floor=given.floor)
        for reason in rate.check(direction):
            raise InvalidXML(reason, element="bandwidth")
        setattr(nic, direction, rate)
