"""A guest on any emulator, started as the engine does and stopped before its first instruction, without an engine."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts, Paths
from frontinus.domain.prepare import prepare
from frontinus.linux.host import probe_facts
from frontinus.linux.resources import LinuxResources
from frontinus.qemu.driver import QemuHypervisor
from frontinus.qemu.guest import QemuGuest

USERS = (70000, 70009)
DYING = 60.0
"""Seconds that QEMU has to end by itself."""


def paths_in(place: object) -> Paths:
    return Paths(*(f"{place}/{part}" for part in ("config", "state", "run", "log", "cache", "nvram", "ram")))


@asynccontextmanager
async def started(definition: Guest, emulator: str, paths: Paths, number: int, *, host: HostFacts | None = None,
                  incoming: int | None = None) -> AsyncIterator[QemuGuest]:  # fmt: skip
    """Start the guest, or load it from a descriptor; on the way out all of it is taken back."""
    hypervisor, resources = QemuHypervisor(emulator, paths), LinuxResources(paths, USERS)
    caps, host = await hypervisor.capabilities(), host or probe_facts(paths)
    guest = definition.clone()
    guest.devices.emulator = emulator
    prepared_guest = prepare(guest, caps, host, guest_id=number)
    plan = hypervisor.plan(prepared_guest, caps, host, incoming=incoming is not None)

    async def journal(undo: Sequence[dict[str, object]]) -> None:
        pass

    prepared = await resources.set_up(plan.resources, who := await resources.credentials(guest.uuid or ""), journal)
    try:
        running = await hypervisor.launch(plan, prepared.fds, who, incoming)
        try:
            assert await running.status() == "prelaunch" if incoming is None else True
            yield running
        finally:
            await running.quit(graceful=False, deadline=DYING)
    finally:
        for fd in prepared.fds.values():
            os.close(fd)
        await resources.tear_down(prepared.undo)
        resources.close()
