"""Image files of this host, looked at, made and changed while no guest has them open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

SnapshotVerb = Literal["create", "apply", "delete"]
BitmapVerb = Literal["add", "remove"]


@dataclass(frozen=True)
class Backing:
    """The image below another, as its header shall name it."""

    path: str
    format: str


class Images(Protocol):
    """All raise StorageFailed with the path. Formats are always said, never guessed."""

    async def create(self, path: str, format: str, size: int, *, backing: Backing | None = None) -> None:
        """Make an image of a size in bytes. A file must be new; a block device is overwritten. What lies below is not opened."""

    async def remove(self, paths: Sequence[str]) -> None:
        """Remove files; absent ones are fine, what is no regular file is left."""

    async def present(self, paths: Sequence[str]) -> list[str]:
        """Which of them are there. Block devices do not count: they are there to be overwritten."""

    async def sync(self, paths: Sequence[str]) -> None:
        """Have what was written to files on disk."""

    async def size(self, path: str, format: str) -> int:
        """The bytes that a guest sees."""

    async def backing(self, path: str, format: str) -> Backing | None | Literal["unknown"]:
        """What the header says lies below, by an absolute path; None for nothing, "unknown" for what cannot be told."""

    async def snapshot(self, verb: SnapshotVerb, path: str, format: str, name: str) -> None:
        """A snapshot inside an image: made, gone back to, deleted."""

    async def snapshots(self, path: str, format: str) -> Sequence[str]:
        """Names of the snapshots inside an image."""

    async def repair(self, path: str, format: str) -> None:
        """Give back what a change that was broken off had reserved inside an image."""

    async def bitmap(self, verb: BitmapVerb, path: str, format: str, name: str) -> None:
        """A bitmap in an image that records what is written from now on: made, removed."""

    async def bitmaps(self, path: str, format: str) -> Mapping[str, bool]:
        """The bitmaps in an image by name, and whether they are sound and record what is written."""
