"""A guest for the mock hypervisor, and what is told of its life."""

from __future__ import annotations

import asyncio

from frontinus.api.engine import Engine
from frontinus.api.events import LifecycleEvent
from frontinus.engine.local import LocalEngine
from frontinus.mock.hypervisor import MockGuest

XML = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><vcpu current='1'>2</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>"""


async def lifecycle(engine: Engine, count: int) -> list[tuple[str, str]]:
    """The next `count` lifecycle events."""
    found: list[tuple[str, str]] = []
    async with asyncio.timeout(60):
        async for item in engine.watch():
            if isinstance(item, LifecycleEvent):
                found.append((item.kind, item.detail))
            if len(found) == count:
                break
    return found


async def watch(engine: Engine, count: int) -> asyncio.Task[list[tuple[str, str]]]:
    """`lifecycle`, begun."""
    task = asyncio.create_task(lifecycle(engine, count))
    await asyncio.sleep(0)
    return task


def mock_guest(local: LocalEngine, name: str) -> MockGuest:
    """The mock that stands for a running guest's process."""
    process = local.world.guests.find(name).need_running().process
    assert isinstance(process, MockGuest)
    return process
