"""Limits of QEMU. How much memory it may lock: all of a guest that asks for it, and the guest's own where devices reach it
by DMA. No core file of a guest whose keys are in QEMU's memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from frontinus.domain.devices.base import Device
from frontinus.domain.devices.block.disk import Disk
from frontinus.domain.devices.hostdev import MdevHostdev, PciHostdev
from frontinus.domain.devices.interface import Interface
from frontinus.domain.guest import Guest
from frontinus.domain.plan import Resource, Vfio
from frontinus.domain.plugging import is_raw
from frontinus.domain.usedsecrets import used_secrets

UNLIMITED = -1
DEVICE_SPACE = 2**30
"""Bytes beside guest memory that VFIO maps: registers and video memory of passed devices."""


def limits(guest: Guest, resources: Iterable[Resource]) -> Mapping[str, int]:
    """rlimits of QEMU by name; empty where the host's own do."""
    return {**_locking(guest, resources), **({"core": 0} if any(used_secrets(guest)) else {})}


def _locking(guest: Guest, resources: Iterable[Resource]) -> Mapping[str, int]:
    tune = guest.mem_tune
    if tune is not None and tune.hard_limit and (needs_lock(guest) or _passes(resources)):
        return {"memlock": tune.hard_limit}
    if needs_lock(guest):
        return {"memlock": UNLIMITED}
    if _passes(resources):
        return {"memlock": max(guest.memory or 0, guest.max_memory or 0) + DEVICE_SPACE}
    return {}


def rights(guest: Guest) -> tuple[str, ...]:
    """What QEMU may do beyond its user: any command to SCSI devices that are handed to the guest raw."""
    return ("sys_rawio",) if any(is_raw(device) for device in guest.devices.all()) else ()


def dma_limits(guest: Guest, resources: Iterable[Resource]) -> Mapping[str, int]:
    """rlimits that a running guest must have before devices of the host that reach its memory are plugged in."""
    resources = tuple(resources)
    return limits(guest, resources) if _passes(resources) else {}


def freed_limits(guest: Guest, gone: Device) -> tuple[str, ...]:
    """Limits that a running guest needs no more, now that a device has left it."""
    passing = any(reaches_memory(device) for device in guest.devices.all() if device is not gone)
    return ("memlock",) if reaches_memory(gone) and not passing and not needs_lock(guest) else ()


def reaches_memory(device: Device) -> bool:
    """Whether it is a device of the host that reaches guest memory by VFIO."""
    match device:
        case PciHostdev() | MdevHostdev() | Interface(type="hostdev") | Disk(type="nvme"):
            return True
    return False


def needs_lock(guest: Guest) -> bool:
    """Whether all memory must stay in RAM."""
    return bool(guest.memory_backing and guest.memory_backing.locked)


def _passes(resources: Iterable[Resource]) -> bool:
    return any(isinstance(resource, Vfio) for resource in resources)
