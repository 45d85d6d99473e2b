"""How the host, its services and pools belong together, and what of them guests have (DSP1042, DSP1041, DSP1043)."""

from __future__ import annotations

from collections.abc import Iterable

from frontinus_cim.host.guest import Guest, Part
from frontinus_cim.host.world import World
from frontinus_cim.instances import bounds, devices, pools, services, settings, systems
from frontinus_cim.instances import pool_settings as made
from frontinus_cim.instances.bounds import Bound
from frontinus_cim.instances.kinds import Kind, Link, Node
from frontinus_cim.instances.links_guests import DEVICE_CLASSES, RESOURCE_CLASSES, guest_node, of_parts, resource_node
from frontinus_cim.instances.pools import POOL_CLASSES, Pool
from frontinus_cim.instances.settings import configurations
from frontinus_cim.wire.model import CIMV2, GUEST, HOST, VIRT


def host(world: World, node: Node) -> Iterable[Node]:
    return [Node(systems.HOSTS, world)]


def pool_node(pool: Pool) -> Node:
    return Node(pools.KINDS[pool.family], pool)


def all_pools(world: World, node: Node) -> Iterable[Node]:
    return (pool_node(pool) for family in pools.CLASSES for pool in pools.pools(world, family))


def pool_of_part(world: World, node: Node) -> Iterable[Node]:
    return [pool_node(pools.pool_of(world, node.subject))]


def devices_of_pool(world: World, node: Node) -> Iterable[Node]:
    """The devices that are taken from a pool."""
    pool: Pool = node.subject
    for guest in world.guests.values():
        for found in devices.of_guest(guest):
            part: Part = found.subject
            if part.family == pool.family and pools.pool_id(world, part) == pool.id:
                yield found


def resources_of_pool(world: World, node: Node) -> Iterable[Node]:
    return (resource_node(part) for part in node.subject.parts(configurations(world)))


def bounds_of_pool(world: World, node: Node) -> Iterable[Node]:
    """The settings that bound what can be had from a pool. Clients of libvirt-cim look for one called Default in every pool."""
    pool: Pool = node.subject
    kind = settings.RESOURCES[pool.family]
    yield from (Node(kind, bound) for bound in bounds.of_pool(pool))
    if not pool.primordial:
        yield Node(kind, bounds.common(pool))


def pools_of_bound(world: World, node: Node) -> Iterable[Node]:
    """The capabilities of the pools that a bound is for; settings of a guest bound nothing."""
    bound = node.subject
    if not isinstance(bound, Bound):
        return ()
    common = bound == bounds.common(bound.pool)
    found = pools.pools(world, bound.pool.family) if common else [bound.pool]
    return (Node(services.ALLOCATION, pool) for pool in found)


def to_guests(kind: Kind[Guest]) -> Link:
    """A guest and what it is able to do."""
    return Link("KVM_ElementCapabilities", ("ManagedElement", [GUEST]), ("Capabilities", [kind.cls]),
                lambda world, node: [Node(kind, node.subject)], lambda world, node: [guest_node(node.subject)])  # fmt: skip


def to_service(cls: str) -> Link:
    """A service and what it is able to do."""
    service, kind = services.KINDS[cls], services.CAPABILITIES[cls]
    return Link("KVM_ElementCapabilities", ("ManagedElement", [cls]), ("Capabilities", [kind.cls]),
                lambda world, node: [Node(kind, world)], lambda world, node: [Node(service, world)],
                namespaces=kind.namespaces)  # fmt: skip


def one_way(kind: Kind[World]) -> Link:
    """The host, and capabilities that are its own."""
    return Link("KVM_ElementCapabilities", ("ManagedElement", [HOST]), ("Capabilities", [kind.cls]),
                lambda world, node: [Node(kind, world)], host, namespaces=(VIRT, CIMV2))  # fmt: skip


def hosted(cls: str) -> Link:
    service = services.KINDS[cls]
    return Link("KVM_HostedService", ("Antecedent", [HOST]), ("Dependent", [cls]),
                lambda world, node: [Node(service, world)], host, namespaces=service.namespaces)  # fmt: skip


def affects(cls: str) -> Link:
    """A service that works on every guest."""
    service = services.KINDS[cls]
    return Link("KVM_ServiceAffectsElement", ("AffectedElement", [GUEST]), ("AffectingElement", [cls]),
                lambda world, node: [Node(service, world)],
                lambda world, node: (guest_node(guest) for guest in world.guests.values()),
                lambda world, first, second: {"ElementEffects": [5]})  # fmt: skip


def children(world: World, node: Node) -> Iterable[Node]:
    """The pools that come out of a primordial one."""
    pool: Pool = node.subject
    return (pool_node(p) for p in pools.pools(world, pool.family) if not p.primordial) if pool.primordial else ()


def parent(world: World, node: Node) -> Iterable[Node]:
    pool: Pool = node.subject
    return [] if pool.primordial else [pool_node(Pool(world, pool.family, pools.PRIMORDIAL))]


def settings_of_pool(world: World, node: Node) -> Iterable[Node]:
    pool: Pool = node.subject
    if pool.storage:
        return [Node(made.DISK_POOL_SETTINGS, pool)]
    return [Node(made.NET_POOL_SETTINGS, pool)] if pool.network else []


LINKS = (
    Link("KVM_HostedResourcePool", ("GroupComponent", [HOST]), ("PartComponent", POOL_CLASSES), all_pools, host),
    *[hosted(cls) for cls in services.KINDS],
    *[to_service(cls) for cls in services.CAPABILITIES],
    *[to_guests(kind) for kind in (services.STATES, services.SNAPSHOT_CAPABILITIES)],
    one_way(services.CAPABILITIES[services.MANAGEMENT]),
    *[affects(cls) for cls in (services.MANAGEMENT, services.SNAPSHOTS, services.MIGRATION, services.METRICS)],
    Link("KVM_ServiceAffectsElement", ("AffectedElement", POOL_CLASSES), ("AffectingElement", [services.POOLS]),
         lambda world, node: [Node(services.KINDS[services.POOLS], world)], all_pools,
         lambda world, first, second: {"ElementEffects": [5]}),
    Link("KVM_ElementCapabilities", ("ManagedElement", POOL_CLASSES), ("Capabilities", [services.ALLOCATION.cls]),
         lambda world, node: [Node(services.ALLOCATION, node.subject)], lambda world, node: [pool_node(node.subject)]),
    Link("KVM_SettingsDefineCapabilities", ("GroupComponent", [services.ALLOCATION.cls]),
         ("PartComponent", [settings.RESOURCES[family].cls for family in pools.CLASSES]), bounds_of_pool, pools_of_bound,
         lambda world, first, second: bounds.role(first.subject, second.subject)),
    Link("KVM_SettingsDefineCapabilities", ("GroupComponent", [services.CAPABILITIES[services.MIGRATION].cls]),
         ("PartComponent", [services.MIGRATION_SETTINGS.cls]), lambda world, node: [Node(services.MIGRATION_SETTINGS, world)],
         lambda world, node: [Node(services.CAPABILITIES[services.MIGRATION], world)],
         lambda world, first, second: bounds.RANGES[bounds.DEFAULT], (VIRT, CIMV2)),
    Link("KVM_ElementAllocatedFromPool", ("Antecedent", POOL_CLASSES), ("Dependent", DEVICE_CLASSES),
         devices_of_pool, pool_of_part),
    Link("KVM_ResourceAllocationFromPool", ("Antecedent", POOL_CLASSES), ("Dependent", RESOURCE_CLASSES),
         resources_of_pool, of_parts(pool_of_part)),
    Link("KVM_ConcreteComponent", ("GroupComponent", POOL_CLASSES), ("PartComponent", POOL_CLASSES), children, parent),
    Link("KVM_ConcreteComponent", ("GroupComponent", [pools.KINDS["disk"].cls]), ("PartComponent", [made.VOLUMES.cls]),
         lambda world, node: (Node(made.VOLUMES, volume) for volume in made.volumes(node.subject)),
         lambda world, node: [pool_node(node.subject.pool)]),
    Link("KVM_SettingsDefineState", ("ManagedElement", [pools.KINDS["disk"].cls, pools.KINDS["net"].cls]),
         ("SettingData", [made.DISK_POOL_SETTINGS.cls, made.NET_POOL_SETTINGS.cls]), settings_of_pool,
         lambda world, node: [pool_node(node.subject)]),
    Link("KVM_SettingsDefineState", ("ManagedElement", [made.VOLUMES.cls]), ("SettingData", [made.VOLUME_SETTINGS.cls]),
         lambda world, node: [Node(made.VOLUME_SETTINGS, node.subject)], lambda world, node: [Node(made.VOLUMES, node.subject)]),
    Link("KVM_ElementSettingData", ("ManagedElement", [services.MIGRATION]), ("SettingData", [services.MIGRATION_SETTINGS.cls]),
         lambda world, node: [Node(services.MIGRATION_SETTINGS, world)],
         lambda world, node: [Node(services.KINDS[services.MIGRATION], world)],
         lambda world, first, second: {"IsDefault": 1, "IsCurrent": 1}),
)  # fmt: skip
