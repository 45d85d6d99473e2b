"""How guests, devices and settings belong together (DSP1057, DSP1059)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from frontinus_cim.host.guest import Guest, Part
from frontinus_cim.host.world import World
from frontinus_cim.instances import devices, settings, systems
from frontinus_cim.instances.kinds import Link, Node
from frontinus_cim.wire.model import GUEST, HOST, Value

YES, NO = 1, 2
Follow = Callable[[World, Node], Iterable[Node]]
DEVICE_CLASSES = tuple(devices.KINDS)
RESOURCE_CLASSES = tuple(kind.cls for kind in settings.RESOURCES.values())
RESOURCE_FAMILIES = frozenset(settings.RESOURCES)


def guest_node(guest: Guest) -> Node:
    return Node(systems.GUESTS, guest)


def settings_node(guest: Guest) -> Node:
    return Node(settings.SYSTEMS, guest)


def resource_node(part: Part) -> Node:
    return Node(settings.RESOURCES[part.family], part)


def resources_of(guest: Guest) -> Iterable[Node]:
    return (resource_node(part) for part in guest.parts.values() if part.family in settings.RESOURCES)


def of_parts(follow: Follow) -> Follow:
    """A way from settings of resources, for those of guests only: bounds belong to no guest."""
    return lambda world, node: follow(world, node) if isinstance(node.subject, Part) else ()


def state_node(guest: Guest) -> Iterable[Node]:
    """The guest that settings are the state of: those of its next start are not."""
    return [] if guest.defined else [guest_node(guest)]


def system_configurations(world: World, node: Node) -> Iterable[Node]:
    """All settings of a guest as a whole: as it is, and as its next start will have it."""
    guest: Guest = node.subject
    return [settings_node(one) for one in (guest, guest.next) if one is not None]


def running(world: World, guest: Guest) -> Guest:
    """The guest that a configuration is of."""
    return world.named.get(guest.name, guest) if guest.defined else guest


def defined_settings(world: World, node: Node) -> Iterable[Node]:
    """The settings of the next start beside those of the state; they are the same while the guest is off or not defined."""
    guest: Guest = node.subject
    return [] if guest.defined else [settings_node(guest.next or guest)]


def state_settings(world: World, node: Node) -> Iterable[Node]:
    guest: Guest = node.subject
    return [settings_node(running(world, guest))] if guest.defined or guest.next is None else []


def defined_resources(world: World, node: Node) -> Iterable[Node]:
    """As `defined_settings`, of a resource; one that was only plugged in has no next."""
    part: Part = node.subject
    found = None if part.guest.defined else (part.guest.next or part.guest).parts.get(part.name)
    return [resource_node(found)] if found is not None and found.family == part.family else []


def state_resources(world: World, node: Node) -> Iterable[Node]:
    part: Part = node.subject
    if not part.guest.defined and part.guest.next is not None:
        return []
    found = running(world, part.guest).parts.get(part.name)
    return [resource_node(found)] if found is not None and found.family == part.family else []


def when(world: World, first: Node, second: Node) -> Mapping[str, Value]:
    """When settings count: now, at the next start, or both (CIM_ElementSettingData)."""
    guest: Guest = second.subject if isinstance(second.subject, Guest) else second.subject.guest
    current, following = not guest.defined, guest.defined or (guest.next is None and guest.view.persistent)
    return {
        "IsCurrent": YES if current else NO,
        "IsNext": YES if following else NO,
        "IsDefault": YES if following else NO,
    }


def devices_of_resource(world: World, node: Node) -> Iterable[Node]:
    """The devices that settings of a resource are about; those of the next start are about none yet."""
    part: Part = node.subject
    if part.guest.defined:
        return
    for found in devices.of_guest(part.guest):
        if found.subject.family == part.family and (part.family in ("proc", "mem") or found.subject.name == part.name):
            yield found


def resource_of_device(world: World, node: Node) -> Iterable[Node]:
    """The settings that a device comes from."""
    part: Part = node.subject
    if part.family not in settings.RESOURCES:
        return []
    found = part.guest.parts.get("proc" if part.family == "proc" else part.name)
    return [resource_node(found)] if found else []


LINKS = (
    Link("KVM_SystemDevice", ("GroupComponent", [GUEST]), ("PartComponent", DEVICE_CLASSES),
         lambda world, node: devices.of_guest(node.subject), lambda world, node: [guest_node(node.subject.guest)]),
    Link("KVM_SettingsDefineState", ("ManagedElement", [GUEST]), ("SettingData", [settings.VSSD]),
         lambda world, node: [settings_node(node.subject)], lambda world, node: state_node(node.subject)),
    Link("KVM_SettingsDefineState", ("ManagedElement", DEVICE_CLASSES), ("SettingData", RESOURCE_CLASSES),
         resource_of_device, of_parts(devices_of_resource)),
    Link("KVM_VirtualSystemSettingDataComponent", ("GroupComponent", [settings.VSSD]), ("PartComponent", RESOURCE_CLASSES),
         lambda world, node: resources_of(node.subject),
         of_parts(lambda world, node: [settings_node(node.subject.guest)])),
    Link("KVM_ElementSettingData", ("ManagedElement", [GUEST]), ("SettingData", [settings.VSSD]),
         system_configurations, lambda world, node: [guest_node(running(world, node.subject))], when),
    Link("KVM_ElementSettingData", ("ManagedElement", [settings.VSSD]), ("SettingData", [settings.VSSD]),
         defined_settings, state_settings, when),
    *[Link("KVM_ElementSettingData", ("ManagedElement", [cls]), ("SettingData", [cls]),
           of_parts(defined_resources), of_parts(state_resources), when)
      for cls in RESOURCE_CLASSES],
    Link("KVM_HostedDependency", ("Antecedent", [HOST]), ("Dependent", [GUEST]),
         lambda world, node: (guest_node(guest) for guest in world.guests.values()),
         lambda world, node: [Node(systems.HOSTS, world)]),
)  # fmt: skip
