"""The store of documents: what it writes, what it finds again, and what it says about the rest."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from frontinus import durable
from frontinus.api.errors import Busy, InvalidValue, StorageFailed
from frontinus.domain.host import Paths
from frontinus.state import store as store_module
from frontinus.state.store import KINDS, FileStore

ONE = "11111111-1111-1111-1111-111111111111"
TWO = "22222222-2222-2222-2222-222222222222"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(*(str(tmp_path / name) for name in ("config", "state", "run", "log", "cache")))


@pytest.fixture
def store(paths: Paths) -> FileStore:
    return FileStore(paths)


def content(path: Path) -> str:
    return path.read_text()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def loaded(store: FileStore, kind: str = "definitions") -> dict[str, str]:
    return {stored.key: stored.text for stored in await store.load(kind)}


@pytest.mark.parametrize("kind", KINDS)
async def test_another_store_finds_what_was_saved(kind: str, store: FileStore, paths: Paths) -> None:
    assert await loaded(store, kind) == {}
    await store.save(kind, TWO, "")
    await store.save(kind, ONE, "<domain>é\n</domain>\n")
    assert list((await loaded(FileStore(paths), kind)).items()) == [(ONE, "<domain>é\n</domain>\n"), (TWO, "")]
    await store.save(kind, ONE, "new")
    await store.delete(kind, TWO)
    await store.delete(kind, TWO)
    assert await loaded(FileStore(paths), kind) == {ONE: "new"}
    assert not store.problems


async def test_definitions_are_readable_files_for_root_alone(store: FileStore, paths: Paths) -> None:
    await store.save("definitions", ONE, "<domain/>")
    file = Path(paths.config, "guests", f"{ONE}.xml")
    assert content(file) == "<domain/>"
    assert (mode(file), mode(file.parent)) == (0o600, 0o700)


@pytest.mark.parametrize("key", ["", ".", "..", ".hidden", "a/b", "a\0b", "x" * 201, "x.broken-1", "é"])
async def test_a_key_cannot_leave_its_folder(key: str, store: FileStore) -> None:
    with pytest.raises(InvalidValue):
        await store.save("definitions", key, "x")
    with pytest.raises(InvalidValue):
        await store.load("elsewhere")


async def test_writes_of_one_document_keep_their_order(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = iter((0.05, 0.02, 0.0))
    write = durable.write

    def slower(path: Path, data: bytes) -> None:
        time.sleep(next(slow, 0))
        write(path, data)

    monkeypatch.setattr(durable, "write", slower)
    await asyncio.gather(*(store.save("definitions", ONE, str(number)) for number in range(20)))
    assert await loaded(store) == {ONE: "19"}


async def test_documents_do_not_wait_for_each_other(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck, write = threading.Event(), durable.write

    def first_one_stuck(path: Path, data: bytes) -> None:
        if path.name.startswith(ONE):
            stuck.wait(10)
        write(path, data)

    monkeypatch.setattr(durable, "write", first_one_stuck)
    blocked = asyncio.create_task(store.save("definitions", ONE, "x"))
    async with asyncio.timeout(60):
        await store.save("definitions", TWO, "x")
    assert not blocked.done()
    stuck.set()
    await blocked


async def test_a_cancelled_caller_does_not_tear_a_write(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on, write = threading.Event(), threading.Event(), durable.write

    def held(path: Path, data: bytes) -> None:
        begun.set()
        go_on.wait(10)
        write(path, data)

    monkeypatch.setattr(durable, "write", held)
    task = asyncio.create_task(store.save("definitions", ONE, "old"))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    later = asyncio.create_task(store.save("definitions", ONE, "new"))
    go_on.set()
    await later
    await store.close()
    assert content(store._path("definitions", ONE)) == "new"


async def test_data_is_synced_before_the_name_and_the_name_before_the_answer(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.save("definitions", ONE, "old")
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def watched_fsync(fd: int) -> None:
        steps.append("sync " + ("folder" if os.path.isdir(f"/proc/self/fd/{fd}") else "file"))  # noqa: PTH112
        fsync(fd)

    def watched_replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "replace", watched_replace)
    await store.save("definitions", ONE, "new")
    assert steps == ["sync file", "rename", "sync folder"]
    steps.clear()
    await store.delete("definitions", ONE)
    assert steps == ["sync folder"]


async def test_what_a_crash_left_is_removed_and_what_is_not_ours_is_reported(store: FileStore, paths: Paths) -> None:
    await store.save("definitions", ONE, "good")
    folder = Path(paths.config, "guests")
    (folder / f".{TWO}.xml.123-4.new").write_text("<dom")
    (folder / "notes.txt").write_text("mine")
    (folder / ".swp.new").write_text("an editor's")
    (folder / f"{TWO}.xml").mkdir()
    assert await loaded(store) == {ONE: "good"}
    assert not (folder / f".{TWO}.xml.123-4.new").exists()
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / ".swp.new").read_text() == "an editor's"
    for name in ("notes.txt", ".swp.new", f"{TWO}.xml"):
        assert any(name in problem for problem in store.problems), name
    assert len(store.problems) == 3


async def test_a_document_that_is_no_text_is_set_aside(store: FileStore, paths: Paths) -> None:
    await store.save("definitions", ONE, "good")
    folder = Path(paths.config, "guests")
    (folder / f"{TWO}.xml").write_bytes(b"\xff\xfe\0")
    assert await loaded(store) == {ONE: "good"}
    assert (folder / f"{TWO}.xml.broken-1").read_bytes() == b"\xff\xfe\0"
    assert f"{TWO}.xml.broken-1" in store.problems[0]


async def test_setting_aside_never_overwrites(store: FileStore) -> None:
    places = []
    for text in ("first", "second", "third"):
        await store.save("definitions", ONE, text)
        places.append(Path(await store.set_aside("definitions", ONE, "does not parse")))
    assert [place.name for place in places] == [f"{ONE}.xml.broken-{n}" for n in (1, 2, 3)]
    assert [place.read_text() for place in places] == ["first", "second", "third"]
    assert await loaded(store) == {}
    with pytest.raises(StorageFailed, match=ONE):
        await store.set_aside("definitions", ONE, "is gone")


async def test_a_failed_write_leaves_the_old_document_and_nothing_beside_it(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.save("definitions", ONE, "old")

    def broken(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(StorageFailed, match=rf"{ONE}\.xml: Input/output error") as caught:
            await store.save("definitions", ONE, "new")
    path = store._path("definitions", ONE)
    assert caught.value.details["path"] == str(path)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert await loaded(store) == {ONE: "old"}
    await store.save("definitions", ONE, "newer")
    assert await loaded(store) == {ONE: "newer"}


async def test_two_engines_never_work_in_the_same_places(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "PATIENCE", 0.05)
    first = FileStore(paths, exclusive=True)
    with pytest.raises(Busy, match=f"another engine .*{paths.run}"):
        FileStore(paths, exclusive=True)
    with subprocess.Popen(["sleep", "9"]) as child:  # noqa: ASYNC220  it does not take the lock along
        await first.close()
        await FileStore(paths, exclusive=True).close()
        child.kill()


def test_a_lock_is_waited_for_that_a_child_of_a_dead_engine_has_for_a_moment(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As between fork and exec: the next engine may not look for strays before the child is to be seen as one."""
    monkeypatch.setattr(store_module, "PATIENCE", 0)
    (ready, told), (going, go) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        FileStore(paths, exclusive=True)
        if os.fork() == 0:
            os.write(told, b"x")
            os.read(going, 1)
            os._exit(0)
        signal.pause()
    os.read(ready, 1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    began, ending = time.monotonic(), threading.Timer(0.3, os.write, (go, b"x"))
    ending.start()
    FileStore(paths, exclusive=True)
    assert time.monotonic() - began > 0.2
    ending.join()
    for fd in (ready, told, going, go):
        os.close(fd)


def test_a_second_engine_is_refused_soon_while_the_first_lives(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "PATIENCE", 0)
    monkeypatch.setattr(store_module, "LONG_PATIENCE", float("inf"))
    FileStore(paths, exclusive=True)
    with pytest.raises(Busy):
        FileStore(paths, exclusive=True)


def test_a_dead_engine_holds_nothing(paths: Paths) -> None:
    pid = os.fork()
    if pid == 0:
        FileStore(paths, exclusive=True)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    FileStore(paths, exclusive=True)
