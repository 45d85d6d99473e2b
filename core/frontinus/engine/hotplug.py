"""Hotplug: devices attached, detached and changed, the running guest and its definition kept in step.

Both halves are worked out before either is touched: what the definition refuses is never plugged.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from frontinus.api.errors import NoSuchDevice, Unsupported, Unresponsive
from frontinus.api.events import DeviceAddedEvent, DiskChangeEvent
from frontinus.domain.devices.base import Device
from frontinus.domain.devices.controller import Controller
from frontinus.domain.devices.disk import Disk
from frontinus.domain.devices.interface import Interface
from frontinus.domain.guest import Guest
from frontinus.domain.plugging import add_device, find_device, parse_device, remove_device, replace_device
from frontinus.domain.prepare import assign_alias
from frontinus.engine.definitions import persist
from frontinus.engine.record import Record, Running
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
        device = parse_device(xml)
        async with record.lock.hold("attach a device"):
            live, config = _scope(record, live, config)
            changed = await self._with(record.need_definition(), device) if config else None
            if live:
                await self._plug(record, record.need_running(), device)
            if changed is not None:
                record.definition = changed
            await persist(self.world, record)
        self.world.changed(record)

    async def _plug(self, record: Record, running: Running, device: Device) -> None:
        before = running.guest
        after = add_device(before, device, running.capabilities, self.world.host)
        added = [d for d in after.devices.all() if not any(d == old for old in before.devices.all())]
        for new in added:
            if new.alias is None:
                assign_alias(after, new)
        for new in added:
            await self._plug_one(record, running, after, new)
            self.world.bus.publish(DeviceAddedEvent(uuid=record.uuid, name=record.name, device=new.alias or ""))
        running.guest = after

    async def _plug_one(self, record: Record, running: Running, after: Guest, device: Device) -> None:
        """Set up what the device needs on the host, then plug; walk back if QEMU refuses."""
        if isinstance(device, Controller) and device.type == "pci":
            raise Unsupported("no free slot: a PCI controller cannot be plugged into a running guest")
        resources = self.world.hypervisor.plan_device(after, device, running.capabilities, self.world.host)
        who = await self.world.resources.credentials(record.uuid)

        async def journal(undo: Sequence[dict[str, object]]) -> None:
            running.undo.extend(undo)
            await persist(self.world, record)

        before = len(running.undo)
        prepared = await self.world.resources.set_up(resources, who, journal)
        running.undo[before:] = prepared.undo
        try:
            if isinstance(device, Interface) and device.alias in prepared.names:
                device.target = prepared.names[device.alias]
            await running.process.plug(after, device, prepared.fds)
        except BaseException:
            await self.world.resources.tear_down(prepared.undo)
            del running.undo[before:]
            raise
        finally:
            for fd in prepared.fds.values():
                os.close(fd)

    async def _with(self, definition: Guest, device: Device) -> Guest:
        caps = await self.world.hypervisor.capabilities(definition.devices.emulator)
        return add_device(definition, device, caps, self.world.host)

    async def detach_device(self, guest: str, xml: str, live: bool = False, config: bool = False) -> None:
        device = parse_device(xml)
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
            live, config = _scope(record, live, config)
            kept = record.need_definition().clone() if config else None
            if kept is not None:
                remove_device(kept, find(kept))
            if live:
                await self._unplug(record, record.need_running(), find)
            if kept is not None:
                record.definition = kept
            await persist(self.world, record)
        self.world.changed(record)

    async def _unplug(self, record: Record, running: Running, find: Find) -> None:
        device = find(running.guest)
        if not await running.process.unplug(device, UNPLUG_DEADLINE):
            raise Unresponsive(f"the guest did not give up '{device.alias}' within {UNPLUG_DEADLINE:g} s; it may still do so")
        remove_device(running.guest, device)
        mine = [undo for undo in running.undo if undo.get("alias") == device.alias]
        await self.world.resources.tear_down(mine)
        running.undo = [undo for undo in running.undo if undo not in mine]

    async def update_device(self, guest: str, xml: str, live: bool = False, config: bool = False) -> None:
        record = self.world.guests.find(guest)
        device = parse_device(xml)
        async with record.lock.hold("update a device"):
            live, config = _scope(record, live, config)
            kept = record.need_definition().clone() if config else None
            if kept is not None:
                replace_device(kept, find_device(kept, device), device)
            if live:
                await self._change(record, record.need_running(), device)
            if kept is not None:
                record.definition = kept
            await persist(self.world, record)
        self.world.changed(record)

    async def _change(self, record: Record, running: Running, device: Device) -> None:
        old = find_device(running.guest, device)
        new = device.clone(alias=old.alias, address=old.address)
        resources = self.world.hypervisor.plan_device(running.guest, new, running.capabilities, self.world.host)
        who = await self.world.resources.credentials(record.uuid)

        async def journal(undo: Sequence[dict[str, object]]) -> None:
            running.undo.extend(undo)

        prepared = await self.world.resources.set_up(resources, who, journal)
        await running.process.update(old, new)
        replace_device(running.guest, old, new)
        if isinstance(old, Disk) and isinstance(new, Disk) and old.source_path() != new.source_path():
            self.world.bus.publish(DiskChangeEvent(uuid=record.uuid, name=record.name, old=old.source_path(),
                                                   new=new.source_path(), device=new.alias or "", reason="changed"))  # fmt: skip
        del prepared


def _scope(record: Record, live: bool, config: bool) -> tuple[bool, bool]:
    if not live and not config:
        return record.running is not None, record.running is None
    return live, config
