"""Filters in force on links: put there, changed and taken away, each in one moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from frontinus.filter.instance import Filtered

Heard = Callable[[str, Mapping[str, float | None]], None]
"""Called with a link and all addresses that are now known of its guest: the Unix time when each ends, or None."""


class Firewall(Protocol):
    """All methods raise HostFailed when the host refuses, and then what was in force is so still."""

    def listen(self, heard: Heard) -> None:
        """Call `heard` in this event loop whenever a guest's addresses change."""

    async def put(self, nics: Mapping[str, Filtered]) -> None:
        """Put filters in force on links, in place of those that are, all at one moment. Raises Unsupported, InvalidValue."""

    async def drop(self, links: Iterable[str]) -> None:
        """Take the filters of links away, to the last rule. Idempotent."""

    async def restore(self, nics: Mapping[str, Filtered], keep: Iterable[str] = ()) -> None:
        """After a restart: these are in force from now on, and no others. What is right already never lapses.

        `keep`: links whose filter is lost; they have the rules that they had, or nothing passes.
        """

    async def close(self) -> None:
        """Let go; what is in force stays so."""
