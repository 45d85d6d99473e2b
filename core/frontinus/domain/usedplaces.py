"""The places that a guest's disks are on, wherever in the document they are named: images, and those below them."""

from __future__ import annotations

from collections.abc import Iterator

from frontinus.domain.devices.block.source import Source
from frontinus.xml import Model


def used_places(part: Model) -> Iterator[tuple[str, ...]]:
    """Each as (path,); for a volume of a pool (pool, volume); for what a server has, as remote_place says."""
    if isinstance(part, Source):
        if part.local_path:
            yield (part.local_path,)
        if part.pool and part.volume:
            yield (part.pool, part.volume)
        if part.protocol and part.name:
            yield remote_place(part.protocol, part.name)
    for below in part.models():
        yield from used_places(below)


def remote_place(protocol: str, name: str) -> tuple[str, ...]:
    """An image that QEMU reaches through a network. Which server has it is left open: it may have several names."""
    return ("", protocol, name)
