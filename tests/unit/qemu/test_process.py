from __future__ import annotations

import asyncio
import fcntl
import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from frontinus import procfs
from frontinus.api.errors import HostFailed, HypervisorFailed, NoSuchProcess, Unsupported
from frontinus.ports.resources import Credentials
from frontinus.qemu import process
from frontinus.qemu.process import Process

REPORT = """
import json, os
print(json.dumps({
    "fds": {n: os.readlink("/dev/fd/" + n) for n in os.listdir("/dev/fd") if os.path.exists("/dev/fd/" + n)},
    "env": dict(os.environ), "session": os.getsid(0) == os.getpid(), "uid": os.getuid(), "groups": os.getgroups(),
    "status": open("/proc/self/status").read(), "limits": open("/proc/self/limits").read()}))
"""


async def report(output: Path, fds: Mapping[int, int], argv: list[str] | None = None) -> dict[str, object]:
    """Spawn a program that tells what it was given."""
    log = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC)
    try:
        pid = process.spawn([*(argv or []), sys.executable, "-I", "-c", REPORT], {"LANG": "C"}, fds, log)
    finally:
        os.close(log)
    child = Process.child(pid)
    assert await child.wait(60)
    assert child.status == 0, _read(output)
    answer = json.loads(_read(output))
    assert isinstance(answer, dict)
    return answer


def _read(path: Path) -> str:
    return path.read_text()


def open_at(path: Path, number: int) -> int:
    """Open a file as one of our descriptors, out of the way of pytest's own."""
    fd = os.open(path, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC)
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, number)
    os.close(fd)
    assert moved == number
    return moved


async def test_child_sees_its_descriptors_alone(tmp_path: Path) -> None:
    a, b, c = (open_at(tmp_path / name, 200 + n) for n, name in enumerate("abc"))
    os.set_inheritable(a, True)
    try:
        seen = await report(tmp_path / "out", {201: a, 200: b, 203: c})  # two of them change places
    finally:
        for fd in (a, b, c):
            os.close(fd)
    fds = seen["fds"]
    assert isinstance(fds, dict)
    assert [fds[n] for n in ("200", "201", "203")] == [str(tmp_path / name) for name in "bac"]
    assert fds["0"] == "/dev/null" and fds["1"] == fds["2"] == str(tmp_path / "out")
    assert set(fds) == {"0", "1", "2", "200", "201", "203"}
    assert seen["env"] == {"LANG": "C"} or set(seen["env"]) == {"LANG", "LC_CTYPE"}  # type: ignore[call-overload]
    assert seen["session"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
async def test_privileges_are_given_up(tmp_path: Path) -> None:
    seen = await report(tmp_path / "out", {}, process.as_user([], Credentials(64123, 64124, (64125,))))
    status = dict(line.split(":\t", 1) for line in str(seen["status"]).splitlines() if ":\t" in line)
    assert status["Uid"].split() == ["64123"] * 4 and status["Gid"].split() == ["64124"] * 4
    assert seen["groups"] == [64125]
    assert status["NoNewPrivs"] == "1"
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd"):
        assert int(status[kind], 16) == 0, kind


@pytest.mark.skipif(
    os.getuid() != 0 or not process._has(process.RIGHTS["sys_rawio"]), reason="only who has it can pass it on"
)
async def test_a_right_that_a_guest_asks_for_is_kept_alone(tmp_path: Path) -> None:
    seen = await report(tmp_path / "out", {}, process.as_user([], Credentials(64123, 64124), rights=("sys_rawio",)))
    status = dict(line.split(":\t", 1) for line in str(seen["status"]).splitlines() if ":\t" in line)
    assert status["Uid"].split() == ["64123"] * 4 and status["NoNewPrivs"] == "1"
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == 1 << process.RIGHTS["sys_rawio"], kind


def test_a_right_that_the_engine_itself_has_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_has", lambda capability: False)
    with pytest.raises(Unsupported, match="sys_rawio"):
        process.as_user(["x"], None, rights=("sys_rawio",))


def test_no_extra_groups() -> None:
    assert "--clear-groups" in process.as_user(["x"], Credentials(5, 6))
    assert process.as_user(["x"], None) == ["x"]


async def test_limits_are_set_before_the_program(tmp_path: Path) -> None:
    argv, refused = process.with_limits([], {"core": 0, "nofile": 100})
    assert not refused
    limits = str((await report(tmp_path / "out", {}, argv))["limits"])
    rows = {line[:25].strip(): line[25:].split()[:2] for line in limits.splitlines()}
    assert rows["Max core file size"] == ["0", "0"] and rows["Max open files"] == ["100", "100"]


def test_a_limit_out_of_reach_is_told_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_has", lambda capability: False)
    monkeypatch.setattr(process.resource, "getrlimit", lambda number: (10, 10))
    argv, refused = process.with_limits(["x"], {"memlock": 11, "nproc": 10, "core": -1})
    assert argv[1:] == ["--nproc=10", "x"]
    assert [r.split()[0] for r in refused] == ["memlock", "core"]


def test_limits_go_back_to_our_own() -> None:
    pid = process.spawn(["/bin/sleep", "600"], {}, {}, 2)
    try:
        ours = resource.getrlimit(resource.RLIMIT_CORE)
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, ours[1]))
        process.restore_limits(pid, ("core",))
        assert resource.prlimit(pid, resource.RLIMIT_CORE) == ours
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    with pytest.raises(HostFailed, match="cannot lower memlock"):
        process.restore_limits(2**22 - 1, ("memlock",))


def test_missing_tool() -> None:
    with pytest.raises(HostFailed, match="no-such-tool"):
        process.tool("no-such-tool")


def test_missing_program(tmp_path: Path) -> None:
    with pytest.raises(HypervisorFailed, match="No such file"):
        process.spawn([str(tmp_path / "none")], {}, {}, 2)


async def test_end_is_seen_and_reaped() -> None:
    pid = process.spawn(["/bin/sleep", "600"], {}, {}, 2)
    child = Process.child(pid)
    called = asyncio.Event()
    child.when_ended(called.set)
    assert not await child.wait(0.02)
    child.kill(signal.SIGKILL)
    assert await child.wait(60)
    assert child.status == -9 and process.describe(child.status) == "was killed by SIGKILL"
    await asyncio.wait_for(called.wait(), 60)
    assert procfs.start_time(pid, ended=True) is None  # no zombie
    child.kill(signal.SIGKILL)
    late = asyncio.Event()
    child.when_ended(late.set)
    await asyncio.wait_for(late.wait(), 60)


async def test_process_of_another_engine() -> None:
    """A process that is not our child: found by pid and start time, watched to its end."""
    shell = await asyncio.create_subprocess_exec("/bin/sh", "-c", "sleep 600 & echo $!; wait", stdout=-1)
    assert shell.stdout is not None
    pid = int(await shell.stdout.readline())
    started = procfs.start_time(pid)
    assert started
    with pytest.raises(NoSuchProcess):
        Process.found(pid, started + 1)
    other = Process.found(pid, started)
    other.kill(signal.SIGKILL)
    assert await other.wait(60)
    assert other.status is None and process.describe(None) == "ended"
    await shell.wait()
    with pytest.raises(NoSuchProcess):
        Process.found(pid, started)


async def test_release_leaves_it_running() -> None:
    pid = process.spawn(["/bin/sleep", "600"], {}, {}, 2)
    child = Process.child(pid)
    started = child.started
    child.release()
    again = Process.found(pid, started)
    again.kill(signal.SIGTERM)
    assert await again.wait(60)
    assert again.status == -15


def test_statuses_in_words() -> None:
    assert process.describe(3) == "exited with status 3"
    assert process.describe(-250) == "was killed by signal 250"
