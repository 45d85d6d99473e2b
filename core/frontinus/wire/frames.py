"""Frames: a 4-byte big-endian length, then msgpack. One connection carries many calls and streams at once."""

from __future__ import annotations

import msgspec

from frontinus.api.errors import ERRORS, FrontinusError, InternalError
from frontinus.api.identity import Identity

MAX_REQUEST = 8 * 2**20
"""Bytes of one frame that the engine accepts: a definition is at most 4 MiB."""

MAX_ANSWER = 256 * 2**20
"""Bytes of one frame that a client accepts: a screenshot of a large screen."""


class Call(msgspec.Struct, tag="call", array_like=True):
    """Start a method or a stream. `who`: the caller that a trusted adapter speaks for; `fds` descriptors come with it."""

    id: int
    method: str
    arguments: msgspec.Raw
    who: Identity | None = None
    fds: int = 0


class Cancel(msgspec.Struct, tag="cancel", array_like=True):
    """The client is no longer interested."""

    id: int


class Result(msgspec.Struct, tag="result", array_like=True):
    """The answer of a call; `fds` descriptors came with the frame."""

    id: int
    value: msgspec.Raw
    fds: int = 0


class Item(msgspec.Struct, tag="item", array_like=True):
    """One item of a stream."""

    id: int
    value: msgspec.Raw


class End(msgspec.Struct, tag="end", array_like=True):
    """The stream is over."""

    id: int


class Failure(msgspec.Struct, tag="failure", array_like=True):
    """The call or stream failed."""

    id: int
    code: str
    message: str
    details: dict[str, str] = {}

    @classmethod
    def of(cls, call: int, error: FrontinusError) -> Failure:
        return cls(call, error.code, error.message, dict(error.details))

    def error(self) -> FrontinusError:
        """The error that it stands for; a code of a newer engine becomes the base class."""
        return ERRORS.get(self.code, FrontinusError)(self.message, **self.details)


Request = Call | Cancel
Answer = Result | Item | End | Failure

encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode


def frame(message: Request | Answer) -> bytes:
    """A message with its length before it."""
    body = encode(message)
    return len(body).to_bytes(4, "big") + body


class Unframer:
    """Cuts a byte stream into frames. Raises InternalError for one longer than the limit, before taking it in."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are complete now."""
        self._buffer += data
        frames, start = [], 0
        while len(self._buffer) - start >= 4:
            length = int.from_bytes(self._buffer[start : start + 4], "big")
            if length > self._limit:
                raise InternalError(f"a frame of {length} bytes is over the limit of {self._limit}")
            if len(self._buffer) - start - 4 < length:
                break
            frames.append(bytes(self._buffer[start + 4 : start + 4 + length]))
            start += 4 + length
        del self._buffer[:start]
        return frames
