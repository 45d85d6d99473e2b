"""What only a guest's XML says: sources and drivers of disks, bridges, limits, and what OpenStack wrote into the metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree

from frontinus.api.errors import InvalidXML
from frontinus_prometheus.labels import Place

NOVA = "{*}instance"
"""OpenStack's element inside <metadata>, whatever version its namespace has."""


@dataclass(frozen=True)
class Disk:
    """One <disk>. `limits` by the names of <iotune>'s elements."""

    target: str
    type: str = ""
    device: str = "disk"
    bus: str = ""
    serial: str = ""
    file: str = ""
    path: str = ""
    """The file, the block device, or the name of a network source."""
    protocol: str = ""
    driver: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Nic:
    """One <interface> that has a device on the host."""

    target: str
    type: str = ""
    bridge: str = ""
    mac: str = ""
    model: str = ""
    mtu: str = ""
    port: str = ""
    """The identity of its port on a virtual switch."""


@dataclass(frozen=True)
class Details:
    """Disks and interfaces by target; `nova` by the labels' names, empty without OpenStack."""

    disks: Mapping[str, Disk] = field(default_factory=dict)
    nics: Mapping[str, Nic] = field(default_factory=dict)
    nova: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    """Values of the labels that the operator chose."""


EMPTY = Details()

NOVA_PATHS: Mapping[str, tuple[str, str | None]] = {
    "name": ("{*}name", None), "flavor": ("{*}flavor", "name"), "user": ("{*}owner/{*}user", None),
    "user_id": ("{*}owner/{*}user", "uuid"), "project": ("{*}owner/{*}project", None),
    "project_id": ("{*}owner/{*}project", "uuid"), "root_type": ("{*}root", "type"), "root_id": ("{*}root", "uuid"),
}  # fmt: skip
"""Where OpenStack keeps what: an element, and its attribute or its text."""


def details(text: str, places: Mapping[str, Place] | None = None) -> Details:
    """Read a definition, with labels from these places of its metadata. Raises InvalidXML."""
    try:
        domain = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InvalidXML(f"the engine's definition does not parse: {error}") from None
    disks = [_disk(element) for element in domain.iterfind("devices/disk")]
    nics = [_nic(element) for element in domain.iterfind("devices/interface")]
    instance = domain.find(f"metadata/{NOVA}")
    return Details({disk.target: disk for disk in disks}, {nic.target: nic for nic in nics if nic.target},
                   _nova(instance) if instance is not None else {}, _labels(domain.find("metadata"), places or {}))  # fmt: skip


def _disk(disk: ElementTree.Element) -> Disk:
    source, limits = _attributes(disk, "source"), disk.find("iotune")
    return Disk(
        target=_attributes(disk, "target").get("dev", ""), type=disk.get("type", ""), device=disk.get("device", "disk"),
        bus=_attributes(disk, "target").get("bus", ""), serial=disk.findtext("serial", ""), file=source.get("file", ""),
        path=source.get("file") or source.get("dev") or source.get("name") or "", protocol=source.get("protocol", ""),
        driver=_attributes(disk, "driver"),
        limits={e.tag: int(e.text) for e in limits if e.text and e.text.isdecimal()} if limits is not None else {},
    )  # fmt: skip


def _nic(nic: ElementTree.Element) -> Nic:
    return Nic(
        target=_attributes(nic, "target").get("dev", ""), type=nic.get("type", ""),
        bridge=_attributes(nic, "source").get("bridge", ""), mac=_attributes(nic, "mac").get("address", ""),
        model=_attributes(nic, "model").get("type", ""), mtu=_attributes(nic, "mtu").get("size", ""),
        port=_attributes(nic, "virtualport/parameters").get("interfaceid", ""),
    )  # fmt: skip


def _nova(instance: ElementTree.Element) -> Mapping[str, str]:
    found = {}
    for name, (path, attribute) in NOVA_PATHS.items():
        element = instance.find(path)
        if element is not None:
            found[name] = (element.get(attribute) if attribute else element.text) or ""
    return found


def _labels(metadata: ElementTree.Element | None, places: Mapping[str, Place]) -> Mapping[str, str]:
    if metadata is None:
        return {}
    return {name: value for name, place in places.items() if (value := place.read(metadata))}


def _attributes(parent: ElementTree.Element, path: str) -> Mapping[str, str]:
    element = parent.find(path)
    return {} if element is None else element.attrib
