"""What is new: all that its settings say would be so once it is made, or the making is refused by name. Pure.

Settings may be those that the provider itself shows as a pool's default, with some properties made others: what is still
as it was there asks for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from frontinus.api.networks import NetworkView
from frontinus.api.storage import PoolView, VolumeView
from frontinus.api.views import GuestView
from frontinus.client.details import Details, Device, facts, of_root
from frontinus_cim.host.guest import FAMILIES, KIB, NOTHING, Guest, Part
from frontinus_cim.host.resources import Network, Storage
from frontinus_cim.host.world import World
from frontinus_cim.instances import bounds, pool_settings, pools
from frontinus_cim.instances.bounds import Bound
from frontinus_cim.instances.fields import Element
from frontinus_cim.instances.filters import COLUMNS, Rule
from frontinus_cim.instances.kinds import Kind
from frontinus_cim.instances.pool_settings import Volume
from frontinus_cim.instances.pools import Pool
from frontinus_cim.instances.settings import RESOURCES, SYSTEMS
from frontinus_cim.instances.switch_settings import SETTINGS as SWITCHES
from frontinus_cim.instances.switch_settings import Configuration, forward
from frontinus_cim.translation import changes, compose
from frontinus_cim.translation.amounts import AMOUNTS
from frontinus_cim.translation.compose import Wanted
from frontinus_cim.wire.errors import CimError, Status
from frontinus_cim.wire.model import Embedded, Value

LABELS = frozenset({"InstanceID", "Caption"})
"""What the provider says of settings themselves, whatever a client writes there."""
UNITS = {"b": 1, "bytes": 1, "KiB": KIB, "": KIB}


def _honoured(kind: Kind[Any], after: object, family: str, settings: Embedded, defaults: Sequence[Bound] = ()) -> None:
    """Raises CimError with the properties that would be lost."""
    wanted = {
        name: value for name, value in changes.in_shown_units(family, settings).values.items()
        if value is not None and name not in LABELS and not any(kind.value(one, name) == value for one in defaults)
    }  # fmt: skip
    if lost := changes.lost(kind, after, Wanted(family, wanted)):
        raise CimError(Status.NOT_SUPPORTED, f"{', '.join(lost)}: this cannot be had, or not with this value")


# --- guests


def guest(world: World, domain: Element, *, autostart: bool) -> Guest:
    """The guest that a definition would be."""
    found = of_root(domain)
    vcpus = found["vcpu"] or "1"
    view = GuestView(
        uuid=found["uuid"], name=found["name"], state="shutoff", reason="unknown", title=found["title"] or None,
        description=found["description"] or None, virt_type=found["@type"], autostart=autostart, max_vcpus=int(vcpus),
        vcpus=int(found["vcpu/@current"] or vcpus), max_memory=_bytes(found, "memory"),
        memory=_bytes(found, "currentMemory") or _bytes(found, "memory"),
    )  # fmt: skip
    return Guest(view, world, found)


def _bytes(found: Details, tag: str) -> int:
    return int(found[tag] or 0) * UNITS[found[f"{tag}/@unit"]]


def system(made: Guest, settings: Embedded) -> None:
    """Whether a new guest as a whole would be what its settings say. Raises CimError."""
    _honoured(SYSTEMS, made, changes.WHOLE, settings)


def resource(world: World, owner: Guest, settings: Embedded) -> None:
    """Whether a new resource of a guest would be what its settings say. Raises CimError."""
    family, _ = compose.family_of(settings)
    if family in AMOUNTS:
        part = Part(owner, family, family, NOTHING)
    else:
        element = compose.device(family, settings)
        device = Device(str(element.tag), facts(element))
        part = Part(owner, FAMILIES[device.tag][1](device), family, device)
    _honoured(RESOURCES[family], part, family, settings, _defaults(world, family, settings))


def _defaults(world: World, family: str, settings: Embedded) -> list[Bound]:
    if family not in pools.CLASSES:
        return []
    pool = pools.find(world, str(settings.values.get("PoolID") or ""))
    own = [Bound(pool, bounds.DEFAULT)] if pool is not None and pool.family == family else []
    return [bounds.common(Pool(world, family, pools.PRIMORDIAL)), *own]


# --- pools, volumes, switches


def storage(world: World, root: Element, settings: Embedded, *, autostart: bool) -> None:
    """Whether a new storage pool would be what its settings say. Raises CimError."""
    found = facts(root)
    view = PoolView(
        uuid="", name=found["name"], kind=found["@type"], path=found.get("target/path"), autostart=autostart
    )
    pool = Pool(world, "disk", view.name, storage=Storage(view, found))
    _honoured(pool_settings.DISK_POOL_SETTINGS, pool, "pool", settings)


def network(world: World, root: Element, settings: Embedded, *, autostart: bool) -> None:
    """Whether a new network would be what its settings say, as a pool or as a switch. Raises CimError."""
    found = facts(root)
    view = NetworkView(
        uuid=found.get("uuid", ""), name=found["name"], autostart=autostart, bridge=found.get("bridge/@name"),
        forward=forward(found),  # type: ignore[arg-type]  # what is no mode is refused by the engine
    )  # fmt: skip
    pool = Pool(world, "net", view.name, network=Network(view, found))
    if settings.cls == SWITCHES.cls:
        _honoured(SWITCHES, Configuration(pool), changes.WHOLE, settings)
    else:
        _honoured(pool_settings.NET_POOL_SETTINGS, pool, "pool", settings)


def volume(pool: Pool, root: Element, settings: Embedded) -> None:
    """Whether a new volume would be what its settings say. Raises CimError."""
    assert pool.storage is not None
    found, folder = facts(root), pool.storage.view.path or ""
    path = f"{folder}/{found['name']}"
    view = VolumeView(pool=pool.name, name=found["name"], key=path, path=path, format=found.get("target/format/@type"),
                      capacity=int(found["capacity"]), allocation=int(found.get("allocation", "0")))  # fmt: skip
    if settings.values.get("Path") == folder:  # libvirt-cim's clients name the pool's folder
        settings = Embedded(settings.cls, {**settings.values, "Path": path})
    after = Pool(pool.world, "disk", pool.name, Storage(pool.storage.view, pool.storage.facts, {view.name: view}))
    _honoured(pool_settings.VOLUME_SETTINGS, Volume(after, view.name), "volume", settings)


# --- filters


def rule(made: Rule, cls: str, settings: Embedded) -> None:
    """Whether a new entry of a filter would be what its settings say; its number is the provider's. Raises CimError."""
    values: dict[str, Value] = {name: value for name, value in settings.values.items() if name != "Name"}
    kind = Kind(cls, COLUMNS[cls], lambda world: (), lambda world, path: None)
    _honoured(kind, made, "rule", Embedded(settings.cls, values))
