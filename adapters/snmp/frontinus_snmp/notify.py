"""Notifications: from news to encoded bindings, for every receiver that may see what they speak of."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType

from frontinus_snmp import ber, pdu
from frontinus_snmp.ber import Oid
from frontinus_snmp.model import News
from frontinus_snmp.objects import agent, vm
from frontinus_snmp.objects.kinds import TICKS, Module, Notification, Value
from frontinus_snmp.outbox import Outbox, Seal
from frontinus_snmp.peer import Peer
from frontinus_snmp.rows import Guest, Places, Row, State
from frontinus_snmp.settings import Receiver, Settings
from frontinus_snmp.subagent import Subagent
from frontinus_snmp.tree import View, encode
from frontinus_snmp.usm import AUTH, PRIV, Authority, User

log = logging.getLogger(__name__)
SYS_UP_TIME: Oid = (1, 3, 6, 1, 2, 1, 1, 3, 0)
TRAP_OID: Oid = (1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0)
STRANGERS_APART = 1.0
"""Seconds between two authenticationFailure at least."""
Binding = tuple[Oid, bytes]


class Notifier:
    """`tell` sends to every receiver whose user exists and may read the notification and all of its objects."""

    def __init__(self, authority: Authority, state: State, settings: Settings, counters: Counter[str],
                 modules: Sequence[Module], peers: Mapping[tuple[bytes, str], User] | None = None) -> None:  # fmt: skip
        self._authority, self._state, self._settings, self._counters = authority, state, settings, counters
        self._peers = peers or {}
        self._known = {
            note.name: (module, note) for module in (agent.MODULE, *modules) for note in module.notifications
        }
        self._outboxes: list[tuple[View, Outbox]] = []
        self.master: Subagent | None = None
        """A master agent, which passes everything on as it is configured itself."""
        self._bulk: dict[str, set[int]] = {}
        self._flush: asyncio.TimerHandle | None = None
        self._stranger = float("-inf")

    async def __aenter__(self) -> Notifier:
        for receiver in self._settings.notify:
            made = self._outbox(receiver)
            if made is not None:
                await made[1].open()
                self._outboxes.append(made)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:  # fmt: skip
        if self._flush is not None:
            self._flush.cancel()
        for _, outbox in self._outboxes:
            await outbox.close()

    def _outbox(self, receiver: Receiver) -> tuple[View, Outbox] | None:
        """A receiver's queue with the view of what it may be told; None, and a word in the log, for one that cannot be."""
        if receiver.community is not None:
            community = receiver.community
            view = self._settings.view(receiver.view)
            return view, Outbox(
                receiver, lambda _, body: pdu.write_community(pdu.V2C, community, body), None, self._counters
            )
        user = self._authority.users.get(receiver.user.encode())
        if receiver.inform:
            user = self._peers.get((receiver.engine_id, receiver.user))
        if user is None:
            log.error("no notifications to %s: there is no user '%s'%s", receiver.address[0], receiver.user,
                      " for its engine" if receiver.inform else "")  # fmt: skip
            return None
        seal = self._sealer(user)
        return self._settings.view(user.view), Outbox(
            receiver, seal, Peer(self._authority, user) if receiver.inform else None, self._counters
        )

    def _sealer(self, user: User) -> Seal:
        return lambda number, body: self._authority.message(number, user, body, AUTH | PRIV)

    # --- what is told

    def cold_start(self) -> None:
        """The agent started."""
        self._send(agent.TRAPS, self._known["coldStart"][1], [])

    def tell(self, news: News) -> None:
        """Send one piece of news, if its switch is on."""
        module, note = self._known[news.name]
        if module.root != vm.VM_MIB:
            if self._state.own:
                self._one(module, note, news)
            return
        if self._state.per_vm:
            self._one(module, note, news)
        index = self._state.numbers.get(news.about)
        if self._state.bulk and index is not None:
            self._gather(vm.BY_NUMBER[note.number + vm.BULK].name, index)

    def stranger(self) -> None:
        """Somebody asked who may not."""
        now = time.monotonic()
        if self._state.tell_strangers and now - self._stranger >= STRANGERS_APART:
            self._stranger = now
            self._send(agent.TRAPS, self._known["authenticationFailure"][1], [])

    def _one(self, module: Module, note: Notification, news: News) -> None:
        index = self._state.index_of(module.column(note.objects[0])[0].name, news.about)
        if index is not None:
            self._send((*module.root, 0), note, list(self._bindings(module, note, news, index)))

    def _bindings(self, module: Module, note: Notification, news: News, index: int) -> Iterator[Binding]:
        row = None if news.view is None else Row(Guest(index, news.view, Places()))
        for name in note.objects:
            table, column = module.column(name)
            value: Value = news.facts.get(name)
            if value is None and row is not None:
                value = column.get(row)
            yield (*module.oid(table), 1, column.number, index), encode(column.syntax, value)

    def _send(self, root: Oid, note: Notification, bindings: Sequence[Binding]) -> None:
        """Queue a notification for those that may see it."""
        name = (*root, note.number)
        bodies = [ber.varbind(ber.encode_oid(oid), value) for oid, value in (
            (SYS_UP_TIME, encode(TICKS, self._state.ticks(self._state.started))), (TRAP_OID, ber.encode_oid(name)), *bindings,
        )]  # fmt: skip
        for view, outbox in self._outboxes:
            if view.allows(name) and all(view.allows(oid) for oid, _ in bindings):
                outbox.put(b"".join(bodies))
        if self.master is not None:
            self.master.put(b"".join(bodies))

    # --- bulk

    def _gather(self, name: str, index: int) -> None:
        """Guests that came into the same state within a moment are told of together."""
        self._bulk.setdefault(name, set()).add(index)
        if self._flush is None:
            loop = asyncio.get_running_loop()
            self._flush = loop.call_later(self._settings.bulk_seconds, self._tell_bulk)

    def _tell_bulk(self) -> None:
        self._flush = None
        gathered, self._bulk = self._bulk, {}
        most = (self._settings.max_size - 400) * 8
        affected = next(scalar for scalar in vm.SCALARS if scalar.name == "vmAffectedVMs")
        for name, indexes in gathered.items():
            module, note = self._known[name]
            fitting = {index for index in indexes if index <= most}
            if len(fitting) < len(indexes):
                self._counters["notificationsDropped"] += len(indexes) - len(fitting)
                log.warning("%s: %d guests' numbers are too large for a list", name, len(indexes) - len(fitting))
            if fitting:
                value = encode(affected.syntax, guest_list(fitting))
                self._send((*module.root, 0), note, [((*module.oid(affected), 0), value)])


def guest_list(indexes: set[int]) -> bytes:
    """VirtualMachineList: the first octet's highest bit is guest 1."""
    bits = bytearray((max(indexes) + 7) // 8)
    for index in indexes:
        bits[(index - 1) // 8] |= 0x80 >> (index - 1) % 8
    return bytes(bits)
