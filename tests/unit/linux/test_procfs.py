"""Who a process is, checked on children of this one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from frontinus import procfs


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "100"], env={"MARK": "a=b"})
    yield process
    process.kill()
    process.wait()


def open_descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def test_a_dead_process_is_said_to_be_dead(child: subprocess.Popen[bytes]) -> None:
    started = procfs.start_time(child.pid)
    assert started is not None and procfs.is_alive(child.pid, started)
    assert not procfs.is_alive(child.pid, started + 1)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not procfs.is_alive(child.pid, started), "a zombie does not live"
    assert procfs.start_time(child.pid, ended=True) == started
    child.wait()
    assert procfs.start_time(child.pid) is None


def test_no_descriptor_is_left_open(child: subprocess.Popen[bytes]) -> None:
    before = open_descriptors()
    started = procfs.start_time(child.pid)
    assert started is not None
    with pytest.raises(ProcessLookupError):
        procfs.open_process(child.pid, started - 1)
    assert open_descriptors() == before


def test_a_pidfd_signals_the_process_that_is_meant(child: subprocess.Popen[bytes]) -> None:
    started = procfs.start_time(child.pid)
    assert started is not None
    fd = procfs.open_process(child.pid, started)
    signal.pidfd_send_signal(fd, signal.SIGTERM)
    os.close(fd)
    assert child.wait(60) == -signal.SIGTERM


def test_environment_and_list_of_processes(child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not procfs.environment(child.pid) and time.monotonic() < deadline:
        time.sleep(0.001)
    assert procfs.environment(child.pid) == {"MARK": "a=b"}
    assert child.pid in set(procfs.processes())
    assert procfs.environment(2**22 + 1) == {}


def test_a_command_name_cannot_forge_the_fields(tmp_path: Path) -> None:
    folder = tmp_path / "7"
    folder.mkdir()
    fields = ["S", *map(str, range(4, 53))]
    (folder / "stat").write_text(f"7 (x) R 1 2 (y) {' '.join(fields)}\n")
    assert procfs.start_time(7, proc=str(tmp_path)) == 22
