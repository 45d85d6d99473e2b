"""A small HTTP/1.1 server for answers to GET: everything that a stranger can make it hold is bounded, in size and in time."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs, unquote, urlsplit

log = logging.getLogger(__name__)

MAX_HEAD = 16 * 1024
"""Bytes of a request's line and headers."""
MAX_CONNECTIONS = 128
CHUNK = 256 * 1024
"""Bytes of an answer that may wait for a slow reader."""
HEAD_TIME, IDLE_TIME, CHUNK_TIME = 10.0, 300.0, 10.0
"""Seconds for the first head, for the next on a connection that is kept, and for a reader to take one chunk."""


@dataclass(frozen=True)
class Request:
    """A request's head. Header names are in lower case; of a repeated header the last counts."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    keep: bool = True


@dataclass(frozen=True)
class Response:
    """An answer. A long body comes in parts, which nobody has to join."""

    body: bytes | Sequence[bytes]
    status: HTTPStatus = HTTPStatus.OK
    kind: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def parts(self) -> Sequence[bytes]:
        return [self.body] if isinstance(self.body, bytes) else self.body


def failure(status: HTTPStatus, words: str = "") -> Response:
    return Response(f"{status.value} {status.phrase}{': ' if words else ''}{words}\n".encode(), status)


class Malformed(Exception):
    """A request that gets an error and then the end of its connection."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


def parse(head: bytes) -> Request:
    """A request from its head, which ends in an empty line. Raises Malformed."""
    try:
        first, *lines = head.decode("ascii").removesuffix("\r\n\r\n").split("\r\n")
        method, target, version = first.split(" ")
        url = urlsplit(target)
        headers = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise ValueError(line)
            headers[name.lower()] = value.strip()
        query = parse_qs(url.query, keep_blank_values=True, max_num_fields=64)
        path = unquote(url.path)
    except ValueError:
        raise Malformed(HTTPStatus.BAD_REQUEST) from None
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        raise Malformed(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        raise Malformed(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)  # no path takes a body
    wish = headers.get("connection", "").lower()
    return Request(method, path, query, headers, wish != "close" if version == "HTTP/1.1" else wish == "keep-alive")


Handler = Callable[[Request], Awaitable[Response]]


class Server:
    """Serves until closed. `refused` is told the reason of everything that was turned away."""

    def __init__(self, handler: Handler, refused: Callable[[str], None]) -> None:
        self._handler, self._refused = handler, refused
        self._servers: list[asyncio.Server] = []
        self._open: set[asyncio.Task[None]] = set()

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> list[int]:
        """Listen; the ports. Raises OSError."""
        limits = {"ssl_handshake_timeout": HEAD_TIME, "ssl_shutdown_timeout": 1.0} if tls else {}
        server = await asyncio.start_server(self._accepted, host or None, port, limit=MAX_HEAD, ssl=tls, **limits)
        self._servers.append(server)
        return [sock.getsockname()[1] for sock in server.sockets]

    async def close(self) -> None:
        """Stop listening and end the connections."""
        for server in self._servers:
            server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._open) >= MAX_CONNECTIONS:
            self._refused("connections")
            writer.transport.abort()
            return
        self._open.add(task)
        writer.transport.set_write_buffer_limits(high=CHUNK)
        try:
            await self._converse(reader, writer)
        except TimeoutError:  # before OSError, which it is one of
            self._refused("slow")
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the peer went away, or we do
        except Exception:
            log.exception("a connection failed unexpectedly")
        finally:
            self._open.discard(task)
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        patience = HEAD_TIME
        while True:
            try:
                async with asyncio.timeout(patience):
                    request = parse(await reader.readuntil(b"\r\n\r\n"))
            except asyncio.LimitOverrunError:
                await self._refuse(writer, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                return
            except Malformed as error:
                await self._refuse(writer, error.status)
                return
            await self._send(writer, await self._answer(request), keep=request.keep, body=request.method != "HEAD")
            if not request.keep:
                return
            patience = IDLE_TIME

    async def _answer(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return Response(b"405 Method Not Allowed\n", HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET, HEAD"})
        try:
            return await self._handler(request)
        except Exception:
            log.exception("%s failed unexpectedly", request.path[:200])
            return failure(HTTPStatus.INTERNAL_SERVER_ERROR)

    async def _refuse(self, writer: asyncio.StreamWriter, status: HTTPStatus) -> None:
        self._refused("malformed")
        await self._send(writer, failure(status), keep=False, body=True)

    async def _send(self, writer: asyncio.StreamWriter, response: Response, *, keep: bool, body: bool) -> None:
        headers = {"Content-Type": response.kind, "Content-Length": sum(map(len, response.parts)),
                   "X-Content-Type-Options": "nosniff", **response.headers}  # fmt: skip
        if not keep:
            headers["Connection"] = "close"
        lines = [
            f"HTTP/1.1 {response.status.value} {response.status.phrase}",
            *(f"{k}: {v}" for k, v in headers.items()),
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        for chunk in _chunks(response.parts if body else ()):
            writer.write(chunk)
            async with asyncio.timeout(CHUNK_TIME):
                await writer.drain()
        if not keep and writer.transport.get_write_buffer_size():  # with nothing to wait for, TLS would wait for ever
            writer.transport.set_write_buffer_limits(high=0)  # what is left too is taken before the end comes
            async with asyncio.timeout(CHUNK_TIME):
                await writer.drain()


def _chunks(parts: Sequence[bytes]) -> Iterator[bytes]:
    """The parts joined as far as CHUNK allows."""
    waiting: list[memoryview] = []
    size = 0
    for part in parts:
        for start in range(0, len(part), CHUNK):
            piece = memoryview(part)[start : start + CHUNK]
            if size + len(piece) > CHUNK:
                yield b"".join(waiting)
                waiting, size = [], 0
            waiting.append(piece)
            size += len(piece)
    yield b"".join(waiting)
