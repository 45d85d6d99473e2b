"""From settings to a definition: domain XML's elements out of CIM instances, by the same table that reads them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from lxml import etree

from frontinus_cim.host.guest import KIB
from frontinus_cim.instances import ethernet, fields
from frontinus_cim.instances.bounds import USUAL_MEMORY
from frontinus_cim.instances.fields import Element, put
from frontinus_cim.instances.pools import PRIMORDIAL
from frontinus_cim.instances.settings import BY_CLASS, DRIVES, FAMILIES, KINDS_OF_GUESTS, SYSTEM_FIELDS, Family
from frontinus_cim.wire.errors import invalid
from frontinus_cim.wire.model import Embedded, Value

UNITS = {"byte": 1, "bytes": 1, "kilobytes": 2**10, "megabytes": 2**20, "gigabytes": 2**30, "kib": 2**10, "mib": 2**20,
         "gib": 2**30}  # fmt: skip
POWER = re.compile(r"byte\s*\*\s*(2|10)\s*\^\s*(\d{1,2})", re.ASCII)
MEMORY_AMOUNTS = ("VirtualQuantity", "Reservation", "Limit")
BY_TYPE = {family.type: name for name, family in FAMILIES.items() if family.other is None}
BY_TYPE |= {15: "disk", 16: "disk", 14: "disk", 31: "disk", 32769: "console", 32771: "controller"}
"""ResourceType as DMTF has it, and libvirt-cim's own numbers where it has some."""


OLDER: Mapping[str, Mapping[str, str]] = {
    "ClockOffset": {"0": "utc", "1": "localtime"}, "ForwardMode": {"0": "none", "1": "nat", "2": "route"},
    "FormatType": {"1": "raw", "2": "qcow2"},
}  # fmt: skip
"""Properties that are numbers in libvirt-cim: what they mean."""


def in_words(settings: Embedded) -> Embedded:
    """Settings with the numbers of libvirt-cim's clients as the words that they stand for."""
    return replace(settings, values={
        name: OLDER[name].get(str(value), value) if name in OLDER and value is not None else value
        for name, value in settings.values.items()
    })  # fmt: skip


def family_of(settings: Embedded) -> tuple[str, Family]:
    """What kind of resource settings are about: by their class, else by ResourceType. Raises CimError."""
    name = BY_CLASS.get(settings.cls)
    if name is None:
        kind = settings.values.get("ResourceType")
        name = BY_TYPE.get(kind) if isinstance(kind, int) else None
    if name is None:
        raise invalid(f"{settings.cls}: ResourceType {settings.values.get('ResourceType')} is not offered")
    return name, FAMILIES[name]


def quantity(settings: Embedded, name: str) -> int | None:
    """An amount of memory in bytes, by AllocationUnits. Raises CimError."""
    amount = settings.values.get(name)
    return amount * unit(settings.values.get("AllocationUnits")) if isinstance(amount, int) else None


def unit(given: Value, prop: str = "AllocationUnits") -> int:
    """Bytes in a unit. Raises CimError."""
    words = str(given or "byte*2^10").strip().lower()
    power = POWER.fullmatch(words)
    if power is None and words not in UNITS:
        raise invalid(f"{prop} '{words[:40]}' is not known; byte*2^10 and the like are")
    return int(power[1]) ** int(power[2]) if power else UNITS[words]


def in_kibibytes(settings: Embedded) -> Embedded:
    """Settings with their amounts of memory in KiB, whatever AllocationUnits they came in. Raises CimError."""
    values = dict(settings.values)
    if not any(values.get(name) for name in MEMORY_AMOUNTS):
        return settings
    size = unit(values.pop("AllocationUnits", None))
    return replace(settings, values={
        name: value * size // KIB if name in MEMORY_AMOUNTS and isinstance(value, int) else value
        for name, value in values.items()
    })  # fmt: skip


SIZES = ("Capacity", "Allocation", "AllocationQuantity")
SIZE_UNITS = ("AllocationQuantityUnits", "AllocationUnits")
"""Where a volume's settings may say what its sizes are in; the second may be the count of volumes too."""


def volume_in_bytes(settings: Embedded) -> Embedded:
    """A volume's settings with their sizes in bytes. Raises CimError."""
    values = {name: value for name, value in settings.values.items() if value is not None}
    said = {unit(values.pop(name), name) for name in SIZE_UNITS if values.get(name) not in (None, "", "count")}
    if len(said) > 1:
        raise invalid(f"{' and '.join(SIZE_UNITS)} say different units")
    size = said.pop() if said else 1
    return replace(settings, values={
        name: value * size if name in SIZES and isinstance(value, int) else value for name, value in values.items()
    })  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """The properties of a resource that are to be others; None takes one away."""

    family: str
    values: Mapping[str, Value]

    def __str__(self) -> str:
        return ", ".join(self.values)

    def get(self, name: str) -> Value:
        return self.values.get(name)


# --- elements


def update(element: Element, name: str, settings: Embedded) -> None:
    """Change a device's element by the properties that settings have. Raises CimError."""
    if name == "net":
        settings = ethernet.in_kilobytes(settings)
        if settings.values.get("NetworkType") not in (None, element.get("type")):
            put(element, "source", None)
    fields.update(element, FAMILIES[name].fields, settings.values)
    if (special := SPECIAL.get(name)) is not None:
        special(element, settings)


REPLACES = frozenset({"BusType"})
"""Properties with which a device gets another place in the guest."""


def change(element: Element, wanted: Wanted) -> None:
    """Make a device what is wanted. Raises CimError."""
    family = FAMILIES[wanted.family]
    fields.clear(element, family.fields, [name for name, value in wanted.values.items() if value is None])
    update(element, wanted.family, Embedded(family.cls, wanted.values))
    if REPLACES & wanted.values.keys():
        put(element, "address", None)


def device(name: str, settings: Embedded) -> Element:
    """A new device. Raises CimError."""
    element = etree.Element(TAGS.get(name, FAMILIES[name].tag))
    update(element, name, settings)
    return element


TAGS: Mapping[str, str] = {"console": "serial"}


def _disk(disk: Element, settings: Embedded) -> None:
    values, source = settings.values, settings.values.get("Address")
    hosts = values.get("HostResource")
    if not source and isinstance(hosts, list) and hosts:
        source = hosts[0]
    if isinstance(source, str) and source and not any(source in old.attrib.values() for old in disk.findall("source")):
        kind = "block" if source.startswith("/dev/") else "file"
        disk.set("type", kind)
        if (old := disk.find("source")) is not None:
            disk.remove(old)
        etree.SubElement(disk, "source").set("dev" if kind == "block" else "file", source)
    if disk.get("type") is None:
        disk.set("type", "file")
    drive = values.get("EmulatedType")
    if isinstance(drive, int):
        if not 0 <= drive < len(DRIVES):
            raise invalid(f"EmulatedType {drive} is not known")
        disk.set("device", DRIVES[drive])
    elif values.get("ResourceType") in (15, 16):
        disk.set("device", "cdrom")
    elif values.get("ResourceType") == 14:
        disk.set("device", "floppy")
    for prop, means in ACCESS.items():
        if (only := means.get(values.get(prop))) is not None:
            put(disk, "readonly", "" if only or values.get("readonly") else None)
    if disk.find("target") is None:
        raise invalid("a disk needs VirtualDevice, its name in the guest")


ACCESS: Mapping[str, Mapping[object, bool]] = {
    "AccessMode": {"read": True, "write": False},
    "Access": {1: True, 3: False},
}
"""Whether a disk is only read, by properties that say it in other words than `readonly`."""


def place(values: Mapping[str, Value]) -> str | None:
    """The network or bridge that an interface is to be on."""
    connection, pool = values.get("Connection"), str(values.get("PoolID") or "").partition("/")[2]
    first = connection[0] if isinstance(connection, list) and connection else None
    name = values.get("NetworkName") or first or (pool if pool != PRIMORDIAL else None)
    return str(name) if name else None


def _interface(nic: Element, settings: Embedded) -> None:
    values = settings.values
    name = place(values)
    if nic.get("type") is None:
        nic.set("type", "network" if name else "user")
    kind = "network" if nic.find("source[@network]") is not None else nic.get("type", "")
    if kind in ("network", "bridge"):
        _move(nic, kind, name)
    for nothing in [one for one in nic.findall("filterref") if one.get("filter") is None]:
        nic.remove(nothing)
    ethernet.write_vlans(nic, values)


def _move(nic: Element, kind: str, name: str | None) -> None:
    """Put an interface on a network or bridge; what was said of where it was goes."""
    if name is not None and name not in [source.get(kind) for source in nic.findall("source")]:
        put(nic, "source", None)
        put(nic, f"source/@{kind}", name)
    if nic.find(f"source[@{kind}]") is None:
        raise invalid(f"a network interface of type {kind} needs NetworkName or PoolID")


def _graphics(display: Element, settings: Embedded) -> None:
    values = settings.values
    if display.get("type") is None:
        display.set("type", "vnc")
    if isinstance(address := values.get("Address"), str) and address:
        if (found := listening(address)) is None:
            raise invalid(f"Address '{address[:60]}' is no host and port")
        host, port = found
        display.set("autoport", "yes" if int(port) < 0 else "no")
        display.set("port", port)
        display.set("listen", host)
        for listen in display.findall("listen"):
            display.remove(listen)
    if isinstance(password := values.get("Password"), str) and password:
        display.set("passwd", password)
    if values.get("IsIPv6Only") and not values.get("Address"):
        display.set("listen", "::1")


def listening(address: Value) -> tuple[str, str] | None:
    """Host and port where a display is, however they are written; None for what is no address."""
    host, _, port = str(address or "").rpartition(":")
    plain = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    return (plain, port) if port.removeprefix("-").isdecimal() else None


def _input(device: Element, settings: Embedded) -> None:
    if device.get("type") is None:
        raise invalid("an input device needs ResourceSubType: mouse, tablet or keyboard")


WITH_PATH = ("dev", "file", "pipe", "unix")
"""Types of consoles that have a place on the host."""


def _console(console: Element, settings: Embedded) -> None:
    if console.get("type") is None:
        console.set("type", "pty")
    if settings.values.get("SourcePath") and console.get("type") not in WITH_PATH:
        raise invalid(f"SourcePath: a console of type {console.get('type')} has none")
    target = settings.values.get("TargetType")
    if isinstance(target, str) and target not in ("serial", "", "isa-serial", "usb-serial", "pci-serial"):
        console.tag = "console"


def _controller(controller: Element, settings: Embedded) -> None:
    if controller.get("type") is None:
        raise invalid("a controller needs ResourceSubType, such as scsi")


SPECIAL: Mapping[str, Callable[[Element, Embedded], None]] = {
    "disk": _disk, "net": _interface, "graphics": _graphics, "input": _input, "console": _console,
    "controller": _controller,
}  # fmt: skip
"""What of a family's settings is more than one place in the element."""


# --- the whole

CRASH = {2: "destroy", 3: "restart"}
MOST_BOOT_DEVICES = 8


def system(domain: Element, settings: Embedded) -> None:
    """Change a definition by the properties that a guest's settings have. Raises CimError."""
    values = settings.values
    for prop, path in (("VirtualSystemIdentifier", "name"), ("UUID", "uuid"), ("Description", "description"),
                       ("Emulator", "devices/emulator")):  # fmt: skip
        if isinstance(text := values.get(prop), str) and (text or prop == "Description"):
            put(domain, path, text or None)
    if domain.find("name") is None and isinstance(name := values.get("ElementName"), str) and name:
        put(domain, "name", name)
    fields.update(domain, SYSTEM_FIELDS, values)
    if isinstance(recovery := values.get("AutomaticRecoveryAction"), int):
        if recovery not in CRASH:
            raise invalid(f"AutomaticRecoveryAction {recovery} is not offered")
        put(domain, "on_crash", CRASH[recovery])
    if isinstance(first := values.get("BootDevice"), str) and first and values.get("BootDevices") is None:
        _boot(domain, [first])
    if isinstance(boot := values.get("BootDevices"), list):
        _boot(domain, [str(one) for one in boot[:MOST_BOOT_DEVICES]])


def _boot(domain: Element, names: list[str]) -> None:
    put(domain, "os", "")
    os = domain.find("os")
    assert os is not None
    for old in os.findall("boot"):
        os.remove(old)
    for name in names:
        etree.SubElement(os, "boot").set("dev", boot_name(name))


def boot_name(name: str) -> str:
    """What a definition calls a kind of device that can be started from."""
    return {"disk": "hd", "net": "network", "floppy": "fd"}.get(name, name)


def resources(domain: Element, given: list[Embedded]) -> None:
    """Put resources into a definition. Raises CimError."""
    put(domain, "devices", "")
    devices = domain.find("devices")
    assert devices is not None
    for settings in given:
        name, _ = family_of(settings)
        if name == "mem":
            memory(domain, settings)
        elif name == "proc":
            processors(domain, settings)
        else:
            devices.append(device(name, settings))


def memory(domain: Element, settings: Embedded) -> None:
    now, most = quantity(settings, "VirtualQuantity"), quantity(settings, "Limit")
    if now is None and most is None:
        raise invalid("memory needs VirtualQuantity")
    top = max(now or 0, most or 0)
    for tag, size in (("memory", top), ("currentMemory", now or top)):
        put(domain, tag, str(size))
        put(domain, f"{tag}/@unit", "b")
    if isinstance(dump := settings.values.get("dumpCore"), bool):
        put(domain, "memory/@dumpCore", "on" if dump else "off")


def processors(domain: Element, settings: Embedded) -> None:
    now, most = settings.values.get("VirtualQuantity"), settings.values.get("Limit")
    counts = [count for count in (now, most) if isinstance(count, int)]
    if not counts:
        raise invalid("processors need VirtualQuantity")
    put(domain, "vcpu", str(max(counts)))
    put(domain, "vcpu/@current", str(now) if isinstance(now, int) and now < max(counts) else None)
    if isinstance(weight := settings.values.get("Weight"), int):
        put(domain, "cputune/shares", str(weight))


def definition(whole: Embedded, given: list[Embedded], reference: Element | None, *, kvm: bool) -> str:
    """A new guest's definition. `reference`: one to begin with. Raises CimError."""
    domain = reference if reference is not None else etree.Element("domain", type="kvm" if kvm else "qemu")
    if (kind := whole.values.get("VirtualSystemType")) is not None:
        if str(kind).lower() not in KINDS_OF_GUESTS:
            raise invalid(f"VirtualSystemType '{str(kind)[:40]}' is not offered; KVM and QEMU are")
        domain.set("type", str(kind).lower())
    if reference is not None:
        for path in ("uuid", "name", "os/nvram"):
            put(domain, path, None)
        for mac in domain.findall("devices/interface/mac"):
            if (nic := mac.getparent()) is not None:
                nic.remove(mac)
    system(domain, whole)
    if domain.find("name") is None:
        raise invalid("VirtualSystemIdentifier or ElementName must name the guest")
    put(domain, "os/type", "hvm")
    if domain.find("features") is None and whole.values.get("EnableACPI") is None:
        put(domain, "features/acpi", "")
    resources(domain, given)
    if domain.find("memory") is None:
        put(domain, "memory", str(USUAL_MEMORY))
        put(domain, "memory/@unit", "b")
    return fields.text(domain)
