"""Disks as QEMU's command line has them, without the objects beside them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.complete import complete
from frontinus.domain.definition import parse_guest
from frontinus.domain.host import HostFacts
from frontinus.domain.prepare import prepare
from frontinus.qemu.argv.block import disks
from frontinus.qemu.argv.context import Context
from frontinus.qemu.argv.secrets import Sealed, SecretUse
from support.guests import document, host, qemu72

Props = dict[str, Any]


STORAGE = {"node-name": "frontinus-1-storage", "auto-read-only": True, "discard": "unmap"}


UUID = "0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f"


class Anything(Capabilities):
    """An emulator whose schema has whatever is asked for: drivers that newer ones dropped."""

    def has_schema(self, path: str) -> bool:
        return True


def anything() -> Anything:
    probe = qemu72()
    return Anything(**{field.name: getattr(probe, field.name) for field in dataclasses.fields(probe)})


def seal(use: SecretUse) -> Sealed:
    return Sealed(f"{use.type}:{use.uuid or use.usage or use.value}", "iv")


def context(devices: str, *, machine: str = "pc", facts: HostFacts | None = None, caps: Capabilities | None = None,
            more: str = "") -> Context:  # fmt: skip
    caps, facts = caps or anything(), facts or host()
    guest = prepare(complete(parse_guest(document(devices, machine, more)), caps, facts), caps, facts, guest_id=1)
    return Context(guest, caps, facts, "/folder", seal=seal)


def built(devices: str, **how: Any) -> tuple[Context, dict[str, list[Props]]]:
    """All disks of a guest: properties by option, in order."""
    ctx = context(devices, **how)
    disks.build(ctx)
    found: dict[str, list[Props]] = {}
    for item in ctx.items:
        value = dict(item.value) if isinstance(item.value, Mapping) else {"text": item.value}
        found.setdefault(item.option, []).append(value)
    return ctx, found


def network(protocol: str, attributes: str = "", inside: str = "", driver: str = "type='raw'") -> str:
    return (f"<disk type='network' device='disk'><driver name='qemu' {driver}/><source protocol='{protocol}' {attributes}>"
            f"{inside}</source><target dev='vda' bus='virtio'/></disk>")  # fmt: skip


def file(attributes: str = "", inside: str = "", *, target: str = "vda", bus: str = "virtio", device: str = "disk",
         path: str = "/a") -> str:  # fmt: skip
    return (f"<disk type='file' device='{device}'><driver name='qemu' {attributes}/><source file='{path}'/>{inside}"
            f"<target dev='{target}' bus='{bus}'/></disk>")  # fmt: skip
