"""A host's storage in memory: a tree of files with sizes and formats, tools that answer what a test recorded."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from frontinus.api.errors import AlreadyExists, StorageFailed, Unsupported
from frontinus.ports.storage import Form, Progress
from frontinus.storage import steps, wiping
from frontinus.storage.headers import Header
from frontinus.storage.parts import Permissions
from frontinus.storage.steps import Found, Place, Step
from frontinus.wire import pieces

SPACE = 100 * 2**30
"""Bytes of every file system."""
VERBS = {"create": 1, "convert": 2}
"""How many paths stand at the end of a qemu-img command, before a size."""


@dataclass
class Entry:
    """A file, folder or device."""

    place: Place
    header: Header = field(default_factory=Header)
    declared: str | None = None
    secret: str | None = None
    content: bytes = b""


class MemoryStorage:
    """`answers`: what tools print, by their argument vector or its first word. `asked`: every tool that was run."""

    def __init__(self, answers: Mapping[tuple[str, ...] | str, str] | None = None) -> None:
        self.entries: dict[str, Entry] = {"/": Entry(Place("dir"))}
        self.mounts: dict[str, str] = {}
        self.answers: dict[tuple[str, ...] | str, str] = dict(answers or {})
        self.asked: list[tuple[str, ...]] = []
        self.written: dict[str, str] = {}
        self.lacking: set[str] = set()
        self.loops: dict[tuple[str, int], str] = {}

    async def perform(self, step: Step, values: Mapping[str, bytes], progress: Progress | None = None) -> object:
        await asyncio.sleep(0)
        action: Callable[[Any], object] | None = getattr(self, f"_{type(step).__name__.lower()}", None)
        if action is None:
            raise Unsupported(f"the mock cannot take the step {type(step).__name__}")
        if progress is not None and isinstance(step, steps.Image | steps.Wipe):
            progress(1, 1)
        return action(step)

    async def receive(self, sock: socket.socket, path: str, offset: int, length: int, *, form: Form,
                      progress: Progress) -> int:  # fmt: skip
        loop, entry = asyncio.get_running_loop(), self._at(path)
        sock.setblocking(False)
        taken, reader = bytearray(), pieces.Reader()
        while data := await loop.sock_recv(sock, 65536):
            for piece in reader.feed(data) if form == "pieces" else [data]:
                taken += bytes(piece) if isinstance(piece, int) else piece
        if not reader.is_whole:
            raise StorageFailed("the sender ended within a piece")
        room = entry.place.size - offset
        if len(taken) > (min(room, length) if length else room):
            raise StorageFailed(f"{path}: more was sent than there is room for", path=path)
        before = entry.content.ljust(offset, b"\0")
        entry.content = before[:offset] + bytes(taken) + before[offset + len(taken) :]
        progress(len(taken), len(taken))
        return len(taken)

    async def send(self, sock: socket.socket, path: str, offset: int, length: int, *, form: Form,
                   progress: Progress) -> int:  # fmt: skip
        """As pieces: all up to the last byte that is not zero, and one hole."""
        entry = self._at(path)
        size = min(entry.place.size, offset + length) if length else entry.place.size
        data = entry.content.ljust(size, b"\0")[offset:size]
        written = data.rstrip(b"\0")
        stream = pieces.data_head(len(written)) + written + pieces.hole(len(data) - len(written))
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_sendall(sock, stream if form == "pieces" else data)
        sock.shutdown(socket.SHUT_WR)
        progress(len(data), len(data))
        return len(data)

    async def stage(self, source: str, target: str, length: int) -> None:
        entry = self._at(source)
        self.entries[target] = Entry(entry.place, entry.header, entry.declared, entry.secret, entry.content)

    async def replace(self, staged: str, path: str) -> None:
        self._at(path)
        self.entries[path] = self.entries.pop(staged)

    def close(self) -> None:
        return None

    def add(
        self, path: str, size: int, kind: str = "file", header: Header | None = None, declared: str | None = None
    ) -> None:
        """Have a file or device be there, and the folders above it."""
        self._makefolder(steps.MakeFolder(path.rpartition("/")[0] or "/"))
        self.entries[path] = Entry(Place(kind, size, size, 0o600), header or Header(), declared)

    def _at(self, path: str) -> Entry:
        entry = self.entries.get(path)
        if entry is None:
            raise StorageFailed(f"{path}: No such file or directory", path=path)
        return entry

    def _runplace(self, step: steps.RunPlace) -> str:
        return f"/run/mock/{step.name}"

    def _need(self, step: steps.Need) -> None:
        for name in (*step.programs, *([step.filesystem] if step.filesystem else [])):
            if name in self.lacking:
                raise Unsupported(f"this needs '{name}', which is not there")

    def _run(self, step: steps.Run) -> str:
        self.asked.append(step.argv)
        if step.argv[0] == "mount":
            self.mounts[step.argv[-1]] = step.argv[-2]
            self._makefolder(steps.MakeFolder(step.argv[-1]))
        elif step.argv[0] == "umount":
            self.mounts.pop(step.argv[-1], None)
        return self.answers.get(step.argv, self.answers.get(step.argv[0], ""))

    def _login(self, step: steps.Login) -> None:
        self.asked.append(("login", step.pattern))
        if not step.before:
            self.add(step.pattern.replace("{run}", "/run/mock"), 0)

    def _endstrays(self, step: steps.EndStrays) -> None:
        pass

    def _declare(self, step: steps.Declare) -> None:
        entry = self._at(step.path)
        entry.declared = entry.declared or step.format

    def _roundup(self, step: steps.RoundUp) -> None:
        entry = self._at(step.path)
        entry.place = structs.replace(entry.place, size=-(-entry.place.size // step.unit) * step.unit)

    def _reflink(self, step: steps.Reflink) -> None:
        entry = self._at(step.source)
        self.entries[step.path] = Entry(entry.place, entry.header, content=entry.content)

    def _look(self, step: steps.Look) -> Place | None:
        entry = self.entries.get(step.path)
        return entry.place if entry else None

    def _scan(self, step: steps.Scan) -> dict[str, Found]:
        self._at(step.path)
        stem = step.path.rstrip("/") + "/"
        names = sorted(path[len(stem) :] for path in self.entries if path.startswith(stem) and len(path) > len(stem))
        return {name: self._inspect(steps.Inspect(stem + name)) for name in names if "/" not in name}

    def _inspect(self, step: steps.Inspect) -> Found:
        entry = self._at(step.path)
        return Found(step.path.rpartition("/")[2], step.path, entry.place, entry.header, entry.declared, entry.secret)

    def _space(self, step: steps.Space) -> tuple[int, int]:
        stem = step.path.rstrip("/") + "/"
        used = sum(entry.place.allocation for path, entry in self.entries.items() if path.startswith(stem))
        return SPACE, max(0, SPACE - used)

    def _mounted(self, step: steps.Mounted) -> str | None:
        return self.mounts.get(step.path)

    def _read(self, step: steps.Read) -> bytes:
        entry = self.entries.get(step.path)
        return entry.content[step.offset : step.offset + step.length] if entry else b""

    def _names(self, step: steps.Names) -> list[str]:
        stem = step.path.rstrip("/") + "/"
        return sorted(
            {path[len(stem) :].split("/")[0] for path in self.entries if path.startswith(stem) and path != stem}
        )

    def _appears(self, step: steps.Appears) -> bool:
        return bool(self._names(steps.Names(step.path))) or step.path in self.entries

    def _devicesnamed(self, step: steps.DevicesNamed) -> None:
        pass

    def _write(self, step: steps.Write) -> None:
        self.written[step.path] = step.text

    def _makefolder(self, step: steps.MakeFolder) -> None:
        if step.new and step.path in self.entries:
            raise StorageFailed(f"{step.path}: File exists", path=step.path)
        parts = step.path.strip("/").split("/")
        for depth in range(1, len(parts) + 1):
            self.entries.setdefault("/" + "/".join(parts[:depth]), Entry(Place("dir", mode=0o711)))
        self._give(step.path, step.permissions)

    def _give(self, path: str, wanted: Permissions) -> None:
        entry = self._at(path)
        chosen: dict[str, int | None] = {"mode": wanted.mode, "owner": wanted.owner, "group": wanted.group}
        for name, value in chosen.items():
            if value is not None:
                entry.place = structs.replace(entry.place, **{name: value})

    def _removefolder(self, step: steps.RemoveFolder) -> None:
        if any(path.startswith(step.path + "/") for path in self.entries):
            raise StorageFailed(f"{step.path}: Directory not empty", path=step.path)
        self.entries.pop(step.path, None)

    def _remove(self, step: steps.Remove) -> None:
        self.entries.pop(step.path, None)
        for path in [path for path in self.entries if step.tree and path.startswith(step.path + "/")]:
            del self.entries[path]

    def _own(self, step: steps.Own) -> None:
        self._give(step.path, step.permissions)

    def _allocate(self, step: steps.Allocate) -> None:
        if step.path in self.entries:
            raise StorageFailed(f"{step.path}: File exists", path=step.path)
        self.entries[step.path] = Entry(Place("file", step.size, step.allocated, 0o600))

    def _settle(self, step: steps.Settle) -> None:
        if step.path in self.entries:
            raise AlreadyExists(f"{step.path} is there already", volume=step.path)
        entry = self.entries[step.path] = self.entries.pop(step.temporary)
        entry.declared, entry.secret = step.format or None, step.secret
        self._give(step.path, step.permissions)

    def _note(self, step: steps.Note) -> None:
        self._at(step.path).secret = step.secret

    def _overwrite(self, step: steps.Overwrite) -> None:
        entry = self._at(step.path)
        entry.content = (
            bytes(abs(step.length)) + entry.content[abs(step.length) :] if step.length > 0 else entry.content
        )

    def _wipe(self, step: steps.Wipe) -> None:
        wiping.passes(step.algorithm)
        entry = self._at(step.path)
        entry.content, entry.header = b"", Header()

    def _attachloop(self, step: steps.AttachLoop) -> str:
        path = self.loops.setdefault((step.path, step.offset), f"/dev/loop{len(self.loops)}")
        self.entries.setdefault(path, Entry(Place("block", step.size, step.size, 0o660)))
        return path

    def _detachloop(self, step: steps.DetachLoop) -> None:
        self.loops.pop((step.path, step.offset), None)

    def _image(self, step: steps.Image) -> str:
        """As much of qemu-img as leaves the right files behind."""
        self.asked.append(("qemu-img", *step.argv))
        verb, words = step.argv[0], list(step.argv)
        if verb == "create":
            size = int(words.pop()[:-1]) * 1024 if re.fullmatch(r"\d+K", words[-1]) else 0
            self._new_image(words[-1], words[words.index("-f") + 1], size, words)
        elif verb == "convert":
            source, target = (re.sub(r"^.*file\.filename=([^,]*).*$", r"\1", word) for word in words[-2:])
            size = self._capacity(source) if "driver=" not in source else 0
            kind = words[words.index("-O") + 1] if "-O" in words else "raw"
            if target not in self.entries and "file.driver=" not in target:
                self._new_image(target, kind, size, words)
        elif verb == "resize":
            path = next(re.sub(r"^.*file\.filename=([^,]*).*$", r"\1", word) for word in words if "/" in word)
            entry = self._at(path)
            entry.header = structs.replace(entry.header, capacity=int(words[-1]))
            entry.place = structs.replace(
                entry.place, size=int(words[-1]) if entry.header.format == "raw" else entry.place.size
            )
        return self.answers.get(("qemu-img", *step.argv), "")

    def _capacity(self, path: str) -> int:
        entry = self._at(path)
        return entry.header.capacity or entry.place.size

    def _new_image(self, path: str, kind: str, size: int, words: list[str]) -> None:
        encrypted = "luks" if kind == "luks" or "encrypt.format=luks" in " ".join(words) else None
        backing = words[words.index("-b") + 1] if "-b" in words else None
        length = size if kind == "raw" else 196608
        header = Header(kind, size or (self._capacity(backing) if backing else 0), backing, encryption=encrypted)
        self.entries[path] = Entry(Place("file", length, min(length, 196608), 0o600), header)
