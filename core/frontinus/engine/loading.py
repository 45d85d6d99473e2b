"""Documents of an earlier engine: one that does not load is set aside, and stops nobody."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from frontinus.api.errors import FrontinusError
from frontinus.ports import StateStore

log = logging.getLogger(__name__)


@asynccontextmanager
async def loading(store: StateStore, kind: str, key: str, what: str) -> AsyncIterator[None]:
    """Make sense of a document within this block. What is wrong with it ends the block, and is told of `what`."""
    try:
        yield
    except (FrontinusError, ValueError) as error:
        place = await store.set_aside(kind, key, str(error))
        log.error("%s does not load and was set aside as %s: %s", what, place, error)
