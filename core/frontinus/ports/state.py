"""Definitions and run state on disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Stored:
    """One stored document: its key (a UUID), its text, its revision in the order of writes."""

    key: str
    text: str


class StateStore(Protocol):
    """Atomic, fsynced documents in three kinds: "definitions", "running" (lost at boot) and "autostart" (empty text).

    A write is there whole or not at all after a crash. A document that cannot be read is set aside with a message.
    """

    async def load(self, kind: str) -> Iterable[Stored]:
        """Every document of a kind."""

    async def save(self, kind: str, key: str, text: str) -> None:
        """Write and fsync. Raises StorageFailed (disk full, read-only...)."""

    async def delete(self, kind: str, key: str) -> None:
        """Remove durably; absent is fine."""

    async def set_aside(self, kind: str, key: str, reason: str) -> str:
        """Move a document that does not parse out of the way; returns its new path."""

    async def close(self) -> None:
        """Let go once all that was begun is written. Idempotent; nothing is asked afterwards."""
