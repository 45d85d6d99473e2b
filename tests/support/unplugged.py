"""Devices that a running guest gives up, however busy the machine is."""

from __future__ import annotations

import asyncio

from frontinus.api.engine import Engine
from frontinus.api.errors import NoSuchDevice, Unresponsive

SECONDS = 300.0


async def detach(engine: Engine, guest: str, xml: str, *, config: bool = False) -> None:
    """Ask until the guest has given the device up: past the engine's deadline it may still do so."""
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                await engine.detach_device(guest, xml, live=True, config=config)
                return
            except Unresponsive:
                continue
            except NoSuchDevice:  # it was given up between two questions
                break
    if config:
        await engine.detach_device(guest, xml, config=True)
