"""A device has left a running guest: asked for and waited for, or later, when the guest got round to it."""

from __future__ import annotations

import logging

from frontinus.api.errors import HostFailed
from frontinus.domain.devices.base import Device
from frontinus.domain.devices.interface import Interface
from frontinus.domain.plugging import remove_device
from frontinus.engine import runstate, trail
from frontinus.engine.filter import filtering
from frontinus.engine.network import netports
from frontinus.engine.record import Record, Running
from frontinus.engine.world import World

log = logging.getLogger(__name__)


async def _unlock(world: World, record: Record, running: Running, device: Device) -> None:
    """What QEMU might lock in memory for the device, it may no more. That it cannot be taken back stops nothing."""
    try:
        await running.process.restore_limits(world.hypervisor.freed_limits(running.guest, device))
    except HostFailed as error:
        log.warning("guest %s: %s", record.name, error.message)


async def gone(world: World, record: Record, running: Running, device: Device) -> None:
    """Take it out of the guest's model and give back what it held on the host. Idempotent."""
    if not any(device is held for held in running.guest.devices.all()):
        return
    remove_device(running.guest, device)
    trail.unplugged(world, record, device)
    held = [one for one in running.undo if one.get("alias") == device.alias]
    if isinstance(device, Interface):
        await filtering.leave(world, record.uuid, device.target)
    await world.resources.tear_down(held)
    await _unlock(world, record, running, device)
    running.undo = [one for one in running.undo if one not in held]
    if isinstance(device, Interface):
        await netports.release_card(world, device)
    if record.running is running:
        await runstate.save_running(world.store, record)
        world.changed(record)
