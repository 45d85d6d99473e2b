"""The facade for places without an event loop: plugins of monitoring systems, small scripts.

One blocking unix socket, one call at a time, each within a deadline; no thread, no asyncio. The frames are those of the
asynchronous client, and a new method of Engine needs no line here.

    with ThinEngine(path) as engine:
        for stats in engine.call(Engine.stats, max_age=5.0): ...
"""

from __future__ import annotations

import itertools
import os
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, Self, TypeVar, cast

import msgspec

from frontinus.api.engine import Descriptor, Engine
from frontinus.api.errors import Disconnected, FrontinusError, InternalError, InvalidValue, Unresponsive, Unsupported
from frontinus.wire.frames import MAX_ANSWER, Answer, Call, Failure, Result, Unframer, decode_answer, encode, frame
from frontinus.wire.passing import receive
from frontinus.wire.surface import Method
from frontinus.wire.surface import method as find_method

CHUNK = 256 * 1024

P = ParamSpec("P")
T = TypeVar("T")


class ThinEngine:
    """A connection that is made by the first call, and anew by the first call after it was lost.

    `timeout`: seconds that a call may take, the connecting included. `call` is checked by types, an attribute is shorter:
    `engine.call(Engine.guests, active=True)`, `engine.guests(active=True)`. Raises Disconnected where no engine answers,
    Unresponsive past the deadline, and what the method raises.
    """

    def __init__(self, path: Path, timeout: float = 5.0) -> None:
        self.path, self.timeout = path, timeout
        self._ids = itertools.count(1)
        self._sock: socket.socket | None = None
        self._unframer = Unframer(MAX_ANSWER)
        self._frames: deque[bytes] = deque()
        self._fds: deque[int] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Callable[..., object]:
        found = find_method(name)
        if found is None:
            raise AttributeError(name)
        return lambda *args, **kwargs: self._ask(found, args, kwargs)

    def call(self, method: Callable[Concatenate[Engine, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of Engine and wait for its answer."""
        found = find_method(method.__name__)
        if found is None:
            raise InvalidValue(f"the facade has no '{method.__name__}'", field="method")
        return cast("T", self._ask(found, args, kwargs))

    @property
    def connected(self) -> bool:
        """Whether a connection is open; the engine may have closed its end already."""
        return self._sock is not None

    def close(self) -> None:
        """Close the connection; the next call opens another. Idempotent."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()
        self._frames.clear()
        self._unframer = Unframer(MAX_ANSWER)

    def _ask(self, method: Method, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        if method.stream:
            raise Unsupported(f"{method.name} is a stream, which takes an event loop to follow")
        try:
            arguments = method.bind(args, kwargs)
        except TypeError as error:
            raise InvalidValue(str(error), field="arguments") from None
        deadline = time.monotonic() + self.timeout
        number = next(self._ids)
        arguments, fds = method.part(arguments)
        request = frame(Call(number, method.name, msgspec.Raw(encode(cast("Call", arguments))), fds=len(fds)))
        try:
            sock = self._open(deadline)
            sock.settimeout(_left(deadline))
            sent = socket.send_fds(sock, [request], fds) if fds else 0
            sock.sendall(request[sent:])
            return self._result(method, self._answer(sock, number, deadline))
        except TimeoutError:
            self.close()
            raise Unresponsive(f"the engine did not answer {method.name} within {self.timeout:g} s") from None
        except OSError as error:
            self.close()
            raise Disconnected(f"the connection to the engine broke: {error.strerror}") from None
        finally:
            for fd in fds:
                os.close(fd)

    def _open(self, deadline: float) -> socket.socket:
        if self._sock is None:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(_left(deadline))
            try:
                sock.connect(str(self.path))
            except OSError as error:
                sock.close()
                if isinstance(error, TimeoutError):
                    raise
                why = f"cannot reach the engine at {self.path}: {error.strerror or error}"
                raise Disconnected(f"{why}; is frontinusd running?") from None
            self._sock = sock
        return self._sock

    def _answer(self, sock: socket.socket, number: int, deadline: float) -> Answer:
        """The answer to a call. Every call before it has been answered, or its connection was closed."""
        while not self._frames:
            sock.settimeout(_left(deadline))
            data, fds, _ = receive(sock, CHUNK)
            self._fds.extend(fds)
            if not data:
                self.close()
                raise Disconnected("the engine closed the connection")
            self._frames.extend(self._unframed(data))
        try:
            answer: Answer = decode_answer(self._frames.popleft())
        except msgspec.MsgspecError as error:
            self.close()
            raise InternalError(f"the engine's answer is not understood: {error}") from None
        if answer.id != number:
            self.close()
            raise InternalError(f"the engine answered call {answer.id}, not {number}")
        return answer

    def _unframed(self, data: bytes) -> list[bytes]:
        try:
            return self._unframer.feed(data)
        except FrontinusError:
            self.close()
            raise

    def _result(self, method: Method, answer: Answer) -> object:
        if isinstance(answer, Failure):
            raise answer.error()
        if not isinstance(answer, Result):
            self.close()
            raise InternalError(f"the engine answered {method.name} with a stream")
        if method.descriptor:
            return Descriptor(self._fds.popleft())
        try:
            return method.decode.decode(answer.value)
        except msgspec.MsgspecError as error:
            raise InternalError(f"the engine's answer to {method.name} is not understood: {error}") from None


def _left(deadline: float) -> float:
    """Seconds that are left; never zero, which would mean a socket that does not block."""
    return max(deadline - time.monotonic(), 0.001)
