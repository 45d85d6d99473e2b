"""The Grafana dashboards, from one row a panel: `python -m frontinus_prometheus.dashboards FOLDER` writes them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

WIDTH = 24
"""Columns of Grafana's grid."""

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
HERE = 'instance="$instance"'
GUEST = f'{HERE},name="$guest"'
RATE = "[$__rate_interval]"


@dataclass(frozen=True)
class Panel:
    """`queries`: legend and expression. Units are Grafana's names."""

    title: str
    unit: str
    queries: Sequence[tuple[str, str]]
    kind: str = "timeseries"
    width: int = 12
    height: int = 8


def total(name: str) -> str:
    return f"sum(rate({name}{{{HERE}}}{RATE}))"


def top(name: str, by: str = "name") -> str:
    return f"topk(10, sum by ({by}) (rate({name}{{{HERE}}}{RATE})))"


def rate(name: str, sign: str = "") -> str:
    return f"{sign}rate({name}{{{GUEST}}}{RATE})"


def quantile(share: str, buckets: str, by: str) -> str:
    """The time within which so many percent were done."""
    return f"histogram_quantile(0.{share}, sum by ({by}) ({buckets}))"


OVERVIEW = (
    Panel("Engine", "bool_on_off", [("", f"frontinus_up{{{HERE}}}")], "stat", 4, 4),
    Panel("Running guests", "short", [("", f'frontinus_guests{{{HERE},state="running"}}')], "stat", 4, 4),
    Panel("Guests that need someone", "short", [
        ("", f'sum(frontinus_guests{{{HERE},state="crashed"}}) + (count(frontinus_guest_status_info{{{HERE},'
             'state="paused",reason="I/O error"}) or vector(0))')], "stat", 4, 4),
    Panel("Figures that are stale", "short", [("", f"sum(frontinus_guest_stats_stale{{{HERE}}}) or vector(0)")], "stat", 4, 4),
    Panel("vCPUs for each CPU", "short", [
        ("", f"sum(frontinus_guest_vcpus{{{HERE}}} * frontinus_guest_active{{{HERE}}}) / sum(frontinus_host_cpus{{{HERE}}})")],
        "stat", 4, 4),
    Panel("Memory promised to guests", "percentunit", [
        ("", f"sum(frontinus_guest_memory_bytes{{{HERE}}} * frontinus_guest_active{{{HERE}}}) / "
             f"sum(frontinus_host_memory_bytes{{{HERE}}})")], "stat", 4, 4),
    Panel("Guests by state", "short", [("{{state}}", f"frontinus_guests{{{HERE}}} > 0")]),
    Panel("CPU time of all guests", "short", [("cores", total("frontinus_guest_cpu_seconds_total"))]),
    Panel("Busiest guests", "short", [("{{name}}", top("frontinus_guest_cpu_seconds_total"))]),
    Panel("Guests that wait for the host's CPUs", "short", [("{{name}}", top("frontinus_guest_vcpu_delay_seconds_total"))]),
    Panel("Memory held on the host", "bytes", [("{{name}}", f"topk(10, frontinus_guest_memory_rss_bytes{{{HERE}}})")]),
    Panel("Disks", "Bps", [("read", total("frontinus_guest_block_read_bytes_total")),
                           ("written", total("frontinus_guest_block_written_bytes_total"))]),
    Panel("Busiest disks", "iops", [
        ("{{name}} {{device}}", f"topk(10, rate(frontinus_guest_block_read_requests_total{{{HERE}}}{RATE}) + "
                                f"rate(frontinus_guest_block_write_requests_total{{{HERE}}}{RATE}))")]),
    Panel("Network", "Bps", [("received", total("frontinus_guest_network_receive_bytes_total")),
                             ("sent", total("frontinus_guest_network_transmit_bytes_total"))]),
    Panel("Dropped packets", "pps", [("{{name}}", top("frontinus_guest_network_receive_drops_total"))]),
    Panel("Storage pools in use", "percentunit", [
        ("{{name}}", f"frontinus_pool_allocation_bytes{{{HERE}}} / frontinus_pool_capacity_bytes{{{HERE}}}")]),
    Panel("Networks", "short", [("{{name}} ports", f"frontinus_network_ports{{{HERE}}}"),
                                ("{{name}} leases", f"frontinus_network_leases{{{HERE}}}")]),
    Panel("Pressure on the host", "percentunit", [
        ("{{resource}}", f"rate(frontinus_host_pressure_waiting_seconds_total{{{HERE}}}{RATE})")]),
    Panel("Answers of the hypervisors' monitors", "s", [
        (f"{share} %", quantile(share, f"rate(frontinus_engine_monitor_seconds_bucket{{{HERE}}}{RATE})", "le"))
        for share in ("50", "99")]),
    Panel("Age of the figures", "s", [("oldest", f"frontinus_stats_age_seconds{{{HERE}}}")]),
)  # fmt: skip

ONE_GUEST = (
    Panel("State", "short", [("{{state}}", f"frontinus_guest_state{{{GUEST}}} == 1")], "stat", 6, 4),
    Panel("In this state since", "dateTimeFromNow", [
        ("", f"frontinus_guest_state_change_timestamp_seconds{{{GUEST}}} * 1000")], "stat", 6, 4),
    Panel("Virtual CPUs", "short", [("", f"frontinus_guest_vcpus{{{GUEST}}}")], "stat", 6, 4),
    Panel("Memory", "bytes", [("", f"frontinus_guest_memory_bytes{{{GUEST}}}")], "stat", 6, 4),
    Panel("CPU by vCPU", "percentunit", [("vCPU {{vcpu}}", rate("frontinus_guest_vcpu_seconds_total"))]),
    Panel("Waiting for the host's CPUs", "percentunit", [("vCPU {{vcpu}}", rate("frontinus_guest_vcpu_delay_seconds_total"))]),
    Panel("Memory", "bytes", [
        ("balloon", f"frontinus_guest_memory_balloon_bytes{{{GUEST}}}"), ("rss", f"frontinus_guest_memory_rss_bytes{{{GUEST}}}"),
        ("usable", f"frontinus_guest_memory_usable_bytes{{{GUEST}}}"),
        ("disk caches", f"frontinus_guest_memory_disk_cache_bytes{{{GUEST}}}")]),
    Panel("Swap and faults", "short", [
        ("swapped in, bytes/s", rate("frontinus_guest_memory_swap_in_bytes_total")),
        ("swapped out, bytes/s", rate("frontinus_guest_memory_swap_out_bytes_total")),
        ("major faults/s", rate("frontinus_guest_memory_major_faults_total"))]),
    Panel("Disk throughput", "Bps", [("{{device}} read", rate("frontinus_guest_block_read_bytes_total")),
                                     ("{{device}} written", rate("frontinus_guest_block_written_bytes_total", "-"))]),
    Panel("Disk requests", "iops", [("{{device}} read", rate("frontinus_guest_block_read_requests_total")),
                                    ("{{device}} written", rate("frontinus_guest_block_write_requests_total", "-")),
                                    ("{{device}} flushed", rate("frontinus_guest_block_flush_requests_total"))]),
    Panel("Time of a disk request", "s", [
        ("{{device}} read", f"{rate('frontinus_guest_block_read_seconds_total')} / "
                            f"{rate('frontinus_guest_block_read_requests_total')}"),
        ("{{device}} write", f"{rate('frontinus_guest_block_write_seconds_total')} / "
                             f"{rate('frontinus_guest_block_write_requests_total')}")]),
    Panel("Latency of reads and writes", "s", [
        (f"{{{{device}}}} {what} 99 %", quantile("99", rate(f"frontinus_guest_block_{what}_latency_seconds_bucket"), "le, device"))
        for what in ("read", "write")]),
    Panel("File systems in use", "percentunit", [
        ("{{mountpoint}}", f"frontinus_guest_filesystem_used_bytes{{{GUEST}}} / "
                           f"frontinus_guest_filesystem_size_bytes{{{GUEST}}}")]),
    Panel("Space of disks", "bytes", [("{{device}} capacity", f"frontinus_guest_block_capacity_bytes{{{GUEST}}}"),
                                      ("{{device}} on the host", f"frontinus_guest_block_physical_bytes{{{GUEST}}}")]),
    Panel("Network throughput", "Bps", [("{{device}} received", rate("frontinus_guest_network_receive_bytes_total")),
                                        ("{{device}} sent", rate("frontinus_guest_network_transmit_bytes_total", "-"))]),
    Panel("Packets lost", "pps", [("{{device}} received, dropped", rate("frontinus_guest_network_receive_drops_total")),
                                  ("{{device}} sent, dropped", rate("frontinus_guest_network_transmit_drops_total")),
                                  ("{{device}} receive errors", rate("frontinus_guest_network_receive_errors_total")),
                                  ("{{device}} transmit errors", rate("frontinus_guest_network_transmit_errors_total"))]),
    Panel("Events", "short", [("{{event}}", f"increase(frontinus_guest_events_total{{{GUEST}}}{RATE})")], width=24),
)  # fmt: skip

JSON = Mapping[str, object]


def variable(name: str, query: str) -> JSON:
    return {"name": name, "type": "query", "datasource": SOURCE, "refresh": 2, "sort": 1,
            "query": {"query": query, "refId": name}, "definition": query}  # fmt: skip


def dashboard(uid: str, title: str, panels: Sequence[Panel], variables: Sequence[JSON]) -> JSON:
    """Panels placed from left to right, a new line where one does not fit."""
    placed: list[JSON] = []
    x = y = line = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > WIDTH:
            x, y, line = 0, y + line, 0
        placed.append(_panel(number, panel, x, y))
        x, line = x + panel.width, max(line, panel.height)
    choice: JSON = {"name": "datasource", "type": "datasource", "query": "prometheus"}
    return {"uid": uid, "title": title, "tags": ["frontinus"], "schemaVersion": 38, "editable": True, "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"}, "templating": {"list": [choice, *variables]}, "panels": placed}  # fmt: skip


def _panel(number: int, panel: Panel, x: int, y: int) -> JSON:
    targets = [{"refId": chr(65 + n), "datasource": SOURCE, "expr": query, "legendFormat": legend or "__auto"}
               for n, (legend, query) in enumerate(panel.queries)]  # fmt: skip
    return {"id": number, "type": panel.kind, "title": panel.title, "datasource": SOURCE, "targets": targets,
            "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
            "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []}}  # fmt: skip


INSTANCE = variable("instance", "label_values(frontinus_up, instance)")
DASHBOARDS: Mapping[str, JSON] = {
    "frontinus-host.json": dashboard("frontinus-host", "Frontinus: host", OVERVIEW, [INSTANCE]),
    "frontinus-guest.json": dashboard("frontinus-guest", "Frontinus: guest", ONE_GUEST, [
        INSTANCE, variable("guest", 'label_values(frontinus_guest_info{instance="$instance"}, name)')]),
}  # fmt: skip


def text(board: JSON) -> str:
    return json.dumps(board, indent=1) + "\n"


if __name__ == "__main__":
    for name, board in DASHBOARDS.items():
        (Path(sys.argv[1]) / name).write_text(text(board))
