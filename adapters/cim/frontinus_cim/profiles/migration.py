"""CIM_VirtualSystemMigrationService (DSP1081): whether guests could move. The move itself is not there yet, and says so."""

from __future__ import annotations

import ipaddress
import re

from frontinus_cim.host.guest import Guest
from frontinus_cim.instances.services import MIGRATION
from frontinus_cim.methods.calls import NOT_SUPPORTED, MethodCall, Result, method
from frontinus_cim.methods.define import guest_at
from frontinus_cim.wire.errors import invalid

HOSTNAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?:\.(?!-)[A-Za-z0-9-]{1,63})*\.?", re.ASCII)
STAYING = {"hostdev": "a device of the host", "tpm": "a TPM"}
"""Devices that a guest cannot take along, by element."""


def hindrance(guest: Guest) -> str | None:
    """Why a guest could not move; None if nothing is known against it."""
    if not guest.view.active:
        return None if guest.view.persistent else "it is gone when it is off"
    for device in guest.details.devices:
        if device.tag in STAYING:
            return f"it uses {STAYING[device.tag]}"
        if device.tag == "disk" and device["@device"] in ("disk", "") and device["@type"] in ("file", "block", "dir") and (
            "shareable" not in device.facts and device["driver/@cache"] not in ("none", "directsync")
        ):  # fmt: skip
            return f"disk {device['target/@dev']} is cached by this host"
    return "a job is under way" if guest.view.job else None


@method(MIGRATION, "CheckVirtualSystemIsMigratableToHost", reads=True)
async def check_host(call: MethodCall) -> Result:
    guest, host = guest_at(call, call.path("ComputerSystem"), "ComputerSystem"), call.arguments.get("DestinationHost")
    if not isinstance(host, str) or not (HOSTNAME.fullmatch(host) or _address(host)) or len(host) > 255:
        raise invalid("DestinationHost is no name or address of a host")
    return _checked(guest, host == call.world.hostname)


@method(MIGRATION, "CheckVirtualSystemIsMigratableToSystem", reads=True)
async def check_system(call: MethodCall) -> Result:
    guest, system = guest_at(call, call.path("ComputerSystem"), "ComputerSystem"), call.path("DestinationSystem")
    if system is None:
        raise invalid("DestinationSystem is missing")
    return _checked(guest, system.key("Name") == call.world.hostname)


def _checked(guest: Guest, here: bool) -> Result:
    return Result(0, {"IsMigratable": not here and hindrance(guest) is None})


def _address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@method(
    MIGRATION, "MigrateVirtualSystemToHost", "MigrateVirtualSystemToSystem", "MigrateSSHKeyCopy", "MigrateSSHKeyDelete"
)
async def not_supported(call: MethodCall) -> Result:
    """As the service's capabilities say."""
    return Result(NOT_SUPPORTED)
