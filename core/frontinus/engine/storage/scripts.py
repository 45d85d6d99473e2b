"""Running the scripts of pools: step by step on the storage port, with the secrets that steps name."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from frontinus.ports.storage import Progress
from frontinus.storage.steps import Image, Login, Script, Step

if TYPE_CHECKING:
    from frontinus.engine.world import World

T = TypeVar("T")


async def run(world: World, script: Script[T], progress: Progress | None = None) -> T:
    """The script's result. What a step raises is thrown into the script, which may clean up; so is a cancellation."""
    answer: object = None
    error: BaseException | None = None
    while True:
        try:
            step = script.send(answer) if error is None else script.throw(error)
        except StopIteration as done:
            result: T = done.value
            return result
        try:
            answer, error = await world.storage.perform(step, values(world, step), progress), None
        except (Exception, asyncio.CancelledError) as failure:
            answer, error = None, failure


def values(world: World, step: Step) -> Mapping[str, bytes]:
    """The secrets that a step needs, by its names for them. Raises NoSuchSecret, WrongState."""
    if isinstance(step, Image):
        wanted = {name: ("volume", *which) for name, which in step.keys.items()} | dict(step.logins)
        return {name: world.secrets.value(*which) for name, which in wanted.items()}
    if isinstance(step, Login):
        return {"": world.secrets.value(step.usage_type, step.secret_uuid, step.usage)}
    return {}
