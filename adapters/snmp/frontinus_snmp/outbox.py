"""What waits to be sent to one receiver: bounded, in order, informs repeated until they are answered."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import logging
import os
import socket
from collections import Counter, deque
from collections.abc import Callable
from typing import cast

from frontinus_snmp import pdu
from frontinus_snmp.ber import Malformed
from frontinus_snmp.peer import Peer
from frontinus_snmp.settings import Receiver

log = logging.getLogger(__name__)
MOST_WAITING = 1000
Seal = Callable[[int, bytes], bytes]
"""A message of an identity and a PDU."""


class Outbox(asyncio.DatagramProtocol):
    """One receiver's queue. The oldest are dropped when too many wait. `peer` is there for SNMPv3's informs."""

    def __init__(self, receiver: Receiver, seal: Seal, peer: Peer | None, counters: Counter[str],
                 most: int = MOST_WAITING) -> None:  # fmt: skip
        self.receiver = receiver
        self._seal, self._peer, self._counters, self._most = seal, peer, counters, most
        self._waiting: deque[bytes] = deque()
        self._there = asyncio.Event()
        self._ids = itertools.count(int.from_bytes(os.urandom(3), "big"))
        self._answer: tuple[int, asyncio.Future[bool]] | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Raises OSError."""
        family = socket.AF_INET6 if ipaddress.ip_address(self.receiver.address[0]).version == 6 else socket.AF_INET
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, remote_addr=self.receiver.address, family=family)
        self._task = loop.create_task(self._run())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    async def close(self) -> None:
        """What still waits is lost, and counted."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._counters["notificationsDropped"] += len(self._waiting)
        if self._transport is not None:
            self._transport.close()

    def put(self, bindings: bytes) -> None:
        """Queue a notification's variable bindings."""
        if len(self._waiting) >= self._most:
            self._waiting.popleft()
            self._counters["notificationsDropped"] += 1
        self._waiting.append(bindings)
        self._there.set()

    async def _run(self) -> None:
        while True:
            await self._there.wait()
            while self._waiting:
                await self._deliver(self._waiting.popleft())
            self._there.clear()

    async def _deliver(self, bindings: bytes) -> None:
        number = next(self._ids) & 0x7FFFFFFF
        if not self.receiver.inform:
            self._send(self._seal(number, pdu.write_pdu(pdu.TRAP, number, 0, 0, bindings)))
            self._counters["notificationsSent"] += 1
            return
        body = pdu.write_pdu(pdu.INFORM, number, 0, 0, bindings)
        self._counters["notificationsSent"] += 1
        for tries in range(self.receiver.retries + 1):
            self._counters["informsRepeated"] += tries > 0
            if await self._confirmed(number, body):
                return
        self._counters["informsLost"] += 1
        log.warning("%s port %d does not answer: an inform is given up", *self.receiver.address)

    async def _confirmed(self, number: int, body: bytes) -> bool:
        """Send once; twice when the receiver first had to tell its clock."""
        for _ in range(2):
            told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._answer = (number, told)
            self._send(self._peer.message(number, body) if self._peer else self._seal(number, body))
            done, _ = await asyncio.wait([told], timeout=self.receiver.timeout)
            self._answer = None
            if not done:
                return False
            if told.result():
                return True
        return False

    def _send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data)

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        """An answer to the inform that is under way; all else is ignored."""
        if self._answer is None:
            return
        number, told = self._answer
        try:
            found = self._peer.judge(data) if self._peer else self._plain(data)
        except Malformed:
            return
        if not told.done() and (found is None or found.request_id == number):
            told.set_result(found is not None)

    def _plain(self, data: bytes) -> pdu.Pdu:
        """A v2c response. Raises Malformed."""
        version, pos = pdu.version(data)
        found = pdu.read_community(data, pos)
        if version != pdu.V2C or found.community != self.receiver.community or found.pdu.kind != pdu.RESPONSE:
            raise Malformed("no response")
        return found.pdu

    def error_received(self, exc: Exception) -> None:
        """A port that nobody listens on: an inform's deadline tells, a trap is sent in vain."""
