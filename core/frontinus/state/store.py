"""The store: every kind of document in a folder of its own, one file a document, named by its key.

Names of guests never become names of files. Writes of one document happen in the order in which they were asked for,
those of different documents side by side in a few threads. What has begun is finished even if the caller is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from frontinus import durable, locks, procfs
from frontinus.api.errors import Busy, InvalidValue, StorageFailed
from frontinus.domain.host import Paths
from frontinus.durable import make_folder
from frontinus.ports.state import Stored
from frontinus.state import files

log = logging.getLogger(__name__)

THREADS = 4
"""Writes at once: a journalling file system commits those that wait for it together."""

PATIENCE, LONG_PATIENCE = 2.0, 30.0
"""Seconds that a lock is waited for, and one whose engine is dead. A program that it was starting when it was killed has the lock
until it is that program, which takes its time on a busy host; only then can it be found and ended."""

KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")

T = TypeVar("T")


@dataclass(frozen=True)
class Kind:
    """Where documents of a kind are kept: a folder below one of the engine's places, and the ending of their names."""

    place: Literal["config", "state", "run"]
    folder: str
    suffix: str


KINDS: Mapping[str, Kind] = {
    "definitions": Kind("config", "guests", ".xml"),
    "autostart": Kind("config", "autostart", ""),
    "snapshots": Kind("state", "snapshots", ".json"),
    "checkpoints": Kind("state", "checkpoints", ".json"),
    "running": Kind("run", "running", ".json"),
    "pools": Kind("config", "pools", ".xml"),
    "pools-autostart": Kind("config", "pools-autostart", ""),
    "pools-running": Kind("run", "pools", ".xml"),
    "volume-work": Kind("state", "volume-work", ".json"),
    "secrets": Kind("config", "secrets", ".xml"),
    "secret-values": Kind("config", "secret-values", ".sealed"),
    "networks": Kind("config", "networks", ".xml"),
    "networks-autostart": Kind("config", "networks-autostart", ""),
    "networks-running": Kind("run", "networks", ".json"),
    "filters": Kind("config", "filters", ".xml"),
    "filter-bindings": Kind("run", "filter-bindings", ".xml"),
    "filter-leases": Kind("run", "filter-leases", ".json"),
    "marks": Kind("state", "marks", ""),
}


class FileStore:
    """`ports.StateStore` on a file system. `problems`: what `load` found amiss and left alone, for a person.

    `exclusive`: hold the places against a second engine, which would take living guests for lost ones.
    """

    def __init__(self, paths: Paths, kinds: Mapping[str, Kind] = KINDS, *, exclusive: bool = False) -> None:
        """Raises Busy when another engine holds the places, StorageFailed when they cannot be held."""
        self._lock = _hold(Path(paths.run)) if exclusive else None
        self._folders = {name: Path(getattr(paths, kind.place), kind.folder) for name, kind in kinds.items()}
        self._suffixes = {name: kind.suffix for name, kind in kinds.items()}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="state")
        self._last: dict[Path, asyncio.Future[Any]] = {}
        self.problems: list[str] = []

    async def load(self, kind: str) -> Iterable[Stored]:
        """Every document of a kind, by key. Torn writes are removed, text that is none is set aside, the rest reported.

        Raises StorageFailed when the folder cannot be read. Only for a store that nobody else writes at the time.
        """
        folder = self._folder(kind)
        found, problems = await self._run(folder, lambda: _load(folder, self._suffixes[kind]))
        for problem in problems:
            log.warning("%s", problem)
        self.problems += problems
        return found

    async def save(self, kind: str, key: str, text: str) -> None:
        """Write durably. Raises StorageFailed, and then the document is as it was."""
        path = self._path(kind, key)
        data = text.encode()

        def write() -> None:
            make_folder(path.parent)
            durable.write(path, data)

        await self._run(path, write)

    async def delete(self, kind: str, key: str) -> None:
        """Remove durably; absent is fine. Raises StorageFailed."""
        path = self._path(kind, key)
        await self._run(path, lambda: files.remove(path))

    async def set_aside(self, kind: str, key: str, reason: str) -> str:
        """Rename to NAME.broken-N and say so in the log. Raises StorageFailed."""
        path = self._path(kind, key)
        place = await self._run(path, lambda: files.move_aside(path))
        log.warning("%s was set aside as %s: %s", path, place, reason)
        return str(place)

    async def close(self) -> None:
        """Wait until everything that was begun is on disk."""
        await asyncio.gather(*self._last.values(), return_exceptions=True)
        self._threads.shutdown()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _folder(self, kind: str) -> Path:
        if kind not in self._folders:
            raise InvalidValue(f"there are no documents of kind '{kind}'", field="kind")
        return self._folders[kind]

    def _path(self, kind: str, key: str) -> Path:
        if not KEY.fullmatch(key) or files.is_aside(key):
            raise InvalidValue(f"'{key[:100]}' cannot be the key of a document", field="key")
        return self._folder(kind) / f"{key}{self._suffixes[kind]}"

    async def _run(self, path: Path, work: Callable[[], T]) -> T:
        """Do work on a path in a thread, after all earlier work on it, and to its end even when the caller is not."""
        before = self._last.get(path)
        task = asyncio.ensure_future(self._after(before, path, work))
        self._last[path] = task
        task.add_done_callback(lambda done: self._forget(path, done))
        return await asyncio.shield(task)

    async def _after(self, before: asyncio.Future[Any] | None, path: Path, work: Callable[[], T]) -> T:
        if before is not None:
            await asyncio.wait([before])
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except OSError as error:
            place = error.filename or str(path)
            raise StorageFailed(f"{path}: {error.strerror or error}", path=str(place)) from error

    def _forget(self, path: Path, done: asyncio.Future[T]) -> None:
        if self._last.get(path) is done:
            del self._last[path]
        if not done.cancelled() and (error := done.exception()) is not None:
            log.debug("%s: %s", path, error)  # the caller, if it still waits, gets it raised


def _hold(folder: Path) -> int:
    """Lock a folder until the descriptor is closed, or this process ends in whatever way."""
    try:
        make_folder(folder)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StorageFailed(f"{folder}: {error.strerror}", path=str(folder)) from error
    if not locks.take(
        fd, lambda waited: waited > LONG_PATIENCE or (waited > PATIENCE and procfs.is_locked_by_living(fd))
    ):
        os.close(fd)
        raise Busy(f"another engine is at work here: it holds {folder}", job="engine")
    return fd


def _load(folder: Path, suffix: str) -> tuple[list[Stored], list[str]]:
    """The documents of a folder, and what is to be said about the rest of it."""
    found: list[Stored] = []
    problems: list[str] = []
    if not folder.exists():
        return found, problems
    for path in sorted(folder.iterdir()):
        key = path.name.removesuffix(suffix)
        if durable.is_temporary(path.name):
            path.unlink()
        elif files.is_aside(path.name):
            continue
        elif not path.name.endswith(suffix) or not KEY.fullmatch(key) or not path.is_file():
            problems.append(f"{path} is none of ours and is left alone")
        else:
            try:
                found.append(Stored(key, path.read_text("utf-8")))
            except UnicodeDecodeError:
                problems.append(f"{path} is no text and was set aside as {files.move_aside(path)}")
            except OSError as error:
                problems.append(f"{path} cannot be read: {error.strerror}")
    return found, problems
