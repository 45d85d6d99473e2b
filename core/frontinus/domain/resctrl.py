"""Shares of the host's caches and of its memory's bandwidth, as groups of the kernel's resctrl. Pure.

A share is exclusive, as with libvirt: its part of a cache is one that no other group has, the default group neither, which
the administrator makes smaller first. Source: Documentation/arch/x86/resctrl.rst.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from frontinus.api.errors import Unsupported
from frontinus.api.views import MonitorKind
from frontinus.domain.guest import Guest
from frontinus.domain.tuning import CacheShare, CacheTune, MemoryShare, MemoryTune, Tune
from frontinus.xml.codecs import format_ranges

BANDWIDTH = "MB"
PERCENT = 100
TYPES: Mapping[str, str] = {"both": "", "code": "CODE", "data": "DATA"}
"""What the name of a cache's line ends with, by <cache type>: a host that keeps code and data apart has no line for both."""
Schemata = Mapping[str, Mapping[int, int]]
"""Values by the name of the line, and the number of the cache or node: masks of caches, percent of bandwidth."""


@dataclass(frozen=True)
class CacheFacts:
    """A kind of cache: the mask of a whole one, the fewest bits that a group may have, bytes of each by its number."""

    mask: int
    least: int = 1
    sizes: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class BandwidthFacts:
    """Percent: the least, and the step."""

    least: int = 1
    step: int = 1


@dataclass(frozen=True)
class ResctrlFacts:
    """What a host can share. `caches` by the name of their line; `usual` is what the default group has, `taken` what
    each other one has; `monitors` are files of mon_data that are kept: llc_occupancy, mbm_total_bytes, core_energy..."""

    caches: Mapping[str, CacheFacts] = field(default_factory=dict)
    bandwidth: BandwidthFacts | None = None
    usual: Schemata = field(default_factory=dict)
    taken: Sequence[Schemata] = ()
    monitors: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Share:
    """What some vCPUs ask for together. `monitors`: vCPUs that are measured together, and the element that says so."""

    vcpus: tuple[int, ...]
    caches: tuple[CacheShare, ...] = ()
    nodes: tuple[MemoryShare, ...] = ()
    monitors: tuple[tuple[tuple[int, ...], str], ...] = ()

    @property
    def name(self) -> str:
        """Its name, which the running guest's document tells as its id."""
        return name_of(self.vcpus)

    @property
    def element(self) -> str:
        """The element that asks for it, to name it in errors."""
        return "cachetune" if self.caches else "memorytune" if self.nodes else self.monitors[0][1]


@dataclass(frozen=True)
class Group:
    """A group to make. Without `schemata` its vCPUs stay in the default group, and are only measured."""

    name: str
    vcpus: tuple[int, ...]
    schemata: tuple[str, ...] = ()
    monitors: tuple[tuple[int, ...], ...] = ()
    """vCPUs that are measured together, in groups of their own inside; all of them are where the group is one itself."""


def name_of(vcpus: Sequence[int]) -> str:
    """What a set of vCPUs is called."""
    return f"vcpus_{format_ranges(vcpus)}"


def shares(guest: Guest) -> list[Share]:
    """What a definition asks for; elements for the same vCPUs are one, and those that hold nothing ask for nothing."""
    asked: dict[tuple[int, ...], list[Tune]] = {}
    for entry in guest.cpu_tune.tunes() if guest.cpu_tune else ():
        asked.setdefault(entry.vcpus, []).append(entry)
    found = [_share(vcpus, entries) for vcpus, entries in asked.items()]
    return [share for share in found if share.caches or share.nodes or share.monitors]


def tell_names(guest: Guest) -> None:
    """Let a running guest's document say what its groups are called."""
    for entry in guest.cpu_tune.tunes() if guest.cpu_tune else ():
        entry.id = name_of(entry.vcpus)


def _share(vcpus: tuple[int, ...], entries: Sequence[Tune]) -> Share:
    caches = [share for entry in entries if isinstance(entry, CacheTune) for share in entry.caches]
    nodes = [share for entry in entries if isinstance(entry, MemoryTune) for share in entry.nodes]
    monitors = [(monitor.vcpus, entry.tag) for entry in entries for monitor in entry.monitors]
    return Share(vcpus, tuple(caches), tuple(nodes), tuple(dict.fromkeys(monitors)))


def groups(wanted: Sequence[Share], host: ResctrlFacts) -> list[Group]:
    """The groups for some shares, none of which is there yet. Raises Unsupported for what this host cannot, or has not left."""
    taken = list(host.taken)
    made: list[Group] = []
    for share in wanted:
        _need_monitors(share, host)
        given = {**_caches(share, host, taken), **_bandwidth(share, host, taken)}
        taken.append(given)
        measured = dict.fromkeys(vcpus for vcpus, _ in share.monitors)
        own = bool(given) or (
            share.vcpus in measured and len(measured) > 1
        )  # the figures of its parts count in a group's own
        monitors = tuple(vcpus for vcpus in measured if vcpus != share.vcpus or not own)
        made.append(Group(share.name, share.vcpus, tuple(_lines(given, host.usual)) if own else (), monitors))
    return made


MEASURES: Mapping[str, tuple[MonitorKind, Mapping[str, str]]] = {
    "cachetune": ("cache", {"llc_occupancy": "occupancy"}),
    "memorytune": ("bandwidth", {"mbm_total_bytes": "total", "mbm_local_bytes": "local"}),
    "energytune": ("energy", {"core_energy": "core_energy", "activity": "activity"}),
}
"""What the monitors in an element measure: its kind, and files of mon_data, of which the host has one at least, each with the
facade's name of what it tells."""


def _need_monitors(share: Share, host: ResctrlFacts) -> None:
    for _, element in share.monitors:
        if not host.monitors & set(MEASURES[element][1]):
            raise Unsupported(f"<{element}><monitor>: this host cannot measure that of some threads", element=element)


def _caches(share: Share, host: ResctrlFacts, taken: Sequence[Schemata]) -> dict[str, dict[int, int]]:
    given: dict[str, dict[int, int]] = {}
    for cache in share.caches:
        line = f"L{cache.level}{TYPES[cache.type]}"
        facts = host.caches.get(line)
        said = f"<cache id='{cache.id}' level='{cache.level}' type='{cache.type}'>"
        if facts is None:
            raise Unsupported(f"{said}: this host cannot share such caches{_instead(cache, host)}", element="cache")
        usual = host.usual.get(line, {})
        if cache.id not in usual or not facts.sizes.get(cache.id):
            raise Unsupported(f"{said}: this host has no such cache", element="cache")
        bits = _bits(said, cache.size or 0, facts, facts.sizes[cache.id])
        used = usual[cache.id] | _taken(line, cache.id, taken)
        mask = free_run(facts.mask & ~used, bits)
        if mask is None:
            raise Unsupported(f"{said}: not so much of the cache is left; what the default group has, and other guests, is"
                              " shared with nobody", element="cache")  # fmt: skip
        given.setdefault(line, {})[cache.id] = mask
    return given


def _instead(cache: CacheShare, host: ResctrlFacts) -> str:
    split = any(f"L{cache.level}{end}" in host.caches for end in ("CODE", "DATA"))
    whole = f"L{cache.level}" in host.caches
    return ", but code and data apart" if split else ", but code and data together" if whole else ""


def _bits(said: str, size: int, facts: CacheFacts, whole: int) -> int:
    """How many bits of the mask a size is. Raises Unsupported."""
    step = whole // facts.mask.bit_count()
    if size % step:
        raise Unsupported(f"{said}: the size is not a multiple of {step // 1024} KiB", element="cache")
    if size < step * facts.least:
        raise Unsupported(f"{said}: the size is less than {step * facts.least // 1024} KiB", element="cache")
    return size // step


def _taken(line: str, number: int, taken: Sequence[Schemata]) -> int:
    """The bits of a cache that other groups have."""
    bits = 0
    for schemata in taken:
        bits |= schemata.get(line, {}).get(number, 0)
    return bits


def free_run(free: int, bits: int) -> int | None:
    """A mask of so many adjoining bits, from the shortest run that has them; None where no run has."""
    fits = [run for run in _runs(free) if run.bit_count() >= bits]
    best = min(fits, key=lambda run: (run.bit_count(), run), default=None)
    return None if best is None else ((1 << bits) - 1) * (best & -best)


def _runs(free: int) -> Iterator[int]:
    """The runs of adjoining bits, each as a mask."""
    while free:
        lowest = free & -free
        run = free & ~(free + lowest)
        yield run
        free &= ~run


def _bandwidth(share: Share, host: ResctrlFacts, taken: Sequence[Schemata]) -> dict[str, dict[int, int]]:
    given: dict[int, int] = {}
    usual, facts = host.usual.get(BANDWIDTH, {}), host.bandwidth
    for node in share.nodes:
        said = f"<memorytune><node id='{node.id}' bandwidth='{node.bandwidth}'>"
        if facts is None:
            raise Unsupported(f"{said}: this host cannot limit the bandwidth of memory", element="memorytune")
        if node.id not in usual:
            raise Unsupported(f"{said}: this host has no such node", element="memorytune")
        if usual[node.id] > PERCENT:
            raise Unsupported(f"{said}: this host does not count bandwidth in percent", element="memorytune")
        if node.bandwidth % facts.step or node.bandwidth < facts.least:
            raise Unsupported(f"{said}: not a multiple of {facts.step}, {facts.least} at least", element="memorytune")
        used = sum(other for one in taken if (other := one.get(BANDWIDTH, {}).get(node.id, PERCENT)) < PERCENT)
        if used + node.bandwidth > PERCENT:
            raise Unsupported(f"{said}: only {max(0, PERCENT - used)} percent are left", element="memorytune")
        given[node.id] = node.bandwidth
    return {BANDWIDTH: given} if given else {}


def _lines(given: Schemata, usual: Schemata) -> Iterator[str]:
    """The lines of a group's schemata: of what it does not ask for it has what the default group has."""
    for name, values in usual.items():
        mine = {**values, **given.get(name, {})}
        form = "d" if name == BANDWIDTH else "x"
        yield f"{name}:" + ";".join(f"{number}={value:{form}}" for number, value in mine.items())


def parse_schemata(text: str) -> dict[str, dict[int, int]]:
    """Read a file `schemata`: of a line that is there twice, the later counts. Lines of other kinds are passed over."""
    found: dict[str, dict[int, int]] = {}
    for line in text.splitlines():
        name, _, values = line.strip().partition(":")
        if name != BANDWIDTH and not name.startswith("L"):
            continue
        pairs = (entry.partition("=") for entry in values.split(";") if "=" in entry)  # or "uninitialized"
        base = 10 if name == BANDWIDTH else 16
        found.setdefault(name, {}).update({int(number): int(value.strip(), base) for number, _, value in pairs})
    return found
