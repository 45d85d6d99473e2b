"""A recorded probe: the commands that were asked of a binary and its replies, in one or two sessions.

The form on disk is a stream of JSON objects, each command ({"execute", "arguments"?, "id"}) followed by its reply
({"return" or "error", "id"}). "qmp_capabilities" starts a session: the first runs with the best accelerator, a second,
where there is one, with TCG alone. Results stay undecoded until somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from frontinus.api.errors import InvalidValue

T = TypeVar("T")


class Line(msgspec.Struct, rename={"result": "return"}):
    """One object of the stream: a command, or a reply. `result` is empty in a command and after an error."""

    id: str | None = None
    execute: str | None = None
    arguments: dict[str, object] = {}
    result: msgspec.Raw = msgspec.Raw(b"")


@dataclass
class Session:
    """The exchanges of one session: command, arguments, and the JSON text of the result (empty after an error)."""

    exchanges: list[tuple[str, Mapping[str, object], msgspec.Raw]] = field(default_factory=list)

    def results(self, command: str) -> Iterator[tuple[Mapping[str, object], msgspec.Raw]]:
        """Arguments and result of every successful use of a command."""
        return ((a, r) for c, a, r in self.exchanges if c == command and len(memoryview(r)))

    def result(self, command: str, kind: type[T]) -> T | None:
        """The decoded result of a command that is asked once; None when it failed or was not asked."""
        return next((msgspec.json.decode(r, type=kind) for _, r in self.results(command)), None)


def read(text: bytes) -> Sequence[Session]:
    """Parse a recording. Raises InvalidValue when it is none."""
    sessions: list[Session] = []
    asked: dict[str | None, Line] = {}
    for line in _lines(text):
        if line.execute == "qmp_capabilities":
            sessions.append(Session())
            asked = {}
        elif line.execute is not None:
            asked[line.id] = line
        elif (command := asked.pop(line.id, None)) and command.execute:
            sessions[-1].exchanges.append((command.execute, command.arguments, line.result))
    if not sessions:
        raise InvalidValue("the recording holds no QMP session", field="capabilities")
    return sessions


def _lines(text: bytes) -> Sequence[Line]:
    try:
        return msgspec.json.Decoder(Line).decode_lines(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidValue(f"the recording is not QMP: {error}", field="capabilities") from error
