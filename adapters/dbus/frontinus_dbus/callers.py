"""Who calls: the bus knows, and is asked once for each connection."""

from __future__ import annotations

import asyncio
import os
import pwd
from typing import Protocol

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from frontinus.api.errors import Denied
from frontinus.api.identity import Identity

BUS = "org.freedesktop.DBus"


class Judge(Protocol):
    """What is known of an engine, as far as it concerns callers."""

    @property
    def filtered(self) -> bool: ...
    def manages(self, uid: int, groups: tuple[int, ...]) -> bool: ...


class Callers:
    """Identities by unique name; forgotten when the connection ends."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._known: dict[str, asyncio.Task[Identity]] = {}

    async def watch(self) -> None:
        """Be told of connections that end."""
        rule = f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg2=''"
        await self._bus.call(_to_bus("AddMatch", "s", [rule]))

    def ended(self, name: str) -> None:
        self._known.pop(name, None)

    async def identity(self, sender: str, world: Judge, *, interactive: bool = False) -> Identity:
        """The caller; read-only unless it manages, or the engine decides that itself. Raises Denied when the bus does not tell."""
        task = self._known.get(sender)
        if task is None:
            task = self._known[sender] = asyncio.ensure_future(self._ask(sender))
            task.add_done_callback(lambda done: self._settle(sender, done))
        who = await asyncio.shield(task)
        allowed = world.filtered or world.manages(who.uid, who.groups)
        return Identity(uid=who.uid, gid=who.gid, pid=who.pid, groups=who.groups, readonly=not allowed, on_behalf="dbus",
                        bus_name=sender, interactive=interactive)  # fmt: skip

    def _settle(self, sender: str, task: asyncio.Task[Identity]) -> None:
        if task.cancelled() or task.exception() is not None:
            self._known.pop(sender, None)

    async def _ask(self, sender: str) -> Identity:
        reply = await self._bus.call(_to_bus("GetConnectionCredentials", "s", [sender]))
        facts: dict[str, Variant] = reply.body[0] if reply.message_type is MessageType.METHOD_RETURN else {}
        uid = facts.get("UnixUserID")
        if uid is None:
            raise Denied("the bus does not tell who calls")
        pid, groups = facts.get("ProcessID"), facts.get("UnixGroupIDs")
        listed = tuple(groups.value) if groups is not None else await asyncio.to_thread(_groups, uid.value)
        return Identity(uid=uid.value, gid=listed[0] if listed else -1, pid=pid.value if pid else 0, groups=listed)


def _groups(uid: int) -> tuple[int, ...]:
    """A user's groups by the system's lists, for a bus that does not tell those of the process."""
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return ()
    return tuple(os.getgrouplist(user.pw_name, user.pw_gid))


def _to_bus(member: str, signature: str = "", body: list[object] | None = None) -> Message:
    return Message(destination=BUS, path="/org/freedesktop/DBus", interface=BUS, member=member, signature=signature,
                   body=body or [])  # fmt: skip
