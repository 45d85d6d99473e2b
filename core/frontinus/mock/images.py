"""Image files in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from frontinus.api.errors import StorageFailed
from frontinus.ports.images import Backing, BitmapVerb, SnapshotVerb

SIZE = 2**33


@dataclass
class MemoryImage:
    """One image."""

    format: str
    size: int
    backing: Backing | None = None
    snapshots: list[str] = field(default_factory=list)
    bitmaps: set[str] = field(default_factory=set)


class MemoryImages:
    """`files` are those that were made. What was not is an image of 8 GiB all the same; `snapshots` inside it are kept."""

    def __init__(self) -> None:
        self.files: dict[str, MemoryImage] = {}
        self.removed: list[str] = []

    def _image(self, path: str, format: str) -> MemoryImage:
        return self.files.setdefault(path, MemoryImage(format, SIZE))

    async def create(self, path: str, format: str, size: int, *, backing: Backing | None = None) -> None:
        if path in self.files:
            raise StorageFailed(f"{path} is there already", path=path)
        self.files[path] = MemoryImage(format, size, backing)

    async def remove(self, paths: Sequence[str]) -> None:
        for path in paths:
            self.files.pop(path, None)
            self.removed.append(path)

    async def present(self, paths: Sequence[str]) -> list[str]:
        return [path for path in paths if path in self.files]

    async def sync(self, paths: Sequence[str]) -> None:
        return None

    async def size(self, path: str, format: str) -> int:
        return self._image(path, format).size

    async def backing(self, path: str, format: str) -> Backing | None | Literal["unknown"]:
        image = self.files.get(path)
        return image.backing if image is not None else "unknown"

    async def snapshot(self, verb: SnapshotVerb, path: str, format: str, name: str) -> None:
        names = self._image(path, format).snapshots
        if verb == "create":
            names.append(name)
        elif name not in names:
            raise StorageFailed(f"{path} has no snapshot '{name}'", path=path)
        elif verb == "delete":
            names.remove(name)

    async def snapshots(self, path: str, format: str) -> Sequence[str]:
        return list(self._image(path, format).snapshots)

    async def repair(self, path: str, format: str) -> None:
        return None

    async def bitmap(self, verb: BitmapVerb, path: str, format: str, name: str) -> None:
        names = self._image(path, format).bitmaps
        if verb == "add":
            names.add(name)
        else:
            names.discard(name)

    async def bitmaps(self, path: str, format: str) -> Mapping[str, bool]:
        return dict.fromkeys(self._image(path, format).bitmaps, True)
