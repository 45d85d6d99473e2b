"""The plugin in a collectd that keeps what it is given, beside an engine of mock guests."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from frontinus.api.agent import GuestFilesystem
from frontinus.api.views import JobView
from frontinus.client.thin import ThinEngine
from frontinus.engine.block.progress import Progress
from frontinus_collectd.facts import pins, value_at
from frontinus_collectd.reader import file_system
from frontinus_collectd.settings import EXTRA, Where
from support.collectd import Fake, loaded
from support.monitored import Monitored, monitored


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Monitored]:
    async with monitored(tmp_path) as rig:
        yield rig


async def started(fake: Fake, rig: Monitored, *lines: tuple[str, *tuple[str | float | bool, ...]]) -> None:
    fake.configure(("Socket", str(rig.path)), ("MaxAge", 0.0), *lines)
    fake.callbacks["init"]()


async def test_figures_are_the_engines(rig: Monitored) -> None:
    with loaded() as fake:
        await started(fake, rig, ("ExtraStats", "disk domain_state pcpu"))
        before = threading.active_count()
        found = await asyncio.to_thread(fake.read)
        (stats,) = await rig.engine.stats(["guest-00000"], ["cpu", "block", "balloon"], max_age=3600)
        assert stats.cpu and stats.memory
        assert found["guest-00000/virt/virt_cpu_total"] == (stats.cpu.time,)
        assert found["guest-00000/virt/memory-total"] == (stats.memory.current,)
        (disk,) = stats.blocks
        assert found["guest-00000/virt/disk_octets-vda"] == (disk.read_bytes, disk.write_bytes)
        assert found["guest-00000/virt/disk_time-vda"] == (
            (disk.read_time or 0) // 10**6,
            (disk.write_time or 0) // 10**6,
        )
        assert found["test/virt/domain_state"] == (1, 1)
        assert {v.time for v in fake.values if v.host == "guest-00000" and v.type != "domain_state"} == {stats.taken}
        assert threading.active_count() <= before + 1  # that of to_thread
        assert [level for level, _ in fake.said] == ["info"]


async def test_defaults_without_a_block() -> None:
    with loaded() as fake:
        fake.callbacks["init"]()
        assert list(fake.readers) == ["frontinus"]


async def test_a_mistake_is_an_error_and_nothing_is_read() -> None:
    with loaded() as fake:
        with pytest.raises(fake.CollectdError, match="frontinus: Sokcet: there is no such option"):
            fake.configure(("Sokcet", "/x"))
        fake.callbacks["init"]()
        assert not fake.readers


async def test_two_blocks_are_two_readers(rig: Monitored) -> None:
    with loaded() as fake:
        fake.configure(("Socket", str(rig.path)), ("Plugin", "one"), ("Interval", 7.0), ("Domain", "test"))
        fake.configure(("Socket", str(rig.path)), ("Plugin", "two"), ("Domain", "/guest/"))
        fake.callbacks["init"]()
        assert {name: interval for name, (_, interval) in fake.readers.items()} == {
            "frontinus": 7.0,
            "frontinus-1": None,
        }
        found = await asyncio.to_thread(fake.read)
        assert {name.rpartition("/")[0] for name in found} == {"test/one", "guest-00000/two"}


@pytest.mark.parametrize(
    ("lines", "prefix"),
    [
        ([("HostnameFormat", "uuid")], "6695eb01-f6a4-8304-79aa-97f2502e193f/virt/"),
        ([("HostnameFormat", "hostname"), ("PluginInstanceFormat", "name")], "/virt-test/"),
        ([("HostnameFormat", "hostname name"), ("Hostname", "node")], "node:test/virt/"),
        (
            [("HostnameFormat", "metadata"), ("HostnameMetadataNS", "urn:m"), ("HostnameMetadataXPath", "/vm/label")],
            "Web Server/virt/",
        ),
        ([("PluginInstanceFormat", "name uuid")], "test/virt-test:6695eb01-f6a4-8304-79aa-97f2502e193f/"),
    ],
)
async def test_names(rig: Monitored, lines: list[tuple[str, str]], prefix: str) -> None:
    document = "<vm><label>Web Server</label></vm>"
    await rig.engine.set_metadata("test", "element", document, "m", "urn:m", live=True)
    with loaded() as fake:
        await started(fake, rig, ("Domain", "test"), *lines)
        found = await asyncio.to_thread(fake.read)
        assert {name[: len(prefix)] for name in found} == {prefix}


async def test_a_name_that_is_too_long_is_said_once(rig: Monitored) -> None:
    with loaded() as fake:
        await started(fake, rig, ("Domain", "test"), ("Hostname", "n" * 100), ("HostnameFormat", "hostname uuid"))
        await asyncio.to_thread(fake.read)
        await asyncio.to_thread(fake.read)
        assert [text for level, text in fake.said if level == "warning"] == [
            f"frontinus: collectd will cut the name '{'n' * 100}:6695eb01-f6a4-8304-79aa-97f2502e193f' short;"
            " choose another format"]  # fmt: skip


async def test_notifications_of_changes(rig: Monitored) -> None:
    async def messages() -> list[tuple[str, int, str]]:
        fake.notifications.clear()
        await asyncio.to_thread(fake.read)
        return [(n.host, n.severity, n.message) for n in fake.notifications]

    with loaded() as fake:
        await started(fake, rig, ("ExtraStats", "domain_state"))
        assert await messages() == []  # nothing has changed yet
        await rig.engine.suspend("test")
        assert await messages() == [("test", fake.NOTIF_WARNING, "Domain state: paused. Reason: user")]
        assert await messages() == []
        await rig.engine.resume("test")
        await rig.engine.destroy("guest-00000")
        assert await messages() == [
            ("guest-00000", fake.NOTIF_OKAY, "Domain state: shutoff. Reason: destroyed"),
            ("test", fake.NOTIF_OKAY, "Domain state: running. Reason: unpaused")]  # fmt: skip
        await rig.engine.create("<domain type='qemu'><name>brief</name><memory>65536</memory>"
                                "<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>")  # fmt: skip
        assert await messages() == [("brief", fake.NOTIF_OKAY, "Domain state: running. Reason: booted")]
        await rig.engine.destroy("brief")
        assert await messages() == [("brief", fake.NOTIF_OKAY, "Domain state: shutoff. Reason: unknown")]
        assert {n.type for n in fake.notifications} == {"domain_state"}


async def test_persistent_notifications(rig: Monitored) -> None:
    with loaded() as fake:
        await started(fake, rig, ("ExtraStats", "domain_state"), ("PersistentNotification", True))
        for _ in range(2):
            await asyncio.to_thread(fake.read)
        assert [n.host for n in fake.notifications] == ["guest-00000", "test"] * 2


async def test_paused_guests_are_shown_too(rig: Monitored) -> None:
    await rig.engine.suspend("guest-00000")
    with loaded() as fake:
        await started(fake, rig, ("Domain", "guest-00000"))
        assert "guest-00000/virt/disk_ops-vda" in await asyncio.to_thread(fake.read)


async def test_an_engine_that_restarts_costs_no_reading(rig: Monitored) -> None:
    with loaded() as fake:
        await started(fake, rig)
        assert await asyncio.to_thread(fake.read)
        rig.close()
        reading = asyncio.create_task(asyncio.to_thread(fake.read))
        await asyncio.sleep(0.3)
        rig.open()
        assert await reading
        assert len(fake.said) == 2
        assert fake.said[1][0] == "notice" and re.search(
            r"the engine is back; it was away for \d+\.\d s", fake.said[1][1]
        )


async def test_an_engine_that_is_gone_is_said_once_and_waited_for_no_longer_than_the_deadline(rig: Monitored) -> None:
    with loaded() as fake:
        await started(fake, rig, ("Timeout", 1.5))
        await asyncio.to_thread(fake.read)
        rig.close()
        began = time.monotonic()
        for _ in range(3):
            assert await asyncio.to_thread(fake.read) == {}
        assert time.monotonic() - began < 2.5 * 1.5, "only the first reading waits"
        assert [level for level, _ in fake.said] == ["info", "error"]
        rig.open()
        assert await asyncio.to_thread(fake.read)
        assert [level for level, _ in fake.said] == ["info", "error", "notice"]


async def test_a_hung_guest_has_no_values_and_delays_no_other(rig: Monitored) -> None:
    with loaded() as fake:
        await started(fake, rig, ("Interval", 10.0))
        await asyncio.to_thread(fake.read)
        rig.mocks["test"].answers.clear()
        found = await asyncio.to_thread(fake.read)
        rig.mocks["test"].answers.set()
        assert "guest-00000/virt/virt_cpu_total" in found
        assert not any(name.startswith("test/") for name in found)


async def test_jobs_of_guests(rig: Monitored) -> None:
    await rig.engine.managed_save("guest-00000")
    await rig.engine.start("guest-00000")
    with loaded() as fake:
        await started(fake, rig, ("ExtraStats", "job_stats_completed"))
        found = await asyncio.to_thread(fake.read)
        assert {name for name in found if "job_stats" in name} >= {"guest-00000/virt/job_stats-time_elapsed"}
        assert "test/virt/job_stats-time_elapsed" not in found


async def test_a_job_under_way_comes_with_the_figures(rig: Monitored, monkeypatch: pytest.MonkeyPatch) -> None:
    job = JobView(
        id="j", kind="backup", state="running", started=time.time() - 9, guest="", progress=0.3, processed=30, total=100
    )
    uuid = rig.local.world.guests.find("test").uuid
    monkeypatch.setattr(Progress, "under_way", AsyncMock(return_value={uuid: (job,)}))
    with loaded() as fake:
        await started(fake, rig, ("ExtraStats", "job_stats_background"))
        found = await asyncio.to_thread(fake.read)
    assert found["test/virt/job_stats-data_remaining"] == (70,)
    assert "guest-00000/virt/job_stats-data_remaining" not in found


async def test_pinning_is_read_from_the_definition(rig: Monitored) -> None:
    with loaded() as fake:
        await started(fake, rig, ("ExtraStats", "vcpupin"), ("Domain", "test"))
        found = await asyncio.to_thread(fake.read)
        assert {name: value for name, value in found.items() if "affinity" in name} == {
            f"test/virt/cpu_affinity-vcpu_{v}-cpu_{c}": (1,) for v in range(2) for c in range(8)}  # fmt: skip


async def test_file_systems_are_told_once_in_a_while(rig: Monitored) -> None:
    disk = {
        "bus-type": "virtio",
        "bus": 0,
        "target": 0,
        "unit": 0,
        "pci-controller": {"domain": 0, "bus": 0, "slot": 0, "function": 0},
    }
    rig.mocks["test"].agent["guest-get-fsinfo"] = [{"name": "vda1", "mountpoint": "/", "type": "ext4", "disk": [disk]}]
    running = rig.local.world.guests.find("test").need_running()
    running.agent_connected = True
    with loaded() as fake:
        await started(fake, rig, ("ExtraStats", "fs_info"), ("RefreshInterval", 3600.0))
        for _ in range(2):
            assert await asyncio.to_thread(fake.read)
        (told,) = fake.notifications
        assert (told.type, told.host, told.severity) == ("file_system", "test", fake.NOTIF_OKAY)
        assert told.meta == {"name": "vda1", "mountpoint": "/", "fstype": "ext4", "ndevAlias": 0}
        assert [level for level, _ in fake.said] == ["info"], "the monitor socket is enough"


def test_a_file_system() -> None:
    told = file_system(GuestFilesystem(name="dm-0", mountpoint="/", type="ext4", disks=("vda", "vdb")))
    assert told.type == "file_system"
    assert told.meta == {"name": "dm-0", "mountpoint": "/", "fstype": "ext4", "ndevAlias": 2, "devAlias": "vda vdb"}


async def test_a_reading_costs_one_call(rig: Monitored, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    ask = ThinEngine.call

    def counted(engine: ThinEngine, method: Callable[..., object], *args: object, **given: object) -> object:
        asked.append(method.__name__)
        return ask(engine, method, *args, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(ThinEngine, "call", counted)
    with loaded() as fake:
        await started(fake, rig, ("ExtraStats", " ".join(set(EXTRA) - {"job_stats_completed", "vcpupin"})))
        for _ in range(3):
            assert await asyncio.to_thread(fake.read)
    assert asked == ["host", "stats", "stats", "stats"], "the host's CPUs are asked for once"


@pytest.mark.parametrize(
    ("document", "place", "value"),
    [
        ("<instance><name> web </name></instance>", Where(), "web"),
        ("<n:instance xmlns:n='urn:n'><n:name>web</n:name></n:instance>", Where(), "web"),
        ("<vm id='7'/>", Where(("vm",), "id"), "7"),
        ("<vm/>", Where(("vm",), "id"), ""),
        ("<other><name>web</name></other>", Where(), ""),
        ("<instance/>", Where(), ""),
    ],
)
def test_places_in_metadata(document: str, place: Where, value: str) -> None:
    assert value_at(document, place) == value


def test_pinning() -> None:
    document = ("<domain><vcpu cpuset='0-3,^2' current='2'>4</vcpu><cputune><vcpupin vcpu='1' cpuset='2,9'/>"
                "<vcpupin vcpu='3' cpuset='1'/></cputune></domain>")  # fmt: skip
    assert pins(document, 4) == {0: frozenset({0, 1, 3}), 1: frozenset({2})}
    assert pins("<domain/>", 2) == {0: frozenset({0, 1})}


def test_it_imports_no_event_loop() -> None:
    code = ("import sys; from types import ModuleType; sys.modules['collectd'] = ModuleType('collectd');"
            "import frontinus_collectd.reader, frontinus_collectd.munin, frontinus_collectd.nagios;"
            "print([m for m in ('asyncio', 'lxml', 'threading') if m in sys.modules])")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
