"""The native table of what is no guest: the engine, its host, networks and pools."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from frontinus.api.figures import Pressure
from frontinus.api.storage import PoolState
from frontinus.api.views import STATES
from frontinus_prometheus.metric import LE, NANO, Scope, counter, flag, gauge, histogram, info, one
from frontinus_prometheus.model import Facts

POOL_STATES: tuple[PoolState, ...] = ("inactive", "building", "running", "degraded", "inaccessible")


class Stall(NamedTuple):
    """The pressure on one resource."""

    resource: str
    pressure: Pressure


def _text_version(numbers: tuple[int, int, int]) -> str:
    return ".".join(map(str, numbers))


def _all_states(facts: Facts) -> Iterable[tuple[str, int]]:
    known = dict(facts.states)
    return [(state, known.get(state, 0)) for state in STATES] if facts.up else []


def _stalls(facts: Facts) -> list[Stall]:
    figures = facts.host_figures
    return [Stall(*item) for item in sorted(figures.pressure.items())] if figures else []


def _modes(facts: Facts) -> list[tuple[str, int]]:
    """CPU time of the host by what it was spent on."""
    told = facts.host_figures
    if told is None:
        return []
    return [("user", told.cpu_user), ("system", told.cpu_system), ("idle", told.cpu_idle), ("iowait", told.cpu_iowait)]


def _started(facts: Facts) -> float | None:
    return facts.engine_figures.started if facts.engine_figures else None


def _restarts(facts: Facts) -> list[tuple[str, int]]:
    return sorted(facts.engine_figures.restarts.items()) if facts.engine_figures else []


def _pool_states(facts: Facts) -> Iterable[tuple[str, str, str, bool]]:
    return [(pool.name, pool.uuid, state, pool.state == state) for pool in facts.pools for state in POOL_STATES]


PAIR: Any = {"name": "name", "uuid": "uuid"}

ENGINE = (
    Scope(lambda facts: (facts,), (
        flag("frontinus_up", "Whether the engine is connected.", "up"),
        flag("frontinus_stats_success", "Whether the engine gave figures within this scrape's deadline.", "fresh"),
        gauge("frontinus_stats_age_seconds", "Age of the oldest figures shown, leaving out guests marked stale.", "age"),
        gauge("frontinus_engine_generation", "Number of the last event known; it starts anew with the engine.", "generation"),
    ), {}),
    Scope(one(lambda facts: facts.version), (info("frontinus_engine_info", "Versions of the engine and of its hypervisor."),), {
        "version": "frontinus", "api": "api", "hypervisor": "hypervisor",
        "hypervisor_version": lambda v: _text_version(v.hypervisor_version)}),
    Scope(one(lambda facts: facts.engine_figures), (
        gauge("frontinus_engine_start_timestamp_seconds", "When the engine started.", "started"),
        counter("frontinus_engine_cpu_seconds_total", "CPU time of the engine's process.", "cpu", NANO),
        gauge("frontinus_engine_rss_bytes", "Memory of the host that the engine's process holds.", "rss"),
        gauge("frontinus_engine_watchers", "Readers of the stream of events.", "watchers"),
        counter("frontinus_engine_resyncs_total", "Times that a reader fell behind and was given everything anew.", "resyncs"),
        gauge("frontinus_engine_jobs", "Long pieces of work under way.", "jobs"),
        counter("frontinus_engine_stats_rounds_total", "Samplings of one guest.", "rounds"),
        counter("frontinus_engine_stats_shared_total", "Figures that were served from another's sampling.", "shared"),
        gauge("frontinus_engine_stats_stale", "Guests whose hypervisor did not answer the last sampling in time.", "stale"),
        counter("frontinus_engine_monitor_commands_total", "Commands sent to the hypervisors' monitors.",
                lambda told: told.monitor.commands),
        counter("frontinus_engine_monitor_failures_total", "Commands that a monitor refused.", lambda told: told.monitor.failures),
        counter("frontinus_engine_monitor_late_total", "Batches of commands that were not answered in time.",
                lambda told: told.monitor.late),
        gauge("frontinus_engine_monitor_waiting", "Batches of commands that wait for their answers.",
              lambda told: told.monitor.waiting),
    ), {}, since=_started),
    Scope(one(lambda facts: facts.engine_figures and facts.engine_figures.monitor.latency), (
        histogram("frontinus_engine_monitor_seconds", "How long batches of commands took to be answered.", "counts"),
    ), {LE: "bounds"}, since=_started),
    Scope(_restarts, (counter("frontinus_engine_adapter_restarts_total", "Times that an adapter ended and was started anew.",
                              lambda pair: pair[1]),), {"adapter": lambda pair: pair[0]}, since=_started),
    Scope(one(lambda facts: facts.host), (info("frontinus_host_info", "The machine that the engine runs on."),), {
        "hostname": "hostname", "uuid": "uuid", "arch": "arch", "cpu_model": "cpu_model"}),
    Scope(one(lambda facts: facts.host), (
        gauge("frontinus_host_cpus", "CPUs of the host.", "cpus"),
        gauge("frontinus_host_memory_bytes", "Memory of the host.", "memory"),
        flag("frontinus_host_kvm", "Whether the host can run guests on KVM.", "kvm"),
    ), {}),
    Scope(one(lambda facts: facts.host_figures), (
        gauge("frontinus_host_memory_free_bytes", "Memory of the host that nothing uses.", "memory_free"),
        gauge("frontinus_host_memory_available_bytes", "Memory of the host that could be had without swapping.",
              "memory_available"),
        gauge("frontinus_host_swap_bytes", "Swap of the host.", "swap"),
        gauge("frontinus_host_swap_free_bytes", "Swap of the host that nothing uses.", "swap_free"),
        gauge("frontinus_host_load1", "Load of the host, average of a minute.", lambda told: told.load[0]),
    ), {}),
    Scope(_modes, (counter("frontinus_host_cpu_seconds_total", "Time of all CPUs of the host together, by what it went to.",
                           lambda pair: pair[1], NANO),), {"mode": lambda pair: pair[0]}),
    Scope(lambda facts: facts.host_figures.nodes if facts.host_figures else (), (
        gauge("frontinus_host_node_memory_bytes", "Memory of a NUMA node.", "total"),
        gauge("frontinus_host_node_memory_free_bytes", "Memory of a NUMA node that nothing uses.", "free"),
    ), {"node": "node"}),
    Scope(_stalls, (
        counter("frontinus_host_pressure_waiting_seconds_total", "Time in which some task waited for the resource.",
                lambda stall: stall.pressure.some, NANO),
        counter("frontinus_host_pressure_stalled_seconds_total", "Time in which all tasks waited for the resource.",
                lambda stall: stall.pressure.full, NANO),
    ), {"resource": "resource"}),
    Scope(_all_states, (gauge("frontinus_guests", "Guests known, by state.", lambda pair: pair[1]),), {
        "state": lambda pair: pair[0]}),
    Scope(lambda facts: facts.networks, (info("frontinus_network_info", "What a virtual network is."),), {
        **PAIR, "bridge": "bridge", "forward": "forward", "domain": "domain"}),
    Scope(lambda facts: facts.networks, (
        flag("frontinus_network_active", "Whether the network is up.", "active"),
        flag("frontinus_network_persistent", "Whether the network has a stored definition.", "persistent"),
        flag("frontinus_network_autostart", "Whether the network starts with the engine.", "autostart"),
        gauge("frontinus_network_ports", "Network cards of guests on the network.", "ports"),
        gauge("frontinus_network_leases", "Addresses that the network's DHCP server has given.", "leases"),
    ), PAIR),
    Scope(lambda facts: facts.pools, (info("frontinus_pool_info", "What a storage pool is."),), {
        **PAIR, "kind": "kind", "path": "path"}),
    Scope(_pool_states, (flag("frontinus_pool_state", "Whether a pool is in a state: 1 for one of all states.",
                              lambda row: row[3]),), {
        "name": lambda row: row[0], "uuid": lambda row: row[1], "state": lambda row: row[2]}),
    Scope(lambda facts: facts.pools, (
        flag("frontinus_pool_active", "Whether the pool is started.", "active"),
        flag("frontinus_pool_persistent", "Whether the pool has a stored definition.", "persistent"),
        flag("frontinus_pool_autostart", "Whether the pool starts with the engine.", "autostart"),
    ), PAIR),
    Scope(lambda facts: [pool for pool in facts.pools if pool.active], (
        gauge("frontinus_pool_capacity_bytes", "Size of the pool.", "capacity"),
        gauge("frontinus_pool_allocation_bytes", "Space of the pool that is taken.", "allocation"),
        gauge("frontinus_pool_available_bytes", "Space of the pool that is free.", "available"),
        gauge("frontinus_pool_volumes", "Volumes in the pool.", "volumes"),
    ), PAIR),
)  # fmt: skip
