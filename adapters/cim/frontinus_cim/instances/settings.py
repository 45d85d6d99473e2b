"""A guest's definition as settings: CIM_VirtualSystemSettingData and a CIM_ResourceAllocationSettingData for each resource.

Where a property stands in the definition is said once, in FIELDS: reading a guest and composing a definition both use it,
so the two views cannot disagree (DSP1057, DSP1059).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from frontinus_cim.host.guest import DEFINED, Guest, Part
from frontinus_cim.host.world import World
from frontinus_cim.instances import bounds, ethernet
from frontinus_cim.instances.bounds import Bound
from frontinus_cim.instances.fields import Field
from frontinus_cim.instances.kinds import Kind
from frontinus_cim.instances.pools import pool_id
from frontinus_cim.wire.model import Path, Value
from frontinus_cim.wire.writer import Columns

VSSD = "KVM_VirtualSystemSettingData"
PREFIX = "KVM:"
KIB = 1024


ADDRESS = "address/@"


@dataclass(frozen=True)
class Family:
    """A kind of resource. `tag`: its element; `type`: DMTF's ResourceType."""

    cls: str
    tag: str
    type: int
    fields: Mapping[str, Field]
    words: str
    other: str | None = None
    columns: Mapping[str, Callable[[Part], Value]] | None = None


def _source(part: Part) -> str:
    facts = part.device.facts
    return next(
        (facts[f"source/@{name}"] for name in ("file", "dev", "dir", "name", "volume") if f"source/@{name}" in facts),
        "",
    )


def _network(part: Part) -> str:
    return part.device["source/@network"] or part.device["source/@bridge"]


def _drive(part: Part) -> int:
    return DRIVES.index(kind) if (kind := part.device["@device"] or "disk") in DRIVES else 0


DRIVES = ("disk", "cdrom", "floppy", "lun")
"""EmulatedType is the index."""


def address_names(part: Part) -> list[str] | None:
    """The parts of a device's address on its bus."""
    found = [path.removeprefix(ADDRESS) for path in part.device.facts if path.startswith(ADDRESS)]
    return found or None


def address_values(part: Part) -> list[str] | None:
    found = [value for path, value in part.device.facts.items() if path.startswith(ADDRESS)]
    return found or None


PLACED: Mapping[str, Callable[[Part], Value]] = {"AddressProperties": address_names, "AddressValues": address_values}
PORT: Mapping[str, Callable[[Part], Value]] = {
    name: lambda part, read=read: read(part.device.facts)  # type: ignore[misc]
    for name, read in ethernet.READ.items()
}
"""What an interface says of its port."""

FAMILIES: Mapping[str, Family] = {
    "disk": Family("KVM_DiskResourceAllocationSettingData", "disk", 17, {
        "VirtualDevice": Field("target/@dev"), "BusType": Field("target/@bus"), "DriverName": Field("driver/@name"),
        "DriverType": Field("driver/@type"), "DriverCache": Field("driver/@cache"), "readonly": Field("readonly", yes=""),
        "shareable": Field("shareable", yes=""), "rawio": Field("@rawio"), "sgio": Field("@sgio"),
    }, "Virtual disk", columns={
        **PLACED, "Limit": lambda p: None, "Address": _source, "EmulatedType": _drive,
        "HostResource": lambda p: [_source(p)] if _source(p) else None,
        "HostExtentName": lambda p: _source(p) or None, "VirtualResourceBlockSize": lambda p: 512,
        "Access": lambda p: 1 if "readonly" in p.device.facts else 3,
        "AccessMode": lambda p: "read" if "readonly" in p.device.facts else "write",
    }),
    "net": Family("KVM_NetResourceAllocationSettingData", "interface", 10, {
        "Address": Field("mac/@address"), "ResourceSubType": Field("model/@type"), "NetworkType": Field("@type"),
        "NetworkMode": Field("source/@mode"), "SourceDevice": Field("source/@dev"), "VirtualDevice": Field("target/@dev"),
        "FilterRef": Field("filterref/@filter"), "VSIType": Field("virtualport/@type"),
        "VSIManagerID": Field("virtualport/parameters/@managerid"),
        "VSIInstanceID": Field("virtualport/parameters/@instanceid"), "ProfileID": Field("virtualport/parameters/@profileid"),
        **ethernet.FIELDS,
    }, "Virtual network interface", columns={
        **PLACED, **PORT, "AllocationUnits": lambda p: ethernet.UNIT,
        "NetworkName": lambda p: _network(p) or None, "Connection": lambda p: [_network(p)] if _network(p) else None,
    }),
    "mem": Family("KVM_MemResourceAllocationSettingData", "memory", 4, {}, "Virtual memory", columns={
        "VirtualQuantity": lambda p: p.guest.view.memory // KIB, "Reservation": lambda p: p.guest.view.memory // KIB,
        "Limit": lambda p: p.guest.view.max_memory // KIB,
        "AllocationUnits": lambda p: "byte*2^10", "VirtualQuantityUnits": lambda p: "byte*2^10",
        "dumpCore": lambda p: p.guest.details["memory/@dumpCore"] != "off",
    }),
    "proc": Family("KVM_ProcResourceAllocationSettingData", "vcpu", 3, {}, "Virtual CPUs", columns={
        "VirtualQuantity": lambda p: p.guest.view.vcpus, "Limit": lambda p: p.guest.view.max_vcpus,
        "Reservation": lambda p: p.guest.view.vcpus, "Weight": lambda p: _number(p.guest.details["cputune/shares"]),
    }),
    "graphics": Family("KVM_GraphicsResourceAllocationSettingData", "graphics", 24, {
        "ResourceSubType": Field("@type"), "VirtualDevice": Field("@type"), "KeyMap": Field("@keymap"),
    }, "Virtual display", columns={
        "Address": lambda p: _listening(p), "IsIPv6Only": lambda p: ":" in (p.device["listen/@address"] or p.device["@listen"]),
    }),
    "console": Family("KVM_ConsoleResourceAllocationSettingData", "console", 21, {
        "SourceType": Field("@type"), "TargetType": Field("target/@type"), "SourcePath": Field("source/@path"),
    }, "Virtual console"),
    "input": Family("KVM_InputResourceAllocationSettingData", "input", 13, {
        "ResourceSubType": Field("@type"), "BusType": Field("@bus"),
    }, "Virtual input device"),
    "controller": Family("KVM_ControllerResourceAllocationSettingData", "controller", 1, {
        "ResourceSubType": Field("@type"), "Model": Field("@model"), "Index": Field("@index", number=True),
        "Ports": Field("@ports", number=True), "Vectors": Field("@vectors", number=True),
        "Queues": Field("driver/@queues", number=True),
    }, "Virtual controller", other="controller", columns=PLACED),
}  # fmt: skip
"""The kinds of resources, by family of parts."""
BY_CLASS = {family.cls: name for name, family in FAMILIES.items()}


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _listening(part: Part) -> str:
    host = part.device["listen/@address"] or part.device["@listen"] or "127.0.0.1"
    return f"{host}:{part.device['@port'] or '-1'}"


def _columns(family: Family) -> Columns[Part]:
    columns: dict[str, object] = {
        "InstanceID": lambda p: p.id,
        "ElementName": lambda p: p.id,
        "Caption": family.words,
        "ResourceType": family.type,
        "OtherResourceType": family.other,
        "PoolID": lambda p: pool_id(p.guest.mirror, p),
        "ChangeableType": 2,
        "ConfigurationName": lambda p: p.guest.name,
        "ConsumerVisibility": 3,
        "AutomaticAllocation": True,
        "AutomaticDeallocation": True,
        "MappingBehavior": 2,
        "VirtualQuantity": 1,
        "AllocationUnits": "count",
        "VirtualQuantityUnits": "count",
    }
    for name, at in family.fields.items():
        columns[name] = lambda p, at=at: at.read(p.device.facts)
    return {**columns, **(family.columns or {})}  # type: ignore[dict-item]


MARK = f"{DEFINED[1:]}/"


def configurations(world: World) -> Iterable[Guest]:
    """Every guest as it is, and as its next start will have it where that is something else (DSP1057)."""
    for guest in world.guests.values():
        yield guest
        if guest.next is not None:
            yield guest.next


def guest_of_id(world: World, given: Value) -> tuple[Guest | None, str]:
    """The guest of a part's InstanceID or DeviceID, and the part's name."""
    name, _, part = str(given).partition("/")
    guest = world.named.get(name)
    if part.startswith(MARK):
        return (guest.next if guest else None), part.removeprefix(MARK)
    return guest, part


def _resource_kind(name: str, family: Family) -> Kind[Part | Bound]:
    def every(world: World) -> Iterable[Part | Bound]:
        yield from bounds.every(world, name)
        yield from (part for guest in configurations(world) for part in guest.of(name))

    def find(world: World, path: Path) -> Part | Bound | None:
        guest, part = guest_of_id(world, path.key("InstanceID"))
        found = guest.parts.get(part) if guest else None
        return found if found is not None and found.family == name else bounds.find(world, name, path)

    return Kind(family.cls, bounds.beside(_columns(family)), every, find)


# --- the guest as a whole

KINDS_OF_GUESTS = {"kvm": "KVM", "qemu": "QEMU"}
"""VirtualSystemType by the type of a definition: with hardware virtualization, or emulated."""
RECOVERY = {"restart": 3, "rename-restart": 3}
BOOT_DEVICES = 16
SYSTEM_FIELDS: Mapping[str, Field] = {
    "Arch": Field("os/type/@arch"), "Machine": Field("os/type/@machine"), "Kernel": Field("os/kernel"),
    "Ramdisk": Field("os/initrd"), "CommandLine": Field("os/cmdline"), "BootLoader": Field("os/loader"),
    "ClockOffset": Field("clock/@offset"), "EnableACPI": Field("features/acpi", yes=""),
    "EnableAPIC": Field("features/apic", yes=""), "EnablePAE": Field("features/pae", yes=""),
}  # fmt: skip


def boot_devices(guest: Guest) -> list[str] | None:
    paths = ["os/boot/@dev", *(f"os/boot#{n}/@dev" for n in range(2, BOOT_DEVICES))]
    return [guest.details[path] for path in paths if guest.details[path]] or None


def system_columns() -> Columns[Guest]:
    """What is said of a guest as a whole, besides the InstanceID."""
    columns: dict[str, object] = {
        "ElementName": lambda g: g.name,
        "Caption": "Virtual system settings",
        "Description": lambda g: g.view.description,
        "Notes": lambda g: [note for note in (g.view.title, g.view.description) if note] or None,
        "VirtualSystemIdentifier": lambda g: g.name,
        "VirtualSystemType": lambda g: KINDS_OF_GUESTS.get(g.view.virt_type, g.view.virt_type.upper()),
        "ConfigurationName": lambda g: g.name,
        "ConfigurationID": lambda g: g.view.uuid,
        "ChangeableType": 2,
        "UUID": lambda g: g.view.uuid,
        "AutoStart": lambda g: int(g.view.autostart),
        "AutomaticStartupAction": lambda g: 4 if g.view.autostart else 2,
        "AutomaticShutdownAction": 2,
        "AutomaticRecoveryAction": lambda g: RECOVERY.get(g.details["on_crash"], 2),
        "Emulator": lambda g: next((d["."] for d in g.details.of("emulator")), None),
        "BootDevices": boot_devices,
        "BootDevice": lambda g: next(iter(boot_devices(g) or ()), None),
        "IsFullVirt": True,
        "CreationClassName": VSSD,
    }
    for name, at in SYSTEM_FIELDS.items():
        columns[name] = lambda g, at=at: at.read(g.details.facts)
    return columns  # type: ignore[return-value]


def system_id(guest: Guest) -> str:
    return f"{PREFIX}{guest.name}{DEFINED if guest.defined else ''}"


def guest_of_system_id(world: World, given: Value) -> Guest | None:
    """The guest, or what its next start will be, that settings of a whole are of."""
    name, marked, rest = str(given).partition(DEFINED)
    guest = world.named.get(name.removeprefix(PREFIX)) if name.startswith(PREFIX) and not rest else None
    return guest.next if guest and marked else guest


def _find_system(world: World, path: Path) -> Guest | None:
    return guest_of_system_id(world, path.key("InstanceID"))


SYSTEMS: Kind[Guest] = Kind(
    VSSD, {"InstanceID": system_id, **system_columns()}, every=configurations, find=_find_system,
)  # fmt: skip
RESOURCES: Mapping[str, Kind[Part | Bound]] = {name: _resource_kind(name, family) for name, family in FAMILIES.items()}
KINDS: Sequence[Kind[Any]] = (SYSTEMS, *RESOURCES.values())
