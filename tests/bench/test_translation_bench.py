"""What a definition costs: parsing, validating and formatting beside the bare mapping, and a command line."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from frontinus.domain.complete import complete
from frontinus.domain.definition import format_guest, parse_guest
from frontinus.domain.prepare import prepare
from frontinus.domain.validate import validate
from frontinus.qemu.plan import launch_plan
from support.guests import GUESTS, host, qemu72

DOCUMENTS = 1000
ROUNDS = 3
VALIDATED = 1.5
"""How much longer validation may make the mapping."""
PLANNED = 0.003
"""Seconds for the median command line, from the definition as it is stored."""
T = TypeVar("T")


def each(action: Callable[[T], object], items: Iterable[T]) -> list[float]:
    """Seconds of each call."""
    found = []
    for item in items:
        start = time.perf_counter()
        action(item)
        found.append(time.perf_counter() - start)
    return found


def least(rounds: Iterable[list[float]]) -> list[float]:
    """The quickest of some rounds, item by item: others work on this machine too."""
    return [min(times) for times in zip(*rounds, strict=True)]


def test_translation() -> None:
    caps, facts = qemu72(), host()
    texts = [path.read_text() for path in sorted(GUESTS.glob("*.defined.xml"))]
    texts = (texts * (DOCUMENTS // len(texts) + 1))[:DOCUMENTS]
    guests = [complete(parse_guest(text), caps, facts) for text in texts]
    assert [format_guest(guest) for guest in guests] == texts

    def planned(text: str) -> None:
        guest = parse_guest(text)
        launch_plan(prepare(guest, caps, facts, guest_id=1), caps, facts)

    parsed = least(each(parse_guest, texts) for _ in range(ROUNDS))
    formatted = least(each(format_guest, guests) for _ in range(ROUNDS))
    checked = least(each(lambda guest: validate(guest, caps, facts), guests) for _ in range(ROUNDS))
    completed = least([each(lambda guest: complete(guest, caps, facts), guests)])
    plans = least(each(planned, texts) for _ in range(ROUNDS))
    floor = sum(parsed) + sum(formatted)
    ratio, plan = (floor + sum(checked)) / floor, statistics.median(plans)
    size = sum(map(len, texts)) / DOCUMENTS / 1000
    print(
        f"\n{DOCUMENTS} definitions of {size:.1f} kB: parsed {sum(parsed):.2f} s, formatted {sum(formatted):.2f} s,"
        f" validated {sum(checked):.2f} s: {ratio:.2f}x the mapping (at most {VALIDATED}x);"
        f" completed {sum(completed):.2f} s; a command line from its text {plan * 1000:.2f} ms median"
        f" (at most {PLANNED * 1000:g} ms)"
    )
