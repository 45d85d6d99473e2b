"""The host's services, and what they and the guests are able to do (DSP1042, DSP1041, DSP1043, DSP1076, DSP1081)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from frontinus import __version__
from frontinus_cim.host.guest import Guest
from frontinus_cim.host.world import World
from frontinus_cim.instances import pools
from frontinus_cim.instances.kinds import Kind
from frontinus_cim.instances.pools import Pool
from frontinus_cim.instances.states import ALL_REQUESTS
from frontinus_cim.wire.model import CIMV2, HOST, INTEROP, VIRT, Value
from frontinus_cim.wire.writer import Columns

MANAGEMENT, POOLS = "KVM_VirtualSystemManagementService", "KVM_ResourcePoolConfigurationService"
SWITCHES = "KVM_VirtualEthernetSwitchManagementService"
SNAPSHOTS, MIGRATION = "KVM_VirtualSystemSnapshotService", "KVM_VirtualSystemMigrationService"
CONSOLES, METRICS, INDICATIONS = "KVM_ConsoleRedirectionService", "KVM_MetricService", "KVM_IndicationService"


@dataclass(frozen=True)
class Service:
    """A service: its Name, what it is in words, its capabilities' class with their InstanceID and properties."""

    name: str
    words: str
    more: Columns[World]
    capabilities: tuple[str, str, Columns[World]] | None = None
    namespaces: Sequence[str] = (VIRT,)


ALL_MANAGEMENT = [2, 3, 5, 6, 7, 10]
"""SynchronousMethodsSupported of CIM_VirtualSystemManagementCapabilities: Define, Destroy, ModifyResources, ModifySystem,
RemoveResources, AddResources."""


def _version(world: World) -> str:
    return world.version.frontinus or __version__


SERVICES: Mapping[str, Service] = {
    MANAGEMENT: Service("Management Service", "Makes, changes and removes guests", {
        "Revision": _version, "Release": _version, "Changeset": "0", "LibvirtVersion": _version,
    }, ("KVM_VirtualSystemManagementCapabilities", "ManagementCapabilities", {
        "VirtualSystemTypesSupported": ["KVM", "QEMU"], "SynchronousMethodsSupported": ALL_MANAGEMENT,
        "AsynchronousMethodsSupported": ALL_MANAGEMENT, "IndicationsSupported": [2, 3, 4],
        "ElementNameEditSupported": True, "MaxElementNameLen": 255, "RequestedStatesSupported": [],
    }), (VIRT, CIMV2)),
    SWITCHES: Service("Switch Management Service", "Makes, changes and removes virtual Ethernet switches", {}, (
        "KVM_VirtualEthernetSwitchManagementCapabilities", "SwitchManagementCapabilities", {
            "VirtualSystemTypesSupported": ["Ethernet Switch"], "SynchronousMethodsSupported": ALL_MANAGEMENT,
            "AsynchronousMethodsSupported": ALL_MANAGEMENT, "IndicationsSupported": [], "ElementNameEditSupported": False,
            "RequestedStatesSupported": [],
        }), (VIRT, CIMV2)),
    POOLS: Service("RPCS", "Makes, changes and removes pools", {}, ("KVM_ResourcePoolConfigurationCapabilities", "RPCC", {
        "SynchronousMethodsSupported": [3, 4], "AsynchronousMethodsSupported": [3, 4],
    }), (VIRT, CIMV2)),
    SNAPSHOTS: Service("SnapshotService", "Makes snapshots of guests", {}, (
        "KVM_VirtualSystemSnapshotServiceCapabilities", "SnapshotCapabilities", {
            "SynchronousMethodsSupported": [2, 3, 4], "AynchronousMethodsSupported": [2, 3, 4],
            "SnapshotTypesSupported": [2, 3],
        }), (VIRT, CIMV2)),
    MIGRATION: Service("MigrationService", "Moves guests to other hosts", {}, (
        "KVM_VirtualSystemMigrationCapabilities", "MigrationCapabilities", {
            "DestinationHostFormatsSupported": [1, 2, 3, 4], "SynchronousMethodsSupported": [4, 5],
            "AsynchronousMethodsSupported": [],
        }), (VIRT, CIMV2)),
    CONSOLES: Service("ConsoleRedirectionService", "Carries guests' consoles over the network", {
        "RedirectionServiceType": [3], "SharingMode": 3, "MaxCurrentEnabledSAPs": 65535,
    }, ("KVM_ConsoleRedirectionServiceCapabilities", "ConsoleRedirectionCapabilities", {
        "RequestedStatesSupported": [], "SharingModeSupported": [3], "ElementNameEditSupported": False,
    })),
    METRICS: Service("MetricService", "Shows figures of guests", {}),
    INDICATIONS: Service("IndicationService", "Delivers indications", {
        "FilterCreationEnabled": True, "DeliveryRetryAttempts": 3, "DeliveryRetryInterval": 20, "SubscriptionRemovalAction": 2,
        "SubscriptionRemovalTimeInterval": 2592000,
    }, ("KVM_IndicationServiceCapabilities", "IndicationCapabilities", {
        "FilterCreationEnabledIsSettable": False, "DeliveryRetryAttemptsIsSettable": False,
        "DeliveryRetryIntervalIsSettable": False, "SubscriptionRemovalActionIsSettable": False,
        "SubscriptionRemovalTimeIntervalIsSettable": False, "MaxListenerDestinations": 1000, "MaxActiveSubscriptions": 1000,
        "SubscriptionsPersisted": True,
    }), (INTEROP,)),
}  # fmt: skip
"""The services of the host, by class."""


def _the_host(world: World) -> Iterable[World]:
    return [world] if world.hostname else []


def _service(cls: str, row: Service) -> Kind[World]:
    columns: Columns[World] = {
        "SystemCreationClassName": HOST, "SystemName": lambda w: w.hostname, "CreationClassName": cls, "Name": row.name,
        "ElementName": row.name, "Caption": row.words, "EnabledState": 2, "RequestedState": 12, "EnabledDefault": 2,
        "Started": True, "StartMode": "Automatic", "OperationalStatus": [2], "HealthState": 5, **row.more,
    }  # fmt: skip
    return Kind(cls, columns, _the_host, lambda world, path: world, row.namespaces)


def _capabilities(cls: str, number: str, more: Columns[World], words: str, namespaces: Sequence[str]) -> Kind[World]:
    columns: Columns[World] = {"InstanceID": number, "ElementName": number, "Caption": f"Capabilities: {words}", **more}
    return Kind(cls, columns, _the_host, lambda world, path: world, namespaces)


KINDS: Mapping[str, Kind[World]] = {cls: _service(cls, row) for cls, row in SERVICES.items()}
CAPABILITIES: Mapping[str, Kind[World]] = {
    cls: _capabilities(*row.capabilities, row.words, row.namespaces)
    for cls, row in SERVICES.items()
    if row.capabilities
}
"""The kind of each service's capabilities, by the service's class."""


# --- what guests and pools are able to do

STATES: Kind[Guest] = Kind(
    "KVM_EnabledLogicalElementCapabilities",
    {
        "InstanceID": lambda g: g.name, "ElementName": lambda g: g.name, "Caption": "Capabilities of a guest",
        "RequestedStatesSupported": list(ALL_REQUESTS), "ElementNameEditSupported": lambda g: not g.view.active,
        "MaxElementNameLen": 255,
    },
    every=lambda world: world.guests.values(),
    find=lambda world, path: world.named.get(str(path.key("InstanceID"))),
)  # fmt: skip

SNAPSHOT_CAPABILITIES: Kind[Guest] = Kind(
    "KVM_VirtualSystemSnapshotCapabilities",
    {
        "InstanceID": lambda g: g.name, "ElementName": lambda g: g.name, "Caption": "Snapshots that a guest can have now",
        "SnapshotTypesEnabled": lambda g: [2, 3] if g.view.active else [3], "GuestOSNotificationEnabled": False,
    },
    every=lambda world: world.guests.values(),
    find=lambda world, path: world.named.get(str(path.key("InstanceID"))),
)  # fmt: skip


def _every_pool(world: World) -> Iterable[Pool]:
    return (pool for family in pools.CLASSES for pool in pools.pools(world, family))


def _row(pool: Pool) -> pools.PoolClass:
    return pools.CLASSES[pool.family]


ADD_STATES: Mapping[str, list[int]] = {"disk": [2, 3, 9], "net": [2, 3, 9], "mem": [3], "proc": [2, 3, 9]}
"""States of a guest in which resources of a family can be added; others only while it is off."""


def _add_states(pool: Pool) -> Value:
    return ADD_STATES.get(pool.family, [3])


ALLOCATION: Kind[Pool] = Kind(
    "KVM_AllocationCapabilities",
    {
        "InstanceID": lambda p: p.id, "ElementName": lambda p: p.id, "Caption": "What can be asked of a pool",
        "ResourceType": lambda p: _row(p).type, "OtherResourceType": lambda p: _row(p).other, "RequestTypesSupported": 4,
        "SharingMode": 3, "SupportedAddStates": _add_states, "SupportedRemoveStates": _add_states,
    },
    every=_every_pool,
    find=lambda world, path: pools.find(world, path.key("InstanceID")),
)  # fmt: skip

MIGRATION_SETTINGS: Kind[World] = Kind(
    "KVM_VirtualSystemMigrationSettingData",
    {
        "InstanceID": "MigrationSettingData", "ElementName": "MigrationSettingData", "Caption": "How guests are moved",
        "MigrationType": 2, "Priority": 0, "Bandwidth": 0, "TransportType": 3,
    },
    _the_host, lambda world, path: world, (VIRT, CIMV2),
)  # fmt: skip
ALL: Sequence[Kind[Any]] = (
    *KINDS.values(),
    *CAPABILITIES.values(),
    STATES,
    SNAPSHOT_CAPABILITIES,
    ALLOCATION,
    MIGRATION_SETTINGS,
)
