"""The agent at its sockets: takes packets, lets the security models judge them, answers from the tree."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hmac
import ipaddress
import logging
import socket
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import cast

from frontinus.client.toml import Address
from frontinus_snmp import pdu
from frontinus_snmp.answer import answer, failed
from frontinus_snmp.ber import Malformed
from frontinus_snmp.control import Control
from frontinus_snmp.limits import Limiter, Quiet
from frontinus_snmp.link import Link
from frontinus_snmp.pdu import Pdu
from frontinus_snmp.settings import MOST_MESSAGE, NOTHING, Settings
from frontinus_snmp.tree import View
from frontinus_snmp.usm import V3, Authority, Refused

log = logging.getLogger(__name__)
Source = tuple[str, int]

WAIT = 1.0
"""Seconds that a request waits for new figures before it is answered with those of before."""
MOST_WAITING = 256
AT_ONCE = 8
"""Packets that are taken from a socket before others have their turn."""
COMMUNITY_OVERHEAD = 24
ORDINARY = ("usmStatsUnknownEngineIDs", "usmStatsNotInTimeWindows")
"""Refusals by which every manager learns who and when this engine is."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: what they may read and change, what they are called in the log, and the version that they speak."""

    read: View
    write: View
    who: str
    source: Source
    version: int = V3


class Agent:
    """Judges and answers packets. `authority` knows the users; without any, and without v2c, nothing is answered."""

    def __init__(self, link: Link, authority: Authority, settings: Settings, counters: Counter[str], control: Control,
                 stranger: Callable[[], None] = lambda: None) -> None:  # fmt: skip
        self.link, self.authority, self.settings = link, authority, settings
        self._control, self._stranger = control, stranger
        self._counters, self._limiter, self._quiet = counters, Limiter(), Quiet()
        self._waiting: set[asyncio.Task[None]] = set()
        self._ports: list[_Port] = []

    async def listen(self, addresses: Sequence[Address]) -> list[int]:
        """Open the ports; returns them. Raises OSError."""
        for host, port in addresses:
            self._ports.append(_Port(self, host, port))
        return [port.number for port in self._ports]

    async def close(self) -> None:
        for port in self._ports:
            port.close()
        self._ports.clear()
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)

    def receive(self, data: bytes, source: Source, send: Callable[[bytes], None]) -> None:
        """One packet."""
        self._counters["snmpInPkts"] += 1
        if len(data) > self.settings.max_size:
            self._refuse("snmpInASNParseErrs", "a message is too large", source)
            return
        try:
            version, pos = pdu.version(data)
            if version == V3:
                self._v3(data, pos, source, send)
            elif self._admits(version):
                self._community(version, data, pos, source, send)
            else:
                self._refuse("snmpInBadVersions", f"version {version} is not served", source)
        except Malformed as error:
            self._refuse("snmpInASNParseErrs", f"a message is malformed ({error})", source)

    def _refuse(self, counter: str, words: str, source: Source) -> None:
        self._counters[counter] += 1
        self._quiet.warn(words, source[0])

    def _v3(self, data: bytes, pos: int, source: Source, send: Callable[[bytes], None]) -> None:
        try:
            request = self.authority.open(data, pos)
        except Refused as refused:
            if str(refused) not in ORDINARY:
                self._quiet.warn(f"a message was refused ({refused})", source[0])
                self._stranger()
            if refused.report is not None and self._limiter.allows(source[0]):
                send(refused.report)
            return
        user = request.user
        asker = Asker(self.settings.view(user.view), self.settings.view(user.write), f"user {user.name}", source)
        self._serve(request.pdu, asker, request.room, lambda response: send(self.authority.seal(request, response)))

    def _admits(self, version: int) -> bool:
        access = self.settings.v2c
        return access is not None and (version == pdu.V2C or (version == pdu.V1 and access.v1))

    def _community(self, version: int, data: bytes, pos: int, source: Source, send: Callable[[bytes], None]) -> None:
        """A message of SNMPv1 or v2c: nothing can be changed by it."""
        access = self.settings.v2c
        message = pdu.read_community(data, pos)
        assert access is not None
        if not (access.allows(source[0]) and hmac.compare_digest(message.community, access.community)):
            self._refuse("snmpInBadCommunityNames", "a community or its sender is not known", source)
            self._stranger()
            return
        request, room = message.pdu, self.settings.max_size - COMMUNITY_OVERHEAD - len(message.community)
        if request.kind not in pdu.REQUESTS or (version == pdu.V1 and request.kind == pdu.GET_BULK):
            self._counters["snmpUnknownPDUHandlers"] += 1
            return
        if request.kind == pdu.SET:
            self._counters["snmpInBadCommunityUses"] += 1
        asker = Asker(self.settings.view(access.view), NOTHING, "a community", source, version)
        community = message.community
        self._serve(request, asker, room, lambda response: send(pdu.write_community(version, community, response)))

    def _serve(self, request: Pdu, asker: Asker, room: int, send: Callable[[bytes], None]) -> None:
        """Answer with the figures that there are while these are not old, and new ones are on their way; else with those."""
        if request.kind == pdu.SET and not asker.write.included:
            status, index = (pdu.NO_ACCESS, 1) if request.names else (pdu.NO_ERROR, 0)
            self._send(failed(request, status, index, room, asker.version), send)
        elif request.kind == pdu.SET:
            if len(self._waiting) < MOST_WAITING:  # or it is dropped: its manager asks again
                self._wait(self._set(request, asker, room, send))
        elif self.link.usable() or len(self._waiting) >= MOST_WAITING:
            self._answer(request, asker, room, send)
        else:
            self._wait(self._later(request, asker, room, send))

    def _wait(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _set(self, request: Pdu, asker: Asker, room: int, send: Callable[[bytes], None]) -> None:
        key = (asker.who, asker.source, request.request_id, request.raw)
        status, index = await self._control.set(request, asker.write, asker.who, key)
        self._send(failed(request, status, index, room, asker.version), send)

    async def _later(self, request: Pdu, asker: Asker, room: int, send: Callable[[bytes], None]) -> None:
        await self.link.refresh(WAIT)
        self._answer(request, asker, room, send)

    def _answer(self, request: Pdu, asker: Asker, room: int, send: Callable[[bytes], None]) -> None:
        tree = self.link.tree
        self._send(answer(request, tree, tree.shown(asker.read), room, asker.version), send)

    def _send(self, response: bytes | None, send: Callable[[bytes], None]) -> None:
        if response is None:
            self._counters["snmpSilentDrops"] += 1
        else:
            send(response)


class _Port:
    """A socket. An answer leaves from where the request came in, if it is bound to one address.

    Without asyncio's transports: they cost as much again as a GET does.
    """

    def __init__(self, agent: Agent, host: str, port: int) -> None:
        """Raises OSError."""
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
        self._agent = agent
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        self.number = int(self._socket.getsockname()[1])
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def _readable(self) -> None:
        """Some packets at most, so that all that waits besides has its turn too."""
        for _ in range(AT_ONCE):
            try:
                data, source = self._socket.recvfrom(MOST_MESSAGE + 1)
            except OSError:  # nothing more, or word that a packet of ours reached nobody
                return
            self._agent.receive(data, (source[0], source[1]), functools.partial(self._send, source))
            if self._socket.fileno() < 0:
                return

    def _send(self, to: tuple[object, ...], data: bytes) -> None:
        with contextlib.suppress(OSError):  # a full buffer, an address that cannot be reached: as if lost on the way
            self._socket.sendto(data, cast("tuple[str, int]", to))
