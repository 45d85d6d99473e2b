"""Who sees what. While the engine shows everyone the same, all callers share one picture and signals go to all. Where it
decides caller by caller, each user has a picture of its own, and its clients get signals one by one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from frontinus.api.errors import Disconnected, FrontinusError
from frontinus.api.identity import Identity
from frontinus_dbus.callers import Callers
from frontinus_dbus.picture import Listener, Picture
from frontinus_dbus.table import Interface
from frontinus_dbus.world import World

log = logging.getLogger(__name__)
RETRY = 0.5
"""Seconds until an audience whose stream ended asks for it again."""
PATIENCE = 30.0
"""Seconds that the first picture of an audience may take."""

Emit = Callable[[str, Interface, str, Sequence[object]], None]
"""Sends a signal: path, interface, member, body."""
EmitTo = Callable[[str, str, Interface, str, Sequence[object]], None]
"""The same to one client, which comes first."""
Tellers = Callable[[Picture, Emit], list[Listener]]
Key = tuple[int, int, tuple[int, ...]]


@dataclass
class Audience:
    """The clients of one user. `voice` is the one in whose name the engine is followed."""

    picture: Picture = field(default_factory=Picture)
    clients: dict[str, Identity] = field(default_factory=dict)
    voice: str = ""
    task: asyncio.Task[None] | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """There is a first picture, or `refused` says why there is none."""
    refused: FrontinusError | None = None


class Audiences:
    """For one service. `emit` sends to all, `emit_to` to one."""

    def __init__(self, world: World, callers: Callers, emit: Emit, emit_to: EmitTo, tellers: Tellers) -> None:
        self._world, self._callers, self._emit_to, self._tellers = world, callers, emit_to, tellers
        self._heard = tellers(world.picture, self._unless_filtered(emit))
        self._by_user: dict[Key, Audience] = {}
        self._by_client: dict[str, Audience] = {}
        world.picture.listeners += self._heard

    def picture(self, client: str) -> Picture | None:
        """What a client sees; None when it has to join an audience first."""
        if not self._world.filtered:
            return self._world.picture
        audience = self._by_client.get(client)
        return audience.picture if audience is not None and audience.picture.ready.is_set() else None

    async def join(self, client: str) -> Picture:
        """Let a client into its user's audience. Raises FrontinusError."""
        who = await self._callers.identity(client, self._world)
        key = (who.uid, who.gid, who.groups)
        audience = self._by_user.get(key) or self._made(key)
        if client not in audience.clients:
            audience.clients[client] = who
            self._by_client[client] = audience
        if audience.task is None:
            self._begin(audience)
        async with asyncio.timeout(PATIENCE):
            await audience.settled.wait()
        if not audience.picture.ready.is_set():
            raise audience.refused or Disconnected("the engine ended the stream")
        return audience.picture

    def left(self, client: str) -> None:
        """A client is gone; its audience goes on in another's name, or ends with its last."""
        audience = self._by_client.pop(client, None)
        if audience is None:
            return
        audience.clients.pop(client, None)
        if client == audience.voice and audience.task is not None:
            audience.task.cancel()
            audience.task = None
            if audience.clients:
                self._begin(audience)
        if not audience.clients:
            self._by_user = {key: other for key, other in self._by_user.items() if other is not audience}

    def close(self) -> None:
        for listener in self._heard:
            self._world.picture.listeners.remove(listener)
        for audience in self._by_user.values():
            if audience.task is not None:
                audience.task.cancel()

    def _unless_filtered(self, emit: Emit) -> Emit:
        def send(path: str, interface: Interface, member: str, body: Sequence[object]) -> None:
            if not self._world.filtered:
                emit(path, interface, member, body)

        return send

    def _made(self, key: Key) -> Audience:
        """A new audience: it is told of what happens once it has its first picture."""
        audience = self._by_user[key] = Audience()

        def tell(path: str, interface: Interface, member: str, body: Sequence[object]) -> None:
            for client in audience.clients:
                self._emit_to(client, path, interface, member, body)

        audience.picture.when_ready(lambda: audience.picture.listeners.extend(self._tellers(audience.picture, tell)))
        return audience

    def _begin(self, audience: Audience) -> None:
        if not audience.picture.ready.is_set():
            audience.settled.clear()
        audience.voice = next(iter(audience.clients))
        audience.task = asyncio.ensure_future(self._follow(audience, audience.clients[audience.voice]))

    async def _follow(self, audience: Audience, who: Identity) -> None:
        while True:
            try:
                await audience.picture.follow(self._world.session(who), audience.settled.set)
            except FrontinusError as error:
                audience.refused = error
            audience.settled.set()
            if not audience.picture.ready.is_set():  # nothing to go on with: the next call asks anew
                audience.task = None
                return
            await asyncio.sleep(RETRY)
