"""A program under Landlock sees what it was given, and the thread that made it is the only one that is restricted."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest

from frontinus.linux import landlock
from frontinus.linux.landlock import Sight, inside
from frontinus.linux.storage import confined

if not landlock.version():
    pytest.skip("this kernel has no Landlock", allow_module_level=True)


def cat(path: Path) -> bytes:
    return subprocess.run(["/bin/cat", path], capture_output=True, check=False).stdout


def test_only_what_is_given_is_seen(tmp_path: Path) -> None:
    given, other, folder = tmp_path / "given", tmp_path / "other", tmp_path / "folder"
    folder.mkdir()
    for file in (given, other, folder / "below"):
        file.write_bytes(b"content")
    (tmp_path / "link").symlink_to(other)
    sight = Sight(reads=[str(given), str(folder), str(tmp_path / "missing")])
    seen = inside(
        sight, lambda: [cat(path) for path in (given, folder / "below", other, tmp_path / "link", Path("/etc/shadow"))]
    )
    assert seen == [b"content", b"content", b"", b"", b""]
    assert cat(other) == b"content"  # nobody else is restricted


def test_what_is_read_is_not_written(tmp_path: Path) -> None:
    reads, writes = tmp_path / "reads", tmp_path / "writes"
    for file in (reads, writes):
        file.write_bytes(b"before")

    def write() -> list[int]:
        words = [["/bin/cp", "/bin/true", path] for path in (reads, writes, tmp_path / "new")]
        return [subprocess.run(argv, capture_output=True, check=False).returncode for argv in words]

    assert inside(Sight([str(reads)], [str(writes)]), write) == [1, 0, 1]
    assert reads.read_bytes() == b"before" != writes.read_bytes()


def test_what_work_raises_is_raised() -> None:
    with pytest.raises(PermissionError):
        inside(Sight(), lambda: Path("/etc/passwd").read_text())


def test_a_process_that_is_forked_can_run_programs_too() -> None:
    """Threads don't live on in a fork: nothing may count on one that worked before."""

    def status() -> int:
        return asyncio.run(confined.run(["/bin/sh", "-c", "exit 7"], Sight(), {}, 60.0))[2]

    assert [status() for _ in range(3)] == [7, 7, 7]
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(60)  # ends a child that waits for ever
        try:
            os._exit(status())
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
