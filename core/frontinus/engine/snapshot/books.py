"""What is kept of a guest's snapshots and checkpoints: one document of each kind a guest, with what was under way."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from frontinus.api.errors import FrontinusError
from frontinus.domain.snapshots.checkpoint import DomainCheckpoint, parse_checkpoint
from frontinus.domain.snapshots.snapshot import DomainSnapshot, parse_snapshot
from frontinus.domain.snapshots.tree import Tree
from frontinus.ports import StateStore
from frontinus.xml import format_document

log = logging.getLogger(__name__)

SNAPSHOTS, CHECKPOINTS = "snapshots", "checkpoints"


class Merge(msgspec.Struct, frozen=True):
    """Of one disk: the layer that goes into the one below it, by their paths."""

    target: str
    above: str
    below: str


class Pending(msgspec.Struct, kw_only=True):
    """A change of a guest's images under way, as a later engine must know it to finish or undo it.

    `xml`: the snapshot that comes to be. `definition`: what was defined before; of a revert, what will be. `files`: what it
    makes, to be removed if it is undone. `tops`: of a change of chains, the new top layers by target. `resume`: the guest was
    stopped for it. Of a revert, `start`: what the guest is brought to at last, `fresh_nvram`: with its UEFI variables made
    anew. `settled`: images, definition and books are as they shall be; the guest that there may be is the new one.
    """

    op: Literal["create", "revert", "delete"]
    name: str
    xml: str | None = None
    definition: str | None = None
    files: list[str] = []
    tops: dict[str, str] = {}
    indexes: dict[str, int] = {}
    resume: bool = False
    internal: dict[str, str] = {}
    """Images by path, and their formats, inside which a snapshot is made."""
    merges: list[Merge] = []
    start: Literal["running", "paused"] | None = None
    fresh_nvram: bool = False
    settled: bool = False
    keep: bool = True
    """Whether a snapshot that is made goes into the books."""
    gone: list[str] = []
    """Files that nobody needs any more once it is settled."""


class _Book(msgspec.Struct, kw_only=True):
    documents: list[str] = []
    current: str | None = None
    made: list[str] = []
    torn: list[str] = []
    doomed: list[str] = []
    pending: Pending | None = None


@dataclass
class Books:
    """The snapshots and checkpoints of one guest. `made`: files that the engine made and may delete when nobody needs them."""

    snapshots: Tree[DomainSnapshot] = field(default_factory=Tree)
    checkpoints: Tree[DomainCheckpoint] = field(default_factory=Tree)
    made: set[str] = field(default_factory=set)
    torn: set[str] = field(default_factory=set)
    """Snapshots whose merging began and did not end: the image is not of their moment any more."""
    pending: Pending | None = None
    doomed: set[str] = field(default_factory=set)
    """Files that the next engine removes (`engine.doomed`)."""

    def bitmaps(self, target: str) -> list[str]:
        """The bitmaps of all checkpoints that a disk is in: new layers of it go on recording under these names."""
        found = [checkpoint.bitmaps().get(target) for checkpoint in self.checkpoints]
        return [bitmap for bitmap in found if bitmap is not None]

    async def save_snapshots(self, store: StateStore, uuid: str) -> None:
        """Write durably; nothing is kept of a guest without any. Raises StorageFailed."""
        tree = self.snapshots
        if not len(tree) and self.pending is None and not self.made and not self.doomed:
            await store.delete(SNAPSHOTS, uuid)
            return
        documents = [format_document(one, secrets=True) for one in tree]
        book = _Book(documents=documents, current=tree.current, made=sorted(self.made), torn=sorted(self.torn),
                     doomed=sorted(self.doomed), pending=self.pending)  # fmt: skip
        await _write(store, SNAPSHOTS, uuid, book)

    async def save_checkpoints(self, store: StateStore, uuid: str) -> None:
        tree = self.checkpoints
        if not len(tree):
            await store.delete(CHECKPOINTS, uuid)
            return
        documents = [format_document(one, secrets=True) for one in tree]
        await _write(store, CHECKPOINTS, uuid, _Book(documents=documents, current=tree.current))

    async def forget(self, store: StateStore, uuid: str) -> None:
        """The guest is gone."""
        await store.delete(SNAPSHOTS, uuid)
        await store.delete(CHECKPOINTS, uuid)


async def _write(store: StateStore, kind: str, uuid: str, book: _Book) -> None:
    await store.save(kind, uuid, msgspec.json.format(msgspec.json.encode(book)).decode())


async def load(store: StateStore) -> dict[str, Books]:
    """The books of every guest by UUID. A document that does not load is set aside, and stops nobody."""
    found: dict[str, Books] = {}
    for stored in await store.load(SNAPSHOTS):
        books = found.setdefault(stored.key, Books())
        try:
            book = msgspec.json.decode(stored.text, type=_Book)
            for text in book.documents:
                books.snapshots.add(parse_snapshot(text))
            books.snapshots.current, books.made, books.pending = book.current, set(book.made), book.pending
            books.torn, books.doomed = set(book.torn), set(book.doomed)
        except (FrontinusError, ValueError) as error:
            await _set_aside(store, SNAPSHOTS, stored.key, error)
            found[stored.key] = Books()
    for stored in await store.load(CHECKPOINTS):
        books = found.setdefault(stored.key, Books())
        try:
            book = msgspec.json.decode(stored.text, type=_Book)
            for text in book.documents:
                books.checkpoints.add(parse_checkpoint(text))
            books.checkpoints.current = book.current
        except (FrontinusError, ValueError) as error:
            await _set_aside(store, CHECKPOINTS, stored.key, error)
            books.checkpoints = Tree()
    return found


async def _set_aside(store: StateStore, kind: str, key: str, error: Exception) -> None:
    place = await store.set_aside(kind, key, str(error))
    log.error("%s of guest %s do not load and were set aside as %s: %s", kind, key, place, error)
