"""How guests, devices and settings belong together (DSP1057, DSP1059)."""

from __future__ import annotations

from collections.abc import Iterable

from frontinus_cim import devices, settings, systems
from frontinus_cim.guest import Guest, Part
from frontinus_cim.kinds import Link, Node
from frontinus_cim.world import World

DEVICE_CLASSES = tuple(devices.KINDS)
RESOURCE_CLASSES = tuple(kind.cls for kind in settings.RESOURCES.values())
RESOURCE_FAMILIES = frozenset(settings.RESOURCES)
FAMILY_OF = {"KVM_Processor": "proc", "KVM_Memory": "mem", "KVM_LogicalDisk": "disk", "KVM_CDROMDrive": "disk",
             "KVM_NetworkPort": "net", "KVM_DisplayController": "video", "KVM_ConsoleDisplayController": "console",
             "KVM_PointingDevice": "input", "KVM_Controller": "controller"}  # fmt: skip
"""The family of parts that devices of a class are of."""


def guest_node(guest: Guest) -> Node:
    return Node(systems.GUESTS, guest)


def settings_node(guest: Guest) -> Node:
    return Node(settings.SYSTEMS, guest)


def resource_node(part: Part) -> Node:
    return Node(settings.RESOURCES[part.family], part)


def resources_of(guest: Guest) -> Iterable[Node]:
    return (resource_node(part) for part in guest.parts.values() if part.family in settings.RESOURCES)


def devices_of_resource(world: World, node: Node) -> Iterable[Node]:
    """The devices that settings of a resource are about."""
    part: Part = node.subject
    for found in devices.of_guest(part.guest):
        if FAMILY_OF[found.kind.cls] == part.family and (
            part.family in ("proc", "mem") or found.subject.name == part.name
        ):
            yield found


def resource_of_device(world: World, node: Node) -> Iterable[Node]:
    """The settings that a device comes from."""
    part: Part = node.subject
    if part.family not in settings.RESOURCES:
        return []
    found = part.guest.parts.get("proc" if part.family == "proc" else part.name)
    return [resource_node(found)] if found else []


LINKS = (
    Link("KVM_SystemDevice", ("GroupComponent", [systems.GUEST]), ("PartComponent", DEVICE_CLASSES),
         lambda world, node: devices.of_guest(node.subject), lambda world, node: [guest_node(node.subject.guest)]),
    Link("KVM_SettingsDefineState", ("ManagedElement", [systems.GUEST]), ("SettingData", [settings.VSSD]),
         lambda world, node: [settings_node(node.subject)], lambda world, node: [guest_node(node.subject)]),
    Link("KVM_SettingsDefineState", ("ManagedElement", DEVICE_CLASSES), ("SettingData", RESOURCE_CLASSES),
         resource_of_device, devices_of_resource),
    Link("KVM_VirtualSystemSettingDataComponent", ("GroupComponent", [settings.VSSD]), ("PartComponent", RESOURCE_CLASSES),
         lambda world, node: resources_of(node.subject), lambda world, node: [settings_node(node.subject.guest)]),
    Link("KVM_ElementSettingData", ("ManagedElement", [systems.GUEST]), ("SettingData", [settings.VSSD]),
         lambda world, node: [settings_node(node.subject)], lambda world, node: [guest_node(node.subject)],
         lambda world, first, second: {"IsDefault": 1, "IsCurrent": 1, "IsNext": 1}),
    Link("KVM_HostedDependency", ("Antecedent", [systems.HOST]), ("Dependent", [systems.GUEST]),
         lambda world, node: (guest_node(guest) for guest in world.guests.values()),
         lambda world, node: [Node(systems.HOSTS, world)]),
)  # fmt: skip
