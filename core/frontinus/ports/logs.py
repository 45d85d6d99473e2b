"""Logs of running guests: what QEMU says, and what consoles with a <log> print. They are kept small while they are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Logs(Protocol):
    """Nothing here fails: a log that cannot be kept small is told of in the engine's own."""

    def follow(self, guest: str, files: Sequence[str]) -> None:
        """Keep these files of a guest small from now on, and no others of it."""

    def forget(self, guest: str) -> None:
        """The guest has ended; its files stay as they are."""

    async def close(self) -> None:
        """Let go of all, and wait for what is under way."""
