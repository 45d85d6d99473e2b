"""Which guests and devices are reported."""

from __future__ import annotations

import re
from dataclasses import dataclass

from frontinus.api.errors import InvalidValue

Entry = str | re.Pattern[str]


@dataclass(frozen=True)
class Selection:
    """Names, and patterns that are looked for within names. Without entries all is selected.

    `ignore`: what is listed is left out, instead of all the rest.
    """

    entries: tuple[Entry, ...] = ()
    ignore: bool = False

    def __contains__(self, name: str) -> bool:
        if not self.entries:
            return True
        listed = any(entry == name if isinstance(entry, str) else entry.search(name) for entry in self.entries)
        return listed != self.ignore


def pattern(entry: str) -> Entry:
    """A name, or between slashes a regular expression. Raises InvalidValue."""
    if len(entry) < 2 or not (entry.startswith("/") and entry.endswith("/")):
        return entry
    try:
        return re.compile(entry[1:-1])
    except re.error as error:
        raise InvalidValue(f"'{entry}' is no regular expression: {error}") from None
