"""The plugin for munin: what it prints for each of munin's questions."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from frontinus.api.views import BlockStats, CpuStats, GuestStats, InterfaceStats, MemoryStats
from frontinus_collectd.munin import GRAPHS, config, install, main, values
from support.monitored import Monitored, monitored

UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"
GUEST = GuestStats(uuid=UUID, name="web-1", id=1, state="running", cpu=CpuStats(time=5_999_999),
                   memory=MemoryStats(current=7, rss=8),
                   blocks=(BlockStats(index=0, name="a", read_bytes=1, write_bytes=2), BlockStats(index=1, name="b", read_bytes=4)),
                   interfaces=(InterfaceStats(index=0, name="n"),))  # fmt: skip


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Monitored]:
    monkeypatch.setenv("FRONTINUS_SOCKET", str(tmp_path / "ro.sock"))
    monkeypatch.delenv("MUNIN_CAP_DIRTYCONFIG", raising=False)
    async with monitored(tmp_path) as rig:
        yield rig


async def run(capsys: pytest.CaptureFixture[str], name: str, *arguments: str) -> tuple[int, list[str], str]:
    code = await asyncio.to_thread(main, arguments, f"/etc/munin/plugins/frontinus_{name}")
    out, err = capsys.readouterr()
    return code, out.splitlines(), err


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ("cpu", ["web_1_6695eb01.value 5"]),
        ("memory", ["web_1_6695eb01_has.value 7", "web_1_6695eb01_rss.value 8"]),
        ("block", ["web_1_6695eb01_read.value 5", "web_1_6695eb01_written.value 2"]),
        ("network", ["web_1_6695eb01_received.value U", "web_1_6695eb01_sent.value U"]),
        ("state", ["running.value 1", "blocked.value 0", "paused.value 0", "shutdown.value 0", "shutoff.value 0",
                   "crashed.value 0", "pmsuspended.value 0", "stale.value 0"]),
    ],
)  # fmt: skip
def test_values(graph: str, expected: list[str]) -> None:
    assert list(values(list(GRAPHS[graph].fields([GUEST])))) == expected


@pytest.mark.parametrize("name", GRAPHS)
def test_configuration_follows_munins_rules(name: str) -> None:
    graph = GRAPHS[name]
    fields = list(graph.fields([GUEST]))
    lines = list(config(graph, fields))
    assert [line.split()[0] for line in lines[:5]] == [
        "graph_title", "graph_args", "graph_vlabel", "graph_category", "graph_info"]  # fmt: skip
    for line in lines[5:]:
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*\.(label|type|min|cdef|graph|negative|warning|draw) \S.*", line)
    for field in fields:
        assert field.attributes["label"] and field.attributes["type"] in ("GAUGE", "DERIVE")
        assert (field.attributes["type"] == "DERIVE") == (
            field.attributes.get("min") == "0"
        )  # else a restart is a peak
    names = [field.name for field in fields]
    for index, field in enumerate(fields):
        if (other := field.attributes.get("negative")) is not None:
            assert other in names[:index]  # munin wants it before


async def test_fetch_and_config(rig: Monitored, capsys: pytest.CaptureFixture[str]) -> None:
    guest = await rig.engine.guest("guest-00000")
    code, fetched, _ = await run(capsys, "cpu")
    assert code == 0
    assert [re.sub(r"\d+$", "N", line) for line in fetched] == [
        f"guest_00000_{guest.uuid[:8]}.value N", "test_6695eb01.value N"]  # fmt: skip
    code, configured, _ = await run(capsys, "cpu", "config")
    assert code == 0 and "graph_title CPU time of guests" in configured and not any(".value" in x for x in configured)
    assert "test_6695eb01.cdef test_6695eb01,10,/" in configured


async def test_dirty_configuration_brings_the_values(
    rig: Monitored, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUNIN_CAP_DIRTYCONFIG", "1")
    _, lines, _ = await run(capsys, "state", "config")
    assert "running.label running" in lines and "running.value 2" in lines


async def test_guests_that_are_off_have_no_graphs(rig: Monitored, capsys: pytest.CaptureFixture[str]) -> None:
    await rig.engine.destroy("test")
    _, lines, _ = await run(capsys, "memory")
    assert lines and not any(line.startswith("test_") for line in lines)
    _, lines, _ = await run(capsys, "state")
    assert "running.value 1" in lines and "shutoff.value 1" in lines


async def test_autoconf_and_suggest(rig: Monitored, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(capsys, "", "autoconf") == (0, ["yes"], "")
    assert await run(capsys, "", "suggest") == (0, list(GRAPHS), "")
    rig.close()
    code, (line,), _ = await run(capsys, "", "autoconf")
    assert code == 0 and re.fullmatch(r"no \(cannot reach the engine at .*\)", line)
    code, lines, said = await run(capsys, "cpu")
    assert code == 1 and lines == [] and "is frontinusd running?" in said


async def test_mistakes(rig: Monitored, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, lines, said = await run(capsys, "weather")
    assert code == 2 and not lines and "frontinus_cpu" in said
    monkeypatch.setenv("FRONTINUS_TIMEOUT", "soon")
    code, _, said = await run(capsys, "cpu")
    assert code == 1 and "env.FRONTINUS_TIMEOUT" in said


async def test_the_installed_plugin_runs_by_its_link(rig: Monitored, tmp_path: Path) -> None:
    install(tmp_path)
    plugin, link = tmp_path / "frontinus_", tmp_path / "frontinus_state"
    link.symlink_to(plugin)
    text = plugin.read_text()
    assert "\n#%# family=auto\n" in text and "\n#%# capabilities=autoconf suggest\n" in text
    assert text.startswith(f"#!{sys.executable}\n")
    done = await asyncio.to_thread(subprocess.run, [link], capture_output=True, text=True, check=True)
    assert "running.value 2" in done.stdout.splitlines()
