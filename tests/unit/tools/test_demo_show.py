"""What the demo prints, from a stand-in for the engine."""

from __future__ import annotations

from typing import cast

import pytest
from rich.console import Console

from demo_show import Engine, _table, show
from frontinus.api.views import CpuStats, GuestStats


class Ticking:
    """An engine with one guest that uses a quarter of a CPU."""

    def __init__(self) -> None:
        self.samples: list[GuestStats] = []

    async def stats(self) -> list[GuestStats]:
        second = len(self.samples)
        cpu = CpuStats(time=second * 250_000_000)
        self.samples.append(GuestStats(uuid="u", name="demo", state="running", taken=100.0 + second, cpu=cpu))
        return self.samples[-1:]


async def test_without_a_terminal_each_sample_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    engine = Ticking()
    await show(cast("Engine", engine), [("list", "frontinus list")], seconds=0.3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "list: frontinus list"
    assert lines[1].startswith("guest")
    assert len(lines) == 2 + len(engine.samples) >= 4
    assert "25 %" in lines[-1]


async def test_table_has_a_row_for_each_guest() -> None:
    engine = Ticking()
    first, second = await engine.stats(), await engine.stats()
    console = Console(width=120, record=True)
    console.print(_table(second, {"u": first[0]}))
    text = console.export_text()
    assert "demo" in text
    assert "25 %" in text
