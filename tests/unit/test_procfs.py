"""Figures of a process, checked against what this process and its children know of themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
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


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_cpu_time_is_what_the_process_used() -> None:
    figures = procfs.ProcessFigures(os.getpid())
    before, own = figures.cpu(), time.process_time_ns()
    burn(0.05)
    used, own = figures.cpu().time - before.time, time.process_time_ns() - own
    assert used >= 0.05e9
    assert abs(used - own) < 0.01e9
    assert figures.cpu().user >= before.user
    figures.close()


def test_rss_follows_memory_that_is_touched() -> None:
    figures = procfs.ProcessFigures(os.getpid())
    before = figures.rss()
    block = bytearray(os.urandom(1 << 20) * 32)
    assert 30 << 20 < figures.rss() - before < 128 << 20
    del block
    figures.close()


def test_threads_are_told_apart_and_ended_ones_left_out() -> None:
    ready, leave = threading.Event(), threading.Event()

    def work() -> None:
        burn(0.03)
        ready.set()
        leave.wait()

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    figures = procfs.ProcessFigures(os.getpid())
    other = thread.native_id
    assert other is not None
    assert 0.03e9 <= figures.threads([other])[other].time < 0.3e9
    leave.set()
    thread.join()
    deadline = time.monotonic() + 5
    while other in figures.threads([other, os.getpid()]) and time.monotonic() < deadline:
        time.sleep(0.001)
    assert set(figures.threads([other, os.getpid()])) == {os.getpid()}
    figures.close()


def test_a_dead_process_is_said_to_be_dead(child: subprocess.Popen[bytes]) -> None:
    figures, started = procfs.ProcessFigures(child.pid), procfs.start_time(child.pid)
    assert started is not None and procfs.is_alive(child.pid, started)
    assert not procfs.is_alive(child.pid, started + 1)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not procfs.is_alive(child.pid, started), "a zombie does not live"
    child.wait()
    assert procfs.start_time(child.pid) is None
    with pytest.raises(ProcessLookupError):
        figures.cpu()
    with pytest.raises(ProcessLookupError):
        procfs.ProcessFigures(child.pid)
    figures.close()
    figures.close()


def test_no_descriptor_is_left_open(child: subprocess.Popen[bytes]) -> None:
    before = open_descriptors()
    figures = procfs.ProcessFigures(child.pid)
    figures.threads([child.pid])
    figures.close()
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
    assert child.wait(5) == -signal.SIGTERM


def test_environment_and_list_of_processes(child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 5
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
    (folder / "statm").write_text("10 3 2 1 0 4 0\n")
    figures = procfs.ProcessFigures(7, proc=str(tmp_path))
    assert figures.cpu() == procfs.CpuTimes(29 * procfs.TICK, 14 * procfs.TICK, 15 * procfs.TICK)
    assert figures.rss() == 3 * procfs.PAGE
    assert procfs.start_time(7, proc=str(tmp_path)) == 22
    figures.close()
