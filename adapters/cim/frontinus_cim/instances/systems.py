"""Guests and their host as CIM_ComputerSystem (DSP1057, DSP1042)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from frontinus_cim.host.guest import Guest
from frontinus_cim.host.world import World
from frontinus_cim.instances.kinds import Kind
from frontinus_cim.instances.states import NOT_APPLICABLE, REQUESTS, shown
from frontinus_cim.wire import values
from frontinus_cim.wire.model import CIMV2, GUEST, HOST, INTEROP, VIRT, Path


def find_guest(world: World, path: Path) -> Guest | None:
    name = path.key("Name")
    return world.named.get(name) if isinstance(name, str) else None


GUESTS: Kind[Guest] = Kind(
    GUEST,
    {
        "CreationClassName": GUEST,
        "Name": lambda g: g.view.name,
        "InstanceID": lambda g: f"KVM:{g.view.name}",
        "ElementName": lambda g: g.view.name,
        "Caption": "Virtual system",
        "Description": lambda g: g.view.description or g.view.title,
        "NameFormat": "Other",
        "UUID": lambda g: g.view.uuid,
        "OtherIdentifyingInfo": lambda g: [g.view.uuid],
        "IdentifyingDescriptions": ["UUID"],
        "Dedicated": [2],
        "OtherDedicatedDescriptions": ["Virtual system"],
        "ResetCapability": 4,
        "EnabledState": lambda g: int(shown(g.view).enabled),
        "RequestedState": lambda g: g.requested,
        "EnabledDefault": lambda g: 2 if g.view.autostart else 3,
        "AvailableRequestedStates": lambda g: list(REQUESTS[shown(g.view).enabled]),
        "TransitioningToState": lambda g: g.transition,
        "TimeOfLastStateChange": lambda g: values.moment(g.view.since) if g.view.since else None,
        "OperationalStatus": lambda g: [shown(g.view).status],
        "StatusDescriptions": lambda g: [shown(g.view).words],
        "HealthState": lambda g: shown(g.view).health,
        "OperatingStatus": lambda g: shown(g.view).operating,
        "PrimaryStatus": lambda g: shown(g.view).primary,
        "CommunicationStatus": lambda g: 4 if g.view.state == "nostate" else 2,
        "Roles": ["Virtual system"],
    },
    every=lambda world: world.guests.values(),
    find=find_guest,
    cache=lambda guest: guest.cache,
)

HOSTS: Kind[World] = Kind(
    HOST,
    {
        "CreationClassName": HOST,
        "Name": lambda w: w.host.hostname,
        "ElementName": lambda w: w.host.hostname,
        "Caption": "Host of virtual systems",
        "Description": lambda w: f"A host that runs guests on {w.version.hypervisor}",
        "NameFormat": "IP",
        "OtherIdentifyingInfo": lambda w: [w.host.uuid],
        "IdentifyingDescriptions": ["UUID"],
        "Dedicated": [0],
        "EnabledState": 2,
        "RequestedState": NOT_APPLICABLE,
        "EnabledDefault": 2,
        "OperationalStatus": [2],
        "StatusDescriptions": ["The host is running"],
        "HealthState": 5,
        "OperatingStatus": 16,
        "PrimaryStatus": 1,
        "Roles": ["Host of virtual systems"],
    },
    every=lambda world: [world] if world.host.hostname else [],
    find=lambda world, path: world,
    namespaces=(VIRT, INTEROP, CIMV2),
)
KINDS: Sequence[Kind[Any]] = (GUESTS, HOSTS)
