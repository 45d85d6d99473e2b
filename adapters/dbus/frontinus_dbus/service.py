"""The one handler of every message: finds the object by its path, the member in the table, and sends the answer."""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

from dbus_fast import Message, MessageFlag, MessageType, Variant
from dbus_fast.aio import MessageBus

from frontinus.api.engine import Engine
from frontinus.api.errors import Disconnected, FrontinusError, HostFailed, InternalError, Unresponsive
from frontinus_dbus import faults, names, table
from frontinus_dbus.audiences import Audiences
from frontinus_dbus.callers import BUS, Callers
from frontinus_dbus.faults import Fault, Told
from frontinus_dbus.files import Files
from frontinus_dbus.model import Model
from frontinus_dbus.picture import Picture
from frontinus_dbus.raw import Entries, Joined, Prepared, Ready, ready
from frontinus_dbus.table import Interface, Method
from frontinus_dbus.underway import UnderWay
from frontinus_dbus.world import World

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Call:
    """One message, for its handler: `kind` is the folder that the object is in, `key` its own name, such as its UUID."""

    world: World
    picture: Picture
    path: str
    kind: str
    key: str
    sender: str
    callers: Callers
    interactive: bool = False

    @property
    def model(self) -> Model:
        """What the caller may see."""
        return self.picture.model

    async def engine(self) -> Engine:
        """The engine as the caller has it. Raises Denied, Disconnected."""
        who = await self.callers.identity(self.sender, self.world, interactive=self.interactive)
        return self.world.session(who)


Handler = Callable[..., object]
"""Takes a Call and the arguments; gives the answer (a sequence when there are several), or an awaitable of it."""
Getter = Callable[[Call], object]
Setter = Callable[[Call, object], object]


@dataclass(frozen=True)
class Part:
    """An interface of an object. `double`: GetAll wraps its variants once more, as clients of libvirt-dbus expect."""

    interface: Interface
    methods: Mapping[str, Handler]
    getters: Mapping[str, Getter] = field(default_factory=dict)
    setters: Mapping[str, Setter] = field(default_factory=dict)
    double: bool = False


@dataclass(frozen=True)
class Found:
    """What is at a path."""

    parts: Sequence[Part]
    kind: str = ""
    key: str = ""
    children: Sequence[str] = ()


class Realm(Protocol):
    """A tree of objects. `find` gives None for a path where nothing can be; `told` names its errors."""

    world: World
    told: Told

    @property
    def root(self) -> str: ...
    def find(self, path: str, picture: Picture) -> Found | None: ...


class Service:
    """Answers on a bus for its realms."""

    def __init__(self, bus: MessageBus, callers: Callers, realms: Sequence[Realm]) -> None:
        self._bus, self._callers, self._realms = bus, callers, realms
        self.audiences: Audiences | None = None
        self._under_way = UnderWay()

    def handle(self, message: Message) -> bool:
        """A message handler of dbus-fast: True for what is dealt with here."""
        if message.message_type is MessageType.SIGNAL and message.sender == BUS:
            if message.member == "NameOwnerChanged":
                self._callers.ended(message.body[0])
                if self.audiences is not None:
                    self.audiences.left(message.body[0])
            return False
        if message.message_type is not MessageType.METHOD_CALL:
            return False
        files = Files(message.unix_fds or ())  # the sender decides that they come, wanted or not
        assert self.audiences is not None, "whoever serves says to whom"
        client = message.sender or ""
        picture = self.audiences.picture(client)
        if self._under_way.full(client):  # asked first: what is made for a call that may not begin would be lost
            self._fail(message, Fault(faults.LIMITS_EXCEEDED, "too many calls of this client are under way"))
        elif picture is None:
            self._under_way.begin(client, self._join(message, files))
        else:
            self._dispatch(message, picture, files)
        return True

    def emit(self, path: str, interface: Interface, member: str, body: Sequence[object]) -> None:
        """Send a signal to all who listen."""
        self.emit_to(None, path, interface, member, body)

    def emit_to(self, client: str | None, path: str, interface: Interface, member: str, body: Sequence[object]) -> None:
        """Send a signal to one client."""
        signature = interface.signal[member].signature
        self._bus.send(Message(message_type=MessageType.SIGNAL, destination=client, path=path, interface=interface.name,
                               member=member, signature=signature, body=list(body)))  # fmt: skip

    async def _join(self, message: Message, files: Files) -> None:
        """The first call of a client, where each user has a picture of its own."""
        assert self.audiences is not None
        try:
            picture = await self.audiences.join(message.sender or "")
        except FrontinusError as error:
            self._fail(message, faults.as_native(error))
        except TimeoutError:
            self._fail(message, faults.as_native(Unresponsive("the engine does not show what there is")))
        except Exception as error:
            log.exception("a client could not be shown what there is")
            self._fail(message, faults.as_native(InternalError(f"failed unexpectedly ({type(error).__name__})")))
        else:
            self._dispatch(message, picture, files)

    def _dispatch(self, message: Message, picture: Picture, files: Files) -> None:
        try:
            self._call(message, picture, files)
        except Fault as fault:
            self._fail(message, fault)

    # Finding

    def _call(self, message: Message, picture: Picture, files: Files) -> None:
        path = message.path or ""
        realm = next((r for r in self._realms if path == r.root or path.startswith(r.root + "/")), None)
        found = realm.find(path, picture) if realm else self._above(path)
        if message.interface in STANDARD:
            self._standard(message, realm, found, picture)
            return
        if found is None or realm is None:
            raise Fault(faults.UNKNOWN_OBJECT, f"there is no object {path}")
        part, method = _member(found, message)
        if message.signature != method.signature:
            raise Fault(faults.INVALID_ARGS, f"{method.name} takes ({method.signature}), not ({message.signature})")
        call = self._context(message, realm, found, picture)
        body = files.body(method, message.body)

        def work() -> object:
            result = part.methods[method.name](call, *body)
            kept = files.kept(result) if method.takes_files and inspect.isawaitable(result) else result
            return changing(call, method, kept)

        self._answer(message, method, realm.told, work)

    def _context(self, message: Message, realm: Realm, found: Found, picture: Picture) -> Call:
        if not realm.world.connected:
            raise realm.told(Disconnected("the engine cannot be reached; is frontinusd running?"))
        asks = bool(message.flags & MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION)
        return Call(realm.world, picture, message.path or "", found.kind, found.key, message.sender or "", self._callers,
                    asks)  # fmt: skip

    def _above(self, path: str) -> Found | None:
        """A path on the way to the realms."""
        prefix = path if path.endswith("/") else path + "/"
        below = {r.root[len(prefix) :].partition("/")[0] for r in self._realms if r.root.startswith(prefix)}
        return Found((), children=sorted(below)) if below else None

    # What every object has

    def _standard(self, message: Message, realm: Realm | None, found: Found | None, picture: Picture) -> None:
        member, signature = message.member or "", message.signature
        method = STANDARD[message.interface or ""].method.get(member)
        if method is None or method.signature != signature:
            raise Fault(faults.UNKNOWN_METHOD, f"there is no {message.interface}.{member}({signature})")
        if message.interface == table.PEER.name:
            self._answer(message, method, faults.as_native, _machine if member == "GetMachineId" else lambda: None)
            return
        if found is None:
            raise Fault(faults.UNKNOWN_OBJECT, f"there is no object {message.path}")
        if member == "Introspect":
            shown = [*table.STANDARD, *(p.interface for p in found.parts)] if found.parts else [*table.STANDARD]
            text = table.introspection(shown, found.children)
            self._answer(message, method, faults.as_native, lambda: text)
            return
        if realm is None:
            raise Fault(faults.UNKNOWN_INTERFACE, f"{message.path} has no properties")
        self._properties(message, method, found, realm, picture)

    def _properties(self, message: Message, method: Method, found: Found, realm: Realm, picture: Picture) -> None:
        call, told = self._context(message, realm, found, picture), realm.told
        part = next((p for p in found.parts if p.interface.name == message.body[0]), None)
        if part is None:
            raise Fault(faults.UNKNOWN_INTERFACE, f"{message.path} has no interface {message.body[0]}")
        if method.name == "GetAll":
            self._answer(message, method, told, lambda: kept(call, part, method, None, lambda: get_all(part, call)))
            return
        name = message.body[1]
        known = part.interface.property.get(name)
        if known is None:
            raise Fault(faults.UNKNOWN_PROPERTY, f"{part.interface.name} has no property {name}")
        if method.name == "Get":
            self._answer(message, method, told, lambda: kept(
                call, part, method, name, lambda: _as_variant(known.signature, part.getters[name](call))))  # fmt: skip
            return
        value = message.body[2]
        if not known.write:
            raise Fault(faults.READ_ONLY, f"{name} cannot be set")
        if value.signature != known.signature:
            raise Fault(faults.INVALID_ARGS, f"{name} is of type {known.signature}, not {value.signature}")
        self._answer(message, method, told, lambda: changing(call, method, part.setters[name](call, value.value)))

    # Answering

    def _answer(self, message: Message, method: Method, told: Told, work: Callable[[], object]) -> None:
        try:
            result = work()
        except FrontinusError as error:
            raise told(error) from None
        if inspect.isawaitable(result):
            self._under_way.begin(message.sender or "", self._later(message, method, told, result))
        else:
            self._reply(message, method, result)

    async def _later(self, message: Message, method: Method, told: Told, result: Awaitable[object]) -> None:
        try:
            async with self._under_way.room:
                self._reply(message, method, await result)
        except Fault as fault:
            self._fail(message, fault)
        except FrontinusError as error:
            self._fail(message, told(error))
        except Exception as error:
            log.exception("%s failed unexpectedly", method.name)
            self._fail(message, told(InternalError(f"{method.name} failed unexpectedly ({type(error).__name__})")))

    def _reply(self, message: Message, method: Method, result: object) -> None:
        if isinstance(result, Entries | Ready):
            if not message.flags & MessageFlag.NO_REPLY_EXPECTED:
                self._bus.send(Joined(message, result) if isinstance(result, Entries) else Prepared(message, result))
            return
        body = list(cast("Sequence[object]", result)) if len(method.gives) > 1 else [result] if method.gives else []
        fds: list[int] = []
        for number, argument in enumerate(method.gives):
            if argument.signature == "h":
                fds.append(int(cast("int", body[number])))
                body[number] = len(fds) - 1
        try:
            if not message.flags & MessageFlag.NO_REPLY_EXPECTED and self._bus.connected:
                self._send(Message.new_method_return(message, method.answer, body, fds), fds)
                fds = []
        finally:
            _close(fds)

    def _send(self, answer: Message, fds: Sequence[int]) -> None:
        sent = self._bus.send(answer)
        if fds:
            sent.add_done_callback(lambda _: _close(fds))

    def _fail(self, message: Message, fault: Fault) -> None:
        if not message.flags & MessageFlag.NO_REPLY_EXPECTED and self._bus.connected:
            self._bus.send(Message.new_error(message, fault.name, fault.message))


MACHINE = ("/etc/machine-id", "/var/lib/dbus/machine-id")
STANDARD = {interface.name: interface for interface in table.STANDARD}


def changing(call: Call, method: Method, result: object) -> object:
    """What gives nothing, or an object, has changed a guest: its answer comes when that can be read."""
    if not inspect.isawaitable(result) or method.answer not in ("", "o"):
        return result
    return _changed(call, result)


async def _changed(call: Call, work: Awaitable[object]) -> object:
    try:
        result = await work
    finally:
        call.picture.outdate(call.key)
    kind, key = call.kind, call.key
    if isinstance(result, str):
        kind, _, name = result.rpartition("/")
        kind, key = kind.rpartition("/")[2], names.to_uuid(name) or ""
        call.picture.outdate(key)
    if key:
        await call.picture.caught_up(await call.engine(), names.MODEL.get(kind, kind), key)
    return result


def kept(call: Call, part: Part, method: Method, name: str | None, make: Callable[[], object]) -> object:
    """The properties of an object in a picture, from the last time that they were asked for if nothing became of it."""
    if not call.key or call.model.find(call.kind, call.key) is None:
        return make()
    shelf, slot = call.picture.made(call.key), (part.interface.name, name)
    known = shelf.get(slot)
    if known is None:
        value = make()
        if inspect.isawaitable(value):
            return value
        known = shelf[slot] = ready(method.answer, [value])
    return known


def get_all(part: Part, call: Call) -> dict[str, Variant] | Awaitable[dict[str, Variant]]:
    """The properties that can be read now; awaitable when one has to be asked for."""
    values: dict[str, object] = {}
    for known in part.interface.properties:
        try:
            values[known.name] = part.getters[known.name](call)
        except FrontinusError:
            continue
    if any(inspect.isawaitable(value) for value in values.values()):
        return _awaited(part, values)
    return _wrapped(part, values)


async def _awaited(part: Part, values: Mapping[str, object]) -> dict[str, Variant]:
    found: dict[str, object] = {}
    for name, value in values.items():
        with contextlib.suppress(FrontinusError):
            found[name] = await value if inspect.isawaitable(value) else value
    return _wrapped(part, found)


def _wrapped(part: Part, values: Mapping[str, object]) -> dict[str, Variant]:
    shown = {name: Variant(part.interface.property[name].signature, value) for name, value in values.items()}
    return {name: Variant("v", value) for name, value in shown.items()} if part.double else shown


def _as_variant(signature: str, value: object) -> object:
    if not inspect.isawaitable(value):
        return Variant(signature, value)

    async def wait() -> Variant:
        return Variant(signature, await value)

    return wait()


def _member(found: Found, message: Message) -> tuple[Part, Method]:
    """The method that is meant; a call without an interface means the first of that name."""
    for part in found.parts:
        if message.interface in (None, part.interface.name):
            method = part.interface.method.get(message.member or "")
            if method is not None:
                return part, method
    raise Fault(faults.UNKNOWN_METHOD, f"{message.path} has no method {message.interface}.{message.member}")


def _machine() -> str:
    """The host's number, where the bus's own library looks for it. Raises HostFailed."""
    for file in MACHINE:
        with contextlib.suppress(OSError):
            return Path(file).read_text().strip()
    raise HostFailed("this host has no number of its own", what=MACHINE[0])


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
