"""A disk as a model of what a loss of power leaves: of a file what was fsynced, of names those whose folder was.

Changes are made to it one by one (`Change`). What may be left at a moment:

- `strict`: what was fsynced and no more.
- `names`: all names, sizes and attributes, but of content only what was fsynced: a rename that overtook the data.
- `all`: everything, as when programs alone are killed.
- by chance: of what was not fsynced any part. Each sector of 512 bytes of each write is there or not, whatever the order;
  of names a beginning of what was changed, or of each folder for itself, or any of the changes; a size from meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import random
import stat
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

SECTOR = 512
EVERY = 8
"""Of writes to content one in so many is a moment of its own; of all other changes each."""
ROOT = 0


class Kept(NamedTuple):
    """One file or folder of an image."""

    mode: int
    uid: int
    gid: int
    content: bytes
    attributes: tuple[tuple[str, bytes], ...]


Image = dict[str, Kept]
"""What is found at the next start, by path."""


class Name(NamedTuple):
    """A name in a folder, and the node that it is given to; None takes it away."""

    folder: int
    name: str
    node: int | None


@dataclass(frozen=True)
class Change:
    """Base of what happens to a disk. `what`: in words."""

    what: str


@dataclass(frozen=True)
class Make(Change):
    """A new node, and its name."""

    node: int
    kept: Kept
    name: Name


@dataclass(frozen=True)
class Rename(Change):
    """Names given and taken, all at once within one folder."""

    names: tuple[Name, ...]


@dataclass(frozen=True)
class Write(Change):
    node: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Cut(Change):
    """A file gets another size."""

    node: int
    size: int


@dataclass(frozen=True)
class Note(Change):
    """An extended attribute, or (None) no more."""

    node: int
    name: str
    value: bytes | None


@dataclass(frozen=True)
class Own(Change):
    node: int
    mode: int
    uid: int
    gid: int


@dataclass(frozen=True)
class Sync(Change):
    """What a node is becomes durable: of a file its content, of a folder its names."""

    node: int


@dataclass(frozen=True)
class Mark(Change):
    """What the test says of this moment."""


@dataclass(eq=False)
class Node:
    """A file or folder. `durable`, `durable_names`: what is left of it in any case; `since`: what was written after that."""

    mode: int
    uid: int = 0
    gid: int = 0
    content: bytearray = field(default_factory=bytearray)
    attributes: dict[str, bytes] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    durable: Kept | None = None
    durable_names: dict[str, int] = field(default_factory=dict)
    since: list[Write | Cut] = field(default_factory=list)

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)

    def now(self) -> Kept:
        return Kept(self.mode, self.uid, self.gid, bytes(self.content), tuple(sorted(self.attributes.items())))

    def strict(self) -> Kept:
        return self.durable or Kept(self.mode, self.uid, self.gid, b"", ())

    def overtaken(self) -> Kept:
        """The size and attributes of now, with the content that is durable."""
        now, size = self.now(), len(self.content)
        return now._replace(content=self.strict().content[:size].ljust(size, b"\0"))

    def sync(self) -> None:
        self.durable, self.since = self.now(), []
        self.durable_names = dict(self.names)

    def by_chance(self, dice: random.Random) -> Kept:
        """Of everything since the last sync any part."""
        now, before = self.now(), self.strict()
        owned = dice.choice((now, before))
        both, then = dict(now.attributes), dict(before.attributes)
        either = {name: dice.choice((both.get(name), then.get(name))) for name in sorted({*both, *then})}
        notes = tuple((name, value) for name, value in either.items() if value is not None)
        return Kept(owned.mode, owned.uid, owned.gid, self._content(dice, before.content), notes)

    def _content(self, dice: random.Random, before: bytes) -> bytes:
        odds = dice.choice((0.1, 0.5, 0.9))
        content, sizes, size = bytearray(before), [len(before)], len(before)
        for change in self.since:
            if isinstance(change, Cut):
                size = change.size
                if dice.random() < odds:
                    del content[size:]
            else:
                size = max(size, change.offset + len(change.data))
                for at, piece in _sectors(change):
                    if dice.random() < odds:
                        put(content, at, piece)
            sizes.append(size)
        left = dice.choice(sizes)
        return bytes(content[:left]).ljust(left, b"\0")


def _sectors(write: Write) -> Iterator[tuple[int, bytes]]:
    """A write in pieces that are there whole or not at all."""
    at, end = write.offset, write.offset + len(write.data)
    while at < end:
        until = min(end, (at // SECTOR + 1) * SECTOR)
        yield at, write.data[at - write.offset : until - write.offset]
        at = until


def put(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


class Disk:
    """All nodes by number, and the changes of names that are not durable, in their order."""

    def __init__(self) -> None:
        self.nodes = {ROOT: Node(stat.S_IFDIR | 0o755)}
        self.renames: list[tuple[Name, ...]] = []

    def sync_all(self) -> None:
        for node in self.nodes.values():
            node.sync()
        self.renames.clear()

    def apply(self, change: Change) -> None:
        match change:
            case Make(node=number, kept=kept, name=name):
                self.nodes[number] = Node(kept.mode, kept.uid, kept.gid)
                self._rename((name,))
            case Rename(names=names):
                self._rename(names)
            case Write(node=number, offset=offset, data=data):
                put(self.nodes[number].content, offset, data)
                self.nodes[number].since.append(change)
            case Cut(node=number, size=size):
                content = self.nodes[number].content
                del content[size:]
                content.extend(bytes(size - len(content)))
                self.nodes[number].since.append(change)
            case Note(node=number, name=key, value=value):
                self.nodes[number].attributes.pop(key, None)
                self.nodes[number].attributes.update({key: value} if value is not None else {})
            case Own(node=number, mode=mode, uid=uid, gid=gid):
                node = self.nodes[number]
                node.mode, node.uid, node.gid = mode, uid, gid
            case Sync(node=number):
                self.nodes[number].sync()
                left = (tuple(name for name in names if name.folder != number) for names in self.renames)
                self.renames = [names for names in left if names]

    def _rename(self, names: tuple[Name, ...]) -> None:
        for name in names:
            _give(self.nodes[name.folder].names, name)
        self.renames.append(names)

    # --- what is left

    def strict(self) -> Image:
        return self._walk({number: node.durable_names for number, node in self.nodes.items()}, Node.strict)

    def overtaken(self) -> Image:
        return self._walk({number: node.names for number, node in self.nodes.items()}, Node.overtaken)

    def all(self) -> Image:
        return self._walk({number: node.names for number, node in self.nodes.items()}, Node.now)

    def by_chance(self, dice: random.Random) -> Image:
        kept: dict[int, Kept] = {}

        def chosen(node: Node) -> Kept:  # a file of two names is the same under both
            return kept.setdefault(id(node), node.by_chance(dice))

        return self._walk(self._names(dice), chosen)

    def _names(self, dice: random.Random) -> Mapping[int, Mapping[str, int]]:
        left = {number: dict(node.durable_names) for number, node in self.nodes.items()}
        way, odds = dice.choice(("in order", "each folder", "any")), dice.choice((0.2, 0.5, 0.8))
        until = dice.randint(0, len(self.renames))
        untils = {number: dice.randint(0, len(self.renames)) for number in self.nodes}
        for position, names in enumerate(self.renames):
            there = dice.random() < odds if way == "any" else position < until
            for name in names:
                if position < untils[name.folder] if way == "each folder" else there:
                    _give(left[name.folder], name)
        return left

    def _walk(self, names: Mapping[int, Mapping[str, int]], kept: object, number: int = ROOT, path: str = "") -> Image:
        assert callable(kept)
        image: Image = {}
        for name, below in names[number].items():
            node = self.nodes[below]
            image[f"{path}/{name}"] = kept(node)
            if node.is_folder:
                image |= self._walk(names, kept, below, f"{path}/{name}")
        return image


def _give(names: dict[str, int], name: Name) -> None:
    names.pop(name.name, None)
    if name.node is not None:
        names[name.name] = name.node


class Left(NamedTuple):
    """What a loss of power leaves, and when: in which way, after which change, after which mark."""

    variant: str
    what: str
    mark: str
    image: Image


class Record(NamedTuple):
    """A disk at the beginning, pickled, and all that happened to it."""

    start: bytes
    changes: Sequence[Change]

    def save(self, path: str) -> None:
        with open(path, "wb") as file:  # noqa: PTH123
            pickle.dump(tuple(self), file)

    @classmethod
    def load(cls, path: Path) -> Record:
        return cls(*pickle.loads(path.read_bytes()))

    def replay(self) -> Iterator[tuple[int, Change, str, Disk]]:
        """The disk after each change, with the last mark."""
        disk: Disk = pickle.loads(self.start)
        mark = ""
        for number, change in enumerate(self.changes):
            disk.apply(change)
            mark = change.what if isinstance(change, Mark) else mark
            yield number, change, mark, disk

    def moments(self) -> list[Left]:
        """What each moment leaves in the ways that leave nothing to chance, each image once."""
        found: dict[bytes, Left] = {}
        writes = 0
        for number, change, mark, disk in self.replay():
            writes += isinstance(change, Write)
            if isinstance(change, Write) and writes % EVERY and number + 1 < len(self.changes):
                continue
            for variant, image in (("strict", disk.strict()), ("names", disk.overtaken()), ("all", disk.all())):
                found.setdefault(_digest(image), Left(variant, change.what, mark, image))
        return list(found.values())

    def by_chance(self, dice: random.Random, count: int) -> Iterator[Left]:
        """What some moments leave by chance: half of them any, half such as are no writes to content."""
        rare = [number for number, change in enumerate(self.changes) if not isinstance(change, Write)]
        chosen = Counter(
            dice.choice(rare) if place % 2 else dice.randrange(len(self.changes)) for place in range(count)
        )
        for number, change, mark, disk in self.replay():
            for _ in range(chosen[number]):
                yield Left(f"by chance at {number}", change.what, mark, disk.by_chance(dice))


def _digest(image: Image) -> bytes:
    digest = hashlib.sha256()
    for path, kept in sorted(image.items()):
        digest.update(repr((path, kept._replace(content=hashlib.sha256(kept.content).digest()))).encode())
    return digest.digest()


def lay_out(image: Image, folder: Path) -> None:
    """Make a real folder have what an image has, and nothing else."""
    for old in folder.iterdir():
        subprocess.run(["rm", "-rf", old], check=True)
    for path, kept in sorted(image.items()):
        place = f"{folder}{path}"
        if stat.S_ISDIR(kept.mode):
            os.makedirs(place, exist_ok=True)  # noqa: PTH103
        elif not stat.S_ISREG(kept.mode):
            os.mknod(place, kept.mode)
        else:
            with open(place, "wb") as file:  # noqa: PTH123
                for at in range(0, len(kept.content), 65536):  # what is empty stays a hole
                    if (piece := kept.content[at : at + 65536]).strip(b"\0"):
                        file.seek(at)
                        file.write(piece)
                file.truncate(len(kept.content))
        os.chown(place, kept.uid, kept.gid)
        os.chmod(place, stat.S_IMODE(kept.mode))  # noqa: PTH101
        for name, value in kept.attributes:
            os.setxattr(place, name, value)
