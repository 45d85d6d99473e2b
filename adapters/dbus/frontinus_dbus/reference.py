"""The reference page of both APIs, from the tables: python -m frontinus_dbus.reference > docs/dbus-api.md."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from frontinus_dbus.libvirt.missing import MISSING
from frontinus_dbus.libvirt.realm import INTERFACES
from frontinus_dbus.libvirt.served import SERVED
from frontinus_dbus.libvirt.signals import NEVER
from frontinus_dbus.native import api_guests
from frontinus_dbus.native.realm import KINDS
from frontinus_dbus.table import Argument, Interface


def markdown() -> str:
    lines = ["# What the D-Bus service answers", "", "Made from its tables. How to use it: [D-Bus](dbus.md).", ""]
    for interface in (api_guests.MANAGER, *(kind.interface for kind in KINDS), api_guests.JOB):
        lines += _native(interface)
    for interface in INTERFACES:
        lines += _compatible(interface)
    lines += [
        "## What org.libvirt has and the engine lacks", "",
        "Calling it answers org.libvirt.Error, saying that the function is not supported by the connection driver.", "",
        "| what is lacking | methods and properties |", "|---|---|",
    ]  # fmt: skip
    lines += [f"| {lack} | {', '.join(names.split())} |" for lack, names in MISSING.items()]
    lines += ["", f"Signals that are never sent yet: {', '.join(sorted(NEVER))}.", ""]
    return "\n".join(lines)


def _words(arguments: Sequence[Argument]) -> str:
    return ", ".join(f"{a.name} `{a.signature}`" for a in arguments)


def _native(interface: Interface) -> Iterator[str]:
    yield from (f"## {interface.name}", "", "| method | takes | gives | does |", "|---|---|---|---|")
    yield from (f"| {m.name} | {_words(m.takes)} | {_words(m.gives)} | {m.doc} |" for m in interface.methods)
    yield from ("", "| property | type | is |", "|---|---|---|")
    yield from (
        f"| {p.name} | `{p.signature}`{', can be set' if p.write else ''} | {p.doc} |" for p in interface.properties
    )
    if interface.signals:
        yield from ("", "| signal | carries | tells |", "|---|---|---|")
        yield from (f"| {s.name} | {_words(s.carries)} | {s.doc} |" for s in interface.signals)
    yield ""


def _compatible(interface: Interface) -> Iterator[str]:
    served = SERVED.get(interface.name)
    if served is None:
        return
    yield from (f"## {interface.name}", "", "| method | takes | gives | does |", "|---|---|---|---|")
    for m in interface.methods:
        if m.name in served.methods:
            yield f"| {m.name} | {_words(m.takes)} | {_words(m.gives)} | {(served.methods[m.name].__doc__ or '').strip()} |"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(markdown())
