"""What only a guest's XML says: kinds of disks and interfaces, pinning, the operating system. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from frontinus.client.cpulist import cpus
from frontinus.client.details import Device, of_root, parse

MAX_CPUS = 4096
SOURCES = ("file", "dev", "name", "volume", "dir")
"""Attributes of <source> that say where a disk is."""


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
    domain = parse(text)
    known = of_root(domain)
    disks = [_disk(device) for device in known.of("disk")]
    models = {nic["mac/@address"]: nic["model/@type"] for nic in known.of("interface")}
    pins = {
        int(pin.get("vcpu", "-1")): cpus(pin.get("cpuset", ""), MAX_CPUS + 1)
        for pin in domain.iterfind("cputune/vcpupin")
    }
    os = domain.find("metadata/{*}libosinfo/{*}os")
    return Details({disk.target: disk for disk in disks}, models, pins, "" if os is None else os.get("id", ""))


def _disk(disk: Device) -> Disk:
    return Disk(
        target=disk["target/@dev"], type=disk["@type"], device=disk["@device"] or "disk",
        path=next((path for name in SOURCES if (path := disk[f"source/@{name}"])), ""), format=disk["driver/@type"],
        protocol=disk["source/@protocol"], readonly="readonly" in disk.facts,
    )  # fmt: skip
