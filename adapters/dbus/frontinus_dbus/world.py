"""The engine that a service shows: at the end of a socket, or a mock in this process."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

from frontinus.api.engine import Engine
from frontinus.api.errors import Denied, Disconnected, FrontinusError
from frontinus.api.identity import Identity
from frontinus.api.views import HostView, VersionView
from frontinus.client.remote import RemoteEngine, as_engine, connect
from frontinus_dbus.model import Model
from frontinus_dbus.picture import Picture

log = logging.getLogger(__name__)
FIRST_DELAY, LAST_DELAY = 0.1, 5.0
"""Seconds between attempts to connect."""

Sessions = Callable[[Identity], Engine]


class World:
    """What is known of an engine. `manages`: whether a user, by uid and groups, may do more than read."""

    def __init__(self) -> None:
        self.picture = Picture()
        self.version: VersionView | None = None
        self.host: HostView | None = None
        self._sessions: Sessions | None = None

    @property
    def model(self) -> Model:
        """What the service itself sees."""
        return self.picture.model

    @property
    def driver(self) -> str:
        """The name under /org/libvirt."""
        return self.version.hypervisor if self.version else "QEMU"

    @property
    def filtered(self) -> bool:
        """Whether the engine decides caller by caller what they may see."""
        return self.version is not None and self.version.access != "role"

    @property
    def connected(self) -> bool:
        return self._sessions is not None

    def session(self, who: Identity) -> Engine:
        """The engine as one caller has it. Raises Disconnected."""
        if self._sessions is None:
            raise Disconnected("the engine cannot be reached; is frontinusd running?")
        return self._sessions(who)

    def manages(self, uid: int, groups: tuple[int, ...]) -> bool:
        """Without better knowledge: root, and whoever runs this service."""
        return uid in (0, os.getuid())

    async def run(self) -> None:
        """Keep up with the engine until cancelled."""
        raise NotImplementedError

    async def follow(self, engine: Engine, sessions: Sessions) -> None:
        """Feed the picture until the stream ends. Raises FrontinusError."""

        def begin() -> None:
            self._sessions = sessions

        try:
            self.version, self.host = await engine.version(), await engine.host()
            await self.picture.follow(engine, begin)
        finally:
            self._sessions = None


class Remote(World):
    """The engine behind the daemon's sockets. It comes back when the daemon does."""

    def __init__(self, manage: Path, monitor: Path) -> None:
        super().__init__()
        self._manage, self._monitor = manage, monitor

    def manages(self, uid: int, groups: tuple[int, ...]) -> bool:
        """Whoever could open the manage socket: its owner, and its group if that may write to it."""
        try:
            about = self._manage.stat()
        except OSError:
            return uid == 0
        return uid in (0, about.st_uid) or bool(about.st_mode & 0o020 and about.st_gid in groups)

    async def run(self) -> None:
        delay, told = FIRST_DELAY, False
        while True:
            try:
                remote, sessions = await self._connect()
            except FrontinusError as error:
                if not told:
                    log.warning("%s", error.message)
                    told = True
            else:
                delay, told = FIRST_DELAY, False
                await self._follow(remote, sessions)
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_DELAY)

    async def _follow(self, remote: RemoteEngine, sessions: Sessions) -> None:
        try:
            await self.follow(as_engine(remote), sessions)
            log.warning("the engine ended the stream")
        except FrontinusError as error:
            log.warning("lost the engine: %s", error.message)
        finally:
            remote.close()

    async def _connect(self) -> tuple[RemoteEngine, Sessions]:
        """Through the manage socket if the engine trusts us to speak for our callers, else everyone only reads."""
        try:
            remote = await connect(self._manage)
        except Disconnected:
            remote = await connect(self._monitor)
        else:
            me = Identity(uid=os.getuid(), gid=os.getgid(), readonly=True)
            try:
                await as_engine(remote.speaking_for(me)).version()
                return remote, lambda who: as_engine(remote.speaking_for(who))
            except Denied:
                remote.close()
                log.warning("the engine does not let uid %d speak for others: nobody can change anything", os.getuid())
                remote = await connect(self._monitor)
        return remote, lambda who: as_engine(remote)
