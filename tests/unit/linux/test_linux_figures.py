"""Figures of the host, from recorded files and from this very host."""

from __future__ import annotations

from pathlib import Path

from frontinus.api.figures import Pressure
from frontinus.linux.figures import TICK, parse_pressure, read_figures

FILES = {
    "proc/meminfo": "MemTotal: 1000 kB\nMemFree: 200 kB\nMemAvailable: 600 kB\nSwapTotal: 50 kB\nSwapFree: 40 kB\n",
    "proc/stat": "cpu  10 2 5 100 7 1 3 0 0 0\ncpu0 10 2 5 100 7 1 3 0 0 0\n",
    "proc/loadavg": "0.50 0.25 0.10 1/100 4242\n",
    "proc/pressure/io": "some avg10=0.00 avg60=0.00 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n",
    "sys/devices/system/node/node0/meminfo": "Node 0 MemTotal: 600 kB\nNode 0 MemFree: 100 kB\n",
    "sys/devices/system/node/node1/meminfo": "Node 1 MemTotal: 400 kB\nNode 1 MemFree: 90 kB\n",
}


def test_recorded(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    told = read_figures(tmp_path)
    assert (told.memory, told.memory_available, told.swap_free) == (1000 << 10, 600 << 10, 40 << 10)
    assert (told.cpu_user, told.cpu_system, told.cpu_idle, told.cpu_iowait) == (
        12 * TICK,
        9 * TICK,
        100 * TICK,
        7 * TICK,
    )
    assert told.load == (0.5, 0.25, 0.1)
    assert [(node.node, node.total, node.free) for node in told.nodes] == [
        (0, 600 << 10, 100 << 10),
        (1, 400 << 10, 90 << 10),
    ]
    assert told.pressure == {"io": Pressure(some=12_000, full=5_000)}


def test_a_kernel_that_tells_less(tmp_path: Path) -> None:
    told = read_figures(tmp_path)
    assert told.memory == 0 and told.nodes == () and told.pressure == {}
    assert parse_pressure("what is this") is None
    assert parse_pressure("some avg10=0 avg60=0 avg300=0 total=3") == Pressure(some=3000)


def test_this_host() -> None:
    told = read_figures()
    assert 0 < told.memory_available <= told.memory and told.cpu_idle > 0
