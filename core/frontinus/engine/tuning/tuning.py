"""Tuning: vCPUs, memory, disk sizes, of the running guest and of its definition."""

from __future__ import annotations

from collections.abc import Sequence

from frontinus.api.errors import InvalidValue, NoSuchDevice, Unsupported, WrongState
from frontinus.api.options import LifecycleAction, LifecycleKind
from frontinus.domain.check.features import check_lifecycle
from frontinus.domain.devices.block.disk import Disk
from frontinus.domain.guest import Guest
from frontinus.domain.vcpus import each, set_count, set_maximum, switch
from frontinus.engine.halves import Halves
from frontinus.engine.tuning.enforcing import enforce
from frontinus.engine.world import World

KIB = 1024
SECTOR = 512


class Tuning:
    """The use cases that change sizes and counts."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def set_vcpus(self, guest: str, count: int, maximum: bool = False, live: bool = False,
                        config: bool = False) -> None:  # fmt: skip
        record = self.world.guests.find(guest)
        if count < 1:
            raise InvalidValue("a guest has at least one vCPU", field="count")
        async with record.lock.hold("set vCPUs"):
            halves = Halves.of(record, live=live, config=config)
            _refuse_live_maximum(halves, maximum)
            for half in halves:
                if not maximum and count > (half.vcpus or 1):
                    raise InvalidValue(f"{count} vCPUs are more than the maximum of {half.vcpus or 1}", field="count")
                (set_maximum if maximum else set_count)(half, count)
            if halves.live is not None:
                await record.need_running().process.set_vcpus(count)
                await enforce(self.world, record.need_running())
            await halves.commit(self.world)

    async def switch_vcpus(self, guest: str, vcpus: Sequence[int], online: bool, live: bool = False,
                           config: bool = False) -> None:  # fmt: skip
        record, numbers = self.world.guests.find(guest), sorted(set(vcpus))
        async with record.lock.hold("switch vCPUs"):
            halves = Halves.of(record, live=live, config=config)
            for half in halves:
                _need_vcpus(half, numbers, online)
                switch(half, numbers, online=online)
            if halves.live is not None:
                await record.need_running().process.switch_vcpus(numbers, online)
                await enforce(self.world, record.need_running())
            await halves.commit(self.world)

    async def set_lifecycle_action(self, guest: str, kind: LifecycleKind, action: LifecycleAction, live: bool = False,
                                   config: bool = False) -> None:  # fmt: skip
        record = self.world.guests.find(guest)
        if action.startswith("coredump") and kind != "crash":
            raise InvalidValue(f"{action} is for a crash only", field="action")
        async with record.lock.hold("set what an event does"):
            halves = Halves.of(record, live=live, config=config)
            for half in halves:
                setattr(half, f"on_{kind}", action)
                if reasons := list(check_lifecycle(half)):
                    raise Unsupported("; ".join(reasons), element=f"on_{kind}")
            if halves.live is not None and kind == "reboot":
                await record.need_running().process.end_on_reboot(action == "destroy")
            await halves.commit(self.world)

    async def set_memory(self, guest: str, size: int, maximum: bool = False, live: bool = False,
                         config: bool = False) -> None:  # fmt: skip
        record = self.world.guests.find(guest)
        if size < KIB:
            raise InvalidValue("a guest needs at least 1 KiB of memory", field="size")
        async with record.lock.hold("set memory"):
            halves = Halves.of(record, live=live, config=config)
            _refuse_live_maximum(halves, maximum)
            for half in halves:
                if not maximum and size > (half.memory or 0):
                    raise InvalidValue(f"{size} bytes are more than the maximum of {half.memory}", field="size")
            if halves.live is not None:
                _need_balloon(halves.live)
                await record.need_running().process.set_balloon(size)
            if halves.definition is not None:
                _set_memory(halves.definition, size, maximum=maximum)
            await halves.commit(self.world)

    async def block_resize(self, guest: str, disk: str, size: int) -> None:
        record = self.world.guests.find(guest)
        if size < SECTOR or size % SECTOR:
            raise InvalidValue(f"the size of a disk is a multiple of {SECTOR} bytes", field="size")
        async with record.lock.hold("resize a disk"):
            chosen = find_disk(record.need_running().guest, disk)
            await record.need_running().process.resize_block(chosen.alias or "", size)


def _need_vcpus(guest: Guest, numbers: Sequence[int], online: bool) -> None:
    """Raises InvalidValue for a vCPU that is not there, has to stay, or is so already."""
    known = {vcpu.id: vcpu.enabled for vcpu in each(guest)}
    if not numbers:
        raise InvalidValue("name at least one vCPU", field="vcpus")
    for number in numbers:
        if number not in known:
            raise InvalidValue(f"guest '{guest.name}' has no vCPU {number}", field="vcpus")
        if number == 0:
            raise InvalidValue("the first vCPU stays", field="vcpus")
        if known[number] is online:
            raise InvalidValue(f"vCPU {number} is {'on' if online else 'off'} already", field="vcpus")


def find_disk(guest: Guest, name: str) -> Disk:
    """The disk of a target or a source path. Raises NoSuchDevice."""
    for disk in guest.devices.disks:
        if name in (disk.target, disk.source_path):
            return disk
    raise NoSuchDevice(f"guest '{guest.name}' has no disk '{name}'")


def _refuse_live_maximum(halves: Halves, maximum: bool) -> None:
    if maximum and halves.live is not None:
        raise InvalidValue("the maximum of a running guest cannot change", field="maximum")


def _need_balloon(guest: Guest) -> None:
    balloon = guest.devices.memballoon
    if balloon is None or balloon.model == "none":
        raise WrongState(f"guest '{guest.name}' has no balloon: its memory cannot change while it runs")


def _set_memory(guest: Guest, size: int, *, maximum: bool) -> None:
    size = size // KIB * KIB
    if maximum:
        guest.memory = size
        guest.current_memory = min(guest.current_memory or size, size)
    else:
        guest.current_memory = size
