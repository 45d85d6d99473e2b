"""Layers that a definition leaves to the images' headers: read before a start, so that each has a node and a name.

A header is the word of whoever wrote the image. What it names is opened with the rights that the guest's user has anyway
and gets none for it, as when QEMU follows the header by itself; and a layer without a format in the header is left alone.
"""

from __future__ import annotations

from frontinus.domain.devices.base import SecurityLabel
from frontinus.domain.devices.block.disk import BackingStore, Disk
from frontinus.domain.devices.block.source import BACKED, Source
from frontinus.domain.guest import Guest
from frontinus.domain.snapshots.chain import Chain, path_of
from frontinus.engine import apart
from frontinus.engine.world import World
from frontinus.ports.images import Backing

DEEPEST = 200
"""Layers that are read; what lies deeper is left to QEMU."""


async def with_layers(world: World, guest: Guest) -> Guest:
    """A copy of a guest whose disks say all that lies below them, as far as headers tell."""
    found = await apart.copied(guest)
    found.devices.disks = [await disk_with_layers(world, disk) for disk in found.devices.disks]
    return found


async def disk_with_layers(world: World, disk: Disk) -> Disk:
    """The disk with its whole chain; said to end where a header says so."""
    chain = Chain.of(disk)
    if not chain.layers or chain.ends or disk.type == "vhostuser" or (disk.source and disk.source.slices):
        return disk
    layers = list(chain.layers)
    seen = {path_of(layer) for layer in layers}
    while len(layers) < DEEPEST and layers[-1].format in BACKED:
        path = path_of(layers[-1])
        below = await world.images.backing(path, layers[-1].format or "") if path is not None else "unknown"
        if below is None:
            return Chain(tuple(layers), ends=True).on(disk)
        if below == "unknown" or below.path in seen:
            break
        seen.add(below.path)
        layers.append(_left_alone(below))
    return Chain(tuple(layers)).on(disk) if len(layers) > len(chain.layers) else disk


def _left_alone(below: Backing) -> BackingStore:
    """A layer that a header names: nobody is given a right for it."""
    source = Source(file=below.path, seclabels=[SecurityLabel(model="dac", relabel=False)])
    return BackingStore(type="file", format=below.format, source=source)
