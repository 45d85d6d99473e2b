"""The store of documents under faults: killed writers, a full disk, a read-only place, torn and foreign files."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from frontinus.api.errors import StorageFailed
from frontinus.domain.host import Paths
from frontinus.durable import is_temporary
from frontinus.state.store import FileStore
from support.mounts import unmount

KEYS = [f"{digit * 8}-0000-0000-0000-000000000000" for digit in "123"]
KILLS = 100


def places(root: Path) -> Paths:
    return Paths(*(str(root / name) for name in ("config", "state", "run", "log", "cache")))


def document(number: int) -> str:
    """A document that shows whether it is whole: its number at both ends, several pages apart."""
    return f"{number}\n" + "x" * 20_000 + f"\n{number}"


def number(text: str) -> int:
    lines = text.split("\n")
    assert len(lines) == 3 and lines[0] == lines[2] and lines[1] == "x" * 20_000, "a torn document"
    return int(lines[0])


def write_for_ever(root: Path, first: int, acknowledged: int) -> None:
    """The life of a writer: documents with growing numbers, each told once the store says that it is durable."""

    async def one(store: FileStore, key: str) -> None:
        current = first
        while True:
            current += 1
            await store.save("definitions", key, document(current))
            os.write(acknowledged, f"{key} {current}\n".encode())

    async def all_keys() -> None:
        store = FileStore(places(root))
        await asyncio.gather(*(one(store, key) for key in KEYS))

    asyncio.run(all_keys())


def kill_a_writer(root: Path, first: int, seconds: float) -> dict[str, int]:
    """Run a writer for some time, kill it without warning; returns the last number that it was told to be durable."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            write_for_ever(root, first, writing)
        finally:
            os._exit(1)
    os.close(writing)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL, "the writer died by itself"
    with os.fdopen(reading, "rb") as pipe:
        lines = pipe.read().decode().splitlines()
    return {line.split()[0]: int(line.split()[1]) for line in lines if line.count(" ") == 1}


def test_a_killed_writer_loses_nothing_that_it_was_promised(tmp_path: Path) -> None:
    dice = random.Random(7)
    durable = dict.fromkeys(KEYS, 0)
    cut_short = 0
    for kill in itertools.count(1):
        later = 1 + kill // KILLS  # where the first kills came too early: on a slow machine or disk
        durable |= kill_a_writer(tmp_path, max(durable.values()), dice.uniform(0.005, 0.04) * later)
        folder = tmp_path / "config/guests"
        cut_short += folder.exists() and any(is_temporary(entry.name) for entry in folder.iterdir())
        found, problems = asyncio.run(loaded(places(tmp_path)))
        assert not problems
        for key, last in durable.items():
            assert found.get(key, 0) >= last
        assert not folder.exists() or {entry.name for entry in folder.iterdir()} == {f"{key}.xml" for key in found}
        if kill >= KILLS and min(durable.values()) > KILLS and cut_short > 5:
            break
        assert kill < 10 * KILLS, f"the kills prove nothing: {cut_short} writes were interrupted, {durable} were done"


async def loaded(places: Paths) -> tuple[dict[str, int], list[str]]:
    """The numbers of all documents, and what was amiss."""
    async with closing(places) as store:
        found = {stored.key: number(stored.text) for stored in await store.load("definitions")}
        return found, store.problems


@asynccontextmanager
async def closing(places: Paths) -> AsyncIterator[FileStore]:
    store = FileStore(places)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "frontinus-test", place], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"cannot mount a small file system: {done.stderr.decode().strip()}")
    yield place
    unmount(place)


@pytest.fixture
async def store(small_disk: Path) -> AsyncIterator[FileStore]:
    async with closing(places(small_disk)) as store:
        yield store


async def test_a_full_disk_costs_no_document(small_disk: Path, store: FileStore) -> None:
    saved: list[str] = []
    with pytest.raises(StorageFailed, match="No space left on device") as caught:
        for count in range(100):
            key = f"{count:08d}-0000-0000-0000-000000000000"
            await store.save("definitions", key, document(count))
            saved.append(key)
    assert len(saved) > 3
    assert str(small_disk) in caught.value.details["path"]
    with pytest.raises(StorageFailed):
        await store.save("definitions", saved[0], document(1) * 3)
    found, _ = await loaded(places(small_disk))
    assert found == {key: count for count, key in enumerate(saved)}
    await store.delete("definitions", saved[0])
    await store.save("definitions", saved[1], document(77))
    found = {stored.key: number(stored.text) for stored in await store.load("definitions")}
    assert found[saved[1]] == 77 and len(found) == len(saved) - 1


async def test_a_read_only_place_is_named(small_disk: Path, store: FileStore) -> None:
    await store.save("definitions", KEYS[0], "old")
    remount = ["mount", "-o", "remount,ro", small_disk]
    subprocess.run(remount, check=True)
    for change in (
        store.save("definitions", KEYS[0], "new"),
        store.save("definitions", KEYS[1], "new"),
        store.delete("definitions", KEYS[0]),
        store.set_aside("definitions", KEYS[0], "wrong"),
        store.save("autostart", KEYS[0], ""),
    ):
        with pytest.raises(StorageFailed, match=f"{small_disk}.*Read-only file system"):
            await change
    assert [(stored.key, stored.text) for stored in await store.load("definitions")] == [(KEYS[0], "old")]


async def save(places: Paths, text: str) -> None:
    async with closing(places) as store:
        await store.save("definitions", KEYS[0], text)


def test_a_place_without_permission_is_named(tmp_path: Path) -> None:
    """As a user who may not write there; root may everywhere."""
    store_of = places(tmp_path)
    asyncio.run(save(store_of, "old"))
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        try:
            asyncio.run(save(store_of, "new"))
            os.write(writing, b"written")
        except StorageFailed as error:
            os.write(writing, error.message.encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading) as pipe:
        message = pipe.read()
    assert KEYS[0] in message and "Permission denied" in message
    assert Path(store_of.config, "guests", f"{KEYS[0]}.xml").read_text() == "old"
