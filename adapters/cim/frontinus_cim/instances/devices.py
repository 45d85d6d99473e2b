"""Guests' devices as CIM_LogicalDevice: processors, memory, disks, ports, screens (DSP1044, DSP1045, DSP1047, DSP1059)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from frontinus.api.views import BlockStats
from frontinus_cim.host.guest import Guest, Part
from frontinus_cim.host.world import World
from frontinus_cim.instances.kinds import FIGURES, Kind, Node
from frontinus_cim.instances.states import shown
from frontinus_cim.wire.model import GUEST, Path
from frontinus_cim.wire.writer import Columns

BLOCK = 512
PAGE = 4096
PROTOCOLS = {"scsi": 9, "usb": 16, "ide": 37, "sata": 48, "fdc": 7, "pci": 5}
"""ProtocolSupported of a controller by its type; others are 1 (Other)."""


def common(cls: str, words: str) -> Columns[Part]:
    """What all devices have."""
    return {
        "SystemCreationClassName": GUEST,
        "SystemName": lambda p: p.guest.name,
        "CreationClassName": cls,
        "DeviceID": lambda p: p.id,
        "Name": lambda p: p.name,
        "ElementName": lambda p: f"{p.name} of {p.guest.name}",
        "Caption": words,
        "EnabledState": lambda p: 2 if p.guest.view.active else 3,
        "RequestedState": 12,
        "EnabledDefault": 2,
        "OperationalStatus": lambda p: [shown(p.guest.view).status],
        "StatusDescriptions": lambda p: [shown(p.guest.view).words],
        "HealthState": lambda p: shown(p.guest.view).health,
    }


def processors(guest: Guest) -> list[Part]:
    """A part for each virtual CPU that is there now."""
    proc = guest.parts["proc"]
    return [Part(guest, str(number), "proc", proc.device, number) for number in range(guest.view.vcpus)]


def memory(guest: Guest) -> list[Part]:
    return guest.of("mem")


def chosen(family: str, condition: Callable[[Part], bool] = lambda part: True) -> Callable[[Guest], list[Part]]:
    """The parts of a family that a condition holds for."""
    return lambda guest: [part for part in guest.of(family) if condition(part)]


def _block(part: Part) -> BlockStats | None:
    figures = part.guest.figures
    return next((b for b in figures.blocks if b.name == part.name), None) if figures else None


def _blocks(part: Part) -> int | None:
    """Size in blocks, once the guest ran and its figures are known."""
    found = _block(part)
    return found.capacity // BLOCK if found and found.capacity is not None else None


def _is(*devices: str) -> Callable[[Part], bool]:
    return lambda part: (part.device["@device"] or "disk") in devices


def mac_of(part: Part) -> str:
    """An interface's address: twelve hexadecimal digits."""
    return part.device["mac/@address"].replace(":", "").upper()


DEVICES: Mapping[str, tuple[Callable[[Guest], Iterable[Part]], Columns[Part]]] = {
    "KVM_Processor": (processors, {
        **common("KVM_Processor", "Virtual CPU"),
        "Family": 2, "Role": "Central Processor", "CPUStatus": lambda p: 1 if p.guest.view.active else 4,
        "NumberOfEnabledCores": 1, "AddressWidth": lambda p: 32 if p.guest.view.arch in ("i686", "armv7l") else 64,
    }),
    "KVM_Memory": (memory, {
        **common("KVM_Memory", "Virtual memory"),
        "BlockSize": PAGE, "NumberOfBlocks": lambda p: p.guest.view.max_memory // PAGE,
        "ConsumableBlocks": lambda p: p.guest.view.memory // PAGE, "Volatile": True, "Access": 3, "Primordial": False,
    }),
    "KVM_LogicalDisk": (chosen("disk", _is("disk", "lun")), {
        **common("KVM_LogicalDisk", "Virtual disk"),
        "Name": lambda p: p.device["target/@dev"], "BlockSize": BLOCK, "NumberOfBlocks": _blocks, "ConsumableBlocks": _blocks,
        "Access": lambda p: 1 if "readonly" in p.device.facts else 3, "Primordial": False, "NameFormat": 12,
    }),
    "KVM_CDROMDrive": (chosen("disk", _is("cdrom", "floppy")), {
        **common("KVM_CDROMDrive", "Virtual drive for media"),
        "Name": lambda p: p.device["target/@dev"], "Capabilities": [7],
    }),
    "KVM_NetworkPort": (chosen("net"), {
        **common("KVM_NetworkPort", "Virtual network port"),
        "LinkTechnology": 2, "PermanentAddress": mac_of, "NetworkAddresses": lambda p: [mac_of(p)],
        "ActiveMaximumTransmissionUnit": lambda p: int(p.device["mtu/@size"]) if p.device["mtu/@size"].isdecimal() else None,
    }),
    "KVM_DisplayController": (lambda guest: guest.of("graphics", "video"), {
        **common("KVM_DisplayController", "Virtual display or graphics card"),
        "VideoProcessor": lambda p: p.device["model/@type"] or p.device["@type"],
    }),
    "KVM_ConsoleDisplayController": (chosen("console"), common("KVM_ConsoleDisplayController", "Virtual console")),
    "KVM_PointingDevice": (chosen("input"), {
        **common("KVM_PointingDevice", "Virtual input device"),
        "PointingType": lambda p: 3 if p.device["@type"] == "mouse" else 1,
    }),
    "KVM_Controller": (chosen("controller"), {
        **common("KVM_Controller", "Virtual controller"),
        "ProtocolSupported": lambda p: PROTOCOLS.get(p.device["@type"], 1),
    }),
}  # fmt: skip
"""By class: which parts of a guest, and how each property comes from one."""


def _kind(cls: str) -> Kind[Part]:
    parts, columns = DEVICES[cls]

    def every(world: World) -> Iterable[Part]:
        return (part for guest in world.guests.values() for part in parts(guest))

    def find(world: World, path: Path) -> Part | None:
        guest = world.named.get(str(path.key("SystemName")))
        return next((part for part in parts(guest) if part.id == path.key("DeviceID")), None) if guest else None

    needs = FIGURES if cls == "KVM_LogicalDisk" else ""
    return Kind(cls, columns, every, find, needs=needs)


KINDS: Mapping[str, Kind[Part]] = {cls: _kind(cls) for cls in DEVICES}


def of_guest(guest: Guest) -> Iterable[Node]:
    """All devices of a guest."""
    return (Node(KINDS[cls], part) for cls, (parts, _) in DEVICES.items() for part in parts(guest))
