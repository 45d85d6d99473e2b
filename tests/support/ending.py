"""Ending whatever guests a test has left."""

from __future__ import annotations

import contextlib

from frontinus.api.engine import Engine
from frontinus.api.errors import NoSuchGuest, WrongState


async def end_all(engine: Engine) -> None:
    """End every guest that runs; one may end by itself meanwhile, as it was told to by an engine that was killed then."""
    for guest in await engine.guests(active=True):
        with contextlib.suppress(WrongState, NoSuchGuest):
            await engine.destroy(guest.uuid)
