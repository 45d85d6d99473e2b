"""The part of the hypervisor port that tends a running guest: dumps, memory, displays, iothreads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.cpu.made import MadeCpu
from frontinus.domain.cpu.model import Cpu
from frontinus.ports.limits import Threads

Progress = Callable[[int, int], None]
"""Bytes done, bytes in all."""


class Tending(Protocol):
    """Methods raise HypervisorFailed with the hypervisor's own words, Unresponsive past a deadline."""

    async def threads(self) -> Threads: ...
    async def made_cpu(self, cpu: Cpu, caps: Capabilities) -> MadeCpu:
        """What CPU the guest has that was started with this one."""

    async def dump(self, fd: int, format: str, progress: Progress) -> None:
        """Write the guest's memory as a core: raw (ELF), kdump-zlib, kdump-lzo, kdump-snappy, win-dmp.

        Raises Unsupported for a format that this hypervisor was built without.
        """

    async def peek(self, path: str, address: int, size: int, *, physical: bool) -> None:
        """Write bytes of the guest's memory to a file inside its private folder."""

    async def disk_errors(self) -> Mapping[str, str]:
        """Aliases of disks that an error stopped: no space, or unspecified."""

    async def open_display(self, protocol: str, fd: int) -> None:
        """Take a connected socket as a client of vnc or spice that is logged in."""

    async def add_iothread(self, number: int, properties: Mapping[str, int]) -> None: ...
    async def del_iothread(self, number: int) -> None: ...
    async def set_iothread(self, number: int, properties: Mapping[str, int]) -> None:
        """Set properties of an I/O thread that runs, by QEMU's names, in this order."""

    async def end_on_reboot(self, ends: bool) -> None:
        """Whether a reboot of the guest is its end. Raises Unsupported where that is chosen at the start."""

    async def set_stats_period(self, balloon: str, seconds: int) -> None:
        """How often the guest's balloon driver (by alias) tells memory figures; 0: not at all."""

    async def confinement(self) -> Sequence[tuple[str, str, bool]]:
        """Model, label and whether it is enforced, of everything that confines the process."""
