"""What one audience sees of an engine: a model, and listeners who are told what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import cast

from frontinus.api.engine import Engine
from frontinus.api.errors import FrontinusError
from frontinus.api.events import AnyEvent, Event
from frontinus.api.views import Snapshot
from frontinus_dbus.model import Model
from frontinus_dbus.raw import Ready

Listener = Callable[[list[Event]], None]
MOST_MADE = 8192
"""Objects of which answers are kept."""
PATIENCE = 0.5
"""Seconds that the news of a change may take."""
ASKED = {"domain": "guest", "network": "network", "nwfilter": "filter", "storagepool": "pool", "secret": "secret"}
"""The engine's question for an object, by its folder in org.libvirt."""


class Picture:
    """The model lives as long as this does, through restarts of the engine: what changed meanwhile is told."""

    def __init__(self) -> None:
        self.model = Model()
        self.listeners: list[Listener] = []
        self.jobs: dict[str, tuple[str, str]] = {}
        """Kind and guest's UUID of each running job, by its id."""
        self._first: list[Callable[[], None]] = []
        self.ready = asyncio.Event()
        self._moved = asyncio.Event()
        self._made: dict[str, dict[object, Ready]] = {}

    def when_ready(self, act: Callable[[], None]) -> None:
        """Call once, when there is something to see: who is told from then on is not told of what was there before."""
        self._first.append(act)

    def made(self, key: str = "") -> dict[object, Ready]:
        """Answers about one object (without a key: about all) that are ready, until something becomes of it.

        Who asks the engine keeps what this gave before: what came true meanwhile is then lost, never kept.
        """
        if len(self._made) > MOST_MADE:
            self._made.clear()
        return self._made.setdefault(key, {})

    def outdate(self, key: str) -> None:
        """Answers about an object are no longer true."""
        self._made.pop(key, None)
        self._made.pop("", None)

    def _follow_made(self, item: Snapshot | AnyEvent) -> None:
        uuid = getattr(item, "uuid", None)
        if isinstance(item, Snapshot) or uuid is None:
            self._made.clear()
        else:
            self.outdate(uuid)

    async def follow(self, engine: Engine, first: Callable[[], None] = lambda: None) -> None:
        """Feed the model until the stream ends; `first` is called with its first item. Raises FrontinusError."""
        async with aclosing(cast("AsyncGenerator[Snapshot | AnyEvent, None]", engine.watch())) as stream:
            async for item in stream:
                told = self.model.take(item)
                self._follow_made(item)
                self.ready.set()
                first()
                while self._first:
                    self._first.pop()()
                    told = []
                self._moved.set()
                for listener in self.listeners if told else ():
                    listener(told)

    async def caught_up(self, engine: Engine, kind: str, key: str) -> None:
        """Wait until the model shows an object as the engine does: who changed it is to read what it became."""
        if kind not in ASKED:
            return
        try:
            async with asyncio.timeout(PATIENCE):
                now = await self._now(engine, kind, key)
                while self.model.find(kind, key) != now:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return

    async def _now(self, engine: Engine, kind: str, key: str) -> object:
        try:
            return await getattr(engine, ASKED[kind])(key)
        except FrontinusError:
            return None
