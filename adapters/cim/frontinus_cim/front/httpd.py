"""CIM-XML over HTTPS (DSP0200 5 and 6): headers, authentication, limits. What a body means is for `request` and `service`."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from multidict import CIMultiDictProxy

from frontinus.api.identity import Identity
from frontinus_cim.front.access import Access
from frontinus_cim.front.extended import MANDATORY, OF_THE_HOP, NotExtended, Start, answered, prefix_of
from frontinus_cim.front.users import User
from frontinus_cim.methods.calls import me
from frontinus_cim.operations.service import Service
from frontinus_cim.wire import request as requests
from frontinus_cim.wire import writer
from frontinus_cim.wire.errors import CimError
from frontinus_cim.wire.request import BadMessage, Request
from frontinus_cim.wire.safexml import MAX_BYTES

log = logging.getLogger(__name__)

READ_SECONDS = 20.0
"""How long a client may take to send its request."""
HANDSHAKE_SECONDS = 10.0
"""How long TLS may take to begin: a connection counts only then."""
HEADER_SECONDS = 20.0
"""How long a connection may take to its first request."""
IDLE_SECONDS = 60.0
PIECE = 64 * 1024
STALL_SECONDS = 30.0
"""Octets of a long answer that are sent at once, and how long a client may take for so many."""
MOST_UNSENT = 128 * 2**20
"""Octets of long answers that clients have not taken yet, of all together; beyond it nothing is answered until they did."""
MOST_HEADERS = 16 * 1024
PATHS = ("/cimom", "/")
TYPES = ("application/xml", "text/xml")
ANSWER = {
    "Content-Type": 'application/xml; charset="utf-8"',
    "Cache-Control": "no-cache",
    "CIMOperation": "MethodResponse",
}


class Refusal(Exception):
    """An answer that is not CIM-XML."""

    def __init__(self, status: int, **headers: str) -> None:
        self.status, self.headers = status, {name.replace("_", "-"): value for name, value in headers.items()}
        super().__init__(status)


class Connection(RequestHandler):
    """A connection that counts, and that must send its first request in time."""

    def __init__(self, server: Bounded, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._server, self._counted, self.start_of = server, False, Start()
        self._first: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if self._server.open >= self._server.most:
            transport.abort()
            return
        self._server.open += 1
        self._counted = True
        self._first = asyncio.get_running_loop().call_later(HEADER_SECONDS, transport.abort)
        super().connection_made(transport)

    def began(self) -> None:
        """A request's headers are complete."""
        if self._first is not None:
            self._first.cancel()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._counted:
            self._counted = False
            self._server.open -= 1
            self.began()
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._counted and (data := self.start_of.take(data)):
            super().data_received(data)


class Bounded(web.Server):
    """A server with no more than so many connections."""

    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], most: int, **settings: Any
    ) -> None:
        super().__init__(handler, **settings)
        self.most, self.open, self._settings = most, 0, settings

    def __call__(self) -> Connection:
        return Connection(self, loop=asyncio.get_running_loop(), **self._settings)


class Front:
    """The HTTP side of a service."""

    def __init__(self, service: Service, access: Access, *, connections: int = 128) -> None:
        self.service, self.access = service, access
        self._most = connections
        self._runner: web.ServerRunner | None = None
        self._open: list[asyncio.Server] = []
        self.unsent = 0

    async def listen(self, addresses: Sequence[tuple[str, int]], context: ssl.SSLContext | None) -> list[int]:
        """Open the ports; returns them in order. Raises OSError."""
        server = Bounded(self._handle, self._most, max_line_size=MOST_HEADERS, max_field_size=MOST_HEADERS,
                            keepalive_timeout=IDLE_SECONDS, lingering_time=2.0, access_log=None, auto_decompress=False)  # fmt: skip
        self._runner = web.ServerRunner(server)
        await self._runner.setup()
        patience = HANDSHAKE_SECONDS if context is not None else None
        for host, port in addresses:
            self._open.append(await asyncio.get_running_loop().create_server(
                server, host, port, ssl=context, backlog=128, ssl_handshake_timeout=patience))  # fmt: skip
        return [opened.sockets[0].getsockname()[1] for opened in self._open]

    async def close(self) -> None:
        for opened in self._open:
            opened.close()
        await self.access.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.began()
        extended = connection.start_of.extended
        answer = await self._respond(request, extended)
        if extended or answer.headers.get("Connection") == "close":
            answer.force_close()
        body = answer.body
        return await self._send(request, answer, body) if isinstance(body, bytes) and len(body) > PIECE else answer

    async def _send(self, request: web.BaseRequest, answer: web.Response, body: bytes) -> web.StreamResponse:
        """A long answer in pieces: a transport takes any amount, and keeps what the client does not take."""
        stream = web.StreamResponse(status=answer.status, headers=answer.headers)
        stream.content_length = len(body)
        if answer.keep_alive is False:
            stream.force_close()
        self.unsent += len(body)
        try:
            await stream.prepare(request)
            for at in range(0, len(body), PIECE):
                async with asyncio.timeout(STALL_SECONDS):
                    await stream.write(body[at : at + PIECE])
        except TimeoutError:
            log.info("%s does not take its answer: the connection is closed", request.remote)
            if request.transport is not None:
                request.transport.abort()
        finally:
            self.unsent -= len(body)
        return stream

    async def _respond(self, request: web.BaseRequest, extended: bool) -> web.Response:
        prefix = ""
        try:
            self._check_line(request)
            user = await self._user(request)
            prefix = _prefix(request.headers) if extended else ""
            _check_headers(request, prefix)
            if self.unsent > MOST_UNSENT:
                raise Refusal(503, Retry_After="10", Connection="close")
            body = await _body(request)
            answer = await self._answer(request, prefix, body, me(user.role == "monitor", user.name))
        except Refusal as refusal:
            return web.Response(status=refusal.status, headers=refusal.headers)
        except BadMessage as bad:
            log.info("%s: %s", request.remote, bad)
            status, headers, answer = bad.status, {"CIMError": bad.error}, b""
        else:
            status, headers = 200, ANSWER
        return web.Response(status=status, body=answer, headers=answered(prefix, headers) if extended else headers)

    def _check_line(self, request: web.BaseRequest) -> None:
        if request.method != "POST":
            raise Refusal(405, Allow="POST, M-POST")
        if request.path not in PATHS:
            raise Refusal(404)

    async def _user(self, request: web.BaseRequest) -> User:
        """Who asks, before any of the body is read."""
        transport = request.transport
        about = transport.get_extra_info("ssl_object") if transport else None
        peer = about.getpeercert() if about is not None else None
        user = self.access.by_certificate(peer["subject"]) if peer else None
        if user is None and (header := request.headers.get("Authorization")):
            user = await self.access.by_password(header, request.remote or "")
        if user is None:
            raise Refusal(401, WWW_Authenticate='Basic realm="Frontinus"', Connection="close")
        return user

    async def _answer(self, request: web.BaseRequest, prefix: str, body: bytes, who: Identity) -> bytes:
        method, about = request.headers.get(f"{prefix}CIMMethod"), request.headers.get(f"{prefix}CIMObject")
        try:
            asked = requests.parse(body)
        except CimError as error:  # a parameter that cannot be, in a message that is sound otherwise
            name = unquote(method or "")
            return writer.message("", writer.failed(name, error.status, error.message, extrinsic=False))
        _check_fit(method, about, asked)
        return await self.service.answer(asked, who)


def _prefix(headers: CIMultiDictProxy[str]) -> str:
    """What stands before CIM's header fields in M-POST. Raises Refusal."""
    try:
        return prefix_of(headers.getall(MANDATORY, ()), headers.getall(OF_THE_HOP, ()))
    except NotExtended as error:
        log.info("M-POST: %s", error)
        raise Refusal(510, Connection="close") from None


def _check_headers(request: web.BaseRequest, prefix: str) -> None:
    """Raises Refusal, BadMessage."""
    kind, _, rest = request.headers.get("Content-Type", "").partition(";")
    charset = rest.partition("charset=")[2].strip().strip('"').lower()
    if kind.strip().lower() not in TYPES or charset not in ("", "utf-8"):
        raise Refusal(415)
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refusal(415)
    if request.headers.get(f"{prefix}CIMOperation", "").strip().lower() != "methodcall":
        raise BadMessage(400, "unsupported-operation", "CIMOperation is not MethodCall")


async def _body(request: web.BaseRequest) -> bytes:
    if (request.content_length or 0) > MAX_BYTES:
        raise Refusal(413, Connection="close")
    parts, size = [], 0
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in request.content.iter_chunked(2**16):
                size += len(chunk)
                if size > MAX_BYTES:
                    raise Refusal(413, Connection="close")
                parts.append(chunk)
    except TimeoutError:
        raise Refusal(408, Connection="close") from None
    return b"".join(parts)


def _check_fit(method: str | None, about: str | None, asked: Request) -> None:
    """CIMMethod and CIMObject must say what the body does. Raises BadMessage."""
    if method is None or unquote(method).strip() != asked.name:
        raise BadMessage(400, "header-mismatch", "CIMMethod is not the operation in the body")
    place, _, rest = unquote(about or "").strip().partition(":")
    target = asked.target
    cls = target if target is None else target.cls if isinstance(target, requests.GivenPath) else target.name
    if about is None or place.strip("/").lower() != asked.namespace.lower() or (
        cls is not None and rest.partition(".")[0].lower() != cls.lower()
    ):  # fmt: skip
        raise BadMessage(400, "header-mismatch", "CIMObject is not what the body is about")
