"""The part of the facade that looks into a guest: dumps, memory, disks, the state of its monitor."""

from __future__ import annotations

from typing import Literal, Protocol

from frontinus.api.descriptor import Descriptor
from frontinus.api.view import View

DumpFormat = Literal["raw", "kdump-zlib", "kdump-lzo", "kdump-snappy", "win-dmp"]


class DiskError(View, frozen=True, kw_only=True):
    """A disk that an error stopped, by its target. `error`: no space or unspecified."""

    disk: str
    error: str


class ControlInfo(View, frozen=True, kw_only=True):
    """The way to the hypervisor. `state`: ok, job (one is under way), occupied (it waits for an answer), error;
    `reason` of an error; `since`: milliseconds in this state."""

    state: str
    reason: str = "none"
    since: int = 0


class SecurityView(View, frozen=True, kw_only=True):
    """What confines a running guest. `model`: selinux, apparmor, dac; `label` as that model writes it."""

    model: str
    label: str
    enforcing: bool = False


class InspectionCalls(Protocol):
    """Dumps and looks."""

    async def core_dump(self, guest: str, path: str, memory_only: bool = False, format: DumpFormat = "raw",
                        live: bool = False, crash: bool = False, reset: bool = False) -> None:  # fmt: skip
        """Write the guest's memory to a file. `memory_only`: an ELF core or kdump file, else the hypervisor's own stream.

        The guest pauses meanwhile unless `live`; afterwards `crash` ends it, `reset` resets it.
        """

    async def memory_peek(self, guest: str, offset: int, size: int, physical: bool = False) -> bytes:
        """Bytes of the guest's memory at a virtual (as the first vCPU sees it) or physical address; at most 4 MiB."""

    async def block_peek(self, guest: str, disk: str, offset: int, size: int) -> bytes:
        """Bytes of a raw disk as its file has them; at most 4 MiB. Raises Unsupported for other formats."""

    async def disk_errors(self, guest: str) -> list[DiskError]: ...
    async def control_info(self, guest: str) -> ControlInfo: ...
    async def security_labels(self, guest: str) -> list[SecurityView]: ...
    async def open_graphics(self, guest: str, index: int = 0) -> Descriptor:
        """A descriptor connected to a display server of the guest, as a client that is logged in."""

    async def redefine_saved(self, path: str, xml: str, paused: bool | None = None) -> None:
        """Change the definition inside a saved state, and how it comes back. Raises InvalidXML for other hardware."""
