"""The guest's agent: what it tells of the guest, and does in it. Commands and answers are those of QEMU's guest agent
(qga/qapi-schema.json)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, TypeVar

import msgspec

from frontinus.api.agent import (
    GuestDisk,
    GuestFilesystem,
    GuestOs,
    GuestTime,
    GuestUser,
    GuestVcpus,
    GuestZone,
    KeyMode,
)
from frontinus.api.errors import HypervisorFailed, InvalidValue, Unsupported
from frontinus.domain.devices.base import DriveAddress, PciAddress
from frontinus.domain.guest import Guest
from frontinus.engine import runstate
from frontinus.engine.world import World

T = TypeVar("T")
DEADLINE = 5.0
SLOW = 60.0
"""Seconds for what waits for the guest's disks."""
BILLION = 1_000_000_000
Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""A number that the facade can carry. A guest can claim any, and would spoil an answer that tells of others too."""


class Answer(msgspec.Struct, rename="kebab"):
    """Base of answers: the agent's names have hyphens."""


class _HostName(Answer):
    host_name: str


class _Zone(Answer):
    offset: Whole
    zone: str = ""


class _Pci(Answer):
    domain: Whole = 0
    bus: Whole = 0
    slot: Whole = 0
    function: Whole = 0


class _Disk(Answer):
    pci_controller: _Pci
    bus: Whole = 0
    target: Whole = 0
    unit: Whole = 0
    bus_type: str = ""


class _Filesystem(Answer):
    name: str
    mountpoint: str
    type: str
    disk: list[_Disk] = []
    used_bytes: Whole | None = None
    total_bytes: Whole | None = None


class _Vcpu(Answer):
    logical_id: Whole
    online: bool
    can_offline: bool = False


class _User(Answer):
    user: str
    login_time: float = 0.0
    domain: str | None = None


class _Os(Answer):
    id: str = ""
    name: str = ""
    pretty_name: str = ""
    version: str = ""
    version_id: str = ""
    kernel_release: str = ""
    kernel_version: str = ""
    machine: str = ""
    variant: str = ""
    variant_id: str = ""


class _GuestDisk(Answer):
    name: str
    partition: bool
    dependencies: list[str] = []
    address: _Disk | None = None
    alias: str | None = None


class _Keys(Answer):
    keys: list[str]


class AgentDesk:
    """The use cases that the agent serves."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def guest_hostname(self, guest: str) -> str:
        return (await self._ask(_HostName, guest, "guest-get-host-name")).host_name

    async def guest_time(self, guest: str) -> GuestTime:
        now = await self._ask(int, guest, "guest-get-time")
        return GuestTime(seconds=now // BILLION, nanoseconds=now % BILLION)

    async def set_guest_time(self, guest: str, seconds: int = 0, nanoseconds: int = 0, sync: bool = False) -> None:
        if not sync and not (0 <= seconds < 2**33 and 0 <= nanoseconds < BILLION):
            raise InvalidValue("the time is out of range", field="seconds")
        wanted = {} if sync else {"time": seconds * BILLION + nanoseconds}
        await self._ask(msgspec.Raw, guest, "guest-set-time", wanted, deadline=SLOW)

    async def guest_zone(self, guest: str) -> GuestZone:
        zone = await self._ask(_Zone, guest, "guest-get-timezone")
        return GuestZone(name=zone.zone, offset=zone.offset)

    async def guest_filesystems(self, guest: str) -> list[GuestFilesystem]:
        found = await self._ask(list[_Filesystem], guest, "guest-get-fsinfo")
        running = self.world.guests.find(guest).need_running().guest
        return [
            GuestFilesystem(mountpoint=one.mountpoint, name=one.name, type=one.type, total=one.total_bytes,
                            used=one.used_bytes,
                            disks=tuple(target for disk in one.disk if (target := _target(running, disk))))
            for one in found
        ]  # fmt: skip

    async def freeze(self, guest: str, mountpoints: Sequence[str] = ()) -> int:
        if mountpoints:
            wanted = {"mountpoints": list(mountpoints)}
            return await self._ask(int, guest, "guest-fsfreeze-freeze-list", wanted, deadline=SLOW)
        return await self._ask(int, guest, "guest-fsfreeze-freeze", deadline=SLOW)

    async def thaw(self, guest: str, mountpoints: Sequence[str] = ()) -> int:
        """The agent thaws all: it cannot choose."""
        return await self._ask(int, guest, "guest-fsfreeze-thaw", deadline=SLOW)

    async def trim(self, guest: str, minimum: int = 0) -> None:
        await self._ask(msgspec.Raw, guest, "guest-fstrim", {"minimum": minimum}, deadline=SLOW)

    async def guest_vcpus(self, guest: str) -> GuestVcpus:
        return _vcpus(await self._ask(list[_Vcpu], guest, "guest-get-vcpus"))

    async def set_guest_vcpus(self, guest: str, vcpus: Sequence[int], online: bool) -> None:
        known = await self.guest_vcpus(guest)
        _check_vcpus(known, vcpus, online)
        left = [{"logical-id": number, "online": online} for number in sorted(set(vcpus))]
        while left:  # the agent says how many it has done, and stops at the first that it cannot
            done = await self._ask(int, guest, "guest-set-vcpus", {"vcpus": left}, deadline=SLOW)
            if not 0 < done <= len(left):
                raise HypervisorFailed("the guest agent changed no vCPU")
            left = left[done:]

    async def guest_users(self, guest: str) -> list[GuestUser]:
        found = await self._ask(list[_User], guest, "guest-get-users")
        return [GuestUser(name=one.user, login=one.login_time, domain=one.domain) for one in found]

    async def guest_os(self, guest: str) -> GuestOs:
        found = await self._ask(_Os, guest, "guest-get-osinfo")
        return GuestOs(**msgspec.structs.asdict(found))

    async def set_user_password(self, guest: str, user: str, password: str, encrypted: bool = False) -> None:
        coded = base64.b64encode(password.encode()).decode()
        wanted = {"username": user, "password": coded, "crypted": encrypted}
        await self._ask(msgspec.Raw, guest, "guest-set-user-password", wanted)

    async def guest_disks(self, guest: str) -> list[GuestDisk]:
        found = await self._ask(list[_GuestDisk], guest, "guest-get-disks")
        running = self.world.guests.find(guest).need_running().guest
        return [
            GuestDisk(name=one.name, partition=one.partition, dependencies=tuple(one.dependencies), alias=one.alias,
                      target=_target(running, one.address) if one.address is not None else None)
            for one in found
        ]  # fmt: skip

    async def authorized_keys(self, guest: str, user: str) -> list[str]:
        return (await self._ask(_Keys, guest, "guest-ssh-get-authorized-keys", {"username": user})).keys

    async def set_authorized_keys(self, guest: str, user: str, keys: Sequence[str], mode: KeyMode = "append") -> None:
        if not keys and mode != "replace":
            raise InvalidValue("name at least one key", field="keys")
        if any("\n" in key for key in keys):
            raise InvalidValue("a key has one line", field="keys")
        verb = "remove" if mode == "remove" else "add"
        reset = {} if mode == "remove" else {"reset": mode == "replace"}
        wanted = {"username": user, "keys": list(keys), **reset}
        await self._ask(msgspec.Raw, guest, f"guest-ssh-{verb}-authorized-keys", wanted)

    async def set_agent_timeout(self, guest: str, seconds: int | None = None) -> None:
        record = self.world.guests.find(guest)
        if seconds is not None and not 1 <= seconds <= 600:
            raise InvalidValue("an agent has 1 to 600 seconds for an answer", field="seconds")
        async with record.lock.hold("set the agent's time"):
            record.need_running().agent_timeout = seconds
            await runstate.save_running(self.world.store, record)

    async def _ask(self, kind: type[T], guest: str, command: str, arguments: Mapping[str, object] | None = None, *,
                   deadline: float = DEADLINE) -> T:  # fmt: skip
        running = self.world.guests.find(guest).need_running()
        try:
            text = await running.process.agent_command(
                json.dumps({"execute": command, "arguments": arguments or {}}), running.agent_timeout or deadline)  # fmt: skip
        except HypervisorFailed as error:
            if error.details.get("class") == "CommandNotFound":
                raise Unsupported(f"this guest's agent cannot do {command}: {error.message}") from None
            raise
        try:
            return msgspec.json.decode(text, type=dict[str, Whole if kind is int else kind])["return"]  # type: ignore
        except (msgspec.MsgspecError, KeyError) as error:
            raise HypervisorFailed(f"the guest agent's answer to {command} is not understood: {error}") from None


def _vcpus(found: Sequence[_Vcpu]) -> GuestVcpus:
    return GuestVcpus(
        vcpus=tuple(v.logical_id for v in found),
        online=tuple(v.logical_id for v in found if v.online),
        offlinable=tuple(v.logical_id for v in found if v.can_offline),
    )


def _check_vcpus(known: GuestVcpus, wanted: Sequence[int], online: bool) -> None:
    if not wanted:
        raise InvalidValue("name at least one vCPU", field="vcpus")
    for number in wanted:
        if number not in known.vcpus:
            raise InvalidValue(f"the guest has no vCPU {number}", field="vcpus")
        if not online and number not in known.offlinable and number in known.online:
            raise InvalidValue(f"the guest cannot do without vCPU {number}", field="vcpus")


def _target(guest: Guest, disk: _Disk) -> str | None:
    """The target of the disk that the agent means by a PCI address, and behind a controller by its place there."""
    place = disk.pci_controller
    wanted = (place.domain, place.bus, place.slot, place.function)
    for known in guest.devices.disks:
        address = known.address
        if isinstance(address, PciAddress):
            fits = (address.domain or 0, address.bus or 0, address.slot or 0, address.function or 0) == wanted
        elif isinstance(address, DriveAddress):
            there = (address.bus or 0, address.target or 0, address.unit or 0)
            fits = known.bus == disk.bus_type and there == (disk.bus, disk.target, disk.unit)
        else:
            fits = False
        if fits:
            return known.target
    return None
