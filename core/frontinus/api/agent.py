"""The part of the facade that asks the guest's agent. Every call raises AgentUnavailable where none answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from frontinus.api.view import View


class GuestTime(View, frozen=True, kw_only=True):
    """The guest's clock: Unix time."""

    seconds: int
    nanoseconds: int = 0


class GuestFilesystem(View, frozen=True, kw_only=True):
    """A mounted file system. `disks`: targets of the guest's disks under it. Sizes in bytes."""

    mountpoint: str
    name: str
    type: str
    disks: tuple[str, ...] = ()
    total: int | None = None
    used: int | None = None


class GuestVcpus(View, frozen=True, kw_only=True):
    """vCPUs as the guest's system sees them, by number."""

    vcpus: tuple[int, ...]
    online: tuple[int, ...]
    offlinable: tuple[int, ...]


class GuestUser(View, frozen=True, kw_only=True):
    """A user that is logged in. `login`: Unix time in seconds."""

    name: str
    login: float = 0.0
    domain: str | None = None


class GuestOs(View, frozen=True, kw_only=True):
    """The guest's operating system, as os-release(5) and uname(2) name it."""

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


class GuestZone(View, frozen=True, kw_only=True):
    """The guest's time zone; `offset` in seconds east of UTC."""

    name: str
    offset: int


class GuestDisk(View, frozen=True, kw_only=True):
    """A disk or a part of one as the guest names it. `target`: of the guest's disk that it is, where that is known."""

    name: str
    partition: bool = False
    dependencies: tuple[str, ...] = ()
    alias: str | None = None
    target: str | None = None


KeyMode = Literal["append", "replace", "remove"]


class AgentCalls(Protocol):
    """What the guest's agent does."""

    async def guest_hostname(self, guest: str) -> str: ...
    async def guest_time(self, guest: str) -> GuestTime: ...
    async def set_guest_time(self, guest: str, seconds: int = 0, nanoseconds: int = 0, sync: bool = False) -> None:
        """`sync`: from the guest's own hardware clock instead."""

    async def guest_zone(self, guest: str) -> GuestZone: ...
    async def guest_filesystems(self, guest: str) -> list[GuestFilesystem]: ...
    async def freeze(self, guest: str, mountpoints: Sequence[str] = ()) -> int:
        """Freeze file systems, all without `mountpoints`; how many are frozen."""

    async def thaw(self, guest: str, mountpoints: Sequence[str] = ()) -> int: ...
    async def trim(self, guest: str, minimum: int = 0) -> None:
        """Discard unused blocks, in stretches of at least so many bytes."""

    async def guest_vcpus(self, guest: str) -> GuestVcpus: ...
    async def set_guest_vcpus(self, guest: str, vcpus: Sequence[int], online: bool) -> None: ...
    async def guest_users(self, guest: str) -> list[GuestUser]: ...
    async def guest_os(self, guest: str) -> GuestOs: ...
    async def set_user_password(self, guest: str, user: str, password: str, encrypted: bool = False) -> None: ...
    async def guest_disks(self, guest: str) -> list[GuestDisk]: ...
    async def authorized_keys(self, guest: str, user: str) -> list[str]:
        """The SSH keys that may log in as a user, one a line of authorized_keys(5)."""

    async def set_authorized_keys(
        self, guest: str, user: str, keys: Sequence[str], mode: KeyMode = "append"
    ) -> None: ...
