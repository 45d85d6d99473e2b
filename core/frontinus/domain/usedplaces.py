"""The places that a guest's disks are on, wherever in the document they are named: images, and those below them."""

from __future__ import annotations

from collections.abc import Iterator

from frontinus.domain.devices.source import Source
from frontinus.xml import Model


def used_places(part: Model) -> Iterator[tuple[str, ...]]:
    """Each as (path,) or, for a volume of a pool, (pool, volume)."""
    if isinstance(part, Source):
        if part.local_path:
            yield (part.local_path,)
        if part.pool and part.volume:
            yield (part.pool, part.volume)
    for below in part.models():
        yield from used_places(below)
