"""org.libvirt.Domain: what the guest's agent tells and does."""

from __future__ import annotations

from collections.abc import Mapping

from dbus_fast import Variant

from frontinus.api.errors import InvalidValue
from frontinus.api.networks import AddressSource
from frontinus_dbus.faults import Flags
from frontinus_dbus.libvirt.connect import NONE
from frontinus_dbus.libvirt.domain import engine
from frontinus_dbus.libvirt.domain_tuning import chosen
from frontinus_dbus.libvirt.figures import double
from frontinus_dbus.libvirt.parameters import ranges
from frontinus_dbus.service import Call, Handler

HOSTNAME = Flags({"lease": 1, "agent": 2})
TIME = Flags({"sync": 1})
PASSWORD = Flags({"encrypted": 1})
SOURCES: tuple[AddressSource, ...] = ("lease", "agent", "arp")
FAMILIES = ("ipv4", "ipv6")


async def hostname(call: Call, flags: int) -> str:
    """The guest's own name for itself."""
    HOSTNAME.read(flags)
    target, uuid = await engine(call)
    return await target.guest_hostname(uuid)


async def time(call: Call, flags: int) -> list[int]:
    """The guest's clock: Unix seconds and nanoseconds."""
    NONE.read(flags)
    target, uuid = await engine(call)
    now = await target.guest_time(uuid)
    return [now.seconds, now.nanoseconds]


async def set_time(call: Call, seconds: int, nanoseconds: int, flags: int) -> None:
    """Set the guest's clock, by flag (1) from its hardware clock."""
    sync = "sync" in TIME.read(flags)
    target, uuid = await engine(call)
    await target.set_guest_time(uuid, seconds, nanoseconds, sync)


async def filesystems(call: Call, flags: int) -> list[list[object]]:
    """Mount point, name, type and disks of each file system."""
    NONE.read(flags)
    target, uuid = await engine(call)
    return [[one.mountpoint, one.name, one.type, list(one.disks)] for one in await target.guest_filesystems(uuid)]


async def freeze(call: Call, mountpoints: list[str], flags: int) -> int:
    """Freeze file systems, all without mount points; how many are frozen."""
    NONE.read(flags)
    target, uuid = await engine(call)
    return await target.freeze(uuid, mountpoints)


async def thaw(call: Call, mountpoints: list[str], flags: int) -> int:
    """Thaw file systems; how many were thawed."""
    NONE.read(flags)
    target, uuid = await engine(call)
    return await target.thaw(uuid, mountpoints)


async def trim(call: Call, mountpoint: str, minimum: int, flags: int) -> None:
    """Discard unused blocks of all file systems."""
    NONE.read(flags)
    if mountpoint:
        raise InvalidValue("the agent trims all file systems: leave the mount point empty", field="mountpoint")
    target, uuid = await engine(call)
    await target.trim(uuid, minimum)


async def vcpus(call: Call, flags: int) -> dict[str, Variant]:
    """vCPUs as the guest's system sees them: vcpus, online, offlinable."""
    NONE.read(flags)
    target, uuid = await engine(call)
    found = await target.guest_vcpus(uuid)
    return {name: double(Variant("s", ranges(getattr(found, name)))) for name in ("vcpus", "online", "offlinable")}


async def set_vcpus(call: Call, cpus: list[bool], state: int, flags: int) -> None:
    """Switch vCPUs on (1) or off (0) in the guest's system."""
    NONE.read(flags)
    if state not in (0, 1):
        raise InvalidValue("the state is 0 or 1", field="state")
    target, uuid = await engine(call)
    await target.set_guest_vcpus(uuid, chosen(cpus), bool(state))


async def set_password(call: Call, user: str, password: str, flags: int) -> None:
    """Set a user's password, by flag (1) as it is stored."""
    encrypted = "encrypted" in PASSWORD.read(flags)
    target, uuid = await engine(call)
    await target.set_user_password(uuid, user, password, encrypted)


async def addresses(call: Call, source: int, flags: int) -> list[list[object]]:
    """Name, MAC and addresses of each NIC, by lease (0), agent (1) or the host's neighbours (2)."""
    NONE.read(flags)
    if not 0 <= source < len(SOURCES):
        raise InvalidValue(f"unknown source {source}", field="source")
    target, uuid = await engine(call)
    return [
        [nic.name, nic.mac or "", [[FAMILIES.index(a.family), a.address, a.prefix] for a in nic.addresses]]
        for nic in await target.guest_addresses(uuid, SOURCES[source])
    ]


METHODS: Mapping[str, Handler] = {
    "FSFreeze": freeze, "FSThaw": thaw, "FSTrim": trim, "GetFSInfo": filesystems, "GetGuestVcpus": vcpus,
    "GetHostname": hostname, "GetTime": time, "InterfaceAddresses": addresses, "SetGuestVcpus": set_vcpus,
    "SetTime": set_time, "SetUserPassword": set_password,
}  # fmt: skip
