"""M-POST, HTTP's extension framework (RFC 2774) as DSP0200 uses it: CIM's header fields begin with digits that the client chose.

aiohttp's parser knows no such method, and what it is given must begin a message. So a connection whose first octets are M-POST
is fed as POST, and closed after its answer: the next one begins a connection again. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

METHOD, TAKEN_AWAY = b"M-POST ", b"M-"
CIM = "http://www.dmtf.org/cim/mapping/http/v1.0"
"""The extension that we know: DSP0200's mapping."""
MANDATORY, OF_THE_HOP = "Man", "C-Man"
DECLARATION = re.compile(r'\s*(?:"([^"]*)"|([^\s",;]+))\s*((?:;[^,"]*(?:"[^"]*")?)*)', re.ASCII)
PREFIX = re.compile(r";\s*ns\s*=\s*\"?(\d\d)\"?\s*(?:;|$)", re.ASCII)


class NotExtended(Exception):
    """What is mandatory is not known, or nothing is: HTTP status 510."""


class Start:
    """The first octets of a connection, until they tell whether it is one of M-POST."""

    def __init__(self) -> None:
        self._held = b""
        self.known = self.extended = False

    def take(self, data: bytes) -> bytes:
        """More octets; those that the parser is to have by now."""
        if self.known:
            return data
        self._held += data
        if len(self._held) < len(METHOD) and METHOD.startswith(self._held):
            return b""
        held, self._held, self.known = self._held, b"", True
        self.extended = held.startswith(METHOD)
        return held.removeprefix(TAKEN_AWAY) if self.extended else held


def prefix_of(mandatory: Iterable[str], of_the_hop: Iterable[str] = ()) -> str:
    """What stands before the header fields of CIM, such as `73-`. Raises NotExtended."""
    found = list(declarations(mandatory))
    if len(found) != 1 or list(of_the_hop):
        raise NotExtended("one mandatory extension is known, and it must be declared")
    name, rest = found[0]
    space = PREFIX.search(rest)
    if name.lower() != CIM:
        raise NotExtended(f"the extension '{name[:80]}' is not known")
    if rest.strip(" ;\t") and space is None:
        raise NotExtended("its ns is not two digits")
    return f"{space[1]}-" if space else ""


def declarations(fields: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The names and parameters of what header fields declare. Raises NotExtended."""
    for field in fields:
        at = 0
        while at < len(field):
            found = DECLARATION.match(field, at)
            if found is None or (found.end() < len(field) and field[found.end()] != ","):
                raise NotExtended("a declaration that does not parse")
            yield found[1] or found[2] or "", found[3]
            at = found.end() + 1


def answered(prefix: str, headers: Mapping[str, str]) -> dict[str, str]:
    """The header fields of an answer to M-POST (RFC 2774, 5.1; DSP0200): Ext says that what was mandatory was understood."""
    space = f"; ns={prefix[:2]}" if prefix else ""
    ours = {(prefix + name if name.startswith("CIM") else name): value for name, value in headers.items()}
    return {**ours, "Ext": "", "Man": f"{CIM}{space}", "Cache-Control": "no-cache"}
