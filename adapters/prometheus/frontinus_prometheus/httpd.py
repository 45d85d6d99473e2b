"""A small HTTP/1.1 server for answers to GET: everything that a stranger can make it hold is bounded, in size and in time."""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from urllib.parse import parse_qs, unquote, urlsplit

log = logging.getLogger(__name__)

MAX_HEAD = 16 * 1024
"""Bytes of a request's line and headers."""
MAX_CONNECTIONS = 128
CHUNK = 256 * 1024
"""Bytes of an answer that may wait for a slow reader."""
HEAD_TIME, IDLE_TIME, CHUNK_TIME, END_TIME = 10.0, 300.0, 10.0, 1.0
"""Seconds for the first head (and TLS before it), for the next on a connection that is kept, for a reader to take one chunk,
and for the end of a connection."""
GZIP = 16
"""What zlib wants added to the size of its window for gzip's header and trailer."""
SMALL = 1024
"""Bytes of a body that is not worth packing."""
LITTER = 256
"""Ended connections after which what they left is picked up: asyncio's transports refer to themselves."""


@dataclass(frozen=True)
class Request:
    """A request's head. Header names are in lower case; a repeated header is one list."""

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
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise ValueError(line)
            known = headers.get(name.lower())
            headers[name.lower()] = value.strip() if known is None else f"{known}, {value.strip()}"
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


def qualities(header: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """What a header of the Accept kind offers: the name, its parameters, and how much it is wished for, 0 to 1."""
    for offer in header.lower().split(","):
        name, *parameters = (part.strip() for part in offer.split(";"))
        given = {key.strip(): value.strip().strip('"') for key, _, value in (p.partition("=") for p in parameters)}
        with suppress(ValueError):
            yield name, given, float(given.get("q", "1"))


def takes_gzip(accept: str) -> bool:
    """Whether a client's Accept-Encoding has gzip in it."""
    wishes = {name: quality for name, _, quality in qualities(accept)}
    return wishes.get("gzip", wishes.get("*", 0.0)) > 0


def compressed(response: Response) -> Response:
    """The same, its body packed quickly rather than well. Takes a while for a large one."""
    packer = zlib.compressobj(level=1, wbits=zlib.MAX_WBITS | GZIP)
    parts = [*map(packer.compress, response.parts), packer.flush()]
    return replace(
        response, body=parts, headers={**response.headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    )


Handler = Callable[[Request], Awaitable[Response]]


class Server:
    """Serves until closed. `refused` is told the reason of everything that was turned away.

    `compress`: bodies are packed for clients that can take them so.
    """

    def __init__(self, handler: Handler, refused: Callable[[str], None], *, compress: bool = False) -> None:
        self._handler, self._refused, self._compress = handler, refused, compress
        self._servers: list[asyncio.Server] = []
        self._open: set[asyncio.Task[None]] = set()
        self._waiting: dict[asyncio.Task[None], None] = {}
        """Those that owe us a request, the longest first."""
        self._ended = 0

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> list[int]:
        """Listen; the ports. Raises OSError."""
        server = await asyncio.start_server(partial(self._accepted, tls), host or None, port, limit=MAX_HEAD)
        self._servers.append(server)
        return [sock.getsockname()[1] for sock in server.sockets]

    async def close(self) -> None:
        """Stop listening and end the connections."""
        for server in self._servers:
            server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _accepted(
        self, tls: ssl.SSLContext | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._open) >= MAX_CONNECTIONS and not self._make_room():
            writer.transport.abort()
            return
        self._open.add(task)
        try:
            if tls is not None:
                with self._owed(task):
                    await writer.start_tls(tls, ssl_handshake_timeout=HEAD_TIME)
            writer.transport.set_write_buffer_limits(high=CHUNK)
            await self._converse(task, reader, writer)
        except TimeoutError:  # before OSError, which it is one of
            self._refused("slow")
        except ssl.SSLError:
            self._refused("tls")
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the peer went away, or we do
        except Exception:
            log.exception("a connection failed unexpectedly")
        finally:
            await self._end(writer)
            self._open.discard(task)
            self._ended += 1
            if self._ended % LITTER == 0:
                gc.collect(0)

    def _make_room(self) -> bool:
        """End the connection that has owed us a request for longest; False where all have asked."""
        self._refused("connections")
        oldest = next(iter(self._waiting), None)
        if oldest is None:
            return False
        del self._waiting[oldest]
        return oldest.cancel()

    @contextmanager
    def _owed(self, task: asyncio.Task[None]) -> Iterator[None]:
        """While we wait for the client to say something, others may take its place."""
        self._waiting[task] = None
        try:
            yield
        finally:
            self._waiting.pop(task, None)

    @staticmethod
    async def _end(writer: asyncio.StreamWriter) -> None:
        """Close the connection. What its client has not taken by now is lost; over TLS it may say goodbye."""
        if not writer.transport.get_write_buffer_size():
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                async with asyncio.timeout(END_TIME):
                    await writer.wait_closed()
        writer.transport.abort()

    async def _converse(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        patience = HEAD_TIME
        while True:
            try:
                with self._owed(task):
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
            answer = await self._handler(request)
            large = sum(map(len, answer.parts)) > SMALL
            if self._compress and large and takes_gzip(request.headers.get("accept-encoding", "")):
                return await asyncio.to_thread(compressed, answer)
            return answer
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
