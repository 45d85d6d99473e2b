"""What lies below an image, which a tool that opens it must see; nothing else is shown to it.

A header names what it likes: a QEMU that a guest has taken over can write one. So what it names is followed only to images that
are volumes of active pools, or whose format somebody noted beside them.
"""

from __future__ import annotations

import posixpath

from frontinus.api.errors import StorageFailed
from frontinus.engine.storage import scripts
from frontinus.engine.world import World
from frontinus.storage.steps import Found, Inspect, ask

DEEPEST = 200


async def below(world: World, path: str) -> tuple[str, ...]:
    """The paths of all images below one, the nearest first. Raises StorageFailed for what no image may lie on."""
    found: list[str] = []
    image: Found = await scripts.run(world, ask(Inspect(path)))
    while image.header.backing is not None and image.header.refusal(image.declared) is None:
        if image.declared not in (None, image.header.format):
            break  # it is opened as something else, which has nothing below
        name = posixpath.normpath(posixpath.join(posixpath.dirname(path), image.header.backing))
        if name in found or len(found) == DEEPEST:
            raise StorageFailed(f"{path}: the images below it have no end", path=path)
        image, path = await scripts.run(world, ask(Inspect(name))), name
        if image.declared is None and not _is_volume(world, name):
            raise StorageFailed(f"{name}, below another image, is no volume of an active pool, and nobody declared its format",
                                path=name)  # fmt: skip
        found.append(name)
    return tuple(found)


def _is_volume(world: World, path: str) -> bool:
    return any(place == path for record in world.pools for _, place in record.places.values())
