"""The provider's model hangs together: every instance is found where it says it is, every association from both ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pywbem import CIMInstanceName

from frontinus_cim.instances import services
from frontinus_cim.instances.kinds import Node, Pair
from frontinus_cim.methods.calls import METHODS
from frontinus_cim.profiles import registration
from frontinus_cim.wire.model import GUEST, INTEROP, VIRT
from support.cim import Rig, rig

DEVICES = """<graphics type='vnc' port='5907' listen='127.0.0.1'/><video><model type='cirrus'/></video>
<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk><serial type='pty'/>
<interface type='bridge'><source bridge='br7'/><mac address='52:54:00:00:07:01'/></interface>"""
XML = """<domain type='qemu'><name>rich</name><memory>65536</memory><vcpu>2</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>{}</devices></domain>"""


@pytest.fixture
async def cim(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, guests=2) as made:
        await made.engine.define(XML.format(DEVICES))
        await made.settled()
        await made.world.refresh()
        yield made


def everything(cim: Rig) -> list[Node]:
    return [Node(kind, subject) for kind in cim.service.registry.kinds.values() for subject in kind.every(cim.world)]


async def test_every_instance_is_found_at_its_path(cim: Rig) -> None:
    registry, seen = cim.service.registry, set()
    for node in everything(cim):
        for namespace in node.kind.namespaces:
            path = registry.path(node, namespace)
            assert path not in seen, f"twice: {path}"
            seen.add(path)
            found = registry.find(cim.world, path)
            assert found is not None and registry.path(found, namespace) == path
            assert all(value is not None for _, value in path.keys), path
    assert len({path.cls for path in seen}) > 40


async def test_every_association_is_found_from_both_ends(cim: Rig) -> None:
    registry, count = cim.service.registry, 0
    for links in registry.links.values():
        for link in links:
            for pair in registry.all_pairs(cim.world, link):
                count += 1
                back = {registry.path(node) for node in link.back(cim.world, pair.second)}
                assert registry.path(pair.first) in back, f"{link.cls}: {registry.path(pair.second)} does not lead back"
                assert pair.second.kind.cls in link.second[1], f"{link.cls}: {pair.second.kind.cls}"
                found = registry.find_pair(cim.world, registry.path(pair, link.namespaces[0]))
                assert isinstance(found, Pair)
    assert count > 300


async def test_every_value_fits_the_schema(cim: Rig) -> None:
    """Types, ranges and value maps, of all properties of all instances."""
    schema = cim.service.schema
    for node in everything(cim):
        for prop in schema[node.kind.cls].properties:
            value = node.value(prop.name)
            if value is None:
                continue
            values: list[Any] = value if isinstance(value, list) else [value]
            assert isinstance(value, list) == prop.array, f"{node.kind.cls}.{prop.name}: {value!r}"
            for one in values:
                fits = isinstance(one, FITTING[prop.type]) and (isinstance(one, bool) == (prop.type == "boolean"))
                assert fits, f"{node.kind.cls}.{prop.name}: {one!r} is no {prop.type}"
            allowed = prop.qualifier("ValueMap")
            if isinstance(allowed, list) and not any(".." in str(one) for one in allowed):
                assert {str(one) for one in values} <= {str(one) for one in allowed}, (
                    f"{node.kind.cls}.{prop.name}: {value}"
                )


FITTING: dict[str, Any] = {**dict.fromkeys(("uint8", "uint16", "uint32", "uint64", "sint64", "sint32"), int), "string": str,
                           "boolean": bool, "datetime": object, "real32": float, "real64": float}  # fmt: skip


async def test_associations_refer_to_what_the_schema_lets_them(cim: Rig) -> None:
    schema = cim.service.schema
    for name, links in cim.service.registry.links.items():
        for link in links:
            for role, classes in (link.first, link.second):
                wanted = schema[name].by_name[role.lower()].reference
                assert wanted and all(schema.is_a(cls, wanted) for cls in classes), f"{name}.{role} is {wanted}"


async def test_every_method_of_our_classes_has_a_body(cim: Rig) -> None:
    """It works or answers as its capabilities say; only the schema's methods that no kind offers have none."""
    without = set()
    for kind in cim.service.registry.kinds.values():
        for method in cim.service.schema[kind.cls].methods:
            if not any((above, method.name) in METHODS for above in cim.service.schema.above(kind.cls)):
                without.add(method.name)
    assert without <= {"RequestStateChange", "StartService", "StopService", "Reset", "CreateGoalSettings"}, without
    offered = [
        method.name
        for method in cim.service.schema[services.MANAGEMENT].methods
        if method.origin == "CIM_VirtualSystemManagementService"
    ]
    assert all((services.MANAGEMENT, name) in METHODS for name in offered)


async def test_dsp1042_host_hosts_its_guests_services_and_pools(cim: Rig) -> None:
    """DSP1042 System Virtualization: a host, HostedDependency to each guest, the management service with its capabilities."""
    (host,) = await cim.ask("EnumerateInstanceNames", "KVM_HostSystem")
    guests = await cim.ask("AssociatorNames", host, AssocClass="CIM_HostedDependency", ResultClass=GUEST)
    assert {g["Name"] for g in guests} == set(cim.world.named)
    hosted = await cim.ask("AssociatorNames", host, AssocClass="CIM_HostedService")
    assert services.MANAGEMENT in {path.classname for path in hosted}
    (service,) = [path for path in hosted if path.classname == services.MANAGEMENT]
    (able,) = await cim.ask("Associators", service, AssocClass="CIM_ElementCapabilities")
    assert set(able["SynchronousMethodsSupported"]) == {2, 3, 5, 6, 7, 10}
    pools = await cim.ask("AssociatorNames", host, AssocClass="CIM_HostedResourcePool")
    assert {"KVM_MemoryPool", "KVM_ProcessorPool", "KVM_DiskPool", "KVM_NetworkPool"} <= {
        path.classname for path in pools
    }


async def test_dsp1057_guest_has_its_settings_and_says_what_it_can_be_asked_for(cim: Rig) -> None:
    """DSP1057 Virtual System: settings that define its state, their components, capabilities of states."""
    path = next(p for p in await cim.ask("EnumerateInstanceNames", GUEST) if p["Name"] == "rich")
    (settings,) = await cim.ask("AssociatorNames", path, AssocClass="CIM_SettingsDefineState")
    assert await cim.ask("AssociatorNames", settings, AssocClass="CIM_VirtualSystemSettingDataComponent")
    able = await cim.ask(
        "Associators", path, AssocClass="CIM_ElementCapabilities", ResultClass="CIM_EnabledLogicalElementCapabilities"
    )
    assert set(able[0]["RequestedStatesSupported"]) == {2, 3, 4, 6, 9, 10, 11}


async def test_dsp1041_1043_1059_resources_come_from_pools_with_capabilities(cim: Rig) -> None:
    """DSP1041/1059: device and settings lead to the same pool; DSP1043: the pool to its allocation capabilities."""
    path = next(p for p in await cim.ask("EnumerateInstanceNames", GUEST) if p["Name"] == "guest-00000")
    for device in await cim.ask("AssociatorNames", path, AssocClass="CIM_SystemDevice"):
        (pool,) = await cim.ask("AssociatorNames", device, AssocClass="CIM_ElementAllocatedFromPool")
        for rasd in await cim.ask("AssociatorNames", device, AssocClass="CIM_SettingsDefineState"):
            (same,) = await cim.ask("AssociatorNames", rasd, AssocClass="CIM_ResourceAllocationFromPool")
            assert same == pool and (await cim.ask("GetInstance", rasd))["PoolID"] == pool["InstanceID"]
        assert await cim.ask(
            "AssociatorNames", pool, AssocClass="CIM_ElementCapabilities", ResultClass="CIM_AllocationCapabilities"
        )


async def test_dsp1033_profiles_are_registered_with_what_they_apply_to(cim: Rig) -> None:
    """DSP1033 Profile Registration: in the interop namespace, each with its central instances, which lead back."""
    found = await cim.ask("EnumerateInstances", "CIM_RegisteredProfile", namespace=INTEROP)
    assert {p["InstanceID"] for p in found} == {row.id for row in registration.ROWS}
    for profile in found:
        central = await cim.ask(
            "AssociatorNames", profile.path, AssocClass="CIM_ElementConformsToProfile", namespace=INTEROP
        )
        assert central, profile["InstanceID"]
        if central[0].namespace == VIRT:
            back = await cim.ask(
                "AssociatorNames", central[0], AssocClass="CIM_ElementConformsToProfile", namespace=VIRT
            )
            assert profile.path.keybindings in [path.keybindings for path in back]


async def test_dsp1053_figures_lead_to_their_element_and_their_meaning(cim: Rig) -> None:
    """DSP1053 Base Metrics: a value, the definition that it names, the element that it was taken of."""
    path = next(p for p in await cim.ask("EnumerateInstanceNames", GUEST) if p["Name"] == "guest-00000")
    values = await cim.ask("Associators", path, AssocClass="CIM_MetricForME")
    names = {value["MetricDefinitionId"] for value in values}
    assert {"Frontinus:CPUTime", "Frontinus:MemoryCurrent"} <= names
    (definition,) = await cim.ask("Associators", values[0].path, AssocClass="CIM_MetricInstance")
    assert definition["Id"] == values[0]["MetricDefinitionId"] and definition["ProgrammaticUnits"]
    (service,) = await cim.ask("EnumerateInstanceNames", services.METRICS)
    code, outputs = await cim.ask("InvokeMethod", "ShowMetrics", service, Subject=path)
    assert code == 0 and "CPUTime" in outputs["MetricNames"]


async def test_dsp1076_displays_are_access_points_of_their_guest(cim: Rig) -> None:
    """DSP1076 KVM Redirection: a SAP for the display, available for the guest, of the redirection service."""
    path = next(p for p in await cim.ask("EnumerateInstanceNames", GUEST) if p["Name"] == "rich")
    (sap,) = await cim.ask("Associators", path, AssocClass="CIM_SAPAvailableForElement")
    assert (sap["KVMProtocol"], sap["Port"], sap["Address"], sap["EnabledState"]) == (4, 5907, "127.0.0.1", 6)
    (service,) = await cim.ask("AssociatorNames", sap.path, AssocClass="CIM_ServiceAccessBySAP")
    assert service.classname == services.CONSOLES


async def test_dsp1081_says_whether_a_guest_could_move(cim: Rig) -> None:
    """DSP1081 Virtual System Migration: the check answers, the move says that it is not offered."""
    (service,) = await cim.ask("EnumerateInstanceNames", services.MIGRATION)
    paths = {p["Name"]: p for p in await cim.ask("EnumerateInstanceNames", GUEST)}
    for name, movable in (("test", b"TRUE"), ("guest-00000", b"FALSE")):
        connection = cim.connection()
        connection.debug = True  # pywbem takes any boolean that a method gives out for true: look at the message itself
        what = {"ComputerSystem": paths[name], "DestinationHost": "other.example.org"}
        await asyncio.to_thread(connection.InvokeMethod, "CheckVirtualSystemIsMigratableToHost", service, **what)
        assert b'"IsMigratable" PARAMTYPE="boolean"><VALUE>' + movable in connection.last_raw_reply, name
        connection.close()
    what = {"ComputerSystem": paths["test"], "DestinationHost": "other"}
    code, _ = await cim.ask("InvokeMethod", "MigrateVirtualSystemToHost", service, **what)
    assert code == 1


async def test_each_device_with_settings_leads_to_them_and_back(cim: Rig) -> None:
    """A graphics card alone has none: there is no class of settings for it, in libvirt-cim neither."""
    await cim.engine.define(
        XML.replace("rich", "seen").format(
            "<graphics type='vnc' port='5917' listen='127.0.0.1'/><input type='tablet' bus='usb'/><serial type='pty'/>"
        )
    )
    await cim.settled()
    keys = {"CreationClassName": GUEST, "Name": "seen"}
    near = await cim.ask("AssociatorNames", CIMInstanceName(GUEST, keys, namespace=VIRT), AssocClass="KVM_SystemDevice")
    bare = set()
    for device in near:
        settings = await cim.ask("AssociatorNames", device, AssocClass="KVM_SettingsDefineState")
        for one in settings:
            assert device in await cim.ask("AssociatorNames", one, AssocClass="KVM_SettingsDefineState")
        if not settings:
            bare.add(device["DeviceID"].partition("/")[2].partition(":")[0])
    assert bare == {"video"} and {"seen/graphics:vnc", "seen/tablet:usb"} <= {device["DeviceID"] for device in near}
