"""Flags of calls: what they say together."""

from __future__ import annotations

from collections.abc import Collection

from frontinus.api.errors import InvalidValue


def paused_of(flags: Collection[str]) -> bool | None:
    """How a guest comes back: paused, running, or (None) as it was. Raises InvalidValue for both."""
    if {"running", "paused"} <= set(flags):
        raise InvalidValue("running and paused exclude each other", field="flags")
    return True if "paused" in flags else False if "running" in flags else None
