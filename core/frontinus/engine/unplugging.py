"""A device has left a running guest: asked for and waited for, or later, when the guest got round to it."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.domain.devices.interface import Interface
from frontinus.domain.plugging import remove_device
from frontinus.engine import filtering, netports, runstate, trail
from frontinus.engine.record import Record, Running
from frontinus.engine.world import World


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
    running.undo = [one for one in running.undo if one not in held]
    if isinstance(device, Interface):
        await netports.release_card(world, device)
    if record.running is running:
        await runstate.save_running(world.store, record)
        world.changed(record)
