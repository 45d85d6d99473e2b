"""CIM-XML over HTTPS (DSP0200 5 and 6): headers, authentication, limits. What a body means is for `request` and `service`."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from aiohttp import web

from frontinus.api.identity import Identity
from frontinus_cim import request as requests
from frontinus_cim import writer
from frontinus_cim.access import Access
from frontinus_cim.errors import CimError
from frontinus_cim.methods import me
from frontinus_cim.request import BadMessage, Request
from frontinus_cim.safexml import MAX_BYTES
from frontinus_cim.service import Service
from frontinus_cim.users import User

log = logging.getLogger(__name__)

READ_SECONDS = 20.0
"""How long a client may take to send its request."""
IDLE_SECONDS = 60.0
MOST_HEADERS = 16 * 1024
PATHS = ("/cimom", "/")
TYPES = ("application/xml", "text/xml")
NAMESPACE_OF_HEADERS = "http://www.dmtf.org/cim/mapping/http/v1.0"


class Refusal(Exception):
    """An answer that is not CIM-XML."""

    def __init__(self, status: int, **headers: str) -> None:
        self.status, self.headers = status, {name.replace("_", "-"): value for name, value in headers.items()}
        super().__init__(status)


class Front:
    """The HTTP side of a service."""

    def __init__(self, service: Service, access: Access, *, connections: int = 128) -> None:
        self.service, self.access = service, access
        self._most = connections
        self._open = 0
        self._runner: web.ServerRunner | None = None

    async def listen(self, addresses: Sequence[tuple[str, int]], context: ssl.SSLContext | None) -> list[int]:
        """Open the ports; returns them in order. Raises OSError."""
        server = web.Server(self._handle, max_line_size=MOST_HEADERS, max_field_size=MOST_HEADERS,
                            keepalive_timeout=IDLE_SECONDS, lingering_time=2.0, access_log=None)  # fmt: skip
        self._runner = web.ServerRunner(server)
        await self._runner.setup()
        ports = []
        for host, port in addresses:
            site = web.TCPSite(self._runner, host, port, ssl_context=context, backlog=128)
            await site.start()
            opened = site._server
            assert isinstance(opened, asyncio.Server)
            ports.append(opened.sockets[0].getsockname()[1])
        return ports

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            self._check_line(request)
            user = await self._user(request)
            prefix = _headers(request)
            body = await _body(request)
            answer = await self._answer(request, prefix, body, me(user.role == "monitor", user.name))
        except Refusal as refusal:
            return web.Response(status=refusal.status, headers=refusal.headers)
        except BadMessage as bad:
            log.info("%s: %s", request.remote, bad)
            return web.Response(status=bad.status, headers={"CIMError": bad.error})
        return web.Response(body=answer, headers=_answer_headers(prefix))

    def _check_line(self, request: web.BaseRequest) -> None:
        if request.method not in ("POST", "M-POST"):
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
        try:
            asked = requests.parse(body)
        except CimError as error:  # a parameter that cannot be, in a message that is sound otherwise
            name = unquote(request.headers.get(f"{prefix}CIMMethod", ""))
            return writer.message("", writer.failed(name, error.status, error.message, extrinsic=False))
        _check_fit(request.headers, prefix, asked)
        return await self.service.answer(asked, who)


def _headers(request: web.BaseRequest) -> str:
    """Check a request's headers; the prefix that its CIM headers have (M-POST, RFC 2774)."""
    kind, _, rest = request.headers.get("Content-Type", "").partition(";")
    charset = rest.partition("charset=")[2].strip().strip('"').lower()
    if kind.strip().lower() not in TYPES or charset not in ("", "utf-8"):
        raise Refusal(415)
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refusal(415)
    prefix = ""
    if request.method == "M-POST":
        prefix = request.headers.get("Man", "").partition("ns=")[2].strip()[:2] + "-"
    if request.headers.get(f"{prefix}CIMOperation", "").strip().lower() != "methodcall":
        raise BadMessage(400, "unsupported-operation", "CIMOperation is not MethodCall")
    return prefix


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


def _check_fit(headers: Mapping[str, str], prefix: str, asked: Request) -> None:
    """Headers must say what the body does. Raises BadMessage."""
    method, about = headers.get(f"{prefix}CIMMethod"), headers.get(f"{prefix}CIMObject")
    if method is None or unquote(method).strip() != asked.name:
        raise BadMessage(400, "header-mismatch", "CIMMethod is not the operation in the body")
    place, _, rest = unquote(about or "").strip().partition(":")
    target = asked.target
    cls = target if target is None else target.cls if isinstance(target, requests.GivenPath) else target.name
    if about is None or place.strip("/").lower() != asked.namespace.lower() or (
        cls is not None and rest.partition(".")[0].lower() != cls.lower()
    ):  # fmt: skip
        raise BadMessage(400, "header-mismatch", "CIMObject is not what the body is about")


def _answer_headers(prefix: str) -> dict[str, str]:
    headers = {"Content-Type": 'application/xml; charset="utf-8"', "Cache-Control": "no-cache"}
    if prefix:
        headers |= {"Ext": "", "Man": f"{NAMESPACE_OF_HEADERS} ; ns={prefix.rstrip('-')}"}
    return {**headers, f"{prefix}CIMOperation": "MethodResponse"}
