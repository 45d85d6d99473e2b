"""Hotplug: devices attached, detached and changed, the running guest and its definition kept in step.

Both halves are worked out before either is touched: what the definition refuses is never plugged.
"""

from __future__ import annotations

from collections.abc import Callable

from frontinus.api.errors import NoSuchDevice, Unresponsive, WrongState
from frontinus.api.events import DeviceAddedEvent, DiskChangeEvent
from frontinus.domain.changes import merged
from frontinus.domain.devices.base import Device
from frontinus.domain.devices.block.disk import Disk, last_layer, number_layers
from frontinus.domain.devices.graphics import Graphics
from frontinus.domain.devices.interface import Interface
from frontinus.domain.guest import Guest
from frontinus.domain.plugging import (
    add_device,
    changed_device,
    find_device,
    parse_device,
    plugged,
    remove_device,
    replace_device,
    user_of,
)
from frontinus.domain.validate import validate_change
from frontinus.engine import apart, trail
from frontinus.engine.block.chains import disk_with_layers
from frontinus.engine.filter import filtering
from frontinus.engine.guest import cards, handing, unplugging
from frontinus.engine.guest.preparing import carry_out, prepared
from frontinus.engine.halves import Halves
from frontinus.engine.network import netports
from frontinus.engine.record import Record, Running
from frontinus.engine.tuning.enforcing import need_kept
from frontinus.engine.world import World

Find = Callable[[Guest], Device]

UNPLUG_DEADLINE = 5.0
"""Seconds for the guest to give a device up; virsh users know this as the time after which detach says so."""


class Hotplug:
    """The use cases on single devices."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def attach_device(self, guest: str, xml: str, live: bool = False, config: bool = False) -> None:
        record = self.world.guests.find(guest)
        device = await apart.reading(xml, lambda: parse_device(xml))
        async with record.lock.hold("attach a device"):
            halves = Halves.of(record, live=live, config=config)
            if halves.definition is not None:
                halves.definition = await self._with(halves.definition, device)
            if halves.live is not None:
                halves.live = await self._plug(record, record.need_running(), halves.live, device)
            await halves.commit(self.world)

    async def _plug(self, record: Record, running: Running, live: Guest, device: Device) -> Guest:
        """Plug a device and what it needs; the running guest with them."""
        if isinstance(device, Disk):
            device = await disk_with_layers(self.world, device)
        caps = running.capabilities
        after, added = await apart.completing(live, lambda: plugged(live, device, caps, self.world.host))
        for new in added:
            await self._plug_one(record, running, after, new)
            trail.plugged(self.world, record, new, "attach")
            self.world.bus.publish(DeviceAddedEvent(uuid=record.uuid, name=record.name, device=new.alias or ""))
        return after

    async def _plug_one(self, record: Record, running: Running, after: Guest, device: Device) -> None:
        """Set up what the device needs on the host, then plug; walk back if QEMU refuses."""
        if isinstance(device, Interface):
            await netports.plug_card(self.world, record, device)
        try:
            need_kept(after, running.guest)
            await self._plug_planned(record, running, after, device)
        except BaseException:
            if isinstance(device, Interface):
                await netports.release_card(self.world, device)
            raise

    async def _plug_planned(self, record: Record, running: Running, after: Guest, device: Device) -> None:
        plan = self.world.hypervisor.plan_device(after, device, running.capabilities,
                                                 handing.host_for(self.world, record), self.world.secrets.value)  # fmt: skip
        edition = self.world.filters.edition
        async with prepared(self.world, record, running, plan, after) as made:
            if isinstance(device, Interface) and device.alias in made.names:
                device.target = made.names[device.alias]
            await cards.shape(self.world, device)
            async with filtering.joined(self.world, record, device, edition):
                await running.process.plug(plan, made.fds)

    async def _with(self, definition: Guest, device: Device) -> Guest:
        caps = await self.world.hypervisor.capabilities(definition.devices.emulator)
        return await apart.completing(definition, lambda: add_device(definition, device, caps, self.world.host))

    async def _changed(self, definition: Guest, device: Device) -> Guest:
        caps = await self.world.hypervisor.capabilities(definition.devices.emulator)
        return await apart.completing(definition, lambda: changed_device(definition, device, caps, self.world.host))

    async def detach_device(self, guest: str, xml: str, live: bool = False, config: bool = False) -> None:
        device = await apart.reading(xml, lambda: parse_device(xml))
        await self._detach(guest, lambda half: find_device(half, device), live, config)

    async def detach_alias(self, guest: str, alias: str, live: bool = False, config: bool = False) -> None:
        def named(half: Guest) -> Device:
            for device in half.devices.all():
                if device.alias == alias:
                    return device
            raise NoSuchDevice(f"guest '{half.name}' has no device with alias '{alias}'")

        await self._detach(guest, named, live, config)

    async def _detach(self, guest: str, find: Find, live: bool, config: bool) -> None:
        record = self.world.guests.find(guest)
        async with record.lock.hold("detach a device"):
            halves = Halves.of(record, live=live, config=config)
            for half in halves:
                _refuse_used(half, find(half))
            if halves.definition is not None:
                remove_device(halves.definition, find(halves.definition))
            if halves.live is not None:
                await self._unplug(record, record.need_running(), find)
                halves.live = None
            await halves.commit(self.world)

    async def _unplug(self, record: Record, running: Running, find: Find) -> None:
        device = find(running.guest)
        if isinstance(device, Disk):
            record.refuse_with_jobs(device.target)
        plan = self.world.hypervisor.plan_device(running.guest, device, running.capabilities, self.world.host)
        if not await running.process.unplug(plan, UNPLUG_DEADLINE):
            raise Unresponsive(
                f"the guest did not give up '{device.alias}' within {UNPLUG_DEADLINE:g} s; it may still do so"
            )
        await unplugging.gone(self.world, record, running, device)

    async def update_device(self, guest: str, xml: str, live: bool = False, config: bool = False) -> None:
        record = self.world.guests.find(guest)
        device = await apart.reading(xml, lambda: parse_device(xml))
        async with record.lock.hold("update a device"):
            halves = Halves.of(record, live=live, config=config)
            if halves.definition is not None:
                halves.definition = await self._changed(halves.definition, device)
            if halves.live is not None:
                await self._change(record, record.need_running(), device)
                halves.live = None
            await halves.commit(self.world)
            if isinstance(device, Interface):
                await netports.leave(self.world, record)

    async def _change(self, record: Record, running: Running, device: Device) -> None:
        old = find_device(running.guest, device)
        new = merged(old, device.clone(alias=old.alias, address=old.address))
        said = device.format if isinstance(device, Disk) else None
        async with cards.ported(self.world, record, old, new):
            new.complete(running.guest, running.capabilities, self.world.host)
            if isinstance(old, Graphics) and isinstance(new, Graphics):
                new = new.over(old)
            if isinstance(old, Disk) and isinstance(new, Disk):
                new = await self._with_medium(running, old, new, said)
            await self._carry_out_change(record, running, old, new)
        replace_device(running.guest, old, new)
        if isinstance(old, Disk) and isinstance(new, Disk) and old.source_path != new.source_path:
            self.world.bus.publish(DiskChangeEvent(uuid=record.uuid, name=record.name, old=old.source_path,
                                                   new=new.source_path, device=new.alias or "", reason="changed"))  # fmt: skip

    async def _with_medium(self, running: Running, old: Disk, new: Disk, format: str | None) -> Disk:
        """A changed disk with the layers of its image: those that it has, or another's."""
        if new.has_medium_of(old, format):
            new.keep_medium(old)
            return new
        found = await disk_with_layers(self.world, new)
        number_layers([found], last_layer(running.guest.devices.disks))
        return found

    async def _carry_out_change(self, record: Record, running: Running, old: Device, new: Device) -> None:
        plan = self.world.hypervisor.plan_update(running.guest, old, new, running.capabilities,
                                                 handing.host_for(self.world, record), self.world.secrets.value)  # fmt: skip
        validate_change(running.guest, old, new, running.capabilities)
        async with cards.changed(self.world, record, running, old, new, plan) as rest:
            await carry_out(self.world, record, running, rest)


def _refuse_used(half: Guest, device: Device) -> None:
    user = user_of(half, device)
    if user is not None:
        name = user.alias or getattr(user, "target", None) or ""
        raise WrongState(f"<{device.tag}> is in use: <{user.tag}> {name} hangs on it")
