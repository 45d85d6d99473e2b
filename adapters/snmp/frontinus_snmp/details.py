"""What only a guest's XML says: kinds of disks and interfaces, pinning, the operating system. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree

from frontinus.api.errors import InvalidXML

MAX_CPUS = 4096


@dataclass(frozen=True)
class Disk:
    """One <disk>."""

    target: str
    type: str = ""
    device: str = "disk"
    path: str = ""
    format: str = ""
    protocol: str = ""
    readonly: bool = False


@dataclass(frozen=True)
class Details:
    """Disks by target, models of interfaces by MAC, the host's CPUs of each pinned virtual CPU."""

    disks: Mapping[str, Disk] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    pins: Mapping[int, frozenset[int]] = field(default_factory=dict)
    os: str = ""


EMPTY = Details()


def details(text: str) -> Details:
    """Read a definition. Raises InvalidXML."""
    try:
        domain = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InvalidXML(f"the engine's definition does not parse: {error}") from None
    disks = [_disk(element) for element in domain.iterfind("devices/disk")]
    models = {_of(nic, "mac", "address"): _of(nic, "model", "type") for nic in domain.iterfind("devices/interface")}
    pins = {int(pin.get("vcpu", "-1")): cpus(pin.get("cpuset", "")) for pin in domain.iterfind("cputune/vcpupin")}
    return Details(
        {disk.target: disk for disk in disks}, models, pins, _of(domain, "metadata/{*}libosinfo/{*}os", "id")
    )


def cpus(text: str) -> frozenset[int]:
    """The CPUs of a list such as 0-3,^2,8."""
    found: set[int] = set()
    for part in text.split(","):
        word = part.strip()
        first, _, last = word.removeprefix("^").partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            continue
        named = range(int(first), min(int(last or first), MAX_CPUS) + 1)
        found = found.difference(named) if word.startswith("^") else found.union(named)
    return frozenset(found)


def _disk(disk: ElementTree.Element) -> Disk:
    source = disk.find("source")
    of = {} if source is None else source.attrib
    return Disk(
        target=_of(disk, "target", "dev"), type=disk.get("type", ""), device=disk.get("device", "disk"),
        path=of.get("file") or of.get("dev") or of.get("name") or of.get("volume") or of.get("dir") or "",
        format=_of(disk, "driver", "type"), protocol=of.get("protocol", ""), readonly=disk.find("readonly") is not None,
    )  # fmt: skip


def _of(parent: ElementTree.Element, path: str, name: str) -> str:
    element = parent.find(path)
    return "" if element is None else element.get(name, "")
