"""What of a guest changes rarely: its names for collectd and the pinning of its virtual CPUs. Read anew at intervals."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from xml.etree import ElementTree

from frontinus.api.engine import Engine
from frontinus.api.errors import Disconnected, FrontinusError, Unresponsive
from frontinus.api.views import GuestStats
from frontinus.client.cpulist import cpus as cpus_of
from frontinus_collectd.link import Link
from frontinus_collectd.settings import Settings, Where

LONGEST = 127
"""Bytes of a name that collectd keeps."""


@dataclass
class Facts:
    """Of one guest. `read`: the monotonic time at which it was asked for."""

    read: float
    metadata: str = ""
    pins: Mapping[int, frozenset[int]] = field(default_factory=dict)


def learn(link: Link, settings: Settings, guest: GuestStats, cpus: int, now: float) -> Facts:
    """Ask for what the settings need of a guest; what it does not have, or we may not see, is left out.

    Raises Disconnected and Unresponsive.
    """
    facts = Facts(now)
    if "metadata" in (*settings.hostname_format, *settings.instance_format):
        with _if_any():
            facts.metadata = _metadata(link, settings, guest.uuid)
    if "vcpupin" in settings.extra and guest.id is not None:
        with _if_any():
            facts.pins = pins(link.call(Engine.guest_xml, guest.uuid), cpus)
    return facts


@contextmanager
def _if_any() -> Iterator[None]:
    try:
        yield
    except (Disconnected, Unresponsive):
        raise
    except FrontinusError:
        pass


def _metadata(link: Link, settings: Settings, uuid: str) -> str:
    document = link.call(Engine.metadata, uuid, "element", settings.metadata_namespace)
    return value_at(document, settings.metadata_place)


def value_at(document: str, place: Where) -> str:
    """The text or attribute at a place of a document; empty where there is none."""
    element: ElementTree.Element | None = ElementTree.fromstring(document)
    first, *steps = place.steps
    if element is None or _local(element.tag) != first:
        return ""
    for step in steps:
        element = next((child for child in element if _local(child.tag) == step), None)
        if element is None:
            return ""
    if place.attribute is None:
        return (element.text or "").strip()
    return next((value for name, value in element.attrib.items() if _local(name) == place.attribute), "")


def _local(name: object) -> str:
    return str(name).rpartition("}")[2]


def pins(document: str, cpus: int) -> dict[int, frozenset[int]]:
    """The host's CPUs by virtual CPU, as a guest's XML pins them; all where it does not."""
    guest = ElementTree.fromstring(document)
    vcpu = guest.find("vcpu")
    usual = cpus_of(vcpu.get("cpuset", "") if vcpu is not None else "", cpus) or frozenset(range(cpus))
    count = int((vcpu.get("current") or vcpu.text or "1") if vcpu is not None else 1)
    found = dict.fromkeys(range(count), usual)
    for pin in guest.iterfind("cputune/vcpupin"):
        number = int(pin.get("vcpu", "-1"))
        if number in found:
            found[number] = cpus_of(pin.get("cpuset", ""), cpus)
    return found


def names(settings: Settings, guest: GuestStats, facts: Facts) -> tuple[str, str]:
    """The host and the plugin instance of a guest's values. An empty host is collectd's own name."""
    parts = {"name": guest.name, "uuid": guest.uuid, "metadata": facts.metadata}
    if settings.hostname_format == ("hostname",) and settings.hostname is None:
        host = ""
    else:
        parts["hostname"] = settings.hostname or socket.gethostname()
        host = ":".join(parts[part] for part in settings.hostname_format)
    return host, ":".join(parts[part] for part in settings.instance_format)


def too_long(name: str) -> bool:
    return len(name.encode()) > LONGEST
