"""What definitions cost: parsing, validating and formatting against the bare mapping, and planning a start."""

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
VALIDATED = 1.5
"""How much longer validation may make it."""
T = TypeVar("T")
PLANNED = 0.003
"""Seconds for the median command line."""


def seconds(action: Callable[[T], object], items: Iterable[T]) -> float:
    start = time.perf_counter()
    for item in items:
        action(item)
    return time.perf_counter() - start


def test_definitions() -> None:
    caps, facts = qemu72(), host()
    texts = [path.read_text() for path in sorted(GUESTS.glob("*.defined.xml"))]
    texts = (texts * (DOCUMENTS // len(texts) + 1))[:DOCUMENTS]
    guests = [complete(parse_guest(text), caps, facts) for text in texts]
    mapping = seconds(parse_guest, texts) + seconds(format_guest, guests)
    checked = seconds(lambda guest: validate(guest, caps, facts), guests)
    completed = seconds(lambda guest: complete(guest, caps, facts), guests)
    ready = [prepare(guest, caps, facts, guest_id=1) for guest in guests]
    plans = [seconds(lambda guest: launch_plan(guest, caps, facts), [guest]) for guest in ready]
    ratio, plan = (mapping + checked) / mapping, statistics.median(plans)
    print(
        f"\n{DOCUMENTS} definitions: mapping {mapping:.2f} s, with validation {ratio:.2f}x (at most {VALIDATED}x),"
        f" completion {completed:.2f} s, command line {plan * 1000:.2f} ms (at most {PLANNED * 1000:g} ms)"
    )
    assert ratio < VALIDATED and plan < PLANNED
