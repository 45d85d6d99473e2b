"""Tuning: vCPUs, memory, disk sizes, of the running guest and of its definition."""

from __future__ import annotations

from frontinus.api.errors import InvalidValue, NoSuchDevice, WrongState
from frontinus.domain.devices.disk import Disk
from frontinus.domain.guest import Guest
from frontinus.engine.definitions import persist
from frontinus.engine.record import Record
from frontinus.engine.world import World

KIB = 1024


class Tuning:
    """The use cases that change sizes and counts."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def set_vcpus(self, guest: str, count: int, maximum: bool = False, live: bool = False,
                        config: bool = False) -> None:  # fmt: skip
        record = self.world.guests.find(guest)
        live, config = _scope(record, live, config)
        if count < 1:
            raise InvalidValue("a guest has at least one vCPU", field="count")
        if maximum and live:
            raise InvalidValue("the maximum of a running guest cannot change", field="maximum")
        async with record.lock.hold("set vCPUs"):
            if not maximum:
                for half in _halves(record, live, config):
                    if count > (half.vcpus or 1):
                        raise InvalidValue(
                            f"{count} vCPUs are more than the maximum of {half.vcpus or 1}", field="count"
                        )
            if live:
                await record.need_running().process.set_vcpus(count)
                record.need_running().guest.vcpu_current = count
            if config:
                _set_vcpus(record.need_definition(), count, maximum=maximum)
            await persist(self.world, record)
        self.world.changed(record)

    async def set_memory(self, guest: str, size: int, maximum: bool = False, live: bool = False,
                         config: bool = False) -> None:  # fmt: skip
        record = self.world.guests.find(guest)
        live, config = _scope(record, live, config)
        if size < KIB:
            raise InvalidValue("a guest needs at least 1 KiB of memory", field="size")
        if maximum and live:
            raise InvalidValue("the maximum of a running guest cannot change", field="maximum")
        async with record.lock.hold("set memory"):
            if not maximum:
                for half in _halves(record, live, config):
                    if size > (half.memory or 0):
                        raise InvalidValue(f"{size} bytes are more than the maximum of {half.memory}", field="size")
            if live:
                balloon = record.need_running().guest.devices.memballoon
                if balloon is None or balloon.model == "none":
                    raise WrongState(f"guest '{record.name}' has no balloon: its memory cannot change while it runs")
                await record.need_running().process.set_balloon(size)
            if config:
                _set_memory(record.need_definition(), size, maximum=maximum)
            await persist(self.world, record)
        self.world.changed(record)

    async def block_resize(self, guest: str, disk: str, size: int) -> None:
        record = self.world.guests.find(guest)
        if size < 512 or size % 512:
            raise InvalidValue("the size of a disk is a multiple of 512 bytes", field="size")
        async with record.lock.hold("resize a disk"):
            chosen = find_disk(record.need_running().guest, disk)
            await record.need_running().process.resize_block(chosen.alias or "", size)


def find_disk(guest: Guest, name: str) -> Disk:
    """The disk of a target or a source path. Raises NoSuchDevice."""
    for disk in guest.devices.disks:
        if name in (disk.target, disk.source_path):
            return disk
    raise NoSuchDevice(f"guest '{guest.name}' has no disk '{name}'")


def _scope(record: Record, live: bool, config: bool) -> tuple[bool, bool]:
    if not live and not config:
        return record.running is not None, record.running is None
    return live, config


def _halves(record: Record, live: bool, config: bool) -> list[Guest]:
    return [*([record.need_running().guest] if live else []), *([record.need_definition()] if config else [])]


def _set_vcpus(definition: Guest, count: int, *, maximum: bool) -> None:
    if maximum:
        definition.vcpus = count
        if definition.vcpu_current is not None and definition.vcpu_current >= count:
            definition.vcpu_current = None
    else:
        definition.vcpu_current = count if count != definition.vcpus else None


def _set_memory(definition: Guest, size: int, *, maximum: bool) -> None:
    size = size // KIB * KIB
    if maximum:
        definition.memory = size
        definition.current_memory = min(definition.current_memory or size, size)
    else:
        definition.current_memory = size
