"""check_frontinus: exit codes, ranges, performance data, one line that says it."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import pytest

from frontinus.api.networks import NetworkView
from frontinus.api.storage import PoolView
from frontinus.api.views import GuestStats
from frontinus.client.thin import ThinEngine
from frontinus_collectd import nagios
from frontinus_collectd.nagios import CHECKS, fault, main, parser
from frontinus_collectd.nagios_host import NoSuch
from frontinus_collectd.thresholds import Figure, Report, Status, parse_range, worst
from support.monitored import Monitored, monitored


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Monitored]:
    async with monitored(tmp_path, guests=2) as rig:
        yield rig


class Check:
    def __init__(self, capsys: pytest.CaptureFixture[str], path: Path) -> None:
        self.capsys, self.path = capsys, path

    async def __call__(self, name: str, *arguments: str) -> tuple[int, str]:
        code = await asyncio.to_thread(main, [name, "-S", str(self.path), *arguments])
        return code, self.capsys.readouterr().out


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Check:
    return Check(capsys, tmp_path / "ro.sock")


@pytest.mark.parametrize(
    ("text", "alerting", "well"),
    [
        ("10", [-1, 10.5], [0, 10]),
        ("10:", [9.9], [10, 1e9]),
        ("~:10", [11], [-1e9, 10]),
        ("10:20", [9, 21], [10, 15, 20]),
        ("@10:20", [10, 15, 20], [9, 21]),
        ("@5", [0, 5], [-1, 6]),
        ("-5:-1.5", [-6, 0], [-5, -1.5]),
        (":3", [-1, 4], [0, 3]),
    ],
)
def test_ranges(text: str, alerting: list[float], well: list[float]) -> None:
    found = parse_range(text)
    assert [v for v in (*alerting, *well) if found.alerts(v)] == alerting


@pytest.mark.parametrize("text", ["", "@", "a", "20:10", "1:2:3", "~", "1,5", "~:", "10:a"])
def test_no_ranges(text: str) -> None:
    if text == "~:":
        assert not parse_range(text).alerts(-1e9)  # all is well
        return
    with pytest.raises(ValueError):
        parse_range(text)


def test_performance_data() -> None:
    assert (
        str(Figure("time", 0.00123, "s", parse_range("1"), parse_range("5:"), 0, 10.0)) == "'time'=0.00123s;1;5:;0;10"
    )
    assert str(Figure("it's a=b", 3)) == "'it''s a_b'=3"
    assert str(Figure("age", 0.0, "s", low=0)) == "'age'=0s;;;0"
    report = Report(Status.WARNING, "a | b\nc", [Figure("n", 1)], ["more | of it"])
    assert report.render("X") == "X WARNING - a / b c | 'n'=1\nmore / of it\n"


def test_the_worst_of_them() -> None:
    assert worst([]) is Status.OK
    assert worst([Status.OK, Status.UNKNOWN]) is Status.UNKNOWN
    assert worst([Status.UNKNOWN, Status.WARNING]) is Status.WARNING
    assert worst([Status.CRITICAL, Status.WARNING]) is Status.CRITICAL


@pytest.mark.parametrize(
    ("state", "reason", "named", "status"),
    [
        ("running", "booted", True, Status.OK),
        ("paused", "user", False, Status.OK),
        ("paused", "user", True, Status.WARNING),
        ("paused", "I/O error", False, Status.CRITICAL),
        ("crashed", "panicked", False, Status.CRITICAL),
        ("shutoff", "shutdown", False, Status.OK),
        ("shutoff", "shutdown", True, Status.CRITICAL),
        ("shutoff", "crashed", False, Status.CRITICAL),
    ],
)
def test_states(state: str, reason: str, named: bool, status: Status) -> None:
    guest = GuestStats(uuid="u", name="g", id=None if state == "shutoff" else 1, state=state, reason=reason)  # type: ignore[arg-type]
    assert fault(guest, named=named) is status


async def test_guests(rig: Monitored, check: Check) -> None:
    code, said = await check("guests")
    assert code == 0 and said.startswith(
        "FRONTINUS GUESTS OK - 3 of 3 guests run | 'running'=3;;;0;3 'nostate'=0;;;0;3 "
    )
    assert (await check("guests", "-w", "5:", "-c", "2:"))[0] == 1
    assert (await check("guests", "-w", "5:", "-c", "4:"))[0] == 2
    await rig.engine.suspend("test")
    assert (await check("guests"))[0] == 0
    code, said = await check("guests", "-g", "test")
    assert code == 1 and said.startswith("FRONTINUS GUESTS WARNING - 0 of 1 guests run; test is paused (user) |")
    await rig.engine.destroy("test")
    code, said = await check("guests", "-g", "test", "-g", "guest-*")
    assert code == 2 and "2 of 3 guests run; test is shutoff (destroyed) |" in said
    assert said.splitlines()[1] == "CRITICAL: test is shutoff (destroyed)"
    assert (await check("guests", "-g", "guest-*"))[0] == 0
    code, said = await check("guests", "-g", "nobody")
    assert (code, said) == (3, "FRONTINUS GUESTS UNKNOWN - there is no guest 'nobody'\n")


async def test_engine(rig: Monitored, check: Check) -> None:
    code, said = await check("engine", "-w", "8", "-c", "9")
    assert code == 0
    assert re.fullmatch(
        r"FRONTINUS ENGINE OK - answered in [\d.]+ ms, up since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d, 3 of 3 guests active"
        r" \| 'time'=[\d.]+s;8;9;0;10 'guests'=3;;;0 'active'=3;;;0;3 'rss'=\d+B;;;0 'late'=\d+c;;;0\n", said)  # fmt: skip
    assert (await check("engine", "-w", "@0:1"))[0] == 1
    assert (await check("engine", "-c", "@0:1"))[0] == 2
    rig.close()
    code, said = await check("engine")
    assert code == 2 and "is frontinusd running?" in said
    code, said = await check("guests")
    assert code == 3


@pytest.mark.parametrize("name", list(CHECKS))
async def test_a_check_costs_one_call(rig: Monitored, check: Check, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    ask = ThinEngine.call

    def counted(engine: ThinEngine, method: Callable[..., object], *args: object, **given: object) -> object:
        asked.append(method.__name__)
        return ask(engine, method, *args, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(ThinEngine, "call", counted)
    await check(name)
    assert len(asked) == 1


async def test_stale_figures(rig: Monitored, check: Check) -> None:
    code, said = await check("stats")
    assert code == 0 and re.search(r"figures of 3 guests are at most \d", said) and "'stale'=0;;;0;3" in said
    rig.mocks["test"].answers.clear()
    code, said = await check("stats")
    assert code == 2 and "1 do not answer: test" in said and re.search(r"^test: figures are \d", said, re.M)
    assert (await check("stats", "-g", "guest-*"))[0] == 0
    assert (await check("stats", "-w", "60", "-c", "300"))[0] == 0
    assert (await check("stats", "-w", "0.1", "-c", "300"))[0] == 1
    rig.mocks["test"].answers.set()


async def test_memory(rig: Monitored, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = await check("memory")
    assert code == 3 and "no guest tells its memory" in said
    guest = rig.mocks["test"]
    figures = guest.figures

    async def told(groups: list[str], deadline: float) -> object:
        found = await figures(groups, deadline)
        found.memory |= {"available": 1000, "usable": 100, "unused": 50}
        return found

    monkeypatch.setattr(guest, "figures", told)
    async with asyncio.timeout(60):
        while code != 1:  # until the figures of the first check are older than this one allows, and come in time
            code, said = await check("memory", "-w", "80", "-c", "95", "-t", "0.5")
    assert "1 of 1 guests outside the thresholds" in said and "'test'=90%;80;95;0;100" in said
    assert "guest-00000 does not tell its memory" in said


POOLS = [
    PoolView(
        uuid="1", name="images", kind="dir", state="running", active=True, capacity=1000, allocation=905, available=95
    ),
    PoolView(uuid="2", name="backup", kind="netfs", autostart=True),
    PoolView(uuid="3", name="old", kind="dir"),
]
NETWORKS = [NetworkView(uuid="4", name="default", active=True, ports=2, leases=1), NetworkView(uuid="5", name="lab")]


class Shown:
    """An engine of which one thing is asked."""

    def __init__(self, views: object) -> None:
        self.views = views

    def call(self, method: object) -> object:
        return self.views


def ask(check: str, *arguments: str) -> Report:
    options = parser().parse_args([check, *arguments])
    return CHECKS[check][0](cast("ThinEngine", Shown(POOLS if check == "pools" else NETWORKS)), options)


def test_pools_are_judged_by_how_full_they_are_and_whether_they_are_there() -> None:
    report = ask("pools")
    assert report.status is Status.CRITICAL and report.lines == ["CRITICAL: backup is not active"]
    said = report.render("FRONTINUS POOLS")
    assert "1 of 3 pools active, the fullest 90.5 %; backup is not active" in said and "'images'=90.5%;;;0;100" in said
    assert ask("pools", "-n", "images").status is Status.OK
    assert ask("pools", "-n", "images", "-w", "80", "-c", "95").status is Status.WARNING
    assert ask("pools", "-n", "images", "-c", "90").status is Status.CRITICAL
    assert ask("pools", "-n", "o*").status is Status.OK
    assert ask("pools", "-n", "old").status is Status.CRITICAL
    with pytest.raises(NoSuch, match="no pool 'none'"):
        ask("pools", "-n", "none")


def test_networks_that_should_be_active() -> None:
    report = ask("networks")
    assert report.status is Status.OK and "1 of 2 networks active" in report.render("")
    assert "'default_leases'=1" in report.render("")
    assert ask("networks", "-n", "lab").status is Status.CRITICAL
    assert ask("networks", "-w", "2:").status is Status.WARNING


@pytest.mark.parametrize("arguments", [[], ["weather"], ["guests", "-w", "20:10"], ["engine", "-t", "0"], ["--help"],
                                       ["--version"], ["pools", "-g", "a"]])  # fmt: skip
def test_a_wrong_call_is_unknown(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 3
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\2\xc1\xc1", b"\xff" * 9, b"\0\0\0\0"]
)
def test_a_socket_of_something_else_is_no_warning(
    tmp_path: Path, said: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "ro.sock"))
        other.listen(1)

        def answer() -> None:
            with other.accept()[0] as sock:
                sock.recv(4096)
                sock.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        assert main(["guests", "-S", str(tmp_path / "ro.sock"), "-t", "60"]) == 3
        thread.join(60)
    said_to_operator = capsys.readouterr().out
    assert said_to_operator.startswith("FRONTINUS GUESTS UNKNOWN - ") and "Traceback" not in said_to_operator


def test_what_nobody_expected_is_unknown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: object) -> Report:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(nagios, "CHECKS", {**CHECKS, "stats": (fail, *CHECKS["stats"][1:])})
    assert main(["stats"]) == 3
    assert (
        capsys.readouterr().out
        == "FRONTINUS STATS UNKNOWN - the check failed unexpectedly: ZeroDivisionError: by zero\n"
    )


def test_silence_ends_at_the_timeout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(tmp_path / "ro.sock"))
        mute.listen(1)
        began = time.monotonic()
        assert main(["engine", "-S", str(tmp_path / "ro.sock"), "-t", "0.3"]) == 2
        assert time.monotonic() - began < 30
    assert "the engine did not answer poll within 0.3 s" in capsys.readouterr().out
