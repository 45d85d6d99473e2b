"""Being on the bus: connect, own the names, serve, and come back when the bus was away."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from dbus_fast import NameFlag, RequestNameReply
from dbus_fast.aio import MessageBus
from dbus_fast.errors import AuthError, DBusError, InvalidAddressError

from frontinus_dbus.audiences import Audiences
from frontinus_dbus.callers import Callers
from frontinus_dbus.libvirt.realm import Libvirt
from frontinus_dbus.libvirt.signals import Herald
from frontinus_dbus.native.changes import Changes
from frontinus_dbus.native.realm import Native
from frontinus_dbus.service import Service
from frontinus_dbus.world import World
from frontinus_dbus.writing import be_patient

log = logging.getLogger(__name__)
NAMES = ("org.libvirt", "org.frontinus1")
FIRST_DELAY, LAST_DELAY = 0.5, 30.0
"""Seconds between attempts to reach the bus."""
CONNECTING = 10.0
"""Seconds that the bus has to take us."""
PATIENCE = 3.0
"""Seconds that the engine may take before the names are owned without it."""


class NoName(Exception):
    """Neither of the names can be had."""


class Presence:
    """Call `keep` as a task."""

    def __init__(self, address: str, world: World) -> None:
        self._address, self._world = address, world
        self.callers: Callers | None = None
        """Who called on the present connection."""

    async def keep(self) -> None:
        """Stay on the bus until cancelled; a reason for being away is told once."""
        delay, told = FIRST_DELAY, ""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._world.picture.ready.wait(), PATIENCE)
        while True:
            try:
                await self._be_there()
                delay, reason = FIRST_DELAY, "the bus went away"
                told = ""
            except (OSError, EOFError, AuthError, DBusError, InvalidAddressError, NoName) as error:
                reason = f"cannot serve on {self._address}: {error}"
            if reason != told:
                log.warning("%s; trying again", reason)
                told = reason
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_DELAY)

    async def _be_there(self) -> None:
        bus = MessageBus(bus_address=self._address, negotiate_unix_fd=True)
        audiences: Audiences | None = None
        async with asyncio.timeout(CONNECTING):
            await bus.connect()
        be_patient(bus)
        try:
            callers = self.callers = Callers(bus)
            libvirt, native = Libvirt(self._world), Native(self._world)
            service = Service(bus, callers, [libvirt, native])
            audiences = service.audiences = Audiences(
                self._world, callers, service.emit, service.emit_to,
                lambda picture, emit: [Herald(libvirt, emit).tell, Changes(picture, emit).tell])  # fmt: skip
            bus.add_message_handler(service.handle)
            await callers.watch()
            owned = [name for name in NAMES if await self._own(bus, name)]
            if not owned:
                raise NoName("both names have another owner")
            log.info("serving %s on %s: %d guests", " and ".join(owned), self._address, len(self._world.model.guests))
            with contextlib.suppress(OSError, EOFError):
                await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        finally:
            if audiences is not None:
                audiences.close()
            bus.disconnect()

    async def _own(self, bus: MessageBus, name: str) -> bool:
        reply = await bus.request_name(name, NameFlag.DO_NOT_QUEUE)
        if reply is not RequestNameReply.PRIMARY_OWNER:
            log.warning("%s has another owner on this bus", name)
        return reply is RequestNameReply.PRIMARY_OWNER
