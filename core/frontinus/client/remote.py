"""The facade over the socket: what `Engine` has, this has, with no method written by hand."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from frontinus.api.engine import Descriptor, Engine
from frontinus.api.errors import Disconnected, InternalError, InvalidValue
from frontinus.api.identity import Identity
from frontinus.wire.channel import Channel
from frontinus.wire.frames import (
    MAX_ANSWER,
    MAX_REQUEST,
    Answer,
    Call,
    Cancel,
    End,
    Failure,
    Item,
    Result,
    decode_answer,
    encode,
    frame,
)
from frontinus.wire.surface import Method
from frontinus.wire.surface import method as find_method

BEHIND = 10_000
"""Stream items that may wait for a slow consumer before the stream fails: the engine bounds its side too."""
MAX_ARGUMENTS = MAX_REQUEST - 65536
"""Bytes of a call's arguments: what stands beside them in its frame has room."""
GONE = "the engine closed the connection"


class RemoteEngine:
    """A connection to an engine. Use `connect`; close when done."""

    def __init__(self, sock: socket.socket, who: Identity | None = None) -> None:
        self._who = who
        self._ids = itertools.count(1)
        self._calls: dict[int, tuple[Method, asyncio.Future[object]]] = {}
        self._streams: dict[int, tuple[Method, asyncio.Queue[object]]] = {}
        self._channel = Channel(sock, MAX_ANSWER, self._received, self._lost)

    def __getattr__(self, name: str) -> Callable[..., object]:
        method = find_method(name)
        if method is None:
            raise AttributeError(name)
        return self._streaming(method) if method.stream else self._calling(method)

    def speaking_for(self, who: Identity) -> _Voice:
        """The same connection on behalf of a caller of ours, if the engine trusts us with that."""
        return _Voice(self, who)

    def close(self) -> None:
        self._channel.close()

    async def __aenter__(self) -> Engine:
        return as_engine(self)

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def _calling(self, method: Method, who: Identity | None = None) -> Callable[..., object]:
        async def call(*args: object, **kwargs: object) -> object:
            number = self._send(method, args, kwargs, who)
            future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            self._calls[number] = (method, future)
            try:
                return await future
            except asyncio.CancelledError:
                if self._channel.open:
                    self._channel.send(frame(Cancel(number)))
                raise
            finally:
                self._calls.pop(number, None)

        return call

    def _streaming(self, method: Method, who: Identity | None = None) -> Callable[..., object]:
        async def stream(*args: object, **kwargs: object) -> AsyncIterator[object]:
            number = self._send(method, args, kwargs, who)
            queue: asyncio.Queue[object] = asyncio.Queue()
            self._streams[number] = (method, queue)
            try:
                while not isinstance(item := await queue.get(), End):
                    if isinstance(item, Exception):
                        raise item
                    yield item
            finally:
                if self._streams.pop(number, None) and self._channel.open:
                    self._channel.send(frame(Cancel(number)))

        return stream

    def _send(self, method: Method, args: tuple[object, ...], kwargs: dict[str, object], who: Identity | None) -> int:
        try:
            arguments = method.bind(args, kwargs)
        except TypeError as error:
            raise InvalidValue(str(error), field="arguments") from None
        arguments, fds = method.part(arguments)
        number = next(self._ids)
        raw = msgspec.Raw(encode(cast("Call", arguments)))
        if len(raw) > MAX_ARGUMENTS:
            for fd in fds:
                os.close(fd)
            raise InvalidValue(
                f"{len(raw)} bytes are to be sent, and a call has at most {MAX_ARGUMENTS}", field="arguments"
            )
        self._channel.send(frame(Call(number, method.name, raw, who or self._who, len(fds))), fds)
        if not self._channel.open:
            raise Disconnected(GONE)
        return number

    def _received(self, data: bytes) -> None:
        try:
            answer = decode_answer(data)
            self._take(answer)
        except msgspec.MsgspecError as error:
            raise InternalError(f"the engine's answer is not understood: {error}") from None

    def _take(self, answer: Answer) -> None:
        if answer.id in self._streams:
            self._take_item(answer, *self._streams[answer.id])
            return
        fds = self._channel.take(answer.fds) if isinstance(answer, Result) else []
        method, future = self._calls.get(answer.id, (None, None))
        if method is None or future is None or future.done():
            for fd in fds:
                os.close(fd)
        elif isinstance(answer, Failure):
            future.set_exception(answer.error())
        elif isinstance(answer, Result):
            future.set_result(Descriptor(fds[0]) if fds else method.decode.decode(answer.value))

    def _take_item(self, answer: Answer, method: Method, queue: asyncio.Queue[object]) -> None:
        if isinstance(answer, Item):
            if queue.qsize() >= BEHIND:
                queue.put_nowait(Disconnected("the stream was not read fast enough"))
                self._streams.pop(answer.id)
                self._channel.send(frame(Cancel(answer.id)))
            else:
                queue.put_nowait(method.decode.decode(answer.value))
        elif isinstance(answer, Failure):
            queue.put_nowait(answer.error())
        else:
            queue.put_nowait(answer)

    def _lost(self) -> None:
        error = Disconnected(GONE)
        for _, future in self._calls.values():
            if not future.done():
                future.set_exception(error)
        for _, queue in self._streams.values():
            queue.put_nowait(error)


class _Voice:
    """A remote engine for one of an adapter's callers."""

    def __init__(self, remote: RemoteEngine, who: Identity) -> None:
        self._remote, self._who = remote, who

    def __getattr__(self, name: str) -> Callable[..., object]:
        method = find_method(name)
        if method is None:
            raise AttributeError(name)
        make = self._remote._streaming if method.stream else self._remote._calling
        return make(method, self._who)


async def connect(path: Path) -> RemoteEngine:
    """Connect to an engine's socket. Raises Disconnected with a hint."""
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, str(path))
    except OSError as error:
        sock.close()
        raise Disconnected(f"cannot reach the engine at {path}: {error.strerror}; is frontinusd running?") from None
    return RemoteEngine(sock)


if TYPE_CHECKING:

    def as_engine(remote: RemoteEngine | _Voice) -> Engine: ...
else:

    def as_engine(remote):
        """The connection in the type of the facade."""
        return remote
