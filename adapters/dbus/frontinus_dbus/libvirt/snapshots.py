"""org.libvirt.DomainSnapshot, and what guests have of snapshots."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping

from frontinus.api.engine import Engine
from frontinus.api.errors import NoSuchSnapshot
from frontinus.api.snapshots import DeleteFlag, RevertFlag, SnapshotFlag, SnapshotView
from frontinus_dbus import names
from frontinus_dbus.faults import Flags
from frontinus_dbus.libvirt.connect import NONE, root
from frontinus_dbus.libvirt.domain import engine, guest
from frontinus_dbus.libvirt.listing import Listing
from frontinus_dbus.service import Call, Handler

CREATE = Flags({name: 1 << bit for bit, name in enumerate(typing.get_args(SnapshotFlag))})
REVERT = Flags({name: 1 << bit for bit, name in enumerate(typing.get_args(RevertFlag))})
DELETE = Flags({name: 1 << bit for bit, name in enumerate(typing.get_args(DeleteFlag))})
"""libvirt's bits: their order is that of the names."""
XML = Flags({"secure": 1})
ACTIVE = ("running", "paused", "pmsuspended")
LIST: Listing[SnapshotView] = Listing((
    (("roots", 1, lambda s: s.parent is None),),
    (("leaves", 4, lambda s: not s.children), ("no-leaves", 8, lambda s: bool(s.children))),
    (("metadata", 2, lambda s: True), ("no-metadata", 16, lambda s: False)),
    (("inactive", 32, lambda s: s.state == "shutoff"), ("active", 64, lambda s: s.state in ACTIVE),
     ("disk-only", 128, lambda s: s.state == "disk-snapshot")),
    (("internal", 256, lambda s: "external" not in (s.memory, s.disks)),
     ("external", 512, lambda s: "external" in (s.memory, s.disks))),
    (("topological", 1024, lambda s: True),),
))  # fmt: skip
CHILDREN: Listing[SnapshotView] = Listing((
    (("descendants", 1, lambda s: True),), *LIST.groups[1:],
))  # fmt: skip
"""The same without the roots, whose bit says here how deep the list goes."""


def path(call: Call, found: SnapshotView) -> str:
    return f"{root(call)}/domainsnapshot/{names.of_uuid(found.guest)}_{names.of_text(found.name)}"


def key(element: str) -> tuple[str, str] | None:
    """The guest's UUID and the snapshot's name of a path element; None if it is none."""
    uuid = names.to_uuid(element[: names.UUID_LENGTH])
    if uuid is None or element[names.UUID_LENGTH : names.UUID_LENGTH + 1] != "_":
        return None
    return uuid, names.to_text(element[names.UUID_LENGTH + 1 :])


async def target(call: Call) -> tuple[Engine, str, str]:
    """The engine, the guest's UUID and the snapshot's name. Raises NoSuchSnapshot."""
    found = key(call.path.rpartition("/")[2])
    if found is None:
        raise NoSuchSnapshot(f"there is no snapshot at {call.path}")
    return await call.engine(), *found


# Of guests


async def listed(call: Call, flags: int) -> list[str]:
    """Its snapshots, or those that the flags choose."""
    asked, uuid = await engine(call)
    return [path(call, found) for found in LIST.choose(await asked.snapshots(uuid), flags)]


async def current(call: Call, flags: int) -> str:
    """The snapshot that it goes on from."""
    NONE.read(flags)
    asked, uuid = await engine(call)
    return path(call, await asked.current_snapshot(uuid))


async def create(call: Call, text: str, flags: int) -> str:
    """Take a snapshot."""
    given = CREATE.read(flags)
    asked, uuid = await engine(call)
    chosen: list[SnapshotFlag] = [name for name in typing.get_args(SnapshotFlag) if name in given]
    return path(call, await asked.create_snapshot(uuid, text, chosen))


async def lookup(call: Call, name: str, flags: int) -> str:
    """Its snapshot of a name."""
    NONE.read(flags)
    asked, _ = await engine(call)
    return path(call, await asked.snapshot(guest(call).uuid, name))


# Of the snapshot


async def delete(call: Call, flags: int) -> None:
    """Remove it, by flag with its children, its record alone, or its children alone."""
    given = DELETE.read(flags)
    asked, uuid, name = await target(call)
    await asked.delete_snapshot(uuid, name, [flag for flag in typing.get_args(DeleteFlag) if flag in given])


async def parent(call: Call, flags: int) -> str:
    """The snapshot before it."""
    NONE.read(flags)
    asked, uuid, name = await target(call)
    found = await asked.snapshot(uuid, name)
    if found.parent is None:
        raise NoSuchSnapshot(f"snapshot '{name}' does not have a parent")
    return path(call, await asked.snapshot(uuid, found.parent))


async def children(call: Call, flags: int) -> list[str]:
    """The snapshots after it, by flag with all that follow."""
    asked, uuid, name = await target(call)
    every = await asked.snapshots(uuid)
    below = {name}
    for one in every:  # parents come before their children
        if one.parent in (below if flags & 1 else {name}):
            below.add(one.name)
    found: Iterable[SnapshotView] = (one for one in every if one.name in below - {name})
    return [path(call, one) for one in CHILDREN.choose(found, flags)]


async def is_current(call: Call, flags: int) -> bool:
    """Whether its guest goes on from it."""
    NONE.read(flags)
    asked, uuid, name = await target(call)
    return (await asked.snapshot(uuid, name)).current


async def xml(call: Call, flags: int) -> str:
    """The definition."""
    given = XML.read(flags)
    asked, uuid, name = await target(call)
    return await asked.snapshot_xml(uuid, name, "secure" in given)


async def revert(call: Call, flags: int) -> None:
    """Bring its guest back to it."""
    given = REVERT.read(flags)
    asked, uuid, name = await target(call)
    await asked.revert_snapshot(uuid, name, [flag for flag in typing.get_args(RevertFlag) if flag in given])


DOMAIN: Mapping[str, Handler] = {
    "ListDomainSnapshots": listed, "SnapshotCreateXML": create, "SnapshotCurrent": current,
    "SnapshotLookupByName": lookup,
}  # fmt: skip
METHODS: Mapping[str, Handler] = {
    "Delete": delete, "GetParent": parent, "GetXMLDesc": xml, "IsCurrent": is_current, "ListChildren": children,
    "Revert": revert,
}  # fmt: skip
