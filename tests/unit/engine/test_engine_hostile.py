"""What a guest's process that has fallen to its guest may try on the engine, and what users' paths may be."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import HostFailed, StorageFailed
from frontinus.engine.guest import interaction, savefile
from frontinus.engine.guest.interaction import Interaction
from frontinus.engine.local import LocalEngine
from support.mocked import XML

SERIAL = "<devices><video><model type='virtio'/></video><serial type='pty'/></devices></domain>"


@pytest.fixture
async def running(local: LocalEngine, engine: Engine) -> Engine:
    await engine.define(XML.format(name="a").replace("</domain>", SERIAL))
    await engine.start("a")
    return engine


def lead(local: LocalEngine, path: str, kind: str = "pty") -> None:
    """The guest's process says that its console is there."""
    devices = local.world.guests.find("a").need_running().guest.devices
    for device in (*devices.consoles, *devices.serials):
        device.type, device.source_path = kind, path


@pytest.mark.parametrize("put", [
    lambda path: path.symlink_to("/etc/passwd"), os.mkfifo, lambda path: path.write_bytes(bytes(2000)),
])  # fmt: skip
async def test_a_picture_is_a_file_of_the_guest_or_nothing(
    local: LocalEngine, running: Engine, monkeypatch: pytest.MonkeyPatch, put: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(interaction, "MOST_PIXELS", 1000)
    record = local.world.guests.find("a")
    process = record.need_running().process

    async def screenshot(path: str, display: str | None, head: int) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        put(Path(path))

    monkeypatch.setattr(process, "screenshot", screenshot)
    async with asyncio.timeout(60):
        with pytest.raises(HostFailed, match="screenshot"):
            await running.screenshot("a")


async def test_a_console_is_a_terminal(local: LocalEngine, running: Engine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("root's")
    lead(local, str(tmp_path / "file"))
    with pytest.raises(HostFailed, match="no pseudo-terminal"):
        await running.open_console("a")


async def test_a_console_that_nobody_serves_is_given_up(
    local: LocalEngine, running: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(interaction, "PATIENCE", 0.2)
    path = str(tmp_path / "socket")
    lead(local, path, "unix")
    with socket.socket(socket.AF_UNIX) as deaf, socket.socket(socket.AF_UNIX) as first:
        deaf.bind(path)
        deaf.listen(0)
        first.connect(path)
        async with asyncio.timeout(60):
            with pytest.raises(HostFailed, match="cannot open"):
                await running.open_console("a")


async def test_consoles_that_were_closed_are_forgotten(
    local: LocalEngine, running: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    master, slave = os.openpty()
    lead(local, os.ttyname(slave))
    desk = local._use_cases["open_console"].__self__  # type: ignore[attr-defined]
    assert isinstance(desk, Interaction)
    with socket.socket(fileno=await running.open_console("a")):
        assert desk._consoles
    async with asyncio.timeout(60):
        while desk._consoles:  # noqa: ASYNC110 (a task's end is waited for)
            await asyncio.sleep(0.01)
    os.close(master)
    os.close(slave)


async def test_a_pipe_is_no_saved_guest(engine: Engine, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    async with asyncio.timeout(60):
        with pytest.raises(StorageFailed, match="is a pipe"):
            await engine.restore(str(tmp_path / "pipe"))


def test_a_save_that_finds_no_room_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = len(list(Path("/proc/self/fd").iterdir()))
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(StorageFailed, match="No space left"):
            savefile.create(tmp_path / "saved", savefile.Header(xml="", running=True, uuid="", name=""))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert list(tmp_path.iterdir()) == []


def test_a_save_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("data")
    (tmp_path / "saved").symlink_to(tmp_path / "victim")
    with pytest.raises(StorageFailed, match="symbolic links"):
        savefile.create(tmp_path / "saved", savefile.Header(xml="", running=True, uuid="", name=""))
    assert (tmp_path / "victim").read_text() == "data"
