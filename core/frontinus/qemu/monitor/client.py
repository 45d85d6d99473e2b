"""A client of QEMU's machine protocol (QMP): commands by the batch, each batch one write with one deadline.

Answers may come in any order and late; they are matched by id. Events are handed on in the order they arrive, also
between the answers of a batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from frontinus.api.errors import FrontinusError, HypervisorFailed, Unresponsive
from frontinus.qemu.monitor.meter import Meter
from frontinus.qemu.monitor.wire import Wire

T = TypeVar("T")
DEADLINE = 10.0
"""Seconds that a command may take unless its caller says otherwise."""
log = logging.getLogger(__name__)


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """One command."""

    execute: str
    arguments: Mapping[str, object] = {}


class _Numbered(msgspec.Struct, omit_defaults=True):
    """A command as it goes over the wire."""

    execute: str
    id: int
    arguments: Mapping[str, object] = {}


class Fault(msgspec.Struct, frozen=True, rename={"kind": "class"}):
    """QMP's error: its class (nearly always GenericError) and a sentence."""

    kind: str
    desc: str


class Moment(msgspec.Struct, frozen=True):
    """When an event happened."""

    seconds: int = 0
    microseconds: int = 0


class Message(msgspec.Struct, rename={"result": "return"}):
    """Whatever QEMU says: an answer (with id), an event, or the greeting (with none of these)."""

    id: int | None = None
    result: msgspec.Raw = msgspec.Raw(b"")
    error: Fault | None = None
    event: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"{}")
    timestamp: Moment = Moment()


class Event(msgspec.Struct, frozen=True):
    """One event. `seconds` is QEMU's clock."""

    name: str
    data: Mapping[str, object]
    seconds: float


class Answer:
    """The answer to one command of a batch."""

    __slots__ = ("command", "error", "raw")

    def __init__(self, command: str, raw: msgspec.Raw, error: Fault | None) -> None:
        self.command = command
        self.raw = raw
        self.error = error

    def value(self, kind: type[T]) -> T:
        """The decoded result. Raises HypervisorFailed with QEMU's own words."""
        if self.error is not None:
            raise failed(self.command, self.error)
        try:
            return msgspec.json.decode(self.raw, type=kind)
        except msgspec.MsgspecError as error:
            raise HypervisorFailed(f"the answer to {self.command} is not understood: {error}") from error


def failed(command: str, fault: Fault) -> HypervisorFailed:
    """QMP's error as ours."""
    return HypervisorFailed(fault.desc, command=command, **{"class": fault.kind})


def disconnected(reason: str) -> HypervisorFailed:
    """The error of whoever waits when the monitor goes away."""
    return HypervisorFailed(f"the monitor is gone: {reason}", **{"class": "Disconnected"})


class _Batch:
    """Answers awaited together."""

    __slots__ = ("answers", "future", "left", "timer")

    def __init__(self, size: int, future: asyncio.Future[list[Answer]]) -> None:
        self.answers: list[Answer] = [None] * size  # type: ignore[list-item]  # all are there when the future is done
        self.left = size
        self.future = future
        self.timer: asyncio.TimerHandle | None = None


class Monitor:
    """One QMP connection. `on_event` gets every event; `on_end` is called once with the reason."""

    def __init__(self, sock: socket.socket, on_event: Callable[[Event], None], on_end: Callable[[str], None],
                 meter: Meter | None = None) -> None:  # fmt: skip
        self._loop = asyncio.get_running_loop()
        self._meter = meter or Meter()
        self._on_event = on_event
        self._on_end = on_end
        self._expected: dict[asyncio.Future[Event], Callable[[Event], bool]] = {}
        self._waiting: dict[int, tuple[_Batch, int, str]] = {}
        self._next = 1
        self._given_up = 0
        self._decode = msgspec.json.Decoder(Message).decode
        self._encode = msgspec.json.Encoder().encode
        self._wire = Wire(sock, self._line, self._ended)

    @classmethod
    async def connect(cls, path: str, on_event: Callable[[Event], None], on_end: Callable[[str], None],
                      meter: Meter | None = None) -> Monitor:  # fmt: skip
        """Connect to a socket. Raises HypervisorFailed. QEMU says nothing before `negotiate`."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, path)
        except OSError as error:
            sock.close()
            raise HypervisorFailed(f"cannot connect to the monitor at {path}: {error.strerror}") from error
        except BaseException:
            sock.close()
            raise
        return cls(sock, on_event, on_end, meter)

    async def negotiate(self, commands: Sequence[Command] = (), *, deadline: float = DEADLINE) -> list[Answer]:
        """Enter command mode and run the first commands, all in one write: QEMU reads it when it is ready."""
        first, *rest = await self.execute_many([Command("qmp_capabilities"), *commands], deadline=deadline)
        if first.error is not None:
            raise failed(first.command, first.error)
        return rest

    @contextlib.contextmanager
    def expect(self, match: Callable[[Event], bool]) -> Iterator[asyncio.Future[Event]]:
        """A future for the next event that matches; enter before the command that causes it."""
        future: asyncio.Future[Event] = self._loop.create_future()
        self._expected[future] = match
        if not self._wire.open:
            self._fail(disconnected("it was closed"))
        try:
            yield future
        finally:
            self._expected.pop(future, None)
            if not future.cancel() and not future.cancelled():
                future.exception()  # it is no loss when nobody waited to the end

    @property
    def connected(self) -> bool:
        return self._wire.open

    @property
    def behind(self) -> bool:
        """Whether QEMU still owes the answer to a command past its deadline: who may wait should not ask it for more."""
        return self._given_up > 0

    async def execute(self, name: str, arguments: Mapping[str, object] | None = None, *, deadline: float = DEADLINE,
                      fds: Sequence[int] = ()) -> None:  # fmt: skip
        """Run a command whose answer says nothing but that it worked."""
        (answer,) = await self.execute_many([Command(name, arguments or {})], deadline=deadline, fds=fds)
        if answer.error is not None:
            raise failed(name, answer.error)

    async def ask(self, kind: type[T], name: str, arguments: Mapping[str, object] | None = None, *,
                  deadline: float = DEADLINE) -> T:  # fmt: skip
        """Run a command and decode its answer."""
        (answer,) = await self.execute_many([Command(name, arguments or {})], deadline=deadline)
        return answer.value(kind)

    async def execute_many(self, commands: Sequence[Command], *, deadline: float = DEADLINE,
                           fds: Sequence[int] = ()) -> list[Answer]:  # fmt: skip
        """Run commands in one write; answers in their order, errors among them.

        Raises Unresponsive when not all answered in time (what was sent may still happen), HypervisorFailed of class
        Disconnected when the monitor is gone.
        """
        return await self.begin(commands, deadline=deadline, fds=fds)

    def begin(self, commands: Sequence[Command], *, deadline: float = DEADLINE,
              fds: Sequence[int] = ()) -> asyncio.Future[list[Answer]]:  # fmt: skip
        """The same, written now: the future has the answers, or the error."""
        batch = _Batch(len(commands), self._loop.create_future())
        if not commands:
            batch.future.set_result([])
        elif not self._wire.open:
            batch.future.set_exception(disconnected("it was closed"))
        else:
            self._send(batch, commands, deadline, fds)
        return batch.future

    def _send(self, batch: _Batch, commands: Sequence[Command], deadline: float, fds: Sequence[int]) -> None:
        first = self._next
        self._next += len(commands)
        for index, command in enumerate(commands):
            self._waiting[first + index] = (batch, index, command.execute)
        encode = self._encode
        self._wire.send(
            b"\n".join([encode(_Numbered(c.execute, first + n, c.arguments)) for n, c in enumerate(commands)]) + b"\n",
            fds,
        )
        batch.timer = self._loop.call_later(deadline, self._late, batch, commands, deadline)
        self._meter.began(len(commands))
        batch.future.add_done_callback(partial(self._settled, batch, first, self._loop.time()))

    def _settled(self, batch: _Batch, first: int, began: float, _: object) -> None:
        """All were answered, or nobody waits for the rest any more."""
        self._meter.ended(self._loop.time() - began)
        if batch.timer is not None:
            batch.timer.cancel()
        if batch.left:
            for number in range(first, first + len(batch.answers)):
                self._waiting.pop(number, None)

    def close(self) -> None:
        """Let go; QEMU runs on."""
        self._wire.close()
        self._fail(disconnected("it was closed"))

    def _late(self, batch: _Batch, commands: Sequence[Command], deadline: float) -> None:
        if not batch.future.done():
            self._meter.late += 1
            self._given_up = self._next - 1
            names = [c.execute for c, a in zip(commands, batch.answers, strict=True) if a is None]
            batch.future.set_exception(Unresponsive(f"no answer to {names[0]} within {deadline:g} s"))

    def _line(self, line: bytes) -> None:
        try:
            message = self._decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.warning("the monitor said what is not QMP (%s): %.200r", error, line)
            return
        if message.id is not None:
            self._answer(message.id, message)
        elif message.event is not None:
            self._event(message)
        elif message.error is not None:
            log.warning("the monitor complains: %s", message.error.desc)

    def _answer(self, number: int, message: Message) -> None:
        if number >= self._given_up:
            self._given_up = 0
        batch, index, name = self._waiting.pop(number, (None, 0, ""))
        if batch is None:
            return  # it came after its deadline
        self._meter.failures += message.error is not None
        batch.answers[index] = Answer(name, message.result, message.error)
        batch.left -= 1
        if not batch.left and not batch.future.done():
            batch.future.set_result(batch.answers)

    def _event(self, message: Message) -> None:
        data = msgspec.json.decode(message.data, type=dict[str, object])
        moment = message.timestamp
        event = Event(message.event or "", data, moment.seconds + moment.microseconds / 1e6)
        for future, match in self._expected.items():
            if not future.done() and match(event):
                future.set_result(event)
        self._on_event(event)

    def _ended(self, reason: str) -> None:
        self._fail(disconnected(reason))
        self._on_end(reason)

    def _fail(self, error: FrontinusError) -> None:
        for batch in {id(b): b for b, _, _ in self._waiting.values()}.values():
            if not batch.future.done():
                batch.future.set_exception(error)
        self._waiting.clear()
        for future in self._expected:
            if not future.done():
                future.set_exception(error)
