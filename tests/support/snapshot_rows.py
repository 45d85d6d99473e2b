"""Rows of snapshots: of every kind, gone back to from every state in every way, deleted from every place in a tree.

Each row has a guest of its own, which needs no boot; each moment has a mark on the disk and one in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from lxml import etree

from frontinus.api.snapshots import DeleteFlag, RevertFlag, SnapshotFlag
from support.marked import Marked, first_byte

AT_ONCE = 3
"""Rows under way at the same time."""


class Kind(NamedTuple):
    """How a snapshot is made: inside or outside, of a guest in a state, with or without memory."""

    where: str
    state: str
    memory: bool

    def __str__(self) -> str:
        return f"{self.where}-{self.state}{'-memory' if self.memory else ''}"

    def xml(self, name: str, guest: Marked) -> str:
        disks = f"<disks><disk name='vda' snapshot='{self.where}'/></disks>"
        memory = f"<memory snapshot='external' file='{guest.path(name + '.memory')}'/>"
        if self.where == "internal" or not self.memory:
            memory = f"<memory snapshot='{'internal' if self.memory else 'no'}'/>"
        return f"<domainsnapshot><name>{name}</name>{memory}{disks}</domainsnapshot>"

    def flags(self) -> list[SnapshotFlag]:
        return ["disk-only"] if self.where == "external" and self.state != "shutoff" and not self.memory else []


KINDS = [
    Kind(where, state, memory)
    for where in ("internal", "external")
    for state, memory in (("shutoff", False), ("running", False), ("running", True), ("paused", True))
]


async def bring_to(guest: Marked, state: str) -> None:
    now = await guest.state()
    if now == state:
        return
    if state == "shutoff":
        await guest.engine.destroy(guest.name)
    elif now == "shutoff":
        await guest.engine.start(guest.name, paused=state == "paused")
    else:
        await (guest.engine.resume if state == "running" else guest.engine.suspend)(guest.name)


async def moment(guest: Marked, kind: Kind, number: int) -> None:
    """A snapshot named s1, s2... with its number on the disk, and in memory if it has that."""
    await bring_to(guest, kind.state)
    await guest.write(number)
    if kind.state != "shutoff":
        await guest.remember(number)
    await guest.engine.create_snapshot(guest.name, kind.xml(f"s{number}", guest), kind.flags())


async def all_rows(rows: Iterable[tuple[str, Callable[[str], Awaitable[None]]]]) -> None:
    """Walk through rows, some at a time; every row that fails is told."""
    gate, wrong = asyncio.Semaphore(AT_ONCE), {}

    async def walk(name: str, row: Callable[[str], Awaitable[None]]) -> None:
        async with gate:
            try:
                await row(name)
            except Exception as error:
                wrong[name] = f"{type(error).__name__}: {error}"[:400]

    await asyncio.gather(*(walk(name, row) for name, row in rows))
    assert not wrong, "\n".join(f"{name}: {error}" for name, error in wrong.items())


# --- going back

WAYS: tuple[tuple[RevertFlag, ...], ...] = ((), ("running",), ("paused",))
FROM = ("running", "shutoff", "paused")


async def go_back(guest: Marked, kind: Kind, way: tuple[RevertFlag, ...], before: str) -> None:
    await moment(guest, kind, 1)
    await moment(guest, kind, 2)
    await bring_to(guest, "running")
    await guest.write(9)
    await guest.remember(9)
    await bring_to(guest, before)
    for number in (1, 2):
        await guest.engine.revert_snapshot(guest.name, f"s{number}", way)
        wanted = way[0] if way else kind.state if kind.memory else "shutoff"
        assert await guest.state() == wanted, f"s{number}: the guest is {await guest.state()}, not {wanted}"
        assert await guest.on_disk() == number, f"s{number}: the disk has {await guest.on_disk()}"
        if wanted != "shutoff":
            assert await guest.memory() == (number if kind.memory else 0), (
                f"s{number}: {await guest.memory()} in memory"
            )
        assert (await guest.engine.current_snapshot(guest.name)).name == f"s{number}"
        await bring_to(guest, "running")
        await guest.write(8)
    await guest.engine.destroy(guest.name)


# --- deleting


class Cut(NamedTuple):
    """What is deleted of s1 <- s2 <- s3 and how; what stays."""

    name: str
    flags: tuple[DeleteFlag, ...]
    stays: tuple[str, ...]
    parents: tuple[str | None, ...]


CUTS = {
    "root": Cut("s1", (), ("s2", "s3"), (None, "s2")),
    "middle": Cut("s2", (), ("s1", "s3"), (None, "s1")),
    "leaf": Cut("s3", (), ("s1", "s2"), (None, "s1")),
    "children": Cut("s2", ("children",), ("s1",), (None,)),
    "children-only": Cut("s1", ("children-only",), ("s1",), (None,)),
    "metadata": Cut("s2", ("metadata-only",), ("s1", "s3"), (None, "s1")),
}
MADE = [Kind("internal", "shutoff", False), Kind("internal", "running", True), Kind("external", "shutoff", False),
        Kind("external", "running", False), Kind("external", "running", True)]  # fmt: skip


async def delete(guest: Marked, kind: Kind, cut: Cut) -> None:
    engine = guest.engine
    for number in (1, 2, 3):
        await moment(guest, kind, number)
    await guest.write(9)
    state = await guest.state()
    await engine.delete_snapshot(guest.name, cut.name, cut.flags)
    assert await guest.state() == state and await guest.on_disk() == 9, "what the guest had is lost"
    left = await engine.snapshots(guest.name)
    assert tuple((one.name, one.parent) for one in left) == tuple(zip(cut.stays, cut.parents, strict=True))
    if "metadata-only" not in cut.flags:
        await nothing_is_left(guest)
    for one in left:
        await engine.revert_snapshot(guest.name, one.name, ["paused"])
        assert await guest.on_disk() == int(one.name[1:]), f"{one.name} has {await guest.on_disk()} after the deletion"
        if kind.memory:
            assert await guest.memory() == int(one.name[1:]), f"{one.name} has {await guest.memory()} in memory"
    for one in left:
        await engine.delete_snapshot(guest.name, one.name)
    assert await guest.on_disk() == int(left[-1].name[1:])
    await engine.destroy(guest.name)


async def nothing_is_left(guest: Marked) -> None:
    """No image and no file of memory is there that neither the guest nor a snapshot has."""
    known = set(await guest.layers())
    for one in await guest.engine.snapshots(guest.name):
        root = etree.fromstring(await guest.engine.snapshot_xml(guest.name, one.name))
        known |= {Path(str(s.get("file"))) for s in root.findall("domain/devices/disk//source")}
        known |= {Path(str(m.get("file"))) for m in root.findall("memory") if m.get("file")}
    there = {path for path in guest.place.glob(f"{guest.name}.*") if path.is_file()}
    assert there <= known, f"left over: {there - known}"
    assert all(first_byte(path) for path in there if path.suffix != ".memory")
