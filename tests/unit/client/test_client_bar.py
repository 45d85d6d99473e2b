"""Bars: none where nobody looks, and plain percentages where rich is not installed."""

from __future__ import annotations

import asyncio
import io
import sys
from types import SimpleNamespace

import pytest

from frontinus.api.engine import Engine
from frontinus.api.views import JobView
from frontinus.client import progress
from frontinus.client.bar import bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """The error stream of the modules: pytest sets its own anew before each test."""
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("TTY_COMPATIBLE", raising=False)
    for module in ("bar", "progress"):
        monkeypatch.setattr(f"frontinus.client.{module}.sys", SimpleNamespace(stderr=terminal))
    return terminal


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without extras."""
    for name in ("rich", "rich.console", "rich.progress"):
        monkeypatch.setitem(sys.modules, name, None)


def test_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("clone") as show:
        show(0.5)
    assert capsys.readouterr().err == ""


def test_percentages_without_rich(terminal: Terminal, bare: None) -> None:
    with bar("clone") as show:
        show(0.25)
        show(1.0)
    assert terminal.getvalue() == "\rclone: [ 25 %]\rclone: [100 %]\n"


def test_rich_draws_where_it_is(terminal: Terminal) -> None:
    pytest.importorskip("rich")
    with bar("clone") as show:
        show(0.5)
    assert "clone" in terminal.getvalue()


class Slow:
    """An engine with one job, half done."""

    def __init__(self) -> None:
        self.asked = 0
        self.seen = asyncio.Event()

    async def jobs(self, guest: str | None = None) -> list[JobView]:
        self.asked += 1
        if self.asked == 1:  # what was there before our call
            return []
        self.seen.set()
        return [JobView(id="1", kind="clone", state="running", started=0.0, progress=0.5)]


async def test_long_work_is_drawn_without_rich(terminal: Terminal, bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS", 0.001)
    engine = Slow()

    async def work() -> str:
        await engine.seen.wait()
        return "done"

    drawn: Engine = engine  # type: ignore[assignment]
    assert await asyncio.wait_for(progress.watched(drawn, "clone", "Cloning", work()), 10) == "done"
    assert "Cloning: [ 50 %]" in terminal.getvalue()
