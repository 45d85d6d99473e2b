"""Completion: what a definition leaves open is decided once, at define time, and kept for ever.

A definition stands by itself: whoever redefines a guest without its addresses asks for new ones, as with libvirt. To
keep the hardware, keep its addresses in the XML; they never move then.
"""

from __future__ import annotations

from frontinus.domain.addresses import assign_addresses, assign_drives
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.defaults import complete_guest, runs_on
from frontinus.domain.devices.block.disk import arrange as arrange_disks
from frontinus.domain.devices.character import mirror_console, pair_consoles
from frontinus.domain.devices.controller import arrange as arrange_controllers
from frontinus.domain.devices.controller import assign_indexes
from frontinus.domain.devices.video import primary_first
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts
from frontinus.domain.implicit import add_machine_devices, add_needed_devices
from frontinus.domain.validate import validate

NAMELESS = frozenset({"graphics", "lease"})
"""Devices that have no alias even while their guest runs, and cannot be plugged in or need no completion."""


def complete(guest: Guest, caps: Capabilities, host: HostFacts, *, hotplug: bool = False,
             stored: bool = False, running: bool = False) -> Guest:  # fmt: skip
    """A copy with canonical machine, UUID, defaults, implicit devices and every address assigned.

    `hotplug`: the guest runs, and devices without an alias are being plugged in: the others stay as they are.
    `stored`: the guest was defined before, here or by libvirt: it is read, not made. It may wait for another QEMU, and
    USB devices that have no ports yet get them when it is defined anew. `running`: it tells of a run, and keeps what
    that had. Raises InvalidXML, Unsupported.
    """
    done = guest.clone()
    devices = done.devices
    if stored and not runs_on(done, caps):
        complete_guest(done, caps, host, stored=stored)
        return done
    if not hotplug:
        complete_guest(done, caps, host, stored=stored)
        devices.emulator = devices.emulator or caps.emulator or None
    devices.disks = arrange_disks(devices.disks)
    primary_first(done)
    assign_indexes(devices.controllers)
    devices.controllers = arrange_controllers(devices.controllers)
    if not hotplug:
        add_machine_devices(done, caps, host)
    for device in devices.all():
        if not hotplug and not running:
            device.forget(host)
        if not hotplug or (device.alias is None and device.tag not in NAMELESS):
            device.complete(done, caps, host)
    if devices.redirfilter is not None and not devices.redirfilter.rules:
        devices.redirfilter = None
    if not hotplug:
        pair_consoles(done)
    assign_drives(done)
    add_needed_devices(done, caps, host)
    assign_addresses(done, caps, host, hotplug=hotplug, stored=stored)
    devices.controllers = arrange_controllers(devices.controllers)
    mirror_console(done)
    validate(done, caps, host, stored=stored)
    return done
