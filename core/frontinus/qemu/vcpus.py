"""Plugging and unplugging CPUs: QEMU lists the slots of a machine, and which of them are taken by what."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from frontinus.api.errors import HypervisorFailed, InvalidValue, Unresponsive, Unsupported
from frontinus.qemu.monitor.client import Event, Monitor

UNPLUG_SECONDS = 5.0
SLOTS = "query-hotpluggable-cpus"
PERIPHERAL = "/machine/peripheral/"
ORDER = ("drawer-id", "book-id", "socket-id", "die-id", "cluster-id", "module-id", "core-id", "thread-id", "node-id")
"""What places a CPU, the outermost first: QEMU numbers them so. NUMA nodes may cut across sockets and cores."""


class Slot(msgspec.Struct, rename="kebab"):
    """One of query-hotpluggable-cpus; taken if it has a path."""

    type: str
    props: dict[str, int]
    vcpus_count: int = 1
    qom_path: str | None = None

    def place(self) -> tuple[int, ...]:
        return tuple(self.props.get(name, 0) for name in ORDER)

    @property
    def alias(self) -> str | None:
        """Our name for a CPU that was plugged; those of the machine have none and stay."""
        path = self.qom_path or ""
        return path.removeprefix(PERIPHERAL) if path.startswith(PERIPHERAL) else None


async def set_vcpus(monitor: Monitor, count: int) -> None:
    """Plug or unplug until `count` CPUs are there.

    Raises Unsupported, InvalidValue when the slots do not allow it, Unresponsive when the guest keeps a CPU.
    """
    slots = await _slots(monitor)
    difference = count - sum(s.vcpus_count for s in slots if s.qom_path)
    if difference > 0:
        await _plug(monitor, slots, difference)
    elif difference < 0:
        await _unplug(monitor, slots, -difference)


async def switch(monitor: Monitor, numbers: Sequence[int], *, online: bool) -> None:
    """Plug or unplug these CPUs, each by the number of its slot. Raises Unsupported, InvalidValue, Unresponsive."""
    slots = await _slots(monitor)
    for number in numbers:
        slot = slots[number] if number < len(slots) else None
        if slot is None or slot.vcpus_count != 1:
            raise InvalidValue(f"there is no vCPU {number} that can be plugged by itself", field="vcpus")
        if bool(slot.qom_path) is online:
            raise InvalidValue(f"vCPU {number} is {'there' if online else 'gone'} already", field="vcpus")
        if not online and slot.alias is None:
            raise InvalidValue(f"vCPU {number} was there at the start: it cannot be unplugged", field="vcpus")
    for number in numbers:
        slot = slots[number]
        if online:
            await monitor.execute("device_add", {"driver": slot.type, "id": f"vcpu{number}", **slot.props})
        else:
            await _remove(monitor, slot.alias or "")


async def _slots(monitor: Monitor) -> list[Slot]:
    """The slots in the order of their numbers. Raises Unsupported for a machine that has none."""
    try:
        slots = await monitor.ask(list[Slot], SLOTS)
    except HypervisorFailed as error:
        raise Unsupported(f"CPUs of this machine cannot be plugged: {error.message}") from error
    return sorted(slots, key=Slot.place)


def _choose(slots: Sequence[Slot], number: int) -> list[Slot]:
    """Slots for exactly so many CPUs; all slots of a machine have the same size."""
    chosen: list[Slot] = []
    while sum(s.vcpus_count for s in chosen) < number and len(chosen) < len(slots):
        chosen.append(slots[len(chosen)])
    if sum(s.vcpus_count for s in chosen) != number:
        raise InvalidValue(f"{number} CPUs cannot be plugged or unplugged: the slots do not allow it", field="count")
    return chosen


async def _plug(monitor: Monitor, slots: Sequence[Slot], number: int) -> None:
    free = [(index, slot) for index, slot in enumerate(slots) if not slot.qom_path]
    for slot in _choose([slot for _, slot in free], number):
        index = slots.index(slot)
        await monitor.execute("device_add", {"driver": slot.type, "id": f"vcpu{index}", **slot.props})


async def _unplug(monitor: Monitor, slots: Sequence[Slot], number: int) -> None:
    plugged = [slot for slot in reversed(slots) if slot.alias]
    for slot in _choose(plugged, number):
        await _remove(monitor, slot.alias or "")


async def _remove(monitor: Monitor, alias: str) -> None:
    """Ask the guest for a CPU and wait until its slot is free.

    The slots are looked at whenever something happened to a CPU: under TCG QEMU frees the slot, but never tells that
    the device is deleted.
    """
    until = asyncio.get_running_loop().time() + UNPLUG_SECONDS
    await monitor.execute("device_del", {"id": alias})
    while True:
        with monitor.expect(_about_cpus) as happened:
            if all(slot.alias != alias for slot in await monitor.ask(list[Slot], SLOTS)):
                return
            done, _ = await asyncio.wait([happened], timeout=max(0, until - asyncio.get_running_loop().time()))
            if not done:
                raise Unresponsive(f"the guest did not give up CPU '{alias}' within {UNPLUG_SECONDS:g} s")
            happened.result()


def _about_cpus(event: Event) -> bool:
    return event.name in ("DEVICE_DELETED", "ACPI_DEVICE_OST")
