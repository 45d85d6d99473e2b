"""The demo's figures: from two samples of a guest to a row of a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from frontinus.api.views import GuestStats

HEADINGS = ("guest", "state", "CPU", "memory", "disk read", "written", "received", "sent")
WIDTHS = (16, 10, 8, 10, 11, 11, 11, 11)


@dataclass(frozen=True, slots=True)
class Counters:
    """What grows while a guest runs, ns and bytes; None is unknown."""

    cpu: int | None
    read: int | None
    written: int | None
    received: int | None
    sent: int | None


def counters(sample: GuestStats) -> Counters:
    """The sums over all disks and NICs that the hypervisor tells something of."""
    return Counters(
        cpu=sample.cpu.time if sample.cpu else None,
        read=_sum(disk.read_bytes for disk in sample.blocks),
        written=_sum(disk.write_bytes for disk in sample.blocks),
        received=_sum(nic.rx_bytes for nic in sample.interfaces),
        sent=_sum(nic.tx_bytes for nic in sample.interfaces),
    )


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def row(sample: GuestStats, before: GuestStats | None) -> tuple[str, ...]:
    """One line under HEADINGS. Rates are of the time since the sample before; without one they are unknown."""
    rss = sample.memory.rss if sample.memory else None
    state = "stale" if sample.stale else sample.state
    if before is None or sample.taken <= before.taken:
        return (sample.name, state, "-", size(rss), "-", "-", "-", "-")
    old, new, seconds = counters(before), counters(sample), sample.taken - before.taken
    cpu = _rate(new.cpu, old.cpu, seconds)
    used = "-" if cpu is None else f"{cpu / 1e7:.0f} %"  # ns a second, as a percentage of one CPU
    pairs = ((new.read, old.read), (new.written, old.written), (new.received, old.received), (new.sent, old.sent))
    rates = (_rate(now, then, seconds) for now, then in pairs)
    return (sample.name, state, used, size(rss), *("-" if rate is None else f"{size(rate)}/s" for rate in rates))


def _rate(now: int | None, then: int | None, seconds: float) -> float | None:
    return None if now is None or then is None else (now - then) / seconds


def size(count: float | None) -> str:
    """Bytes for a person, in powers of 1024."""
    if count is None:
        return "-"
    for unit in ("B", "KiB", "MiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def plain(cells: Sequence[str]) -> str:
    """A row as one line of text."""
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()
