"""The audit trail of guests: what starts, ends and changes of hardware leave in it."""

from __future__ import annotations

from frontinus.domain.devices.base import Device
from frontinus.domain.devices.block.disk import Disk
from frontinus.domain.devices.interface import Interface
from frontinus.engine.record import Record, current_vcpus
from frontinus.engine.world import World
from frontinus.ports.audit import Audited

KIB = 1024


def audited(record: Record) -> Audited:
    return Audited(record.name, record.uuid, record.guest.type)


def started(world: World, record: Record, reason: str) -> None:
    """A guest runs: what it was given, then that it started."""
    guest, who = record.guest, audited(record)
    for device in guest.devices.all():
        plugged(world, record, device, "start")
    world.audit.resource(who, "mem", "start", "0", str((guest.current_memory or guest.memory or 0) // KIB))
    world.audit.resource(who, "vcpu", "start", "0", str(current_vcpus(guest)))
    pid = record.running.process.record.pid if record.running else None
    world.audit.control(who, "start", reason, pid=pid)


def refused(world: World, record: Record, reason: str) -> None:
    """A start failed."""
    world.audit.control(audited(record), "start", reason, success=False)


def ended(world: World, guest: Audited, reason: str) -> None:
    """A guest has ended; a transient one is no more, so this takes what it was."""
    world.audit.control(guest, "stop", reason)


def plugged(world: World, record: Record, device: Device, reason: str) -> None:
    """A disk or a NIC was given to a guest: at its start or attached."""
    if isinstance(device, Disk):
        world.audit.resource(audited(record), "disk", reason, None, device.source_path)
    elif isinstance(device, Interface):
        world.audit.resource(audited(record), "net", reason, None, device.mac)


def unplugged(world: World, record: Record, device: Device) -> None:
    """A disk or a NIC was taken from a guest."""
    if isinstance(device, Disk):
        world.audit.resource(audited(record), "disk", "detach", device.source_path, None)
    elif isinstance(device, Interface):
        world.audit.resource(audited(record), "net", "detach", device.mac, None)


def disk_changed(world: World, record: Record, reason: str, old: str | None, new: str | None) -> None:
    """A disk got another image, or work began that gives it one: snapshot, mirror, commit, rebase."""
    world.audit.resource(audited(record), "disk", reason, old, new)
