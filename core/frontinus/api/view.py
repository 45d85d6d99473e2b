"""The base of everything that the engine shows."""

from __future__ import annotations

import msgspec


class View(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all views: immutable values that cross the socket as they are."""
