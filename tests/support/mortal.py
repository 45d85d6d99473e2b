"""Engines that die: after any number of calls to the world outside, as by kill -9, with a later engine on what is left.

Everything that an engine does durably it does by its ports. So a death after each of their calls in turn is a death at
every moment that matters.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from frontinus.engine.local import LocalEngine
from frontinus.engine.recovery import recover
from frontinus.engine.registry import Registry
from frontinus.engine.world import World
from frontinus.ports import RunningGuest

PORTS = ("hypervisor", "resources", "store", "images", "storage", "limits")
SECONDS = 60.0


class Killed(BaseException):
    """The engine is dead: no handler of an error may do anything about it."""


class Life:
    """How many calls an engine has left; None: it does not die."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.over = asyncio.Event()

    def spend(self) -> None:
        """One more call was made. Raises Killed after the last, and ever after."""
        if self.left is not None:
            self.left -= 1
            self.check()

    def check(self) -> None:
        if self.left is not None and self.left < 0:
            self.over.set()
            raise Killed


class Mortal:
    """A port whose calls count."""

    def __init__(self, port: object, life: Life) -> None:
        self._port, self._life = port, life

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def call(*args: object, **kwargs: object) -> object:
            self._life.check()
            answer = await found(*args, **kwargs)
            self._life.spend()
            return Mortal(answer, self._life) if name in ("launch", "attach") else answer

        return call


async def reborn(world: World, life: Life | None = None) -> LocalEngine:
    """An engine that finds what an earlier one left; all that was left to do is done when this returns."""
    ports = {name: Mortal(getattr(world, name), life) for name in PORTS} if life is not None else {}
    engine = LocalEngine(replace(world, guests=Registry(), **ports))  # type: ignore[arg-type]
    await recover(engine.world)
    async with asyncio.timeout(SECONDS):
        for record in engine.world.guests:
            await asyncio.sleep(0)  # who finishes or undoes takes the lock first
            async with record.lock.hold("wait for what is finished or undone"):
                await asyncio.sleep(0)
    return engine


async def forget(engine: LocalEngine) -> None:
    """Have an engine that died do nothing more."""
    tasks = list(engine.world._tasks)
    for record in engine.world.guests:
        if record.running is not None and record.running.news is not None:
            tasks.append(record.running.news)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def every_death(prepare: Callable[[], Awaitable[World]], act: Callable[[LocalEngine], Awaitable[object]],
                      check: Callable[[LocalEngine], Awaitable[None]]) -> int:  # fmt: skip
    """Have engines die one call later each time, until one lives to the end; judge each world. Returns the deaths."""
    deaths = 0
    while True:
        world, life = await prepare(), Life()
        engine = await reborn(world, life)
        life.left = deaths
        task, over = asyncio.ensure_future(act(engine)), asyncio.ensure_future(life.over.wait())
        async with asyncio.timeout(SECONDS):
            await asyncio.wait({task, over}, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        alive = not life.over.is_set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if alive:
            await task
        await forget(engine)
        later = await reborn(world)
        try:
            await check(later)
        except AssertionError as error:
            raise AssertionError(f"after {deaths} calls: {error}") from error
        await forget(later)
        if alive:
            return deaths
        deaths += 1


def process_of(engine: LocalEngine, guest: str) -> RunningGuest:
    return engine.world.guests.find(guest).need_running().process
