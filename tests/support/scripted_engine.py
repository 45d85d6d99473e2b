"""An engine that only says what its guests are, at the least cost: `python scripted_engine.py SOCKET GUESTS`."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import cast

from frontinus.api.engine import Engine
from frontinus.api.views import (
    BlockStats,
    CpuStats,
    GuestStats,
    GuestView,
    HostView,
    InterfaceStats,
    MemoryStats,
    Snapshot,
    VcpuStats,
    VersionView,
)  # fmt: skip
from frontinus.daemon.server import Server

XML = """<domain><devices><disk type='file'><driver type='raw'/><source file='/disks/{number}.img'/><target dev='vda'/></disk>
<interface><mac address='52:54:00:00:00:01'/><model type='virtio'/></interface></devices></domain>"""


class Scripted:
    """So many running guests, each with two virtual CPUs, a disk and a NIC, whose figures grow with the time."""

    def __init__(self, guests: int) -> None:
        self.views = [
            GuestView(uuid=str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))), name=f"guest-{number:05d}", state="running",
                      reason="booted", id=number, active=True, vcpus=2, max_vcpus=2, memory=2**29, max_memory=2**29,
                      since=time.time())
            for number in range(guests)
        ]  # fmt: skip
        self.numbers = {view.uuid: number for number, view in enumerate(self.views)}

    async def version(self) -> VersionView:
        return VersionView(frontinus="0", api=1, hypervisor="QEMU", hypervisor_version=(7, 2, 0))

    async def host(self) -> HostView:
        return HostView(hostname="bench", uuid=str(uuid.UUID(int=1)), arch="x86_64", cpu_model="", cpus=2, sockets=1, cores=2,
                        threads=1, numa_nodes=1, memory=2**34, memory_free=2**33)  # fmt: skip

    async def jobs(self, guest: str | None = None) -> list[object]:
        return []

    async def guest_xml(self, guest: str, flags: Sequence[str] = ()) -> str:
        return XML.format(number=self.numbers[guest])

    async def watch(self) -> AsyncIterator[Snapshot]:
        yield Snapshot(generation=1, guests=tuple(self.views))
        await asyncio.Event().wait()

    async def stats(self, guests: Sequence[str] | None = None, groups: Sequence[str] | None = None,
                    max_age: float = 0.0) -> list[GuestStats]:  # fmt: skip
        now = int(time.time() * 1e9) - 1_700_000_000_000_000_000
        memory, vcpus = (
            MemoryStats(current=2**29, rss=2**28),
            tuple(VcpuStats(index=n, time=now // 2) for n in range(2)),
        )
        cpu = CpuStats(time=now)
        nic = InterfaceStats(index=0, name="vnet0", mac="52:54:00:00:00:01", rx_bytes=now // 100, rx_packets=now // 10**5,
                             rx_errors=0, rx_drops=0, tx_bytes=now // 200, tx_packets=now // 10**6, tx_errors=0,
                             tx_drops=0)  # fmt: skip
        disks = (BlockStats(index=0, name="vda", read_bytes=now // 50, read_requests=now // 10**6, read_time=now // 9,
                            write_bytes=now // 60, write_requests=now // 10**6, write_time=now // 8, flush_requests=now // 10**8,
                            flush_time=now // 7, allocation=2**30, capacity=2**33, physical=2**30),)  # fmt: skip
        return [GuestStats(uuid=view.uuid, name=view.name, id=view.id, state="running", reason="booted", taken=time.time(), cpu=cpu,
                           vcpus_current=2, vcpus_maximum=2, vcpus=vcpus, memory=memory, interfaces=(nic,), blocks=disks)
                for view in self.views]  # fmt: skip


async def main() -> None:
    scripted = Scripted(int(sys.argv[2]))
    Server(Path(sys.argv[1]), lambda who: cast("Engine", scripted), readonly=True, mode=0o600)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
