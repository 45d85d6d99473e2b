"""The figures that the demo shows."""

from __future__ import annotations

import pytest

from demo_figures import HEADINGS, plain, row, size
from frontinus.api.views import BlockStats, CpuStats, GuestStats, InterfaceStats, MemoryStats


def sample(taken: float, cpu: int, **counters: int) -> GuestStats:
    return GuestStats(
        uuid="7b1ad09e-2a44-4be5-8a6a-1f1b0d4ff3f3",
        name="demo",
        state="running",
        taken=taken,
        cpu=CpuStats(time=cpu),
        memory=MemoryStats(rss=64 << 20),
        blocks=(
            BlockStats(index=0, name="vda", read_bytes=counters.get("read", 0)),
            BlockStats(index=1, name="vdb", write_bytes=counters.get("written", 0)),
        ),
        interfaces=(InterfaceStats(index=0, name="eth", rx_bytes=counters.get("received"), tx_bytes=0),),
    )


def test_rates_are_differences_over_the_time_between() -> None:
    new = sample(12.0, 3_000_000_000, read=4096, written=2 << 20, received=2000)
    assert row(new, sample(10.0, 2_000_000_000, received=0)) == (
        "demo", "running", "50 %", "64.0 MiB", "2.0 KiB/s", "1.0 MiB/s", "1000 B/s", "0 B/s",
    )  # fmt: skip


def test_first_sample_has_no_rates() -> None:
    assert row(sample(10.0, 1), None)[2:] == ("-", "64.0 MiB", "-", "-", "-", "-")


def test_same_sample_twice_divides_by_nothing() -> None:
    assert row(sample(10.0, 1), sample(10.0, 1))[2] == "-"


@pytest.mark.parametrize(("count", "text"), [(None, "-"), (0, "0 B"), (1536, "1.5 KiB"), (5 << 40, "5120.0 GiB")])
def test_size(count: int | None, text: str) -> None:
    assert size(count) == text


def test_plain_line_keeps_columns() -> None:
    line = plain(HEADINGS)
    assert line.split("  ")[0] == "guest"
    assert line.endswith("sent")


def test_what_is_not_counted_is_unknown() -> None:
    assert row(sample(12.0, 2), sample(10.0, 1))[6:] == ("-", "0 B/s")
