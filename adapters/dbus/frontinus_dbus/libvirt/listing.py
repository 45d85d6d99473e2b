"""Lists that flags narrow down: within a group any may hold, and every group that is asked for has to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from frontinus_dbus.faults import Flags

T = TypeVar("T")


@dataclass(frozen=True)
class Listing(Generic[T]):
    """Groups of tests by name, in the order of their bits: `groups` holds (name, bit, test)."""

    groups: Sequence[Sequence[tuple[str, int, Callable[[T], bool]]]]

    def choose(self, items: Iterable[T], bits: int) -> list[T]:
        """Raises InvalidValue for bits that no group has."""
        Flags(self.known).read(bits)
        asked = [[test for _, bit, test in group if bits & bit] for group in self.groups]
        return [item for item in items if all(not tests or any(test(item) for test in tests) for tests in asked)]

    @property
    def known(self) -> Mapping[str, int]:
        return {name: bit for group in self.groups for name, bit, _ in group}
