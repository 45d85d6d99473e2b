"""Notifications (VM-MIB's per-guest ten) as SNMPv3 traps, authentic and private. UDP: nobody says whether one arrived."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import time
from types import TracebackType

from frontinus_snmp import ber, pdu
from frontinus_snmp.model import DELETED, News
from frontinus_snmp.objects import TICKS, VM, VM_MIB
from frontinus_snmp.rows import Guest, Places, Row, State
from frontinus_snmp.settings import Receiver, Settings
from frontinus_snmp.tree import encode
from frontinus_snmp.usm import AUTH, PRIV, Authority

log = logging.getLogger(__name__)
SYS_UP_TIME = ber.encode_oid((1, 3, 6, 1, 2, 1, 1, 3, 0))
TRAP_OID = ber.encode_oid((1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0))
OBJECTS = ("vmName", "vmUUID", "vmOperState")


class Notifier:
    """Sends what `tell` is given to every receiver whose user exists and may read the notification's objects."""

    def __init__(self, authority: Authority, state: State, settings: Settings) -> None:
        self._authority, self._state, self._settings = authority, state, settings
        self._sockets: dict[Receiver, asyncio.DatagramTransport] = {}
        self._id = int(time.time()) & 0x3FFFFFFF

    async def __aenter__(self) -> Notifier:
        loop = asyncio.get_running_loop()
        for receiver in self._settings.notify:
            if receiver.user.encode() not in self._authority.users:
                log.error("no notifications to %s: there is no user '%s'", receiver.address[0], receiver.user)
                continue
            family = socket.AF_INET6 if ipaddress.ip_address(receiver.address[0]).version == 6 else socket.AF_INET
            transport, _ = await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, remote_addr=receiver.address, family=family
            )
            self._sockets[receiver] = transport
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:  # fmt: skip
        for transport in self._sockets.values():
            transport.close()

    def tell(self, news: News) -> None:
        """Send one notification."""
        if not self._sockets:
            return
        index = self._state.numbers.get(news.view.uuid)
        if index is None:
            return
        objects = (*OBJECTS, "vmPersistent") if news.number == DELETED else OBJECTS
        bindings = self._bindings(news, Guest(index, news.view, Places()), objects)
        names = [(*VM.oid, 1, column.number, index) for column in VM.columns if column.name in objects]
        for receiver, transport in self._sockets.items():
            user = self._authority.users[receiver.user.encode()]
            view = self._settings.view(user.view)
            if all(view.allows(name) for name in names):
                self._id = (self._id + 1) & 0x7FFFFFFF
                body = pdu.write_pdu(pdu.TRAP, self._id, 0, 0, bindings)
                transport.sendto(self._authority.message(self._id, user, body, AUTH | PRIV))

    def _bindings(self, news: News, guest: Guest, objects: tuple[str, ...]) -> bytes:
        trap = ber.encode_oid((*VM_MIB, 0, news.number))
        found = [
            ber.varbind(SYS_UP_TIME, encode(TICKS, self._state.ticks(self._state.started))),
            ber.varbind(TRAP_OID, trap),
        ]
        for column in VM.columns:
            if column.name in objects:
                name = ber.encode_oid((*VM.oid, 1, column.number, guest.index))
                found.append(ber.varbind(name, encode(column.syntax, column.get(Row(guest)))))
        return b"".join(found)
