"""What the engine shows: immutable values that cross the socket as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from frontinus.api.agent import GuestFilesystem, GuestOs
from frontinus.api.filters import FilterView
from frontinus.api.networks import NetworkView
from frontinus.api.secrets import SecretView
from frontinus.api.storage import PoolView
from frontinus.api.view import View as View

State = Literal["nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended"]
"""States of a guest, in virsh's order: the index is virDomainState's number."""

STATES: tuple[State, ...] = ("nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended")

REASONS: dict[State, tuple[str, ...]] = {
    "nostate": ("unknown",),
    "running": ("unknown", "booted", "migrated", "restored", "from snapshot", "unpaused", "migration canceled",
                "save canceled", "event wakeup", "crashed", "post-copy", "post-copy failed"),
    "blocked": ("unknown",),
    "paused": ("unknown", "user", "migrating", "saving", "dumping", "I/O error", "watchdog", "from snapshot",
               "shutting down", "creating snapshot", "crashed", "starting up", "post-copy", "post-copy failed", "API error"),
    "shutdown": ("unknown", "user"),
    "shutoff": ("unknown", "shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from snapshot", "daemon"),
    "crashed": ("unknown", "panicked"),
    "pmsuspended": ("unknown",),
}  # fmt: skip
"""Reasons of each state; the index is libvirt's reason number."""


class VersionView(View, frozen=True, kw_only=True):
    """Versions: ours, and the default emulator's."""

    frontinus: str
    api: int
    hypervisor: str
    hypervisor_version: tuple[int, int, int]
    access: str = "role"
    """Who decides what callers may do: role (by socket) or polkit."""


class HostView(View, frozen=True, kw_only=True):
    """The machine that the engine runs on. `memory` in bytes, `cpu_mhz` 0 when unknown."""

    hostname: str
    uuid: str
    arch: str
    cpu_model: str
    cpus: int
    sockets: int
    cores: int
    threads: int
    numa_nodes: int
    memory: int
    memory_free: int
    cpu_mhz: int = 0
    kvm: bool = False


class GuestView(View, frozen=True, kw_only=True):
    """One guest. Memory in bytes; `id` only while active; `since` is the Unix time of the last change of state."""

    uuid: str
    name: str
    state: State
    reason: str
    id: int | None = None
    active: bool = False
    persistent: bool = True
    autostart: bool = False
    managed_save: bool = False
    updated: bool = False
    """The persistent definition differs from the running guest's."""
    title: str | None = None
    description: str | None = None
    vcpus: int = 1
    max_vcpus: int = 1
    memory: int = 0
    max_memory: int = 0
    arch: str = "x86_64"
    machine: str = ""
    virt_type: str = "qemu"
    os_type: str = "hvm"
    tainted: tuple[str, ...] = ()
    since: float = 0.0
    job: str | None = None


class VcpuStats(View, frozen=True, kw_only=True):
    """One virtual CPU. `state`: running, blocked or offline; times in ns; delays from the kernel's schedstat.

    `wait` is counted while the host's kernel.sched_schedstats is 1; `cpu` is the host's CPU that it was last on.
    """

    index: int
    state: str = "running"
    time: int | None = None
    wait: int | None = None
    delay: int | None = None
    halted: bool | None = None
    cpu: int | None = None


class InterfaceStats(View, frozen=True, kw_only=True):
    """One NIC; counters from the guest's side: received is what the guest received."""

    index: int
    name: str
    alias: str = ""
    mac: str = ""
    rx_bytes: int | None = None
    rx_packets: int | None = None
    rx_errors: int | None = None
    rx_drops: int | None = None
    tx_bytes: int | None = None
    tx_packets: int | None = None
    tx_errors: int | None = None
    tx_drops: int | None = None


class LatencyHistogram(View, frozen=True, kw_only=True):
    """How long requests took. `counts` has one number more than `bounds` (ns): the first counts those below the first bound."""

    bounds: tuple[int, ...]
    counts: tuple[int, ...]


class BlockStats(View, frozen=True, kw_only=True):
    """One disk. Bytes, requests, times in ns; sizes in bytes. The histograms count from when the engine first looked."""

    index: int
    name: str
    alias: str = ""
    path: str | None = None
    read_bytes: int | None = None
    read_requests: int | None = None
    read_time: int | None = None
    read_errors: int | None = None
    write_bytes: int | None = None
    write_requests: int | None = None
    write_time: int | None = None
    write_errors: int | None = None
    flush_requests: int | None = None
    flush_time: int | None = None
    allocation: int | None = None
    capacity: int | None = None
    physical: int | None = None
    threshold: int | None = None
    read_latency: LatencyHistogram | None = None
    write_latency: LatencyHistogram | None = None
    flush_latency: LatencyHistogram | None = None


class MemoryStats(View, frozen=True, kw_only=True):
    """Memory as the guest and the host see it; bytes, faults counted since start."""

    current: int | None = None
    maximum: int | None = None
    rss: int | None = None
    unused: int | None = None
    available: int | None = None
    usable: int | None = None
    disk_caches: int | None = None
    swap_in: int | None = None
    swap_out: int | None = None
    major_faults: int | None = None
    minor_faults: int | None = None
    hugetlb_pgalloc: int | None = None
    hugetlb_pgfail: int | None = None
    last_update: int | None = None


class IothreadStats(View, frozen=True, kw_only=True):
    """One iothread's polling parameters, ns."""

    id: int
    poll_max: int | None = None
    poll_grow: int | None = None
    poll_shrink: int | None = None


class CpuStats(View, frozen=True, kw_only=True):
    """CPU time of the whole guest, ns."""

    time: int | None = None
    user: int | None = None
    system: int | None = None


class DirtyRate(View, frozen=True, kw_only=True):
    """The last measurement of how fast the guest changes its memory: when it began (Unix time), its length in s, bytes a second."""

    began: float
    seconds: float
    rate: int


class GroupStats(View, frozen=True, kw_only=True):
    """The guest's control group. Times in ns, bytes, counts; None where the host's kind of groups does not tell.

    `waited`: time that work of the guest stood still for want of the resource, by resource (cpu, memory, io): some of it,
    and all of it.
    """

    memory: int | None = None
    memory_peak: int | None = None
    memory_limit_hits: int | None = None
    oom_kills: int | None = None
    periods: int | None = None
    throttled: int | None = None
    throttled_time: int | None = None
    waited: Mapping[str, tuple[int, int]] = {}


class AgentStats(View, frozen=True, kw_only=True):
    """What the guest's agent told at `taken` (Unix time)."""

    taken: float
    hostname: str | None = None
    os: GuestOs | None = None
    users: int | None = None
    filesystems: tuple[GuestFilesystem, ...] = ()


MonitorKind = Literal["cache", "bandwidth", "energy"]


class MonitorStats(View, frozen=True, kw_only=True):
    """What some vCPUs together use, where a <monitor> asks for it: of a cachetune, memorytune or energytune.

    `values` by number of cache, node or package: `occupancy` of a cache and `total` and `local` bandwidth since the start
    of the group in bytes; `core_energy` in joules, `activity` in farads. What the kernel cannot tell now is left out.
    """

    kind: MonitorKind
    name: str
    vcpus: tuple[int, ...]
    values: Mapping[str, Mapping[int, float]] = {}


class GuestStats(View, frozen=True, kw_only=True):
    """Figures of one guest, taken at `taken` (Unix time). `stale`: the hypervisor did not answer in time, figures are old."""

    uuid: str
    name: str
    id: int | None = None
    state: State = "nostate"
    reason: str = "unknown"
    taken: float = 0.0
    stale: bool = False
    cpu: CpuStats | None = None
    vcpus_current: int | None = None
    vcpus_maximum: int | None = None
    vcpus: tuple[VcpuStats, ...] = ()
    memory: MemoryStats | None = None
    interfaces: tuple[InterfaceStats, ...] = ()
    blocks: tuple[BlockStats, ...] = ()
    iothreads: tuple[IothreadStats, ...] = ()
    jobs: tuple[JobView, ...] = ()
    """Work under way."""
    dirty_rate: DirtyRate | None = None
    group: GroupStats | None = None
    agent: AgentStats | None = None
    started: float | None = None
    """When its process started (Unix time): its counters are from then."""
    monitors: tuple[MonitorStats, ...] = ()
    """With the groups cpu (caches, energy) and memory (bandwidth)."""


StatsGroup = Literal[
    "state", "cpu", "balloon", "vcpu", "interface", "block", "iothread", "memory", "job", "dirtyrate", "cgroup", "agent"
]  # fmt: skip
STATS_GROUPS: tuple[StatsGroup, ...] = (
    "state", "cpu", "balloon", "vcpu", "interface", "block", "iothread", "memory", "job", "dirtyrate", "cgroup",
)  # fmt: skip
"""Those that are taken when none is named. "agent" is asked for by its name: it makes the guest work."""


class JobView(View, frozen=True, kw_only=True):
    """A long piece of work. `progress` 0..1 or None; `state`: running, completed, failed, cancelled. Times are Unix."""

    id: str
    kind: str
    state: str
    started: float
    guest: str | None = None
    progress: float | None = None
    processed: int | None = None
    total: int | None = None
    ended: float | None = None
    error: str | None = None


class Screenshot(View, frozen=True, kw_only=True):
    """An image: its MIME type and bytes."""

    mime: str
    data: bytes


class Snapshot(View, frozen=True, kw_only=True, tag_field="event", tag="snapshot"):
    """The first item of `watch`, and the one after a reader was too slow: everything as of `generation`."""

    generation: int
    guests: tuple[GuestView, ...]
    resync: bool = False
    networks: tuple[NetworkView, ...] = ()
    filters: tuple[FilterView, ...] = ()
    pools: tuple[PoolView, ...] = ()
    secrets: tuple[SecretView, ...] = ()
