"""Answers whose parts are marshalled ahead of time: the world in one call is a join of what each object had ready."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from dbus_fast import Message, MessageType, Variant

OBJECTS = "a{oa{sa{sv}}}"
HEADER = 8
"""Bytes of the body before the first entry: the array's length, and padding to the alignment of its entries."""


@dataclass(frozen=True)
class Entries:
    """The body of GetManagedObjects, in parts from `entry`."""

    parts: Sequence[bytes]


def entry(path: str, interfaces: dict[str, dict[str, Variant]]) -> bytes:
    """One object as it stands in the answer."""
    message = Message(
        message_type=MessageType.METHOD_RETURN, reply_serial=1, signature=OBJECTS, body=[{path: interfaces}], serial=1
    )
    whole = bytes(message._marshall(False))
    (length,) = struct.unpack_from("<I", whole, 4)
    return whole[len(whole) - length + HEADER :]


class Joined(Message):
    """A reply with a body of parts. dbus-fast asks a message for its bytes once, when it is sent."""

    def __init__(self, call: Message, entries: Entries) -> None:
        super().__init__(message_type=MessageType.METHOD_RETURN, reply_serial=call.serial, destination=call.sender,
                         signature=OBJECTS, body=[{}])  # fmt: skip
        self._parts = entries.parts

    def _marshall(self, negotiate_unix_fd: bool) -> bytearray:
        head = bytearray(super()._marshall(negotiate_unix_fd))
        body = bytearray()
        for part in self._parts:
            body += bytes(-len(body) % 8)  # each entry is aligned, and nothing follows the last
            body += part
        struct.pack_into("<I", head, 4, HEADER + len(body))
        struct.pack_into("<I", head, len(head) - HEADER, len(body))
        return head + body


@dataclass(frozen=True)
class Ready:
    """The body of an answer, marshalled already."""

    signature: str
    body: bytes


def ready(signature: str, body: Sequence[object]) -> Ready:
    """Marshal an answer's body, to be sent as often as it is asked for."""
    message = Message(
        message_type=MessageType.METHOD_RETURN, reply_serial=1, signature=signature, body=list(body), serial=1
    )
    whole = bytes(message._marshall(False))
    (length,) = struct.unpack_from("<I", whole, 4)
    return Ready(signature, whole[len(whole) - length :])


class Prepared(Message):
    """A reply with a body that is ready: its header is put together here, field by field (D-Bus specification, messages)."""

    def __init__(self, call: Message, made: Ready) -> None:
        super().__init__(message_type=MessageType.METHOD_RETURN, reply_serial=call.serial, destination=call.sender)
        self._ready = made

    def _marshall(self, negotiate_unix_fd: bool) -> bytearray:
        name, kind = (self.destination or "").encode(), self._ready.signature.encode()
        fields = bytearray(struct.pack("<4sI", b"\x05\x01u\0", self.reply_serial))
        fields += struct.pack("<4sI", b"\x06\x01s\0", len(name)) + name + b"\0"
        fields += bytes(-len(fields) % 8)
        fields += b"\x08\x01g\0" + bytes([len(kind)]) + kind + b"\0"
        head = struct.pack("<4sIII", b"l\x02\x01\x01", len(self._ready.body), self.serial, len(fields))
        return bytearray(head + fields + bytes(-len(fields) % 8) + self._ready.body)
