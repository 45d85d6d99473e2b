"""The plugin's configuration: the options of collectd's plugin virt, by the same names and meanings, and where the engine is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from frontinus.api.errors import InvalidValue
from frontinus_collectd.selection import Selection, pattern

EXTRA: Mapping[str, str] = {
    "cpu_util": "CPU time as a percentage of the whole host's",
    "disk": "times of requests, and flushes",
    "disk_err": "disks whose requests fail",
    "disk_allocation": "bytes of the image up to the last one that is in use",
    "disk_capacity": "bytes that the guest sees",
    "disk_physical": "bytes that the image takes on the host",
    "domain_state": "state with its reason, and a notification when it changes",
    "fs_info": "a notification for each file system that the guest's agent tells of",
    "job_stats_background": "progress of the job under way",
    "job_stats_completed": "what the last job did",
    "memory": "memory as the guest's balloon driver and the host see it",
    "pcpu": "CPU time in user mode and in the kernel",
    "vcpu": "time of each virtual CPU",
    "vcpupin": "host CPUs that each virtual CPU may run on",
}
"""What ExtraStats can ask for."""

UNKNOWN_EXTRA: Mapping[str, str] = {"perf": "the engine takes no perf events"}
"""Of plugin virt, but not had here: ignored with a warning."""

IGNORED: Mapping[str, str] = {
    "connection": "the engine is reached by its Socket",
    "instances": "one call brings the figures of all guests, so there is nothing to share out",
}
"""Options of plugin virt that have lost their meaning."""


class Node(Protocol):
    """One line, or a block, of collectd's configuration."""

    @property
    def key(self) -> str: ...
    @property
    def values(self) -> Sequence[str | float | bool]: ...
    @property
    def children(self) -> Sequence[Node]: ...


@dataclass(frozen=True)
class Where:
    """A place in a guest's metadata: names of elements from the root, then its text or an attribute."""

    steps: tuple[str, ...] = ("instance", "name")
    attribute: str | None = None


@dataclass(frozen=True)
class Settings:
    """One block. Times in seconds; `max_age` None: half the interval; `refresh` 0: never anew."""

    socket: Path = Path("/run/frontinus/frontinus-ro.sock")
    timeout: float = 5.0
    max_age: float | None = None
    interval: float | None = None
    plugin: str = "virt"
    hostname: str | None = None
    refresh: float = 60.0
    hostname_format: tuple[str, ...] = ("name",)
    instance_format: tuple[str, ...] = ()
    metadata_namespace: str = "http://openstack.org/xmlns/libvirt/nova/1.0"
    metadata_place: Where = Where()
    interface_format: str = "name"
    block_format: str = "target"
    basename: bool = False
    extra: frozenset[str] = frozenset()
    domains: Selection = Selection()
    blocks: Selection = Selection()
    interfaces: Selection = Selection()
    report_blocks: bool = True
    report_interfaces: bool = True
    persistent_notification: bool = False
    remarks: tuple[str, ...] = field(default=(), compare=False)
    """What the administrator should know, but what is no error."""


def parse(block: Node) -> Settings:
    """The settings of a block. Raises InvalidValue naming the option."""
    found = Settings()
    ignore = False
    for node in block.children:
        name = node.key.lower()
        try:
            if name in IGNORED:
                found = _remark(found, f"option {node.key} is ignored: {IGNORED[name]}")
            elif name == "ignoreselected":
                ignore = flag(node)
            elif name in OPTIONS:
                field_name, read = OPTIONS[name]
                found = replace(found, **{field_name: read(node)})
            elif name in LISTS:
                found = _add(found, LISTS[name], text(node))
            elif name == "extrastats":
                found = _extra(found, text(node))
            else:
                raise InvalidValue("there is no such option")
        except InvalidValue as error:
            raise InvalidValue(f"{node.key}: {error.message}", field=node.key) from None
    lists: dict[str, Any] = {name: replace(getattr(found, name), ignore=ignore) for name in LISTS.values()}
    return replace(found, **lists)


def _remark(found: Settings, remark: str) -> Settings:
    return replace(found, remarks=(*found.remarks, remark))


def _add(found: Settings, name: str, entry: str) -> Settings:
    selection: Selection = getattr(found, name)
    change: dict[str, Any] = {name: replace(selection, entries=(*selection.entries, pattern(entry)))}
    return replace(found, **change)


def _extra(found: Settings, value: str) -> Settings:
    chosen = [word.lower() for word in value.split()]
    for word in chosen:
        if word in UNKNOWN_EXTRA:
            found = _remark(found, f"ExtraStats {word} is ignored: {UNKNOWN_EXTRA[word]}")
        elif word not in EXTRA:
            raise InvalidValue(f"there is no '{word}'; there are {' '.join(EXTRA)}")
    extra = frozenset(chosen) & EXTRA.keys()
    if {"job_stats_background", "job_stats_completed"} <= extra:
        raise InvalidValue("job_stats_background and job_stats_completed exclude each other")
    return replace(found, extra=extra)


def text(node: Node) -> str:
    """All words of a line; collectd gives numbers as floats."""
    if not node.values or node.children:
        raise InvalidValue("it takes a value")
    return " ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in node.values)


def flag(node: Node) -> bool:
    """A truth value, quoted or not."""
    word = text(node).lower()
    if word in ("true", "yes", "on"):
        return True
    if word in ("false", "no", "off"):
        return False
    raise InvalidValue(f"it is true or false, not '{word}'")


def seconds(node: Node, *, zero: bool) -> float:
    try:
        value = float(text(node))
    except ValueError:
        raise InvalidValue(f"it is a number of seconds, not '{text(node)}'") from None
    if not (0 <= value < 10**9 and (zero or value > 0)):
        raise InvalidValue(f"it is a number of seconds {'from' if zero else 'above'} 0, not {value:g}")
    return value


def positive(node: Node) -> float:
    return seconds(node, zero=False)


def duration(node: Node) -> float:
    return seconds(node, zero=True)


def path(node: Node) -> Path:
    value = Path(text(node))
    if not value.is_absolute():
        raise InvalidValue(f"it is an absolute path, not '{value}'")
    return value


def choice(*allowed: str) -> Callable[[Node], str]:
    def read(node: Node) -> str:
        word = text(node).lower()
        if word not in allowed:
            raise InvalidValue(f"it is one of {', '.join(allowed)}, not '{word}'")
        return word

    return read


def choices(*allowed: str) -> Callable[[Node], tuple[str, ...]]:
    def read(node: Node) -> tuple[str, ...]:
        words = tuple(text(node).lower().split())
        for word in words:
            if word not in (*allowed, "none"):
                raise InvalidValue(f"it is made of {', '.join(allowed)} or none, not '{word}'")
        return tuple(word for word in words if word != "none")

    return read


def where(node: Node) -> Where:
    """The part of XPath that leads to one value: /a/b, /a/b/text() or /a/b/@c; prefixes are of no account."""
    found = re.fullmatch(r"((?:/[\w.:-]+)+)(?:/(?:text\(\)|@([\w.:-]+)))?", text(node))
    if found is None:
        raise InvalidValue(f"it is like /a/b/text() or /a/b/@c, not '{text(node)}'")
    steps = tuple(step.rpartition(":")[2] for step in found.group(1)[1:].split("/"))
    return Where(steps, found.group(2) and found.group(2).rpartition(":")[2])


OPTIONS: Mapping[str, tuple[str, Callable[[Node], Any]]] = {
    "socket": ("socket", path),
    "timeout": ("timeout", positive),
    "maxage": ("max_age", duration),
    "interval": ("interval", positive),
    "plugin": ("plugin", text),
    "hostname": ("hostname", text),
    "refreshinterval": ("refresh", duration),
    "hostnameformat": ("hostname_format", choices("name", "uuid", "hostname", "metadata")),
    "plugininstanceformat": ("instance_format", choices("name", "uuid", "metadata")),
    "hostnamemetadatans": ("metadata_namespace", text),
    "hostnamemetadataxpath": ("metadata_place", where),
    "interfaceformat": ("interface_format", choice("name", "address", "number")),
    "blockdeviceformat": ("block_format", choice("target", "source")),
    "blockdeviceformatbasename": ("basename", flag),
    "reportblockdevices": ("report_blocks", flag),
    "reportnetworkinterfaces": ("report_interfaces", flag),
    "persistentnotification": ("persistent_notification", flag),
}
"""The field of each option in lower case, and how its value is read."""

LISTS: Mapping[str, str] = {"domain": "domains", "blockdevice": "blocks", "interfacedevice": "interfaces"}
"""Options that can stand more than once."""
