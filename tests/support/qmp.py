"""QEMU's own word on a running guest."""

from __future__ import annotations

import json
from typing import Any

from frontinus.api.engine import Engine


async def ask(engine: Engine, guest: str, command: str, **arguments: object) -> Any:
    """What a QMP command of a guest's QEMU returns."""
    answer = await engine.monitor_command(guest, json.dumps({"execute": command, "arguments": arguments}))
    return json.loads(answer)["return"]


async def hmp(engine: Engine, guest: str, line: str) -> str:
    """What its human monitor prints."""
    return await engine.monitor_command(guest, line, hmp=True)


async def io(engine: Engine, guest: str, command: str, number: int = 0) -> None:
    """Have QEMU do with a virtio disk as the guest would. Raises AssertionError with what went wrong."""
    said = await hmp(engine, guest, f'qemu-io -d /machine/peripheral/virtio-disk{number}/virtio-backend "{command}"')
    assert not said.strip(), said
