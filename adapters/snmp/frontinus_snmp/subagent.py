"""An AgentX subagent (RFC 2741) for hosts where snmpd has the port: it looks after users and views, we answer for our part.

What it lets be set must besides lie in a view of our own configuration; without one nothing can be changed.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace

from frontinus_snmp import agentx, ber, pdu
from frontinus_snmp.agentx import Packet, Range, Reader
from frontinus_snmp.ber import Malformed, Oid
from frontinus_snmp.change import Refusal, Step
from frontinus_snmp.control import Control
from frontinus_snmp.link import Link
from frontinus_snmp.rows import State
from frontinus_snmp.tree import Shown, View

log = logging.getLogger(__name__)
FIRST_DELAY, LAST_DELAY = 0.5, 10.0
PING_EVERY, PATIENCE = 15.0, 10.0
"""Seconds between pings, and that the master may take for an answer."""
TIMEOUT = 30
"""Seconds that the master shall wait for us: a guest may take long to start."""
MOST_WAITING = 1000
MOST_REPEATED = 1000
WAIT = 1.0
EVERYTHING = View(frozenset({(1, 3, 6, 1)}))
Answer = tuple[int, int, bytes]
"""Error, index and variables."""


class Subagent:
    """Stays connected to a master agent and answers it. `put` queues a notification for it, as an outbox does."""

    def __init__(self, address: str, link: Link, control: Control, write: View, state: State, counters: Counter[str],
                 subtrees: Sequence[tuple[Oid, str]]) -> None:  # fmt: skip
        self._address, self._link, self._control, self._write = address, link, control, write
        self._state, self._counters, self._subtrees = state, counters, subtrees
        self._session = self._packets = 0
        self._writer: asyncio.StreamWriter | None = None
        self._answers: dict[int, asyncio.Future[tuple[Packet, int]]] = {}
        self._sets: dict[int, list[Step]] = {}
        self._done: dict[int, list[Step]] = {}
        self._told: deque[bytes] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        delay, told = FIRST_DELAY, False
        while True:
            try:
                await self._connected()
                delay, told = FIRST_DELAY, False
            except (OSError, Malformed, TimeoutError, EOFError) as error:
                if not told:
                    log.warning("the master agent at %s: %s", self._address, error or type(error).__name__)
                    told = True
            await asyncio.sleep(delay)
            delay = min(2 * delay, LAST_DELAY)

    def put(self, bindings: bytes) -> None:
        """Queue a notification's variable bindings."""
        if len(self._told) >= MOST_WAITING:
            self._told.popleft()
            self._counters["notificationsDropped"] += 1
        self._told.append(bindings)
        self._notify()

    # --- the session

    async def _connected(self) -> None:
        """One session, from the first octet to the last. Raises OSError, Malformed, TimeoutError, EOFError."""
        reader, self._writer = await self._dial()
        reading = asyncio.create_task(self._read(reader))
        try:
            async with asyncio.timeout(PATIENCE):
                await self._open()
            log.info("registered with the master agent at %s", self._address)
            self._notify()
            while not reading.done():
                done, _ = await asyncio.wait([reading], timeout=PING_EVERY)
                if not done:
                    async with asyncio.timeout(PATIENCE):
                        await self._ask(agentx.PING, b"")
            await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, *self._tasks, return_exceptions=True)
            self._send(Packet(agentx.CLOSE, 0, self._session, 0, self._next(), struct.pack(">B3x", 5)))
            self._writer.close()
            self._writer, self._session = None, 0
            self._answers.clear()
            self._sets.clear()
            self._done.clear()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(PATIENCE):
            if self._address.startswith("tcp:"):
                host, _, port = self._address[4:].rpartition(":")
                return await asyncio.open_connection(host, int(port))
            return await asyncio.open_unix_connection(self._address)

    async def _open(self) -> None:
        payload = struct.pack(">B3x", TIMEOUT) + agentx.write_oid(self._state.root) + agentx.write_octets(b"Frontinus")
        answer, _ = await self._ask(agentx.OPEN, payload)
        self._session = answer.session
        for subtree, name in self._subtrees:
            head = struct.pack(">BBBx", TIMEOUT, 127, 0)
            await self._ask(agentx.REGISTER, head + agentx.write_oid(subtree))
            await self._ask(agentx.ADD_CAPS, agentx.write_oid(subtree) + agentx.write_octets(name.encode()))

    async def _ask(self, kind: int, payload: bytes) -> tuple[Packet, int]:
        """The master's answer. Raises OSError with its error."""
        number = self._next()
        answer: asyncio.Future[tuple[Packet, int]] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        self._send(Packet(kind, 0, self._session, 0, number, payload))
        try:
            packet, error = await answer
        finally:
            self._answers.pop(number, None)
        if error:
            raise OSError(f"it refuses a request of kind {kind} with error {error}")
        return packet, error

    def _next(self) -> int:
        self._packets = self._packets + 1 & 0x7FFFFFFF
        return self._packets

    def _send(self, packet: Packet) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(agentx.write(packet))

    def _notify(self) -> None:
        while self._told and self._session:
            payload = agentx.all_from_ber(self._told.popleft())
            self._send(Packet(agentx.NOTIFY, 0, self._session, 0, self._next(), payload))
            self._counters["notificationsSent"] += 1

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Take packets until the master closes. Raises Malformed, EOFError."""
        while True:
            packet, size = agentx.read_header(await reader.readexactly(agentx.HEADER.size))
            packet = replace(packet, payload=await reader.readexactly(size))
            if packet.kind == agentx.RESPONSE:
                fields = Reader(packet.payload)
                fields.number()
                error, _ = fields.halves()
                if (answer := self._answers.get(packet.id)) is not None and not answer.done():
                    answer.set_result((packet, error))
            elif packet.kind == agentx.CLOSE:
                raise EOFError("it closed the session")
            else:
                task = asyncio.create_task(self._serve(packet))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    # --- requests

    async def _serve(self, packet: Packet) -> None:
        try:
            if packet.flags & agentx.CONTEXT:
                error, index, variables = agentx.UNSUPPORTED_CONTEXT, 0, b""
            else:
                error, index, variables = await self._answer(packet)
        except (Malformed, struct.error):
            error, index, variables = agentx.PARSE_ERROR, 0, b""
        if packet.kind != agentx.CLEANUP:
            ticks = self._state.ticks(self._state.started)
            payload = struct.pack(">IHH", ticks, error, index) + variables
            self._send(replace(packet, kind=agentx.RESPONSE, flags=0, payload=payload))

    async def _answer(self, packet: Packet) -> Answer:
        fields = Reader(packet.payload)
        if packet.kind in (agentx.GET, agentx.GET_NEXT, agentx.GET_BULK):
            if not self._link.usable():
                await self._link.refresh(WAIT)
            return agentx.NO_ERROR, 0, self._look(packet.kind, fields)
        if packet.kind == agentx.TEST:
            return await self._test(packet.transaction, fields)
        if packet.kind == agentx.COMMIT:
            return await self._commit(packet.transaction)
        if packet.kind == agentx.UNDO:
            done = self._done.pop(packet.transaction, [])
            return (pdu.NO_ERROR if await self._control.undo(done) else pdu.UNDO_FAILED), 0, b""
        if packet.kind == agentx.CLEANUP:
            self._sets.pop(packet.transaction, None)
            self._done.pop(packet.transaction, None)
            return agentx.NO_ERROR, 0, b""
        return agentx.PROCESSING_ERROR, 0, b""

    def _look(self, kind: int, fields: Reader) -> bytes:
        """The variables that answer a Get, GetNext or GetBulk."""
        tree = self._link.tree
        shown = tree.shown(EVERYTHING)
        single, repeat = fields.halves() if kind == agentx.GET_BULK else (0, 1)
        wanted = agentx.ranges(fields)
        if kind == agentx.GET:
            return b"".join(self._get(each.start, shown) for each in wanted)
        found = [following(each, 1, shown)[0] for each in wanted[:single]]
        runs = [following(each, min(repeat, MOST_REPEATED), shown) for each in wanted[single:]]
        turns = max(map(len, runs), default=0)
        found += [run[min(turn, len(run) - 1)] for turn in range(turns) for run in runs]
        return b"".join(found)

    def _get(self, name: Oid, shown: Shown) -> bytes:
        cell = shown.find(name)
        if cell is not None:
            return agentx.from_ber(cell)
        tag = ber.NO_SUCH_OBJECT if self._link.tree.spot(name) is None else ber.NO_SUCH_INSTANCE
        return agentx.write_variable(name, tag, b"")

    async def _test(self, transaction: int, fields: Reader) -> Answer:
        variables: list[agentx.Variable] = []
        while fields.more:
            variables.append(fields.variable())
        try:
            self._sets[transaction] = list(await self._control.plan(variables, self._write))
        except Refusal as refusal:
            return refusal.status, refusal.place, b""
        return pdu.NO_ERROR, 0, b""

    async def _commit(self, transaction: int) -> Answer:
        steps = self._sets.pop(transaction, [])
        status, index, done = await self._control.commit(steps, "the master agent")
        self._done[transaction] = done
        return status, index, b""


def following(wanted: Range, count: int, shown: Shown) -> list[bytes]:
    """At most so many variables of a range, and one that says so where it ends."""
    found: list[bytes] = []
    last = wanted.start
    cells = [] if not wanted.include or (cell := shown.find(wanted.start)) is None else [cell]
    for cell in [*cells, *shown.following(wanted.start, count)][:count]:
        name = ber.decoded_name(cell)
        if wanted.end and name >= wanted.end:
            break
        found.append(agentx.from_ber(cell))
        last = name
    if len(found) < count:
        found.append(agentx.write_variable(last, ber.END_OF_MIB_VIEW, b""))
    return found
