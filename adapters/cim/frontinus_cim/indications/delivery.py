"""Delivering indications (DSP0200 5.4, DSP1054): a bounded queue and a sequence for each receiver, retries, nothing that blocks."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import itertools
import logging
import secrets
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from frontinus_cim.schema.classes import Schema
from frontinus_cim.subscriptions.store import Destination
from frontinus_cim.wire import safexml, writer
from frontinus_cim.wire.model import Embedded
from frontinus_cim.wire.safexml import BadXML

log = logging.getLogger(__name__)

MOST_WAITING = 1000
"""Indications that may wait for one receiver; the oldest are dropped, which the numbers of the later ones show."""
ATTEMPTS, INTERVAL, SECONDS = 4, 20.0, 15.0
"""Tries of a delivery, seconds between them, seconds that one may take."""
MOST_ANSWER = 64 * 1024
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Outcome = Callable[[str, str, bool], None]
"""Hears for which filter or collection and receiver a delivery came to its end, and whether it arrived."""


@dataclass
class Waiting:
    """An indication on its way: what was subscribed to, and the filter that it passed."""

    subscribed: str
    passed: str
    indication: Embedded
    number: int


@dataclass
class Queue:
    """One receiver's."""

    destination: Destination
    context: str
    waiting: deque[Waiting] = field(default_factory=lambda: deque(maxlen=MOST_WAITING))
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    task: asyncio.Task[None] | None = None


class Guarded(AbstractResolver):
    """Resolves names to addresses that indications may be sent to."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed, self._inner = allowed, ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        kept = [result for result in found if allows(self._allowed, result["host"])]
        if not kept:
            raise OSError(f"no address of {host} is among the allowed destinations")
        return kept

    async def close(self) -> None:
        await self._inner.close()


def allows(allowed: Sequence[Network], host: str) -> bool:
    """Whether indications may go to an address; to any if no networks are set. A name is judged when it is resolved."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return True
    return not allowed or any(address in network for network in allowed)


class Delivery:
    """All receivers' queues."""

    def __init__(self, schema: Schema, *, allowed: Sequence[Network] = (), trust: ssl.SSLContext | None = None,
                 interval: float = INTERVAL) -> None:  # fmt: skip
        self._schema, self._allowed, self._trust, self._interval = schema, allowed, trust, interval
        self._run = secrets.token_hex(6)
        self._queues: dict[str, Queue] = {}
        self._session: aiohttp.ClientSession | None = None
        self._numbers = itertools.count(1)
        self.ended: Outcome = lambda filter_name, destination, arrived: None
        self.sent = self.failed = self.dropped = 0

    def send(self, subscribed: str, destination: Destination, indication: Embedded, passed: str | None = None) -> None:
        """Queue an indication for the subscription to a filter or collection; `passed`: the filter, if it is another."""
        queue = self._queues.get(destination.name)
        if queue is None or queue.destination.url != destination.url:
            self._forget(destination.name)
            queue = self._queues[destination.name] = Queue(
                destination, f"{self._run}#{next(self._numbers)}#{destination.name}"
            )
        if len(queue.waiting) == MOST_WAITING:
            self.dropped += 1
        queue.waiting.append(Waiting(subscribed, passed or subscribed, indication, next(queue.numbers) % 2**63))
        if queue.task is None or queue.task.done():
            queue.task = asyncio.get_running_loop().create_task(self._drain(queue))

    def keep_only(self, names: set[str]) -> None:
        """Forget the queues of receivers that are gone."""
        for name in [name for name in self._queues if name not in names]:
            self._forget(name)

    def _forget(self, name: str) -> None:
        queue = self._queues.pop(name, None)
        if queue is not None and queue.task is not None:
            queue.task.cancel()

    async def close(self) -> None:
        tasks = [queue.task for queue in self._queues.values() if queue.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _drain(self, queue: Queue) -> None:
        while queue.waiting:
            one = queue.waiting.popleft()
            arrived = await self._try(queue, one)
            self.sent += arrived
            self.failed += not arrived
            self.ended(one.subscribed, queue.destination.name, arrived)

    async def _try(self, queue: Queue, one: Waiting) -> bool:
        body = export(self._schema, one.indication, queue.context, one.number, one.passed)
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(self._interval)
            try:
                async with asyncio.timeout(SECONDS):
                    await self._post(queue.destination, body)
                return True
            except (TimeoutError, OSError, aiohttp.ClientError, BadXML, Rejected) as error:
                log.info(
                    "%s did not take an indication: %s", queue.destination.name, str(error) or type(error).__name__
                )
        return False

    async def _post(self, destination: Destination, body: bytes) -> None:
        """Raises OSError, ClientError, BadXML, Rejected."""
        if not allows(self._allowed, urlsplit(destination.url).hostname or ""):
            raise Rejected("its address is not among the allowed destinations")
        if self._session is None:
            connector = aiohttp.TCPConnector(resolver=Guarded(self._allowed), limit=64, limit_per_host=4)
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
            )
        headers = {"Content-Type": 'application/xml; charset="utf-8"', "CIMExport": "MethodRequest",
                   "CIMExportMethod": "ExportIndication"}  # fmt: skip
        if destination.username:
            if not destination.url.startswith("https:"):
                raise Rejected("a password is only sent over https")
            word = base64.b64encode(f"{destination.username}:{destination.password or ''}".encode()).decode()
            headers["Authorization"] = f"Basic {word}"
        trust: ssl.SSLContext | bool = self._trust or True
        async with self._session.post(destination.url, data=body, headers=headers, ssl=trust,
                                      allow_redirects=False) as answer:  # fmt: skip
            said = await answer.content.read(MOST_ANSWER)
            if answer.status != 200:
                raise Rejected(f"HTTP status {answer.status}")
        root = safexml.parse(said)
        response = root.find("MESSAGE/SIMPLEEXPRSP/EXPMETHODRESPONSE")
        if response is None or response.find("ERROR") is not None:
            raise Rejected("its answer is an error")


class Rejected(Exception):
    """A receiver that does not take an indication."""


def export(schema: Schema, indication: Embedded, context: str, number: int, filter_name: str) -> bytes:
    """The message of one indication (DSP0201, EXPMETHODCALL)."""
    marked = Embedded(indication.cls, {**indication.values, "SequenceContext": context, "SequenceNumber": number,
                                       "IndicationFilterName": filter_name})  # fmt: skip
    return (
        '<?xml version="1.0" encoding="utf-8" ?>\n<CIM CIMVERSION="2.0" DTDVERSION="2.0">'
        f'<MESSAGE ID="{number}" PROTOCOLVERSION="1.0"><SIMPLEEXPREQ><EXPMETHODCALL NAME="ExportIndication">'
        f'<EXPPARAMVALUE NAME="NewIndication">{writer.embedded(schema, marked)}</EXPPARAMVALUE>'
        "</EXPMETHODCALL></SIMPLEEXPREQ></MESSAGE></CIM>"
    ).encode()
