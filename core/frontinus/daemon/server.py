"""The two sockets: each connection has an identity, each call becomes a task on a session of the engine."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import resource
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

import msgspec

from frontinus.api.engine import Descriptor, Engine
from frontinus.api.errors import Busy, Denied, Disconnected, FrontinusError, InternalError, InvalidValue
from frontinus.api.identity import Identity
from frontinus.api.permissions import PERMISSIONS
from frontinus.engine.allowance import Allowance, Allowances
from frontinus.engine.lifetime import CALLER, Lifetime
from frontinus.wire.channel import Channel
from frontinus.wire.frames import MAX_REQUEST, Call, Cancel, End, Failure, Item, Result, decode_request, encode, frame
from frontinus.wire.surface import Method
from frontinus.wire.surface import method as find_method

log = logging.getLogger(__name__)

MAX_CONNECTIONS, MAX_OF_A_USER = 1024, 128
"""Connections to a socket, and those of one user who may not speak for others: nobody keeps out the rest."""
MAX_CALLS = 256
"""Calls and streams that one connection may have under way."""
MAX_FDS_KEPT = 2048
"""Descriptors of all clients that are open here; each user may have a quarter of them."""

SO_PEERGROUPS = 59
PAUSE = 1.0
"""Seconds without new connections after one could not be taken: the socket stays ready, and we would turn in a circle."""

Sessions = Callable[[Identity], Engine]


def peer(sock: socket.socket, *, readonly: bool) -> Identity:
    """Who is at the other end, from the kernel."""
    pid, uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    groups = sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 1024)  # the most that Python takes: 256 groups
    return Identity(uid=uid, gid=gid, pid=pid, groups=struct.unpack(f"{len(groups) // 4}I", groups), readonly=readonly)


class Connection:
    """One client."""

    def __init__(self, sock: socket.socket, who: Identity, sessions: Sessions, trusted: frozenset[int],
                 serving: set[asyncio.Task[None]], gone: Callable[[Connection], None],
                 allowance: Allowance | None = None) -> None:  # fmt: skip
        """`serving`: calls of all connections; one that was cancelled is there until it has cleaned up.

        `allowance`: what this client's descriptors are counted by; without it none are taken.
        """
        self.who = who
        self._sessions, self._trusted, self._serving, self._gone = sessions, trusted, serving, gone
        self._engine = sessions(who)
        self._allowance = allowance
        self._lifetime = Lifetime(allowance)
        self._context = contextvars.copy_context()
        self._context.run(CALLER.set, self._lifetime)
        self._calls: dict[int, asyncio.Task[None]] = {}
        self.channel = Channel(sock, MAX_REQUEST, self._received, self._closed, serving=True,
                               allowance=allowance)  # fmt: skip

    def _received(self, data: bytes) -> None:
        try:
            request = decode_request(data)
            files = self._files(request)
        except (msgspec.MsgspecError, InvalidValue) as error:
            log.warning("uid %d sent what is no request: %s", self.who.uid, error)
            self.channel.close()
            return
        if isinstance(request, Cancel):
            if (task := self._calls.get(request.id)) is not None:
                task.cancel()
        elif request.id in self._calls or len(self._calls) >= MAX_CALLS:
            self._close(files)
            self._fail(request.id, Busy(f"{len(self._calls)} calls are under way on this connection"))
        else:
            task = asyncio.get_running_loop().create_task(self._serve(request, files), context=self._context)
            self._calls[request.id] = task
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
            task.add_done_callback(lambda _: self._calls.pop(request.id, None))
            task.add_done_callback(lambda _: self._close(files))  # also of a call that was cancelled before it began

    def _files(self, request: Call | Cancel) -> list[int]:
        """The descriptors that came with a request. Raises InvalidValue where it says that there are more."""
        if isinstance(request, Cancel) or self._allowance is None:
            return []
        return self.channel.take(request.fds)

    def _close(self, files: Sequence[int]) -> None:
        if self._allowance is not None and files:
            self._allowance.close(files)

    async def _serve(self, call: Call, files: Sequence[int]) -> None:
        try:
            method = find_method(call.method)
            if method is None:
                raise InvalidValue(f"no method '{call.method[:60]}'", field="method")
            engine = self._engine if call.who is None else self._sessions(self._behalf(call.who))
            arguments = self._arguments(method, call, files)
            target = getattr(engine, method.name)(**arguments)
            if method.stream:
                await self._stream(call.id, target)
            else:
                value = await target
                if PERMISSIONS[method.name].write:
                    await asyncio.sleep(0)  # streams tell what was done before its caller hears that it is done
                self._answer(call.id, method, value)
        except FrontinusError as error:
            self._fail(call.id, error)
        except Exception:
            log.exception("%s failed unexpectedly", call.method)
            self._fail(call.id, InternalError(f"{call.method} failed unexpectedly; the log has more"))

    def _arguments(self, method: Method, call: Call, files: Sequence[int]) -> dict[str, object]:
        """What the method is called with. The descriptors stay the call's: whoever wants to keep one copies it."""
        try:
            given = method.decode_arguments.decode(call.arguments)
        except msgspec.MsgspecError as error:
            raise InvalidValue(f"{method.name}: {error}", field="arguments") from None
        arguments = {name: getattr(given, name) for name in method.parameters}
        if method.files is not None:
            arguments[method.files] = [Descriptor(fd) for fd in files]
        elif files:
            raise InvalidValue(f"{method.name} takes no descriptors", field="fds")
        return arguments

    def _behalf(self, who: Identity) -> Identity:
        """An adapter's caller: never more than the adapter's own socket allows."""
        if self.who.uid not in self._trusted:
            raise Denied(f"uid {self.who.uid} may not speak for others")
        return msgspec.structs.replace(who, readonly=who.readonly or self.who.readonly)

    async def _stream(self, call: int, items: AsyncIterator[object]) -> None:
        async for item in items:
            self.channel.send(frame(Item(call, msgspec.Raw(encode(cast("Result", item))))))
            await self.channel.drained()
        self.channel.send(frame(End(call)))

    def _answer(self, call: int, method: Method, value: object) -> None:
        if method.descriptor:
            self.channel.send(frame(Result(call, msgspec.Raw(encode(cast("Result", 0))), 1)), [cast("int", value)])
        else:
            self.channel.send(frame(Result(call, msgspec.Raw(encode(cast("Result", value))))))

    def _fail(self, call: int, error: FrontinusError) -> None:
        with suppress(Disconnected):
            self.channel.send(frame(Failure.of(call, error)))

    def _closed(self) -> None:
        for task in self._calls.values():
            task.cancel()
        self._lifetime.end()
        self._gone(self)


class Server:
    """Listens on a socket and keeps its connections."""

    def __init__(self, path: Path, sessions: Sessions, *, readonly: bool, mode: int, group: int | None = None,
                 trusted: frozenset[int] = frozenset()) -> None:  # fmt: skip
        self.path, self.readonly = path, readonly
        self._sessions = sessions
        self._trusted = trusted | {0, os.getuid()}
        self._allowances = None if readonly else Allowances(*_most_descriptors())
        self._connections: set[Connection] = set()
        self._calls: set[asyncio.Task[None]] = set()
        self._sock = _listen(path, mode, group)
        asyncio.get_running_loop().add_reader(self._sock.fileno(), self._accept)

    def _accept(self) -> None:
        try:
            sock, _ = self._sock.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            log.warning("no connection to %s is taken for %g s: %s", self.path, PAUSE, error)
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._sock.fileno())
            loop.call_later(PAUSE, self._listen_again)
            return
        try:
            who = peer(sock, readonly=self.readonly)
            self._refuse_crowds(who.uid)
        except (OSError, Busy) as error:
            log.warning("a connection to %s was refused: %s", self.path, error)
            sock.close()
            return
        allowance = self._allowances.of(who.uid) if self._allowances is not None else None
        self._connections.add(
            Connection(sock, who, self._sessions, self._trusted, self._calls, self._connections.discard, allowance)
        )

    def _listen_again(self) -> None:
        if self._sock.fileno() != -1:
            asyncio.get_running_loop().add_reader(self._sock.fileno(), self._accept)

    def _refuse_crowds(self, uid: int) -> None:
        """Raises Busy when there are too many connections already, of all or of this user."""
        if len(self._connections) >= MAX_CONNECTIONS:
            raise Busy(f"{MAX_CONNECTIONS} are open")
        of_user = sum(connection.who.uid == uid for connection in self._connections)
        if uid not in self._trusted and of_user >= MAX_OF_A_USER:
            raise Busy(f"uid {uid} has {of_user} open")

    def close(self) -> None:
        """Stop listening and drop every connection."""
        asyncio.get_running_loop().remove_reader(self._sock.fileno())
        self._sock.close()
        self.path.unlink(missing_ok=True)
        for connection in list(self._connections):
            connection.channel.close()

    async def ended(self) -> None:
        """After `close`: wait until every call that was under way has cleaned up."""
        if self._calls:
            await asyncio.wait(self._calls)


def _most_descriptors() -> tuple[int, int]:
    """Descriptors of clients that are kept, and those of one user: never so many that guests could not be started."""
    most = min(MAX_FDS_KEPT, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
    return most, most // 4


def _listen(path: Path, mode: int, group: int | None) -> socket.socket:
    """A listening socket at a path that nobody serves. Raises OSError, and Busy if another engine is there."""
    if path.exists():
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except OSError:
                path.unlink()
            else:
                raise Busy(f"another engine listens on {path}")
    sock = socket.socket(socket.AF_UNIX)
    os.fchmod(sock.fileno(), 0o600)  # what the path is made with: nobody gets in before its group and mode are set
    sock.bind(str(path))
    if group is not None:
        os.chown(path, -1, group)
    path.chmod(mode)
    sock.listen(128)
    sock.setblocking(False)
    return sock
