"""Descriptors that come with a message: open as long as whoever asked for them goes on, whatever becomes of the call."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Sequence

from frontinus.api.descriptor import Descriptor
from frontinus_dbus.faults import INVALID_ARGS, Fault
from frontinus_dbus.table import Method


class Files:
    """The descriptors of one message. They are closed when the call ends, or, where none begins, with the last reference."""

    def __init__(self, fds: Sequence[int]) -> None:
        self._fds: Sequence[int] = tuple(fds)

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        gone, self._fds = self._fds, ()
        for fd in gone:
            with contextlib.suppress(OSError):
                os.close(fd)

    def body(self, method: Method, body: Sequence[object]) -> list[object]:
        """The arguments of a method with descriptors in place of their numbers. Raises Fault for one that did not come."""
        return [self._opened(argument.signature, value) for argument, value in zip(method.takes, body, strict=True)]

    def _opened(self, signature: str, value: object) -> object:
        if signature == "h":
            return self._at(value)
        if signature == "ah" and isinstance(value, list):
            return [self._at(number) for number in value]
        return value

    def _at(self, number: object) -> Descriptor:
        if not isinstance(number, int) or not 0 <= number < len(self._fds):
            raise Fault(INVALID_ARGS, f"no descriptor {number} came with the message")
        return Descriptor(self._fds[number])

    async def kept(self, work: Awaitable[object]) -> object:
        """Wait for what uses them. They go then: an error that is kept somewhere has references to all that it passed."""
        try:
            return await work
        finally:
            self.close()
