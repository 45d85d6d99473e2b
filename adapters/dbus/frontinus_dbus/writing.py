"""Writing to a bus that is slower than we are. dbus-fast (5.2) takes a full socket for the end of the connection when a message
before it just fitted; here it waits, as for any other full socket."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterable
from typing import Any

from dbus_fast.aio import MessageBus

PATIENCE = 5.0
"""Seconds that a message with descriptors waits for room, which cannot be sent by parts."""


class PatientSocket:
    """A socket whose full buffer is no error: nothing was sent, then."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def send(self, data: memoryview) -> int:
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0

    def sendmsg(self, buffers: Iterable[memoryview], ancillary: Any) -> int:
        try:
            return self._sock.sendmsg(buffers, ancillary)
        except BlockingIOError:
            select.select([], [self._sock], [], PATIENCE)
            return self._sock.sendmsg(buffers, ancillary)


def be_patient(bus: MessageBus) -> None:
    """Have a connected bus write so."""
    writer = bus._writer
    assert writer is not None and not writer.messages, "it has not begun to write"
    writer.sock = PatientSocket(bus._sock)  # type: ignore[assignment,arg-type]
