"""What each registered profile wants, a row for each requirement.

The texts of the specifications were not at hand: a row names the profile and the requirement, and a clause only where somebody
quotes it (docs/cim.md says who).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import pywbem
from pywbem import CIMInstanceName

from frontinus_cim.instances.bounds import Bound
from frontinus_cim.instances.kinds import Node
from frontinus_cim.profiles import registration
from support.cim import Rig, rig

XML = """<domain type='qemu'><name>rich</name><memory>65536</memory><vcpu>2</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices><graphics type='vnc' port='5907' listen='127.0.0.1'/>
<disk type='file'><source file='/var/tmp/a.img'/><target dev='vda' bus='virtio'/></disk>
<interface type='bridge'><source bridge='br7'/><vlan><tag id='7'/></vlan>
<mac address='52:54:00:00:07:01'/></interface></devices></domain>"""


@dataclass(frozen=True)
class Row:
    """From each instance of `start`, `path` of (association, class) leads to something that has `properties`."""

    profile: str
    start: str
    path: Sequence[tuple[str, str]] = ()
    properties: Sequence[str] = ()
    clause: str = ""

    def __str__(self) -> str:
        named = f"{self.profile} {self.clause}".strip()
        return " ".join([named, self.start, *(f"{a}>{c}" for a, c in self.path), *self.properties]).replace("CIM_", "")


GUEST, POOL, RASD, VSSD = (
    "KVM_ComputerSystem",
    "CIM_ResourcePool",
    "CIM_ResourceAllocationSettingData",
    "KVM_VirtualSystemSettingData",
)
STATE, TAKEN, IMPLEMENTED = "CIM_SettingsDefineState", "CIM_ElementAllocatedFromPool", "CIM_DeviceSAPImplementation"
SWITCH_SETTINGS, SWITCH_SERVICE = "CIM_VirtualEthernetSwitchSettingData", "KVM_VirtualEthernetSwitchManagementService"


def resource(profile: str, device: str, pool: str, rasd: str, of_device: Sequence[str]) -> list[Row]:
    """What the profiles of kinds of resources have in common."""
    return [
        Row(profile, device, [(TAKEN, pool)], ["PoolID", "ResourceType", "Primordial", "AllocationUnits"]),
        Row(
            profile,
            device,
            [(STATE, rasd)],
            ["InstanceID", "ResourceType", "PoolID", "VirtualQuantity", "AllocationUnits"],
        ),
        Row(profile, device, [("CIM_SystemDevice", "CIM_ComputerSystem")]),
        Row(
            profile,
            device,
            properties=["DeviceID", "EnabledState", "RequestedState", "OperationalStatus", "HealthState", *of_device],
        ),
        Row(profile, rasd, [("CIM_ResourceAllocationFromPool", pool)]),
        Row(profile, pool, [("CIM_HostedResourcePool", "CIM_ComputerSystem")]),
        Row(
            profile,
            pool,
            [("CIM_ElementCapabilities", "CIM_AllocationCapabilities")],
            ["ResourceType", "RequestTypesSupported"],
        ),
    ]


ROWS = [
    Row("DSP1042", GUEST, [("CIM_HostedDependency", "KVM_HostSystem")], ["Name"]),
    Row("DSP1042", "CIM_VirtualSystemManagementService", [("CIM_HostedService", "KVM_HostSystem")]),
    Row("DSP1042", "CIM_VirtualSystemManagementService", [("CIM_ElementCapabilities", "CIM_VirtualSystemManagementCapabilities")],
        ["VirtualSystemTypesSupported", "SynchronousMethodsSupported", "IndicationsSupported"]),
    Row("DSP1042", "KVM_VirtualSystemManagementService", [("CIM_ServiceAffectsElement", GUEST)]),
    Row("DSP1042", "KVM_HostSystem", [("CIM_HostedResourcePool", POOL)]),
    Row("DSP1057", GUEST, properties=["Name", "ElementName", "NameFormat", "EnabledState", "RequestedState", "OperationalStatus"]),
    Row("DSP1057", GUEST, [(STATE, VSSD)], ["InstanceID", "VirtualSystemIdentifier", "VirtualSystemType", "ElementName"]),
    Row("DSP1057", GUEST, [(STATE, VSSD), ("CIM_ElementSettingData", VSSD)], clause="7.3.11, 7.3.12"),
    Row("DSP1057", GUEST, [(STATE, VSSD), ("CIM_VirtualSystemSettingDataComponent", RASD)]),
    Row("DSP1057", GUEST, [("CIM_ElementCapabilities", "CIM_EnabledLogicalElementCapabilities")], ["RequestedStatesSupported"]),
    Row("DSP1057", GUEST, [("CIM_SystemDevice", "CIM_LogicalDevice")]),
    Row("DSP1041", POOL, properties=["InstanceID", "PoolID", "Primordial", "ResourceType"]),
    Row("DSP1041", "CIM_ResourcePoolConfigurationService", [("CIM_HostedService", "KVM_HostSystem")]),
    Row("DSP1041", "CIM_ResourcePoolConfigurationService",
        [("CIM_ElementCapabilities", "CIM_ResourcePoolConfigurationCapabilities")], ["SynchronousMethodsSupported"]),
    Row("DSP1041", "CIM_ResourcePoolConfigurationService", [("CIM_ServiceAffectsElement", POOL)]),
    Row("DSP1043", "CIM_AllocationCapabilities", properties=["ResourceType", "RequestTypesSupported", "SharingMode"]),
    Row("DSP1043", "CIM_AllocationCapabilities", [("CIM_ElementCapabilities", POOL)]),
    Row("DSP1043", POOL, [("CIM_ElementCapabilities", "CIM_AllocationCapabilities"), ("CIM_SettingsDefineCapabilities", RASD)],
        ["InstanceID", "ResourceType", "VirtualQuantity", "AllocationUnits"]),
    *resource("DSP1044", "CIM_Processor", "KVM_ProcessorPool", "KVM_ProcResourceAllocationSettingData", ["CPUStatus"]),
    *resource("DSP1045", "CIM_Memory", "KVM_MemoryPool", "KVM_MemResourceAllocationSettingData", ["BlockSize", "NumberOfBlocks"]),
    *resource("DSP1047", "CIM_LogicalDisk", "KVM_DiskPool", "CIM_StorageAllocationSettingData", ["Name", "Access"]),
    *resource("DSP1050", "KVM_NetworkPort", "KVM_NetworkPool", "CIM_EthernetPortAllocationSettingData", ["PermanentAddress"]),
    Row("DSP1050", "KVM_NetworkPort", [(IMPLEMENTED, "CIM_LANEndpoint")], ["MACAddress", "ProtocolIFType", "EnabledState"]),
    Row("DSP1050", "CIM_EthernetPortAllocationSettingData", properties=["Address", "ResourceType", "PoolID"]),
    Row("DSP1097", "KVM_VirtualEthernetSwitch", properties=["Name", "NameFormat", "Dedicated", "EnabledState", "RequestedState",
                                                           "OperationalStatus", "HealthState", "AvailableRequestedStates"]),
    Row("DSP1097", "KVM_VirtualEthernetSwitch", [("CIM_HostedDependency", "KVM_HostSystem")]),
    Row("DSP1097", "KVM_VirtualEthernetSwitch", [(STATE, SWITCH_SETTINGS)],
        ["InstanceID", "VirtualSystemIdentifier", "VirtualSystemType", "ElementName", "EVBMode", "AssociatedResourcePool"]),
    Row("DSP1097", "KVM_VirtualEthernetSwitch", [(STATE, SWITCH_SETTINGS), ("CIM_ElementSettingData", SWITCH_SETTINGS)]),
    Row("DSP1097", "KVM_VirtualEthernetSwitch", [("CIM_ElementCapabilities", "CIM_EnabledLogicalElementCapabilities")],
        ["RequestedStatesSupported"]),
    Row("DSP1097", "KVM_VirtualEthernetSwitch", [("CIM_SystemDevice", "CIM_EthernetPort")],
        ["DeviceID", "EnabledState", "RequestedState", "OperationalStatus", "LinkTechnology"]),
    Row("DSP1097", "KVM_VirtualEthernetSwitch", [("CIM_HostedAccessPoint", "CIM_LANEndpoint")],
        ["Name", "ProtocolIFType", "LANID"]),
    Row("DSP1097", "CIM_VLANEndpoint", [("CIM_HostedAccessPoint", "KVM_VirtualEthernetSwitch")]),
    Row("DSP1097", "CIM_VLANEndpoint", [(IMPLEMENTED, "KVM_EthernetSwitchPort")]),
    Row("DSP1097", "CIM_VLANEndpoint", properties=["DesiredEndpointMode", "OperationalEndpointMode"]),
    Row("DSP1097", "CIM_VLANEndpoint", [("CIM_ElementSettingData", "CIM_VLANEndpointSettingData")], ["AccessVLAN"]),
    Row("DSP1097", "KVM_EthernetSwitchPort", [(IMPLEMENTED, "CIM_LANEndpoint")]),
    Row("DSP1097", "KVM_EthernetSwitchPortSettingData",
        [(STATE, "KVM_EthernetSwitchPort"), (IMPLEMENTED, "CIM_LANEndpoint"), ("CIM_ActiveConnection", "KVM_LANEndpoint"),
         ("CIM_HostedAccessPoint", GUEST)]),
    Row("DSP1097", "KVM_EthernetSwitchPortSettingData", [("CIM_VirtualSystemSettingDataComponent", SWITCH_SETTINGS)]),
    Row("DSP1097", "KVM_EthernetSwitchPortSettingData", [("CIM_ResourceAllocationFromPool", "KVM_NetworkPool")]),
    Row("DSP1097", "KVM_EthernetSwitchPortSettingData", [(STATE, "CIM_EthernetPort"), (TAKEN, "KVM_NetworkPool")]),
    Row("DSP1097", SWITCH_SERVICE, [("CIM_HostedService", "KVM_HostSystem")]),
    Row("DSP1097", SWITCH_SERVICE, [("CIM_ServiceAffectsElement", "KVM_VirtualEthernetSwitch")]),
    Row("DSP1097", SWITCH_SERVICE, [("CIM_ElementCapabilities", "CIM_VirtualSystemManagementCapabilities")],
        ["VirtualSystemTypesSupported", "SynchronousMethodsSupported"]),
    Row("DSP1097", "CIM_SwitchService", [("CIM_ForwardsAmong", "CIM_LANEndpoint")]),
    *resource("DSP1059", "CIM_LogicalDisk", "KVM_DiskPool", "KVM_DiskResourceAllocationSettingData", []),
    Row("DSP1047", "CIM_StorageAllocationSettingData", properties=["Access", "HostExtentName", "VirtualResourceBlockSize"]),
    Row("DSP1053", "CIM_MetricService", [("CIM_HostedService", "KVM_HostSystem")]),
    Row("DSP1053", "CIM_BaseMetricDefinition", properties=["Id", "Name", "DataType", "ProgrammaticUnits", "TimeScope"]),
    Row("DSP1053", "CIM_BaseMetricValue", [("CIM_MetricInstance", "CIM_BaseMetricDefinition")], ["Id"]),
    Row("DSP1053", "CIM_BaseMetricValue", [("CIM_MetricForME", "CIM_ManagedElement")]),
    Row("DSP1053", "CIM_BaseMetricValue", properties=["MetricDefinitionId", "MetricValue", "TimeStamp"]),
    Row("DSP1053", GUEST, [("CIM_MetricDefForME", "CIM_BaseMetricDefinition")]),
    Row("DSP1076", "CIM_KVMRedirectionSAP", [("CIM_ServiceAccessBySAP", "CIM_RedirectionService")]),
    Row("DSP1076", "CIM_KVMRedirectionSAP", [("CIM_HostedAccessPoint", "KVM_HostSystem")]),
    Row("DSP1076", "CIM_KVMRedirectionSAP", [("CIM_SAPAvailableForElement", GUEST)]),
    Row("DSP1076", "CIM_KVMRedirectionSAP", properties=["KVMProtocol", "EnabledState", "RequestedState"]),
    Row("DSP1076", "CIM_RedirectionService", [("CIM_ElementCapabilities", "CIM_RedirectionServiceCapabilities")]),
    Row("DSP1081", "CIM_VirtualSystemMigrationService", [("CIM_HostedService", "KVM_HostSystem")]),
    Row("DSP1081", "CIM_VirtualSystemMigrationService",
        [("CIM_ElementCapabilities", "CIM_VirtualSystemMigrationCapabilities")], ["SynchronousMethodsSupported"]),
    Row("DSP1081", "CIM_VirtualSystemMigrationService", [("CIM_ElementSettingData", "CIM_VirtualSystemMigrationSettingData")]),
    Row("DSP1054", "CIM_IndicationService", properties=["FilterCreationEnabled", "DeliveryRetryAttempts", "DeliveryRetryInterval",
                                                        "SubscriptionRemovalAction"]),
    Row("DSP1054", "CIM_IndicationService", [("CIM_HostedService", "CIM_ComputerSystem")]),
    Row("DSP1054", "CIM_IndicationService", [("CIM_ElementCapabilities", "CIM_IndicationServiceCapabilities")]),
    Row("DSP1054", "CIM_IndicationService", [("CIM_ServiceAffectsElement", "CIM_IndicationFilter")], ["Query", "QueryLanguage"]),
    Row("DSP1054", "CIM_FilterCollection", [("CIM_MemberOfCollection", "CIM_ManagedElement")]),
    Row("DSP1054", "CIM_FilterCollection", [("CIM_MemberOfCollection", "CIM_FilterCollection")], clause="7.6.2"),
    Row("DSP1054", "CIM_FilterCollection", [("CIM_OwningCollectionElement", "CIM_IndicationService")]),
    Row("DSP1054", "CIM_FilterCollection", properties=["InstanceID", "CollectionName"]),
    Row("DSP1033", "CIM_RegisteredProfile", properties=["RegisteredOrganization", "RegisteredName", "RegisteredVersion",
                                                         "AdvertiseTypes"]),
    Row("DSP1033", "CIM_RegisteredProfile", [("CIM_ElementConformsToProfile", "CIM_ManagedElement")]),
]  # fmt: skip


@pytest.fixture
async def cim(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, guests=1) as made:
        await made.engine.define(XML)
        await made.engine.start("rich")
        await made.settled()
        await made.world.refresh()
        yield made


def starts(cim: Rig, cls: str) -> list[Node]:
    """The instances of a class; of settings of resources those of guests, not the bounds of what guests can have."""
    kinds = [kind for name, kind in cim.service.registry.kinds.items() if cim.service.schema.is_a(name, cls)]
    return [
        Node(kind, subject) for kind in kinds for subject in kind.every(cim.world) if not isinstance(subject, Bound)
    ]


def along(cim: Rig, node: Node, association: str, cls: str) -> list[Node]:
    """What an association leads to, by either end."""
    schema, found = cim.service.schema, list[Node]()
    for link in cim.service.registry.at(node.kind.cls):
        if schema.is_a(link.cls, association):
            for near, follow in ((link.first, link.out), (link.second, link.back)):
                if node.kind.cls in near[1]:
                    found += [other for other in follow(cim.world, node) if schema.is_a(other.kind.cls, cls)]
    return found


def missing(cim: Rig, row: Row) -> list[str]:
    """What of a requirement is not met."""
    first, wrong = starts(cim, row.start), list[str]()
    for node in first:
        at = [node]
        for association, cls in row.path:
            at = [other for one in at for other in along(cim, one, association, cls)]
        if not at:
            wrong.append(f"{cim.service.registry.path(node)} leads nowhere")
        wrong += [f"{one.kind.cls}.{name}" for one in at for name in row.properties if one.value(name) is None]
    return wrong if first else [f"there is no {row.start}"]


async def test_what_the_profiles_want(cim: Rig) -> None:
    found = {str(row): missing(cim, row) for row in ROWS}
    assert not {row: wrong for row, wrong in found.items() if wrong}


async def test_one_configuration_is_the_default(cim: Rig) -> None:
    """DSP1057 7.3.11 and 7.3.12, as wbemsmt's clients take them: from the state, one set of settings and no more is the default."""
    await cim.engine.define(
        "<domain type='qemu'><name>still</name><memory>65536</memory><os><type>hvm</type></os></domain>"
    )
    await cim.settled()
    assert {guest.active for guest in await cim.engine.guests()} == {True, False}
    for node in starts(cim, GUEST):
        (state,) = along(cim, node, STATE, VSSD)
        path = cim.service.registry.path(state)
        found = await cim.ask(
            "References", CIMInstanceName(path.cls, dict(path.keys), namespace=path.namespace),
            ResultClass="CIM_ElementSettingData", Role="ManagedElement",
        )  # fmt: skip
        assert [link["IsDefault"] for link in found].count(1) == (1 if node.subject.view.persistent else 0), path


async def test_every_row_can_fail(cim: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the associations, or without the values, nothing of it is met."""
    for row in ROWS:
        with monkeypatch.context() as broken:
            if row.path:
                last = row.path[-1][0]
                ends = {cls: [link for link in links if not cim.service.schema.is_a(link.cls, last)]
                        for cls, links in cim.service.registry._ends.items()}  # fmt: skip
                broken.setattr(cim.service.registry, "_ends", ends)
            else:
                broken.setattr(Node, "value", lambda self, name: None)
                broken.setattr(cim.service.registry, "path", lambda node, namespace=None: node.kind.cls)
            assert missing(cim, row), str(row)


def test_every_registered_profile_has_its_rows() -> None:
    assert {row.number for row in registration.ROWS} == {row.profile for row in ROWS}


def test_every_profile_refers_to_what_it_builds_on() -> None:
    """All to registration, each but System Virtualization from another, none to itself by any way."""
    known = {row.number for row in registration.ROWS}
    assert set(registration.REFERENCES) | {one for many in registration.REFERENCES.values() for one in many} <= known
    below = {row.number: {other.number for other in registration.references(row)} for row in registration.ROWS}
    assert all("DSP1033" in found for number, found in below.items() if number != "DSP1033")
    reached = {"DSP1042"}
    while grown := {other for one in reached for other in below[one]} - reached:
        reached |= grown
    assert reached == known
    for number in known:
        at, seen = below[number], set[str]()
        while at - seen:
            seen |= at
            at = {other for one in at for other in below[one]}
        assert number not in seen, number


async def test_a_client_finds_the_switches_by_their_profile(cim: Rig) -> None:
    """As pywbem does: by association from the profile, and with the direction of references that DMTF's schema has."""
    connection = cim.connection()
    try:
        server = pywbem.WBEMServer(connection)
        (profile,) = await asyncio.to_thread(server.get_selected_profiles, registered_name="Virtual Ethernet Switch")
        central = await asyncio.to_thread(server.get_central_instances, profile.path, "KVM_VirtualEthernetSwitch")
        assert {path["Name"] for path in central} == {"default", "br7"}
        above = await asyncio.to_thread(
            connection.AssociatorNames, profile.path, AssocClass="CIM_ReferencedProfile", ResultRole="Dependent"
        )
        assert [path["InstanceID"] for path in above] == ["CIM:DSP1042-SystemVirtualization-1.0.0"]
    finally:
        connection.close()
