"""The mock's part of tending: threads that are only numbers, memory that is only zeros."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.cpu.made import MadeCpu
from frontinus.domain.cpu.model import Cpu
from frontinus.domain.guest import Guest
from frontinus.ports.hypervisor import RunRecord
from frontinus.ports.limits import Threads
from frontinus.ports.tending import Progress

DISPLAY = b"RFB 003.008\n"
"""What a VNC server says first."""
FIRST_THREAD = 100_000
"""Beyond any process of the mock."""


class MockTending:
    """`ports.Tending` in memory. `faults`: disk errors by alias, as a test wants them."""

    record: RunRecord
    guest: Guest
    dropped: ClassVar[frozenset[str]] = frozenset()
    """Features that no CPU of the mock has, whatever is asked for."""

    def __init__(self) -> None:
        self.faults: dict[str, str] = {}
        self.settings: dict[int, dict[str, int]] = {}
        self.ends_on_reboot = False
        self.vcpus = self.guest.vcpu_current or self.guest.vcpus or 1
        self.iothreads = {thread.id or 0 for thread in self.guest.all_iothreads()}

    async def made_cpu(self, cpu: Cpu, caps: Capabilities) -> MadeCpu:
        return MadeCpu(self.dropped)

    async def threads(self) -> Threads:
        first = FIRST_THREAD + self.record.pid * 1000
        return Threads(self.record.pid, {n: first + n for n in range(self.vcpus)},
                       {n: first + 500 + n for n in self.iothreads})  # fmt: skip

    async def dump(self, fd: int, format: str, progress: Progress) -> None:
        os.write(fd, b"\x7fELF mock core")
        progress(1, 1)

    async def peek(self, path: str, address: int, size: int, *, physical: bool) -> None:
        target = Path(path)
        await asyncio.to_thread(target.parent.mkdir, parents=True, exist_ok=True)
        await asyncio.to_thread(target.write_bytes, bytes(size))

    async def disk_errors(self) -> Mapping[str, str]:
        return self.faults

    async def open_display(self, protocol: str, fd: int) -> None:
        os.write(fd, DISPLAY)

    async def add_iothread(self, number: int, properties: Mapping[str, int]) -> None:
        self.iothreads.add(number)

    async def del_iothread(self, number: int) -> None:
        self.iothreads.discard(number)

    async def set_iothread(self, number: int, properties: Mapping[str, int]) -> None:
        self.settings[number] = self.settings.get(number, {}) | dict(properties)

    async def end_on_reboot(self, ends: bool) -> None:
        self.ends_on_reboot = ends

    async def set_stats_period(self, balloon: str, seconds: int) -> None:
        return None

    async def confinement(self) -> Sequence[tuple[str, str, bool]]:
        return [("dac", "+0:+0", False)]
