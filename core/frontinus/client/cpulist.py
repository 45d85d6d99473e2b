"""Lists of CPUs as definitions write them."""

from __future__ import annotations


def cpus(text: str, end: int) -> frozenset[int]:
    """The CPUs below `end` of a list such as 0-3,^2,8; words that are none are passed over."""
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        word = part.removeprefix("^")
        first, _, last = word.partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            continue
        named = range(int(first), min(int(last or first) + 1, end))
        found = found.difference(named) if word != part else found.union(named)
    return frozenset(found)
