"""polkit: decisions of the host's authority, asked with the object's details over the system bus, remembered until it
says that something changed.

Rules on the names that libvirt's access driver asks for (org.libvirt.api.domain.start) count, and rules on our own
(org.frontinus1.api.domain.start). Reading is yes unless a rule of either kind says no; changing is no unless one says yes.
Without an authority only root and the managing group may do anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.errors import AuthError, DBusError, InvalidAddressError

from frontinus import procfs
from frontinus.api.identity import Identity
from frontinus.api.permissions import Permission
from frontinus.engine.access import Details

log = logging.getLogger(__name__)
SYSTEM = "unix:path=/run/dbus/system_bus_socket"
NAME, PATH = "org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority"
AUTHORITY = "org.freedesktop.PolicyKit1.Authority"
PREFIXES = ("org.libvirt.api", "org.frontinus1.api")
PATIENCE, WITH_USER = 10.0, 300.0
"""Seconds for an answer, and for one that waits for a user to authenticate."""
RETRY = 1.0
"""Seconds between attempts to reach the bus; calls meanwhile are answered without it."""
REMEMBERED = 200_000
INTERACTIVE = 1
TEMPORARY = "polkit.temporary_authorization_id"
UNREGISTERED = "is not registered"


class Unavailable(Exception):
    """There is no authority to ask."""


@dataclass(frozen=True)
class Verdict:
    """What the authority said of one action; `lasts`: until it says that something changed."""

    authorized: bool
    lasts: bool = True


class Polkit:
    """The policy. `managers`: the group whose members may do all while there is no authority."""

    name = "polkit"

    def __init__(self, address: str = "", managers: int | None = None) -> None:
        self._authority = Authority(address or os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or SYSTEM, self._changed)
        self._managers = managers
        self._known: dict[tuple[object, ...], bool] = {}
        self._asked: dict[tuple[object, ...], asyncio.Task[bool]] = {}
        self._told: list[Callable[[], None]] = []
        self._changes = 0

    async def allows(self, who: Identity, permission: Permission, details: Details) -> bool:
        if permission.write and who.readonly:
            return False
        if not self.filters(who):
            return True
        key = (*_subject_key(who, permission), str(permission), tuple(sorted(details.items())))
        known = self._known.get(key)
        if known is not None:
            return known
        if who.interactive:
            return await self._decide(who, permission, details, key)
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.ensure_future(self._decide(who, permission, details, key))
            task.add_done_callback(lambda _: self._asked.pop(key, None))
        return await asyncio.shield(task)

    def filters(self, who: Identity) -> bool:
        return who.uid not in (0, os.getuid())

    def when_changed(self, tell: Callable[[], None]) -> None:
        self._told.append(tell)

    def close(self) -> None:
        self._authority.close()

    def _changed(self) -> None:
        self._changes += 1
        self._known.clear()
        for tell in self._told:
            tell()

    async def _decide(self, who: Identity, permission: Permission, details: Details, key: tuple[object, ...]) -> bool:
        before = self._changes
        try:
            verdicts = await asyncio.gather(*(
                self._authority.check(who, f"{prefix}.{permission}", details) for prefix in PREFIXES))  # fmt: skip
        except Unavailable as error:
            manages = self._managers is not None and self._managers in (who.gid, *who.groups)
            log.warning("uid %d is %s %s: %s", who.uid, "allowed" if manages else "refused", permission, error)
            return manages
        registered = [verdict for verdict in verdicts if verdict is not None]
        said = [verdict.authorized for verdict in registered]
        allowed = any(said) if permission.write else all(said)
        if self._changes == before and all(verdict.lasts for verdict in registered):
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[key] = allowed
        return allowed


def _subject_key(who: Identity, permission: Permission) -> tuple[object, ...]:
    """Whom an answer holds for: to read, every process of a user; to change, this very one (its session may matter)."""
    return (who.uid, who.gid, who.groups, (who.bus_name, who.pid) if permission.write else None)


class Authority:
    """The authority on the bus, connected when it is first asked, and anew when the bus was away."""

    def __init__(self, address: str, changed: Callable[[], None]) -> None:
        self._address, self._changed = address, changed
        self._bus: MessageBus | None = None
        self._connecting = asyncio.Lock()
        self._failed = -RETRY

    async def check(self, who: Identity, action: str, details: Details) -> Verdict | None:
        """None for an action that nobody registered. Raises Unavailable."""
        subject = _subject(who)
        flags = INTERACTIVE if who.interactive else 0
        body = [subject, action, dict(details), flags, ""]
        reply = await self._call("CheckAuthorization", "(sa{sv})sa{ss}us", body, WITH_USER if flags else PATIENCE)
        if reply.message_type is MessageType.ERROR:
            text = str(reply.body[0]) if reply.body else ""
            if UNREGISTERED in text:
                return None
            raise Unavailable(f"polkit does not answer: {text or reply.error_name}")
        authorized, _, said = reply.body[0]
        return Verdict(bool(authorized), TEMPORARY not in said)

    async def _call(self, member: str, signature: str, body: Sequence[object], seconds: float) -> Message:
        try:
            async with asyncio.timeout(seconds):
                bus = await self._connected()
                reply = await bus.call(Message(destination=NAME, path=PATH, interface=AUTHORITY, member=member,
                                               signature=signature, body=list(body)))  # fmt: skip
        except (TimeoutError, OSError, EOFError, DBusError) as error:
            raise Unavailable(f"polkit does not answer: {error or 'it took too long'}") from None
        if reply is None:
            raise Unavailable("the bus went away")
        return reply

    async def _connected(self) -> MessageBus:
        async with self._connecting:
            if self._bus is not None and self._bus.connected:
                return self._bus
            if time.monotonic() - self._failed < RETRY:
                raise Unavailable(f"the bus at {self._address} cannot be reached")
            try:
                self._bus = await self._connect()
            except (OSError, EOFError, AuthError, DBusError, InvalidAddressError) as error:
                self._failed = time.monotonic()
                raise Unavailable(f"the bus at {self._address} cannot be reached: {error}") from None
            self._changed()  # what was said before may have changed unheard
            return self._bus

    async def _connect(self) -> MessageBus:
        bus = await MessageBus(bus_address=self._address).connect()
        bus.add_message_handler(self._heard)
        for rule in (f"type='signal',sender='{NAME}',interface='{AUTHORITY}',member='Changed'",
                     f"type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{NAME}'"):  # fmt: skip
            await bus.call(Message(destination="org.freedesktop.DBus", path="/org/freedesktop/DBus",
                                   interface="org.freedesktop.DBus", member="AddMatch", signature="s", body=[rule]))  # fmt: skip
        return bus

    def _heard(self, message: Message) -> bool:
        if message.message_type is MessageType.SIGNAL and message.member in ("Changed", "NameOwnerChanged"):
            self._changed()
        return False

    def close(self) -> None:
        if self._bus is not None:
            with contextlib.suppress(OSError):
                self._bus.disconnect()


def _subject(who: Identity) -> list[object]:
    """The caller as polkit knows it: by its name on the bus, which cannot come to mean another, else by its process."""
    if who.bus_name:
        return ["system-bus-name", {"name": Variant("s", who.bus_name)}]
    started = procfs.start_time(who.pid) if who.pid else None
    if started is None:
        raise Unavailable("the caller's process is gone")
    return ["unix-process", {"pid": Variant("u", who.pid), "start-time": Variant("t", started),
                             "uid": Variant("i", who.uid)}]  # fmt: skip
