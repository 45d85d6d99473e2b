"""Chains of layers: a disk's images from the top down, and what work on them leaves. Pure.

A layer is a BackingStore, the top one too. A running guest's chain may be longer than its definition's: the rest was read
from the images when it started. What is done to the one is done to the other as far as that goes.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from frontinus.api.errors import InvalidValue, NoSuchDevice, WrongState
from frontinus.domain.devices.block.disk import BackingStore, Disk
from frontinus.domain.devices.block.source import Source
from frontinus.domain.guest import Guest

NAMED = re.compile(r"(.+)\[(\d+)\]")


@dataclass(frozen=True)
class Chain:
    """The layers of one disk, the top first. `ends`: it is said that nothing lies below the last."""

    layers: tuple[BackingStore, ...]
    ends: bool = False

    @classmethod
    def of(cls, disk: Disk) -> Chain:
        """The chain of a disk; empty for a drive without medium."""
        if disk.source is None or disk.is_empty:
            return cls(())
        source = disk.source.clone(index=None, auth=disk.source.auth or disk.auth,
                                   encryption=disk.source.encryption or disk.encryption)  # fmt: skip
        found = [BackingStore(type=disk.type, index=disk.source.index, format=disk.format, source=source,
                              metadata_cache=disk.metadata_cache)]  # fmt: skip
        below = disk.backing_store
        while below is not None and below.type is not None:
            found.append(below.clone(backing_store=None))
            below = below.backing_store
        return cls(tuple(found), ends=below is not None)

    def on(self, disk: Disk) -> Disk:
        """The disk with this chain in place of its own."""
        top = self.layers[0]
        assert top.source is not None and top.type is not None
        return disk.clone(type=top.type, format=top.format, metadata_cache=top.metadata_cache, auth=None,
                          encryption=None, source=top.source.clone(index=top.index),
                          backing_store=Chain(self.layers[1:], self.ends).store())  # fmt: skip

    def store(self) -> BackingStore | None:
        """As a <backingStore>; None where nothing is said."""
        below: BackingStore | None = BackingStore() if self.ends else None
        for layer in reversed(self.layers):
            below = layer.clone(backing_store=below)
        return below

    def with_top(self, layer: BackingStore) -> Chain:
        """With one more layer on top."""
        return replace(self, layers=(layer, *self.layers))

    def without(self, first: int, last: int) -> Chain:
        """Without the layers from position `first` to `last`, both included."""
        return replace(self, layers=self.layers[:first] + self.layers[last + 1 :])

    def position(self, index: int | None) -> int | None:
        """Where the layer with an index is."""
        return next((place for place, layer in enumerate(self.layers) if layer.index == index), None)


def path_of(layer: BackingStore) -> str | None:
    """The file or device of a layer on this host; None for one that callers' descriptors lead to, whatever it is named."""
    return layer.source.reached_path if layer.source is not None else None


def place_of(layer: BackingStore) -> str | None:
    """What tells two layers apart: the path, or the name at a server."""
    source = layer.source
    if source is None:
        return None
    return source.local_path or source.path or source.name or source.volume or source.fdgroup


def paths(disk: Disk) -> list[str]:
    """The paths of all layers that a disk declares."""
    return [path for layer in Chain.of(disk).layers if (path := path_of(layer)) is not None]


def same_prefix(a: Chain, b: Chain) -> int:
    """How many layers from the top two chains share."""
    count = 0
    for mine, other in zip(a.layers, b.layers, strict=False):
        if place_of(mine) != place_of(other) or mine.format != other.format:
            break
        count += 1
    return count


def carried(definition: Disk, before: Chain, after: Chain) -> Disk | None:
    """The definition's disk after what turned the running guest's chain from `before` into `after`.

    None when the definition has another image: then it is left alone. Layers that it did not declare stay undeclared.
    """
    stored = Chain.of(definition)
    known = same_prefix(stored, before)
    if known == 0 or known < min(len(stored.layers), len(before.layers)):
        return None
    declared = {layer.index for layer in before.layers[:known]}
    old = {layer.index for layer in before.layers}
    kept = list(after.layers)
    while len(kept) > 1 and kept[-1].index in old and kept[-1].index not in declared:
        kept.pop()
    ends = stored.ends and len(kept) == len(after.layers)
    layers = tuple(_declared(layer, learnt=layer.index in old - declared) for layer in kept)
    return Chain(layers, ends).on(definition)


def _declared(layer: BackingStore, *, learnt: bool) -> BackingStore:
    """A layer as a definition has it; what was read from a header, and is written now, gets its rights like any other."""
    source = layer.source.clone(seclabels=[]) if learnt and layer.source is not None else layer.source
    return layer.clone(index=None, source=source)


def overlay(path: str, *, block: bool, format: str, index: int, metadata_cache: int | None = None) -> BackingStore:
    """A new layer."""
    source = Source(dev=path) if block else Source(file=path)
    return BackingStore(type="block" if block else "file", format=format, source=source, index=index,
                        metadata_cache=metadata_cache)  # fmt: skip


def find(guest: Guest, name: str) -> tuple[Disk, int]:
    """The disk, and the position of the layer, that vda, vda[2] or a path means.

    Raises NoSuchDevice, WrongState for an empty drive.
    """
    wanted = NAMED.fullmatch(name)
    for disk in guest.devices.disks:
        chain = Chain.of(disk)
        if wanted is not None and disk.target == wanted[1]:
            place = chain.position(int(wanted[2]))
            if place is None:
                raise NoSuchDevice(f"disk '{disk.target}' has no layer {wanted[2]}")
            return disk, place
        if name == disk.target or (chain.layers and name == place_of(chain.layers[0])):
            if not chain.layers:
                raise WrongState(f"disk '{disk.target}' has no medium", state="empty")
            return disk, 0
    raise NoSuchDevice(f"guest '{guest.name}' has no disk '{name[:200]}'")


def layer_named(disk: Disk, name: str, what: str) -> int:
    """The position of the layer that a path or target[index] means. Raises InvalidValue."""
    chain = Chain.of(disk)
    wanted = NAMED.fullmatch(name)
    if wanted is not None and disk.target == wanted[1]:
        place = chain.position(int(wanted[2]))
    else:
        place = next((n for n, layer in enumerate(chain.layers) if name == place_of(layer)), None)
        if place is None and name == disk.target:
            place = 0
    if place is None:
        raise InvalidValue(f"'{name[:200]}' is no layer of disk '{disk.target}'", field=what)
    return place


def layer_name(guest: Guest, index: int) -> tuple[str, str]:
    """What users call a layer, and its path."""
    for disk in guest.devices.disks:
        for place, layer in enumerate(Chain.of(disk).layers):
            if layer.index == index:
                return f"{disk.target}[{index}]" if place else disk.target or "", path_of(layer) or ""
    return "", ""


def relative(path: str, above: str) -> str:
    """A path as it is written in the header of the image at `above`, when names are kept relative."""
    return posixpath.relpath(path, posixpath.dirname(above))


def reference(layer: BackingStore) -> str | None:
    """How the header of a layer above names this one; None for what is no file of this host."""
    return layer.source.local_path if layer.source is not None else None


def in_use(guests: Sequence[Guest]) -> set[str]:
    """Paths of every layer that these guests declare."""
    return {path for guest in guests for disk in guest.devices.disks for path in paths(disk)}
