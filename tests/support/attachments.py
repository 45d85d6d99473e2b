"""Interfaces, characters, displays and sound through the whole pipeline: completed, prepared, translated."""

from __future__ import annotations

from dataclasses import replace

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.complete import complete
from frontinus.domain.definition import parse_guest
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts, Paths
from frontinus.domain.prepare import prepare
from frontinus.qemu.argv.context import Context
from frontinus.qemu.argv.devices import audio, characters, graphics, interfaces, video
from support.guests import document, host, qemu72

PATHS = Paths(state="/state", run="/run/here", log="/log")
BUILDERS = (interfaces.build, characters.build, audio.build, graphics.build, video.build, audio.build_cards)


def definition(devices: str, *, kind: str = "qemu", machine: str = "pc", facts: HostFacts | None = None,
               caps: Capabilities | None = None, more: str = "") -> Guest:  # fmt: skip
    """A completed guest with these devices. Raises InvalidXML for one that cannot be."""
    text = document(devices, machine, more).replace("type='qemu'", f"type='{kind}'", 1)
    return complete(parse_guest(text), caps or qemu72(), facts or host())


def translated(devices: str, *, kind: str = "qemu", machine: str = "pc", facts: HostFacts | None = None,
               caps: Capabilities | None = None, more: str = "") -> Context:  # fmt: skip
    """The items, resources and commands of these devices in a start."""
    facts = replace(facts or host(), paths=PATHS)
    caps = caps or qemu72()
    guest = definition(devices, kind=kind, machine=machine, facts=facts, caps=caps, more=more)
    ctx = Context(prepare(guest, caps, facts, guest_id=7), caps, facts, "/folder")
    for build in BUILDERS:
        build(ctx)
    return ctx


def values(ctx: Context, option: str) -> list[object]:
    """What was emitted for an option, in order."""
    return [item.value for item in ctx.items if item.option == option]


def device(ctx: Context, alias: str) -> dict[str, object]:
    """The properties of one device, without its place."""
    found = next(v for v in values(ctx, "device") if isinstance(v, dict) and v["id"] == alias)
    return {key: value for key, value in found.items() if key not in ("bus", "addr", "id")}
