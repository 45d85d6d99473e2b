"""The wildcard plugin `frontinus_` for munin: frontinus_cpu, _memory, _block, _network, _state.

munin calls it anew for every graph, so it takes figures that are a few seconds old, and graphs of one visit share a round.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from frontinus.api.engine import Engine
from frontinus.api.errors import FrontinusError, InvalidValue
from frontinus.api.views import STATES, GuestStats, MemoryStats, StatsGroup
from frontinus.client.thin import ThinEngine

SOCKET = "/run/frontinus/frontinus-ro.sock"
SHELF = Path("/usr/share/munin/plugins")
"""Where munin-node-configure looks for plugins."""

Number = int | None


@dataclass(frozen=True)
class Field:
    """One line of a graph. `attributes` are munin's, in its order."""

    name: str
    attributes: Mapping[str, str]
    value: Number


@dataclass(frozen=True)
class Graph:
    """`fields` of the guests' figures; `groups` are all that it needs."""

    title: str
    unit: str
    base: int
    info: str
    groups: tuple[StatsGroup, ...]
    fields: Callable[[Sequence[GuestStats]], Iterator[Field]]
    options: str = "-l 0"


def name_of(guest: GuestStats) -> str:
    """What munin stores a guest's data under: readable, and no other guest's."""
    return "_".join((re.sub(r"\W", "_", guest.name, flags=re.ASCII), guest.uuid[:8]))


def total(numbers: Sequence[Number]) -> Number:
    """The sum of what is known; None if nothing is."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def cpu(guests: Sequence[GuestStats]) -> Iterator[Field]:
    """Milliseconds in a second are tenths of a percent."""
    for guest in guests:
        name, time = name_of(guest), guest.cpu.time if guest.cpu else None
        yield Field(name, {"label": guest.name, "type": "DERIVE", "min": "0", "cdef": f"{name},10,/"},
                    None if time is None else time // 10**6)  # fmt: skip


def memory(guests: Sequence[GuestStats]) -> Iterator[Field]:
    for guest in guests:
        figures = guest.memory or MemoryStats()
        for part, label, value in (("has", "has", figures.current), ("rss", "resident", figures.rss)):
            yield Field(f"{name_of(guest)}_{part}", {"label": f"{guest.name} {label}", "type": "GAUGE"}, value)


def block(guests: Sequence[GuestStats]) -> Iterator[Field]:
    for guest in guests:
        yield from _pair(guest, "read", "written", total([disk.read_bytes for disk in guest.blocks]),
                         total([disk.write_bytes for disk in guest.blocks]))  # fmt: skip


def network(guests: Sequence[GuestStats]) -> Iterator[Field]:
    for guest in guests:
        yield from _pair(guest, "received", "sent", total([nic.rx_bytes for nic in guest.interfaces]),
                         total([nic.tx_bytes for nic in guest.interfaces]))  # fmt: skip


def _pair(guest: GuestStats, below: str, above: str, first: Number, second: Number) -> Iterator[Field]:
    """Two counters as one line above the axis and one below it."""
    name = name_of(guest)
    kind = {"type": "DERIVE", "min": "0"}
    yield Field(f"{name}_{below}", {"label": guest.name, "graph": "no", **kind}, first)
    yield Field(f"{name}_{above}", {"label": guest.name, "negative": f"{name}_{below}", **kind}, second)


def state(guests: Sequence[GuestStats]) -> Iterator[Field]:
    """Guests by state. A crashed guest, and one whose hypervisor does not answer, is worth a warning."""
    for known in STATES[1:]:
        watched = {"warning": "0:0"} if known == "crashed" else {}
        count = sum(guest.state == known for guest in guests)
        yield Field(known, {"label": known, "type": "GAUGE", "draw": "AREASTACK", **watched}, count)
    yield Field(
        "stale", {"label": "not answering", "type": "GAUGE", "warning": "0:0"}, sum(guest.stale for guest in guests)
    )


GRAPHS: Mapping[str, Graph] = {
    "cpu": Graph("CPU time of guests", "% of one CPU", 1000, "What the guest's process used, of one CPU of the host.",
                 ("cpu",), cpu),
    "memory": Graph("Memory of guests", "bytes", 1024, "What the guest has, and what its process keeps resident.",
                    ("balloon",), memory),
    "block": Graph("Disks of guests", "bytes read (-) / written (+) per ${graph_period}", 1024, "All disks of a guest.",
                   ("block",), block, ""),
    "network": Graph("Network of guests", "bytes received (-) / sent (+) per ${graph_period}", 1024,
                     "All interfaces of a guest, from the guest's side.", ("interface",), network, ""),
    "state": Graph("States of guests", "guests", 1000, "How many guests are in which state.", ("state",), state),
}  # fmt: skip


def config(graph: Graph, fields: Sequence[Field]) -> Iterator[str]:
    yield f"graph_title {graph.title}"
    yield f"graph_args --base {graph.base} {graph.options}".rstrip()
    yield f"graph_vlabel {graph.unit}"
    yield "graph_category virtualization"
    yield f"graph_info {graph.info}"
    for field in fields:
        yield from (f"{field.name}.{key} {value}" for key, value in field.attributes.items())


def values(fields: Sequence[Field]) -> Iterator[str]:
    yield from (f"{field.name}.value {'U' if field.value is None else field.value}" for field in fields)


def file_text() -> str:
    """The plugin as munin wants it: a file of its own, whose comments munin-node-configure reads."""
    return (
        f"#!{sys.executable}\n# Figures of the guests of Frontinus.\n#%# family=auto\n#%# capabilities=autoconf suggest\n"
        "import sys\n\nfrom frontinus_collectd.munin import main\n\nsys.exit(main())\n"
    )


def install(folder: Path) -> None:
    target = folder / "frontinus_"
    target.write_text(file_text())
    target.chmod(0o755)
    sys.stdout.write(f"{target}\n")


def main(arguments: Sequence[str] | None = None, called: str | None = None) -> int:
    """The exit code. `called`: the path that the plugin was called by, which says what to graph."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    subject = Path(called or sys.argv[0]).name.partition("frontinus_")[2]
    word = words[0] if words else "fetch"
    if word == "install":
        install(Path(words[1]) if len(words) > 1 else SHELF)
        return 0
    if word == "suggest":
        sys.stdout.write("".join(f"{name}\n" for name in GRAPHS))
        return 0
    try:
        with ThinEngine(Path(os.environ.get("FRONTINUS_SOCKET", SOCKET)), seconds("FRONTINUS_TIMEOUT", 5.0)) as engine:
            return autoconf(engine) if word == "autoconf" else show(engine, subject, word)
    except FrontinusError as error:
        sys.stderr.write(f"frontinus_{subject}: {error.message}\n")
        return 1


def seconds(name: str, usual: float) -> float:
    """A number from munin's environment. Raises InvalidValue."""
    try:
        return float(os.environ.get(name, usual))
    except ValueError:
        raise InvalidValue(f"env.{name} is no number of seconds: '{os.environ[name]}'", field=name) from None


def autoconf(engine: ThinEngine) -> int:
    """Whether this host has an engine; by munin's rules the exit code is 0 either way."""
    try:
        engine.call(Engine.version)
    except FrontinusError as error:
        sys.stdout.write(f"no ({error.message})\n")
    else:
        sys.stdout.write("yes\n")
    return 0


def show(engine: ThinEngine, subject: str, word: str) -> int:
    """Print the configuration, or the values, or both where munin can take both at once."""
    graph = GRAPHS.get(subject)
    if graph is None or word not in ("config", "fetch"):
        names = ", ".join(f"frontinus_{name}" for name in GRAPHS)
        sys.stderr.write(f"call it by a link: {names}; with config, autoconf, suggest, install [FOLDER] or nothing\n")
        return 2
    guests = engine.call(Engine.stats, groups=graph.groups, max_age=seconds("FRONTINUS_MAX_AGE", 10.0))
    shown = guests if subject == "state" else [guest for guest in guests if guest.id is not None]
    fields = list(graph.fields(shown))
    lines = list(config(graph, fields)) if word == "config" else []
    if word == "fetch" or os.environ.get("MUNIN_CAP_DIRTYCONFIG") == "1":
        lines += values(fields)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0
