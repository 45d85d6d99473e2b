"""`ports.Images` on this host: qemu-img within limits, and the header of a qcow2 read by ourselves."""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from frontinus.api.errors import StorageFailed
from frontinus.domain.devices.block.source import BACKED, FORMATS
from frontinus.durable import sync_folder
from frontinus.linux import images
from frontinus.linux.storage.notes import note
from frontinus.ports.images import Backing, BitmapVerb, SnapshotVerb
from frontinus.storage import headers

VERBS: dict[SnapshotVerb, str] = {"create": "-c", "apply": "-a", "delete": "-d"}
PROTOCOL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
"""What QEMU takes for a protocol at the start of a name."""


class LinuxImages:
    """Images as files and block devices."""

    async def create(self, path: str, format: str, size: int, *, backing: Backing | None = None) -> None:
        await asyncio.to_thread(_create, path, format, size, backing)

    async def remove(self, paths: Sequence[str]) -> None:
        await asyncio.to_thread(_remove, paths)

    async def present(self, paths: Sequence[str]) -> list[str]:
        return await asyncio.to_thread(_present, paths)

    async def sync(self, paths: Sequence[str]) -> None:
        for path in paths:
            await asyncio.to_thread(_sync, path)

    async def size(self, path: str, format: str) -> int:
        return (await images.info(path, format)).virtual_size

    async def backing(self, path: str, format: str) -> Backing | None | Literal["unknown"]:
        return await asyncio.to_thread(_backing, path, format)

    async def snapshot(self, verb: SnapshotVerb, path: str, format: str, name: str) -> None:
        await asyncio.to_thread(images.run, ["snapshot", VERBS[verb], name, "--", alone(path, format)], path)

    async def snapshots(self, path: str, format: str) -> Sequence[str]:
        argv = ["info", "--force-share", "--output=json", "--", alone(path, format)]
        answer = json.loads(await asyncio.to_thread(images.run, argv, path))
        return [str(one["name"]) for one in answer.get("snapshots", [])]

    async def repair(self, path: str, format: str) -> None:
        await asyncio.to_thread(images.run, ["check", "-q", "-r", "leaks", "--", alone(path, format)], path)

    async def bitmap(self, verb: BitmapVerb, path: str, format: str, name: str) -> None:
        await asyncio.to_thread(images.run, ["bitmap", f"--{verb}", "--", alone(path, format), name], path)

    async def bitmaps(self, path: str, format: str) -> Mapping[str, bool]:
        argv = ["info", "--force-share", "--output=json", "--", alone(path, format)]
        details = json.loads(await asyncio.to_thread(images.run, argv, path)).get("format-specific", {}).get("data", {})
        found = {str(one["name"]): set(one.get("flags", ())) for one in details.get("bitmaps", [])}
        return {name: flags == {"auto"} for name, flags in found.items()}


def alone(path: str, format: str) -> str:
    """An image of a format without what its header names below: that is not opened."""
    graph: dict[str, object] = {"driver": format, "file": {"driver": "file", "filename": path}}
    try:
        if stat.S_ISBLK(Path(path).stat().st_mode):
            graph["file"] = {"driver": "host_device", "filename": path}
    except OSError as error:
        raise StorageFailed(f"cannot look at {path}: {error.strerror}", path=path) from None
    return "json:" + json.dumps(graph | ({"backing": None} if format in BACKED else {}))


def _create(path: str, format: str, size: int, backing: Backing | None) -> None:
    made = _reserve(path)
    below = ["-u", "-b", backing.path, "-F", backing.format] if backing is not None else []
    try:
        images.run(["create", "-q", "-f", format, *below, "--", images.plain(path), str(size)], path)
        if made:
            _note(path, format)
        _sync(path)
    except BaseException:
        if made:
            Path(path).unlink(missing_ok=True)
        raise


def _reserve(path: str) -> bool:
    """Make the file, which must be new; False for a block device. Raises StorageFailed."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if stat.S_ISBLK(Path(path).stat().st_mode):
            return False
        raise StorageFailed(f"{path} is there already: say that it is to be reused, or remove it", path=path) from None
    except OSError as error:
        raise StorageFailed(f"cannot make {path}: {error.strerror}", path=path) from None
    return True


def _note(path: str, format: str) -> None:
    """Beside an image of ours stands what it is, whatever its guest writes into it."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        note(fd, format=format)
    finally:
        os.close(fd)


def _sync(path: str) -> None:
    """A new image, and its name, outlive a loss of power."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        sync_folder(Path(path).parent)
    except OSError as error:
        raise StorageFailed(f"cannot write {path}: {error.strerror}", path=path) from None


def _present(paths: Sequence[str]) -> list[str]:
    return [path for path in paths if os.path.lexists(path) and not Path(path).is_block_device()]


def _remove(paths: Sequence[str]) -> None:
    for path in paths:
        try:
            if stat.S_ISREG(Path(path).lstat().st_mode):
                Path(path).unlink()
            sync_folder(Path(path).parent)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StorageFailed(f"cannot remove {path}: {error.strerror}", path=path) from None


def _backing(path: str, format: str) -> Backing | None | Literal["unknown"]:
    if format not in BACKED:
        return None
    if format != "qcow2":
        return "unknown"
    try:
        with Path(path).open("rb") as file:
            head = file.read(4096)
            offset, length = headers.name_span(head) or (0, 0)
            file.seek(offset)
            found = headers.parse(head, file.read(length))
    except OSError:
        return "unknown"
    name, kind = found.backing, found.backing_format
    if found.format != "qcow2":
        return "unknown"
    if name is None:
        return None
    if kind not in FORMATS or (PROTOCOL.match(name) and not name.startswith("file:")):
        return "unknown"
    return Backing(str(Path(path).parent / name.removeprefix("file:")), kind)
