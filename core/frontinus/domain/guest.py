"""The guest: the model of a <domain> document."""

from __future__ import annotations

from frontinus.domain.devices import Devices
from frontinus.xml import Model, Raw, Size, one, xml
from frontinus.xml.codecs import Int, Uuid, one_of


class Guest(Model, tag="domain"):
    """A whole domain document. Sizes are bytes."""

    type: str = xml("@type", one_of("qemu", "kvm"), required=True)
    id: int | None = xml("@id", Int, live=True)
    name: str = xml("name", required=True)
    uuid: str | None = xml("uuid", Uuid)
    title: str | None = xml("title")
    description: str | None = xml("description")
    metadata: str | None = xml("metadata", Raw)
    memory: int | None = xml("memory", Size())
    current_memory: int | None = xml("currentMemory", Size())
    vcpus: int | None = xml("vcpu", Int)
    machine: str | None = xml("os/type/@machine")
    arch: str | None = xml("os/type/@arch")
    os_type: str | None = xml("os/type")
    devices: Devices = one("devices", Devices)
