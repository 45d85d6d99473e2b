"""Snapshots of guests (DSP1042): settings of a virtual system as it was, and the service that makes and applies them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lxml import etree

from frontinus.api.engine import Engine
from frontinus.api.snapshots import SnapshotFlag, SnapshotView
from frontinus_cim.host.guest import Guest
from frontinus_cim.host.world import World
from frontinus_cim.instances import services, settings, systems
from frontinus_cim.instances.kinds import Kind, Link, Node
from frontinus_cim.methods.calls import MethodCall, Refused, Result, method
from frontinus_cim.methods.define import checked, guest_at
from frontinus_cim.translation.new import LABELS
from frontinus_cim.wire import values
from frontinus_cim.wire.errors import CimError, Status, invalid
from frontinus_cim.wire.model import GUEST, Embedded, Path

CLASS = "KVM_VirtualSystemSnapshotSettingData"
MARK = "/snapshot/"
FULL, DISK = 2, 3
"""SnapshotType."""
OLDER_FULL = 32768
"""libvirt-cim's number of the first."""
INVALID_TYPE = 6


@dataclass(frozen=True)
class Snap:
    """A snapshot of a guest."""

    guest: Guest
    view: SnapshotView

    @property
    def id(self) -> str:
        return f"{settings.PREFIX}{self.guest.name}{MARK}{self.view.name}"


def of_guest(guest: Guest) -> Iterable[Snap]:
    return (Snap(guest, view) for view in guest.snapshots)


def find(world: World, path: Path) -> Snap | None:
    whole, _, name = str(path.key("InstanceID")).removeprefix(settings.PREFIX).partition(MARK)
    guest = world.named.get(whole)
    return next((snap for snap in of_guest(guest) if snap.view.name == name), None) if guest else None


KIND: Kind[Snap] = Kind(CLASS, {
    "InstanceID": lambda s: s.id, "ElementName": lambda s: s.view.name, "Caption": "Snapshot of a virtual system",
    "Description": lambda s: s.view.description, "VirtualSystemIdentifier": lambda s: s.guest.name,
    "VirtualSystemType": lambda s: settings.SYSTEMS.value(s.guest, "VirtualSystemType"),
    "ConfigurationName": lambda s: s.view.name, "UUID": lambda s: s.guest.view.uuid,
    "CreationTime": lambda s: values.moment(s.view.created), "ParentSnapshot": lambda s: s.view.parent,
    "SnapshotState": lambda s: s.view.state, "SnapshotType": lambda s: FULL if s.view.memory != "no" else DISK,
    "ChangeableType": 0,
}, lambda world: (snap for guest in world.guests.values() for snap in of_guest(guest)), find)  # fmt: skip
KINDS: Sequence[Kind[Any]] = (KIND,)


def _guest(world: World, node: Node) -> Iterable[Node]:
    return [Node(systems.GUESTS, node.subject.guest)]


def _snaps(world: World, node: Node) -> Iterable[Node]:
    return (Node(KIND, snap) for snap in of_guest(node.subject))


def _last(world: World, node: Node) -> Iterable[Node]:
    return (Node(KIND, snap) for snap in of_guest(node.subject) if snap.view.current)


def _whose_last(world: World, node: Node) -> Iterable[Node]:
    return _guest(world, node) if node.subject.view.current else []


LINKS = (
    Link("KVM_SnapshotOfVirtualSystem", ("Antecedent", [GUEST]), ("Dependent", [CLASS]), _snaps, _guest),
    Link("KVM_LastAppliedSnapshot", ("Antecedent", [CLASS]), ("Dependent", [GUEST]), _whose_last, _last),
    Link("KVM_ElementSettingData", ("ManagedElement", [GUEST]), ("SettingData", [CLASS]), _snaps, _guest,
         lambda world, first, second: {"IsDefault": 2, "IsCurrent": 2, "IsNext": 2}),
)  # fmt: skip


@method(services.SNAPSHOTS, "CreateSnapshot")
async def create(call: MethodCall) -> Result:
    guest, kind = guest_at(call, call.path("AffectedSystem"), "AffectedSystem"), call.arguments.get("SnapshotType")
    kind = FULL if kind == OLDER_FULL else kind
    if kind not in (FULL, DISK):
        raise Refused(INVALID_TYPE, f"SnapshotType {kind} is not offered")
    if kind == FULL and not guest.view.active:
        raise Refused(5, "a guest that is off has no memory to save")
    xml = checked(lambda: _document(guest, call.instance("SnapshotSettings")))
    if kind == DISK and guest.view.active:
        flags: tuple[SnapshotFlag, ...] = ("disk-only", "atomic")
    else:
        flags = ()
    work = _create(call, call.engine, guest, xml, flags)
    return await call.long(work, guest.name)


def _document(guest: Guest, given: Embedded | None) -> str:
    """A new snapshot's definition. Raises CimError for settings that it would not keep."""
    said = {name: value for name, value in (given.values if given else {}).items() if value is not None}
    others = said.keys() - {"ElementName", "Description", *LABELS}
    if lost := sorted(name for name in others if said[name] != settings.SYSTEMS.value(guest, name)):
        raise CimError(Status.NOT_SUPPORTED, f"{', '.join(lost)}: a snapshot is as its guest is")
    xml = etree.Element("domainsnapshot")
    etree.SubElement(xml, "name").text = str(said.get("ElementName") or f"cim-{time.time_ns() // 1_000_000}")
    if said.get("Description"):
        etree.SubElement(xml, "description").text = str(said["Description"])
    return etree.tostring(xml, encoding="unicode")


async def _create(call: MethodCall, engine: Engine, guest: Guest, xml: str, flags: tuple[SnapshotFlag, ...]) -> Result:
    view = await engine.create_snapshot(guest.view.uuid, xml, flags)
    await call.world.caught_up(engine, guest.view.uuid)
    return Result(0, {"ResultingSnapshot": call.registry.path(Node(KIND, Snap(guest, view)))})


def _snap(call: MethodCall, name: str) -> Snap:
    path = call.path(name)
    node = call.registry.find(call.world, path) if path else None
    if node is None or not isinstance(node.subject, Snap):
        raise invalid(f"{name}: there is no such snapshot")
    return node.subject


@method(services.SNAPSHOTS, "DestroySnapshot")
async def destroy(call: MethodCall) -> Result:
    snap, engine = _snap(call, "AffectedSnapshot"), call.engine

    async def work() -> Result:
        await engine.delete_snapshot(snap.guest.view.uuid, snap.view.name)
        await call.world.caught_up(engine, snap.guest.view.uuid)
        return Result(0)

    return await call.long(work(), snap.guest.name)


@method(services.SNAPSHOTS, "ApplySnapshot")
async def apply(call: MethodCall) -> Result:
    snap, engine = _snap(call, "Snapshot"), call.engine

    async def work() -> Result:
        await engine.revert_snapshot(snap.guest.view.uuid, snap.view.name)
        await call.world.caught_up(engine, snap.guest.view.uuid)
        return Result(0)

    return await call.long(work(), snap.guest.name)
