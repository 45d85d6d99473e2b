"""What only a guest's XML says: its disks and interfaces, and what OpenStack or the operator wrote into the metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lxml import etree

from frontinus.client.details import Device, of_root, parse
from frontinus_prometheus.labels import Place

NOVA = "metadata/{*}instance"
"""OpenStack's element, whatever version its namespace has."""

NOVA_PATHS: Mapping[str, tuple[str, str | None]] = {
    "name": ("{*}name", None), "flavor": ("{*}flavor", "name"), "user": ("{*}owner/{*}user", None),
    "user_id": ("{*}owner/{*}user", "uuid"), "project": ("{*}owner/{*}project", None),
    "project_id": ("{*}owner/{*}project", "uuid"), "root_type": ("{*}root", "type"), "root_id": ("{*}root", "uuid"),
}  # fmt: skip
"""Where OpenStack keeps what: an element, and its attribute or its text."""


@dataclass(frozen=True)
class Details:
    """Disks and interfaces by target; `nova` by the labels' names, empty without OpenStack."""

    disks: Mapping[str, Device] = field(default_factory=dict)
    nics: Mapping[str, Device] = field(default_factory=dict)
    nova: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    """Values of the labels that the operator chose."""


EMPTY = Details()


def details(text: str, places: Mapping[str, Place] | None = None) -> Details:
    """Read a definition, with labels from these places of its metadata. Raises InvalidXML."""
    domain = parse(text)
    known = of_root(domain)
    disks, nics = ({device["target/@dev"]: device for device in known.of(tag)} for tag in ("disk", "interface"))
    nics.pop("", None)  # without a device on the host
    return Details(disks, nics, _nova(domain), _labels(domain.find("metadata"), places or {}))


def _nova(domain: etree._Element) -> Mapping[str, str]:
    instance = domain.find(NOVA)
    if instance is None:
        return {}
    found = {name: (instance.find(path), attribute) for name, (path, attribute) in NOVA_PATHS.items()}
    return {name: (element.get(attribute) if attribute else element.text) or ""
            for name, (element, attribute) in found.items() if element is not None}  # fmt: skip


def _labels(metadata: etree._Element | None, places: Mapping[str, Place]) -> Mapping[str, str]:
    if metadata is None:
        return {}
    return {name: value for name, place in places.items() if (value := place.read(metadata))}
