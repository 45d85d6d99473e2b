"""What control groups count, from recorded folders of both versions."""

from __future__ import annotations

from pathlib import Path

from frontinus.domain.host import Paths
from frontinus.linux.cgroups import Cgroups

V1 = {
    "cpu.stat": "nr_periods 10\nnr_throttled 4\nthrottled_time 5000000\n",
    "memory.usage_in_bytes": "4096\n", "memory.max_usage_in_bytes": "8192\n", "memory.failcnt": "3\n",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
}  # fmt: skip
V2 = {
    "cpu.stat": "usage_usec 9\nnr_periods 10\nnr_throttled 4\nthrottled_usec 5000\n",
    "memory.current": "4096\n", "memory.peak": "8192\n", "memory.events": "low 0\nhigh 0\nmax 3\noom 0\noom_kill 1\n",
    "io.pressure": "some avg10=0 avg60=0 avg300=0 total=7\nfull avg10=0 avg60=0 avg300=0 total=2\n",
}  # fmt: skip


def group(root: Path, files: dict[str, str]) -> Path:
    folder = root / "frontinus/1-web"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_both_versions_tell_the_same(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    group(one, V1)
    folder = group(two, V2)
    (two / "cgroup.controllers").write_text("cpu io memory\n")
    old = Cgroups(Paths(), f"c {one} cgroup rw,cpu,memory 0 0\n").figures("/run/1-web")
    new = Cgroups(Paths(), f"c {two} cgroup2 rw 0 0\n")
    told = new.figures("/run/1-web")
    assert old is not None and told is not None
    for found in (old, told):
        assert (found.memory, found.memory_peak, found.memory_limit_hits, found.oom_kills) == (4096, 8192, 3, 1)
        assert (found.periods, found.throttled, found.throttled_time) == (10, 4, 5_000_000)
    assert old.waited == {} and told.waited == {"io": (7000, 2000)}
    (folder / "memory.current").write_text("5000\n")
    assert (again := new.figures("/run/1-web")) is not None and again.memory == 5000


async def test_a_guest_without_a_group_tells_nothing(tmp_path: Path) -> None:
    groups = Cgroups(Paths(), f"c {tmp_path} cgroup rw,cpu,memory 0 0\n")
    assert groups.figures("/run/1-web") is None
    folder = group(tmp_path, {"memory.usage_in_bytes": "4096\n"})
    assert (found := groups.figures("/run/1-web")) is not None and found.memory == 4096 and found.periods is None
    (folder / "memory.usage_in_bytes").unlink()
    await groups.remove("/run/1-web")
    assert groups.figures("/run/1-web") is None
