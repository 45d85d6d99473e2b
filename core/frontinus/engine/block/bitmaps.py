"""What bitmaps recorded: read together over layers and checkpoints, and kept when either goes. Pure.

A bitmap that records is on every layer from the top down to the one that was the top when its checkpoint was made. One that
does not record any more (other managers stop a bitmap when the next checkpoint is made) tells what changed until the next
one of its line; only together do they tell all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from frontinus.api.errors import WrongState
from frontinus.domain.devices.block.disk import Disk
from frontinus.domain.guest import Guest
from frontinus.domain.snapshots.chain import Chain
from frontinus.domain.snapshots.checkpoint import RECORDING, DomainCheckpoint
from frontinus.domain.snapshots.tree import Tree
from frontinus.ports.blocks import BitmapFacts, GraphFacts, Joined, Mark, Marks

Checkpoints = Tree[DomainCheckpoint]


@dataclass(frozen=True)
class Trace:
    """One bitmap on the layers of a chain: where it is, from the top down."""

    name: str
    places: tuple[int, ...]
    layers: tuple[int, ...]
    facts: tuple[BitmapFacts, ...]

    @property
    def marks(self) -> tuple[Mark, ...]:
        return tuple((layer, self.name) for layer in self.layers)

    @property
    def sound(self) -> bool:
        return all(one.sound for one in self.facts)

    @property
    def records(self) -> bool:
        """Whether its uppermost part does."""
        return self.facts[0].recording

    @property
    def whole(self) -> bool:
        """Whether no layer from the top on lacks it."""
        return self.places == tuple(range(len(self.places)))


def trace(graph: GraphFacts, chain: Chain, name: str) -> Trace | None:
    """Where a bitmap is; None when no layer has it."""
    found = [(place, layer.index or 0, graph.bitmaps.get(layer.index or 0, {}).get(name))
             for place, layer in enumerate(chain.layers)]  # fmt: skip
    held = [(place, layer, facts) for place, layer, facts in found if facts is not None]
    if not held:
        return None
    places, layers, facts = zip(*held, strict=True)
    return Trace(name, places, layers, facts)


def since(graph: GraphFacts, tree: Checkpoints, start: DomainCheckpoint, disk: Disk) -> tuple[Mark, ...]:
    """All that tells what changed on a disk since a checkpoint. Raises WrongState where a part of it is not known."""
    marks: tuple[Mark, ...] = ()
    for one in _line(tree, start):
        name = one.bitmaps().get(disk.target or "")
        if name is None:
            continue
        found = _sound(graph, disk, name)
        marks += found.marks
        if found.records and found.whole:
            return marks
        if found.records:
            raise WrongState(f"disk '{disk.target}': a layer without bitmap '{name}' lies over one that has it",
                             state="missing")  # fmt: skip
    raise WrongState(f"disk '{disk.target}': nothing recorded up to now since '{start.name}'", state="missing")


def _line(tree: Checkpoints, start: DomainCheckpoint) -> list[DomainCheckpoint]:
    """The checkpoints from one to the current one."""
    found: list[DomainCheckpoint] = []
    node = tree.get(tree.current or "")
    while node is not None and node is not start and len(found) < len(tree):
        found.insert(0, node)
        node = tree.get(node.parent or "")
    return [start, *found] if node is start else [start]


def _sound(graph: GraphFacts, disk: Disk, name: str) -> Trace:
    found = trace(graph, Chain.of(disk), name)
    if found is None:
        raise WrongState(f"disk '{disk.target}': no layer has a bitmap '{name}'", state="missing")
    if not found.sound:
        raise WrongState(f"disk '{disk.target}': what '{name}' recorded was lost when the guest's process died",
                         state="inconsistent")  # fmt: skip
    return found


# --- layers that go


def carried(graph: GraphFacts, chain: Chain, gone: Sequence[int], into: int) -> Marks:
    """What a layer takes over of the bitmaps of those that go. What would tell half there is removed from it."""
    names = {name for layer in (*gone, into) for name, one in graph.bitmaps.get(layer, {}).items() if one.persistent}
    there = graph.bitmaps.get(into, {})
    joined: list[Joined] = []
    enable: list[Mark] = []
    remove: list[Mark] = []
    for name in sorted(names):
        found = trace(graph, chain, name)
        mark = (into, name)
        if found is None or not (found.sound and (found.whole or not found.records)):
            remove += [mark] if name in there else []
            continue
        if sources := tuple(one for one in found.marks if one[0] in gone):
            joined.append(Joined(mark, sources, new=name not in there, recording=found.records))
        if name in there and found.records and not there[name].recording:
            enable.append(mark)
    return Marks(remove=tuple(remove), joined=tuple(joined), enable=tuple(enable))


def lost(graph: GraphFacts, disk: Disk, format: str | None, names: Sequence[str]) -> list[str]:
    """Those bitmaps of a disk that an image of a format could not keep."""
    if format in RECORDING:
        return []
    return sorted(name for name in names if trace(graph, Chain.of(disk), name) is not None)


# --- checkpoints that go


@dataclass
class Removal:
    """What it takes to remove checkpoints: all at one moment, and what is on layers that are only read, as far as it goes."""

    now: Marks = field(default_factory=Marks)
    below: tuple[Mark, ...] = ()


def without(graph: GraphFacts, tree: Checkpoints, guest: Guest, gone: Sequence[DomainCheckpoint]) -> Removal:
    """Remove the bitmaps of checkpoints. What an older one needs of them, since it records no more itself, goes into its own."""
    disks = {disk.target: disk for disk in guest.devices.disks}
    taken: dict[Mark, Joined] = {}
    enable: set[Mark] = set()
    remove: list[Mark] = []
    for one in gone:
        for target, name in one.bitmaps().items():
            found = trace(graph, Chain.of(disks[target]), name) if target in disks else None
            if found is None:
                continue
            remove += found.marks
            heir = _heir(tree, one, gone, target)
            if heir is not None and found.sound:
                _bequeath(graph, disks[target], found, heir, taken, enable)
    tops = {Chain.of(disk).layers[0].index for disk in disks.values() if Chain.of(disk).layers}
    now = Marks(
        remove=tuple(mark for mark in remove if mark[0] in tops), joined=tuple(taken.values()), enable=tuple(enable)
    )
    return Removal(now, tuple(mark for mark in remove if mark[0] not in tops))


def _heir(tree: Checkpoints, one: DomainCheckpoint, gone: Sequence[DomainCheckpoint], target: str) -> str | None:
    """The bitmap of the next older checkpoint that stays and has the disk."""
    node, seen = tree.get(one.parent or ""), 0
    while node is not None and seen < len(tree):
        if node not in gone and (bitmap := node.bitmaps().get(target)) is not None:
            return bitmap
        node, seen = tree.get(node.parent or ""), seen + 1
    return None


def _bequeath(graph: GraphFacts, disk: Disk, found: Trace, heir: str, taken: dict[Mark, Joined],
              enable: set[Mark]) -> None:  # fmt: skip
    """Unless it records all by itself, the heir's bitmap on the top layer gets what the one that goes has recorded."""
    chain = Chain.of(disk)
    known = trace(graph, chain, heir)
    if known is not None and (not known.sound or (known.records and known.whole)):
        return
    top = chain.layers[0].index or 0
    mark = (top, heir)
    there: Mapping[str, BitmapFacts] = graph.bitmaps.get(top, {})
    before = taken.get(mark)
    records = (found.records and found.whole) or (before is not None and before.recording)
    sources = (*(before.sources if before is not None else ()), *found.marks)
    taken[mark] = Joined(mark, sources, new=heir not in there, recording=records)
    if heir in there and records:
        enable.add(mark)
