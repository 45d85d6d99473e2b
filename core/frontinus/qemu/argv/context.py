"""The translation's workbench: what the families emit, in order, and how it is written for the QEMU that is there.

A family emits items: an option and its value, structured where QEMU takes a structure. The same items become a command
line for a start and QMP commands for a hotplug, so a device has one translation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts
from frontinus.domain.plan import FIRST_FD, Resource
from frontinus.qemu.argv.secrets import Sealer, placeholder
from frontinus.xml.codecs import format_ranges

Props = Mapping[str, object]
"""Properties in QEMU's own types: str, int, bool, nested dicts and lists; None entries are left out."""

IMPLIED = {
    "device": "driver", "object": "qom-type", "netdev": "type", "chardev": "backend", "audiodev": "driver",
    "machine": "type", "accel": "accel", "cpu": "model", "smp": "cpus", "sandbox": "enable",
    "fsdev": "fsdriver", "tpmdev": "type",
    "display": "type", "vnc": "vnc", "spice": "unix",
}  # fmt: skip
"""The property that comes first, without its name, in the comma form of an option."""


@dataclass(frozen=True)
class Item:
    """One option: "-device" is option="device", "" a word as it is; value: text, properties, None for a flag."""

    option: str
    value: str | Props | None = None


@dataclass
class Context:
    """One translation under way."""

    guest: Guest
    caps: Capabilities
    host: HostFacts
    folder: str = ""
    incoming: bool = False
    items: list[Item] = field(default_factory=list)
    resources: list[Resource] = field(default_factory=list)
    next_fd: int = FIRST_FD
    env: dict[str, str] = field(default_factory=dict)
    commands: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    """QMP commands to run before the guest's CPUs: passwords, links that are down."""
    seal: Sealer = placeholder
    """Looks up and encrypts the secrets that the guest uses."""
    master_key: bytes | None = field(default=None, repr=False)
    """What they are encrypted with; None lets one be made up."""

    def flag(self, option: str) -> None:
        """Emit an option without value."""
        self.items.append(Item(option))

    def text(self, option: str, value: str) -> None:
        """Emit an option whose value is written as it is."""
        self.items.append(Item(option, value))

    def argument(self, word: str) -> None:
        """Emit one word of the user's own, as it is."""
        self.items.append(Item("", word))

    def props(self, option: str, properties: Props) -> None:
        """Emit an option with properties; None values are dropped. JSON or comma form is chosen when written."""
        self.items.append(Item(option, {k: v for k, v in properties.items() if v is not None}))

    def need(self, resource: Resource) -> None:
        """List a host resource that must be set up before the start."""
        self.resources.append(resource)

    def command(self, command: str, /, **arguments: object) -> None:
        """Have a QMP command run before the guest's CPUs. Names with a dash come as **{"drive-id": ...}."""
        self.commands.append((command, arguments))

    def fd(self) -> int:
        """The next descriptor number of the child."""
        self.next_fd += 1
        return self.next_fd - 1


def escape(value: str) -> str:
    """A value in comma form: commas doubled."""
    return value.replace(",", ",,")


def scalar(value: object) -> str:
    """A value as QEMU's comma form writes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return escape(str(value))


def flatten(value: object, prefix: str = "") -> list[tuple[str, object]]:
    """Nested properties as dotted keys: {"a": {"b": [1]}} is a.b.0=1."""
    if isinstance(value, Mapping):
        pairs = [(f"{prefix}.{k}" if prefix else str(k), v) for k, v in value.items()]
    elif isinstance(value, (list, tuple)) and all(isinstance(v, Mapping) and v.keys() == {"str"} for v in value):
        pairs = [(prefix, v["str"]) for v in value]  # a list of QEMU's String objects is its key, repeated
    elif isinstance(value, (list, tuple)) and value and all(type(v) is int for v in value):
        pairs = [(prefix, run) for run in format_ranges(value).split(",")]  # a list of integers is ranges, key repeated
    elif isinstance(value, (list, tuple)):
        pairs = [(f"{prefix}.{n}", v) for n, v in enumerate(value)]
    else:
        return [(prefix, value)]
    return [leaf for key, v in pairs for leaf in flatten(v, key)]


def comma(option: str, properties: Props) -> str:
    """Properties in comma form, the implied key first and bare."""
    implied = IMPLIED.get(option, "")
    parts = [scalar(properties[implied])] if implied in properties else []
    parts += [f"{k}={scalar(v)}" for k, v in flatten({k: v for k, v in properties.items() if k != implied})]
    return ",".join(parts)


def write(items: list[Item], json_options: frozenset[str]) -> list[str]:
    """Items as argument vector; `json_options` names those that this QEMU takes as JSON."""
    argv: list[str] = []
    for item in items:
        if item.option:
            argv.append(f"-{item.option}")
        if isinstance(item.value, str):
            argv.append(item.value)
        elif item.value is not None:
            in_json = item.option in json_options
            argv.append(json.dumps(item.value, separators=(",", ":")) if in_json else comma(item.option, item.value))
    return argv
