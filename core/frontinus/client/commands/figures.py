"""Figures, in the names that virsh domstats gives them."""

from __future__ import annotations

import argparse
import typing
from collections.abc import Callable, Iterator, Mapping

from lxml import etree

from frontinus.api.engine import Engine
from frontinus.api.views import REASONS, STATES, STATS_GROUPS, GuestStats, GuestView, StatsGroup
from frontinus.client.commands.base import GUEST, SCOPE, Command, Output, arg, flag
from frontinus.client.commands.tuning import listed

BLOCK = {
    "read_requests": "rd.reqs", "read_bytes": "rd.bytes", "read_time": "rd.times", "write_requests": "wr.reqs",
    "write_bytes": "wr.bytes", "write_time": "wr.times", "flush_requests": "fl.reqs", "flush_time": "fl.times",
    "allocation": "allocation", "capacity": "capacity", "physical": "physical", "threshold": "threshold",
}  # fmt: skip
NET = {f"{d}_{ours}": f"{d}.{theirs}" for d in ("rx", "tx")
       for ours, theirs in (("bytes", "bytes"), ("packets", "pkts"), ("errors", "errs"), ("drops", "drop"))}  # fmt: skip
BALLOON = {
    "current": "current", "maximum": "maximum", "swap_in": "swap_in", "swap_out": "swap_out", "major_faults": "major_fault",
    "minor_faults": "minor_fault", "unused": "unused", "available": "available", "usable": "usable",
    "last_update": "last-update", "disk_caches": "disk_caches", "hugetlb_pgalloc": "hugetlb_pgalloc",
    "hugetlb_pgfail": "hugetlb_pgfail", "rss": "rss",
}  # fmt: skip
MEMSTAT = {**BALLOON, "current": "actual", "last_update": "last_update"}
"""What dommemstat calls them."""
MEMSTAT.pop("maximum")
COUNTS = {"swap_in": 1024, "swap_out": 1024, "major_faults": 1, "minor_faults": 1, "last_update": 1, "hugetlb_pgalloc": 1,
          "hugetlb_pgfail": 1}  # fmt: skip
"""What a balloon figure is divided by; sizes are shown in KiB."""

DIRTY_RATE = {"began": "calc_start_time", "seconds": "calc_period", "rate": "megabytes_per_second"}

GROUP = {"memory": "memory", "memory_peak": "memory.peak", "memory_limit_hits": "memory.hits", "oom_kills": "oom_kills",
         "periods": "cpu.periods", "throttled": "cpu.throttled", "throttled_time": "cpu.throttled_time"}  # fmt: skip

VCPU_STATES = {"offline": 0, "running": 1, "blocked": 2}

MONITORS: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "cache": ("cpu.cache.monitor", "bank", {"occupancy": "bytes"}),
    "bandwidth": ("memory.bandwidth.monitor", "node", {"local": "bytes.local", "total": "bytes.total"}),
    "energy": ("cpu.energy.monitor", "package", {"core_energy": "core_energy", "activity": "activity"}),
}
"""By kind of monitor: how its rows begin, what is numbered in it, and what is told of each."""

Pairs = Iterator[tuple[str, object]]


def rows(stats: GuestStats, groups: set[str]) -> Pairs:
    """Name and value as virsh domstats prints them."""
    for group, shown in GROUPS.items():
        if group in groups:
            yield from shown(stats)


def _state(stats: GuestStats) -> Pairs:
    yield "state.state", STATES.index(stats.state)
    yield "state.reason", REASONS[stats.state].index(stats.reason)


def _cpu(stats: GuestStats) -> Pairs:
    if stats.cpu is not None:
        yield from _named("cpu", stats.cpu, {name: name for name in ("time", "user", "system")})
    yield from _monitors(stats, "cache")
    yield from _monitors(stats, "energy")


def _bandwidth(stats: GuestStats) -> Pairs:
    yield from _monitors(stats, "bandwidth")


def _monitors(stats: GuestStats, kind: str) -> Pairs:
    begin, part, names = MONITORS[kind]
    found = [monitor for monitor in stats.monitors if monitor.kind == kind]
    if found:
        yield f"{begin}.count", len(found)
    for number, monitor in enumerate(found):
        yield f"{begin}.{number}.name", monitor.name
        yield f"{begin}.{number}.vcpus", listed(monitor.vcpus)
        places = sorted({place for values in monitor.values.values() for place in values})
        yield f"{begin}.{number}.{part}.count", len(places)
        for index, place in enumerate(places):
            yield f"{begin}.{number}.{part}.{index}.id", place
            for ours, theirs in names.items():
                if (value := monitor.values.get(ours, {}).get(place)) is not None:
                    yield f"{begin}.{number}.{part}.{index}.{theirs}", value if kind == "energy" else int(value)


def _balloon(stats: GuestStats) -> Pairs:
    if stats.memory is not None:
        yield from _named("balloon", stats.memory, BALLOON, lambda name, value: value // COUNTS.get(name, 1024))


def _nics(stats: GuestStats) -> Pairs:
    yield "net.count", len(stats.interfaces)
    for nic in stats.interfaces:
        yield f"net.{nic.index}.name", nic.name
        yield from _named(f"net.{nic.index}", nic, NET)


def _disks(stats: GuestStats) -> Pairs:
    yield "block.count", len(stats.blocks)
    for block in stats.blocks:
        yield f"block.{block.index}.name", block.name
        if block.path is not None:
            yield f"block.{block.index}.path", block.path
        yield from _named(f"block.{block.index}", block, BLOCK)


def _iothreads(stats: GuestStats) -> Pairs:
    yield "iothread.count", len(stats.iothreads)
    for thread in stats.iothreads:
        yield from _named(f"iothread.{thread.id}", thread, {"poll_max": "poll-max-ns", "poll_grow": "poll-grow",
                                                            "poll_shrink": "poll-shrink"})  # fmt: skip


def _jobs(stats: GuestStats) -> Pairs:
    for number, job in enumerate(stats.jobs):
        yield from _named(f"job.{number}", job, {"kind": "kind", "processed": "processed", "total": "total"})


def _dirty(stats: GuestStats) -> Pairs:
    if stats.dirty_rate is not None:
        yield from _named("dirtyrate", stats.dirty_rate, DIRTY_RATE,
                          lambda name, value: value >> 20 if name == "rate" else int(value))  # fmt: skip


def _named(prefix: str, view: object, names: dict[str, str], scale: object = None) -> Pairs:
    for ours, theirs in names.items():
        value = getattr(view, ours)
        if value is not None:
            yield f"{prefix}.{theirs}", scale(ours, value) if callable(scale) else value


def _vcpus(stats: GuestStats) -> Pairs:
    yield "vcpu.current", stats.vcpus_current
    yield "vcpu.maximum", stats.vcpus_maximum
    for cpu in stats.vcpus:
        yield f"vcpu.{cpu.index}.state", VCPU_STATES.get(cpu.state, 1)
        for name in ("time", "wait", "delay"):
            if (value := getattr(cpu, name)) is not None:
                yield f"vcpu.{cpu.index}.{name}", value
        if cpu.halted is not None:
            yield f"vcpu.{cpu.index}.halted", "yes" if cpu.halted else "no"


def _group(stats: GuestStats) -> Pairs:
    if stats.group is not None:
        yield from _named("cgroup", stats.group, GROUP)
        for name, (some, full) in stats.group.waited.items():
            yield f"cgroup.{name}.some", some
            yield f"cgroup.{name}.full", full


def _agent(stats: GuestStats) -> Pairs:
    if (told := stats.agent) is not None:
        yield from _named("agent", told, {"hostname": "hostname", "users": "users"})
        if told.os is not None:
            yield "agent.os", told.os.pretty_name
        for number, filesystem in enumerate(told.filesystems):
            yield from _named(
                f"agent.fs.{number}", filesystem, {n: n for n in ("mountpoint", "name", "type", "total", "used")}
            )


GROUPS: Mapping[str, Callable[[GuestStats], Pairs]] = {
    "state": _state, "cpu": _cpu, "balloon": _balloon, "vcpu": _vcpus, "interface": _nics, "block": _disks,
    "memory": _bandwidth, "iothread": _iothreads, "job": _jobs, "dirtyrate": _dirty, "cgroup": _group, "agent": _agent,
}  # fmt: skip
"""What each group of figures prints, in this order."""


async def _domstats(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    groups = [typing.cast("StatsGroup", g) for g in CHOICES if getattr(options, g)] or None
    stats = await engine.stats(await _listed(engine, options), groups, max_age=options.max_age)
    wanted: set[str] = set(groups or STATS_GROUPS)
    out.value({s.name: dict(rows(s, wanted)) for s in stats})
    for one in stats:
        out.done(f"Domain: '{one.name}'" + (" (stale)" if one.stale else ""))
        for name, value in rows(one, wanted):
            out.line(f"  {name}={value}")
        out.line()


async def _listed(engine: Engine, options: argparse.Namespace) -> list[str] | None:
    """The guests that are named, or that the options of `list` choose; None for all."""
    if options.guests or not any(getattr(options, f"list_{name}") for name in LISTED):
        return options.guests or None
    return [guest.uuid for guest in await engine.guests()
            if any(test(guest) for name, test in LISTED.items() if getattr(options, f"list_{name}"))]  # fmt: skip


async def _one(engine: Engine, options: argparse.Namespace, group: str) -> GuestStats:
    return (await engine.stats([options.guest], [group]))[0]  # type: ignore[list-item]


async def _dirty_rate(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.measure_dirty_rate(options.guest, options.seconds, options.mode)
    out.done(f"Guest '{options.guest}' is measured for {options.seconds} s")


async def _memory(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    if options.period is not None:
        await engine.set_memory_stats_period(options.guest, options.period, options.live, options.config)
        return
    stats = (await _one(engine, options, "balloon")).memory
    pairs = list(_named("", stats, MEMSTAT, lambda n, v: v // COUNTS.get(n, 1024)))
    out.value({name[1:]: value for name, value in pairs})
    for name, value in pairs:
        out.line(f"{name[1:]} {value}")


async def _block(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    blocks = (await _one(engine, options, "block")).blocks
    chosen = [b for b in blocks if options.device in (None, b.name, b.path)]
    out.value(chosen)
    for block in chosen:
        for name, value in _named(block.name, block, BLOCK):
            out.line(f"{name.replace('.', ' ', 1)} {value}")


async def _interface(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    nics = (await _one(engine, options, "interface")).interfaces
    chosen = [n for n in nics if options.device in (None, n.name, n.mac)]
    out.value(chosen)
    for nic in chosen:
        for name in NET:
            if (value := getattr(nic, name)) is not None:
                out.line(f"{nic.name} {name} {value}")


async def _blklist(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    disks = await _devices(engine, options, "disk")
    rows = [(d.get("type", "file"), d.get("device", "disk"), _at(d, "target", "dev"), _source(d)) for d in disks]
    out.value([dict(zip(("type", "device", "target", "source"), row, strict=True)) for row in rows])
    header, shown = ["Type", "Device", "Target", "Source"], slice(0 if options.details else 2, None)
    out.table(header[shown], [row[shown] for row in rows])


async def _iflist(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    nics = await _devices(engine, options, "interface")
    rows = [(_at(n, "target", "dev"), n.get("type", "-"), _source(n), _at(n, "model", "type"), _at(n, "mac", "address"))
            for n in nics]  # fmt: skip
    out.value([dict(zip(("interface", "type", "source", "model", "mac"), row, strict=True)) for row in rows])
    out.table(["Interface", "Type", "Source", "Model", "MAC"], rows)


async def _devices(engine: Engine, options: argparse.Namespace, tag: str) -> list[etree._Element]:
    xml = await engine.guest_xml(options.guest, ["inactive"] if options.inactive else [])
    return etree.fromstring(xml).findall(f"devices/{tag}")


def _at(element: etree._Element, child: str, attribute: str) -> str:
    found = element.find(child)
    return (found.get(attribute) if found is not None else None) or "-"


def _source(element: etree._Element) -> str:
    found = element.find("source")
    if found is None:
        return "-"
    return (
        next((found.get(name) for name in ("file", "dev", "bridge", "network", "name", "dir") if found.get(name)), None)
        or "-"
    )


async def _vcpuinfo(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    cpus = (await _one(engine, options, "vcpu")).vcpus
    out.value(cpus)
    pins = {pin.vcpu: pin.cpus for pin in await engine.vcpu_pins(options.guest)}
    present = (await engine.node_cpu_map()).present
    for cpu in cpus:
        places = pins.get(cpu.index, ())
        shown = f"{listed(places)} (out of {present})" if options.pretty else "".join(
            "y" if number in places else "-" for number in range(present))  # fmt: skip
        out.pairs([("VCPU", cpu.index), ("State", cpu.state), ("CPU time", f"{(cpu.time or 0) / 1e9:.1f}s"),
                   ("CPU Affinity", shown)])  # fmt: skip
        out.line()


ALSO = {"cpu": ("--cpu-total",)}
"""What virsh calls a group."""
LISTED: Mapping[str, Callable[[GuestView], bool]] = {
    "active": lambda g: g.active, "inactive": lambda g: not g.active, "persistent": lambda g: g.persistent,
    "transient": lambda g: not g.persistent, "running": lambda g: g.state == "running",
    "paused": lambda g: g.state == "paused", "shutoff": lambda g: g.state == "shutoff",
    "other": lambda g: g.state not in ("running", "paused", "shutoff"),
}  # fmt: skip
CHOICES: list[str] = list(typing.get_args(StatsGroup))
INACTIVE = flag("--inactive", help="of the definition")

COMMANDS = (
    Command("domstats", "show figures of all or some guests", (
        arg("guests", nargs="*", complete="guest"), *(flag(f"--{g}", *ALSO.get(g, ())) for g in CHOICES),
        *(flag(f"--list-{name}") for name in LISTED), flag("--raw", help="as they are, as always"),
        flag("--nowait", help="for nobody who is slow, as always"), flag("--enforce", help="as always"),
        arg("--max-age", type=float, default=0.0, help="seconds that a figure may be old")), _domstats),
    Command("domdirtyrate-calc", "measure how fast a guest changes its memory; domstats --dirtyrate shows it", (
        GUEST, arg("--seconds", type=int, default=1, help="1 to 60; default: 1"),
        arg("--mode", choices=["page-sampling", "dirty-bitmap", "dirty-ring"], default="page-sampling")), _dirty_rate),
    Command("dommemstat", "show a guest's memory figures, or set how often they come", (
        GUEST, arg("--period", type=int, help="seconds, 0: never"), *SCOPE), _memory),
    Command("domblkstat", "show figures of a guest's disks", (GUEST, arg("device", nargs="?")), _block),
    Command("domifstat", "show figures of a guest's NICs", (GUEST, arg("device", nargs="?")), _interface),
    Command("domblklist", "list a guest's disks", (GUEST, INACTIVE, flag("--details", help="with their kind")), _blklist),
    Command("domiflist", "list a guest's NICs", (GUEST, INACTIVE), _iflist),
    Command("vcpuinfo", "show a guest's vCPUs", (GUEST, flag("--pretty", help="affinity as a list")), _vcpuinfo),
)  # fmt: skip
