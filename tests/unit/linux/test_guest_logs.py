"""Logs of guests stay small while they are written, and nothing that was written is lost."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from frontinus.linux import guestlogs
from frontinus.linux.guestlogs import GuestLogs, Turn, turn_over
from support.waiting import until

TURN = Turn(size=10_000, backups=2)
LINE = b"%06d what a guest made QEMU say, again and again\n"


def lines(first: int, last: int) -> bytes:
    return b"".join(LINE % number for number in range(first, last))


def joined(log: Path) -> bytes:
    backups = sorted(log.parent.glob(f"{log.name}.*"), key=lambda path: int(path.suffix[1:]), reverse=True)
    return b"".join(path.read_bytes() for path in (*backups, log))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "guest.log"


@pytest.fixture
async def logs() -> AsyncIterator[GuestLogs]:
    made = GuestLogs(TURN)
    yield made
    await made.close()


def append(log: Path, data: bytes) -> None:
    with log.open("ab") as file:
        file.write(data)


@pytest.fixture(params=["collapsed", "emptied"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both kinds of file systems."""
    if request.param == "emptied":
        monkeypatch.setattr(guestlogs, "_collapse", lambda fd, length: False)
    return str(request.param)


def test_backups_and_log_are_what_was_written(log: Path, way: str) -> None:
    for part in range(3):
        append(log, lines(part * 300, part * 300 + 300))
        turn_over([log], TURN)
        assert log.stat().st_size < TURN.size
    assert {path.name for path in log.parent.iterdir()} == {"guest.log", "guest.log.0", "guest.log.1"}
    assert lines(0, 900).endswith(joined(log)) and len(joined(log)) > 2 * TURN.size
    assert (log.parent / "guest.log.0").stat().st_mode & 0o777 == 0o600


def test_a_writer_that_has_it_open_goes_on(log: Path, way: str) -> None:
    with log.open("ab", buffering=0) as qemu:
        qemu.write(lines(0, 300))
        turn_over([log], TURN)
        qemu.write(lines(300, 310))
        assert joined(log) == lines(0, 310)


def test_a_small_log_and_one_that_is_not_there_are_left_alone(log: Path) -> None:
    append(log, b"x" * (TURN.size - 1))
    turn_over([log, log.with_name("none")], TURN)
    assert [path.name for path in log.parent.iterdir()] == ["guest.log"]


def test_without_backups_what_is_old_goes(log: Path, way: str) -> None:
    append(log, lines(0, 300))
    turn_over([log], Turn(size=10_000, backups=0))
    assert [path.name for path in log.parent.iterdir()] == ["guest.log"] and log.stat().st_size < TURN.size


def test_of_what_is_larger_than_all_backups_the_end_is_kept(log: Path, way: str) -> None:
    append(log, lines(0, 3000))
    turn_over([log], TURN)
    backup = log.with_name("guest.log.0")
    assert backup.stat().st_size <= TURN.size * TURN.backups + 2 * os.statvfs(log).f_bsize
    assert lines(0, 3000).endswith(joined(log))


def test_another_file_in_its_place_is_not_touched(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    precious = log.with_name("precious")
    append(precious, lines(0, 300))
    log.hardlink_to(precious)
    turn_over([log], TURN)
    log.unlink()
    log.symlink_to(precious)
    turn_over([log], Turn(size=1, backups=2))
    assert precious.read_bytes() == lines(0, 300) and caplog.text.count("is not kept small") == 2


def test_a_full_disk_loses_nothing(
    log: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    append(log, lines(0, 300))
    monkeypatch.setattr(guestlogs.os, "write", full)
    turn_over([log], TURN)
    assert log.read_bytes() == lines(0, 300) and "No space left" in caplog.text


async def test_a_log_is_turned_over_while_it_is_written(log: Path, logs: GuestLogs) -> None:
    append(log, b"")
    logs.follow("a", [str(log)])
    append(log, lines(0, 300))
    await until(lambda: log.with_name("guest.log.0").exists() and log.stat().st_size < TURN.size)
    append(log, lines(300, 600))
    await until(lambda: log.with_name("guest.log.1").exists() and log.stat().st_size < TURN.size)
    assert joined(log) == lines(0, 600)


async def test_what_grew_while_no_engine_ran_is_turned_over_at_once(log: Path, logs: GuestLogs) -> None:
    append(log, lines(0, 300))
    logs.follow("a", [str(log)])
    await until(lambda: log.stat().st_size < TURN.size)
    assert joined(log) == lines(0, 300)


async def test_a_guest_that_has_ended_is_forgotten(log: Path, logs: GuestLogs) -> None:
    other = log.with_name("other.log")
    for file in (log, other):
        append(file, b"")
    logs.follow("a", [str(log)])
    logs.follow("b", [str(other)])
    logs.forget("a")
    append(log, lines(0, 300))
    append(other, lines(0, 300))
    await until(lambda: other.stat().st_size < TURN.size)
    assert log.read_bytes() == lines(0, 300)


async def test_a_folder_that_was_made_anew_is_watched_again(tmp_path: Path, logs: GuestLogs) -> None:
    log = tmp_path / "logs/serial.log"
    for guest in "ab":
        log.parent.mkdir()
        append(log, b"")
        logs.follow(guest, [str(log)])
        await asyncio.sleep(0)
        append(log, lines(0, 300))
        await until(lambda: log.stat().st_size < TURN.size)
        logs.forget(guest)
        shutil.rmtree(log.parent)
        await until(lambda: not logs._folders)


async def test_without_a_limit_nobody_looks(log: Path) -> None:
    logs = GuestLogs(Turn(size=0))
    logs.follow("a", [str(log)])
    await asyncio.sleep(0)
    await logs.close()
    assert not logs._files
