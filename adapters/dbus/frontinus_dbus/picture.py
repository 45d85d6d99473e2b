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

Listener = Callable[[list[Event]], None]
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

    def when_ready(self, act: Callable[[], None]) -> None:
        """Call once, when there is something to see: who is told from then on is not told of what was there before."""
        self._first.append(act)

    async def follow(self, engine: Engine, first: Callable[[], None] = lambda: None) -> None:
        """Feed the model until the stream ends; `first` is called with its first item. Raises FrontinusError."""
        async with aclosing(cast("AsyncGenerator[Snapshot | AnyEvent, None]", engine.watch())) as stream:
            async for item in stream:
                told = self.model.take(item)
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
