"""Placement, limits, rates and looks on the mock hypervisor: what reaches the host, and what the definition keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from frontinus.api.agent import GuestFilesystem, GuestTime, GuestVcpus
from frontinus.api.engine import Engine
from frontinus.api.errors import (
    AgentUnavailable,
    AlreadyExists,
    Denied,
    InvalidValue,
    NoSuchDevice,
    StorageFailed,
    Unsupported,
    WrongState,
)
from frontinus.api.identity import Identity
from frontinus.api.inspection import ControlInfo, DiskError
from frontinus.api.node import NodeMemoryParameters
from frontinus.api.tuning import (
    NO_LIMIT,
    BlkioDevice,
    BlkioParameters,
    BlockIoTune,
    InterfaceParameters,
    MemoryParameters,
    NumaParameters,
    Rate,
    SchedulerParameters,
)
from frontinus.domain.host import Paths
from frontinus.engine.local import LocalEngine
from frontinus.mock.engine import ROOT, mock_engine
from frontinus.mock.hypervisor import MockGuest
from frontinus.mock.limits import MemoryLimits

MIB = 2**20
XML = """<domain type='qemu'><name>g</name><memory unit='MiB'>64</memory><vcpu current='2'>4</vcpu><iothreads>1</iothreads>
<cputune><shares>512</shares><quota>20000</quota><vcpupin vcpu='1' cpuset='0-1'/></cputune>
<memtune><hard_limit unit='MiB'>256</hard_limit></memtune>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
<disk type='file'><driver type='{format}'/><source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
<interface type='user'><mac address='52:54:00:00:00:01'/></interface>
<graphics type='vnc'/><video><model type='vga'/></video>
</devices></domain>"""


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[LocalEngine]:
    engine = await mock_engine(
        Paths(*(str(tmp_path / n) for n in ("config", "state", "run", "log", "cache"))), fixture=False
    )
    yield engine
    await engine.stop()


@pytest.fixture
async def engine(local: LocalEngine, tmp_path: Path) -> Engine:
    (tmp_path / "disk").write_bytes(bytes(range(256)) * 4)
    engine = local.session(ROOT)
    await engine.define(XML.format(disk=tmp_path / "disk", format="raw"))
    await engine.start("g")
    return engine


def limits(local: LocalEngine) -> MemoryLimits:
    assert isinstance(local.world.limits, MemoryLimits)
    return local.world.limits


def running(local: LocalEngine) -> MockGuest:
    process = local.world.guests.find("g").need_running().process
    assert isinstance(process, MockGuest)
    return process


def held(local: LocalEngine) -> dict[tuple[str, str, str], int | str]:
    return limits(local).held[running(local).record.folder]


DOCUMENT = """<domain type='qemu'><name>{0}</name><memory unit='MiB'>64</memory>{1}<os><type arch='x86_64' machine='q35'>hvm</type>
</os></domain>"""


async def test_a_start_enforces_what_the_definition_says(local: LocalEngine, engine: Engine) -> None:
    assert held(local) == {("", "shares", ""): 512, ("vcpu0", "quota", ""): 20000, ("vcpu1", "quota", ""): 20000,
                           ("", "hard_limit", ""): 256 * MIB}  # fmt: skip
    threads = await running(local).threads()
    assert limits(local).pinned == {threads.vcpus[1]: (0, 1)}
    await engine.destroy("g")
    assert limits(local).held == {}


SCHEDULED = """<cputune><emulatorsched scheduler='batch'/><vcpusched vcpus='0-1' scheduler='fifo' priority='7'/>
<iothreadsched iothreads='1' scheduler='rr' priority='2'/></cputune>"""


async def test_threads_are_scheduled_as_the_definition_says(local: LocalEngine, engine: Engine) -> None:
    await engine.define(DOCUMENT.format("s", f"<vcpu>2</vcpu><iothreads>1</iothreads>{SCHEDULED}"))
    await engine.start("s")
    process = local.world.guests.find("s").need_running().process
    threads = await process.threads()
    assert limits(local).scheduled == {
        threads.process: ("batch", 0), **dict.fromkeys(threads.vcpus.values(), ("fifo", 7)),
        **dict.fromkeys(threads.iothreads.values(), ("rr", 2)),
    }  # fmt: skip


@pytest.mark.parametrize(("asked", "element"), [
    ("<cputune><cachetune vcpus='0'><cache id='0' level='3' type='both' size='3' unit='MiB'/></cachetune></cputune>", "cachetune"),
    ("<cputune><memorytune vcpus='0'><node id='0' bandwidth='60'/></memorytune></cputune>", "memorytune"),
    ("<resource><fibrechannel appid='a'/></resource>", "fibrechannel"),
])  # fmt: skip
async def test_what_nothing_here_keeps_is_no_silent_promise(engine: Engine, asked: str, element: str) -> None:
    await engine.define(DOCUMENT.format("s", asked).replace("'qemu'", "'kvm'"))
    with pytest.raises(Unsupported, match=element):
        await engine.start("s")
    assert (await engine.guest("s")).state == "shutoff"


async def test_a_limit_that_the_host_cannot_keep_stops_the_start(local: LocalEngine, engine: Engine) -> None:
    await engine.destroy("g")

    async def refuse(*_: object) -> None:
        raise Unsupported("no control groups here")

    limits(local).apply = refuse  # type: ignore[method-assign]
    with pytest.raises(Unsupported, match="control groups"):
        await engine.start("g")
    assert (await engine.guest("g")).state == "shutoff" and limits(local).held == {}


async def test_plugged_vcpus_are_limited_too(local: LocalEngine, engine: Engine) -> None:
    await engine.set_vcpus("g", 3)
    assert held(local)["vcpu2", "quota", ""] == 20000


async def test_pins(local: LocalEngine, engine: Engine) -> None:
    await engine.pin_vcpu("g", 0, [3, 2], live=True, config=True)
    await engine.pin_emulator("g", [1])
    await engine.pin_iothread("g", 1, [4])
    threads = await running(local).threads()
    assert limits(local).pinned == {
        threads.vcpus[0]: (2, 3), threads.vcpus[1]: (0, 1), threads.process: (1,), threads.iothreads[1]: (4,)}  # fmt: skip
    assert [pin.cpus for pin in await engine.vcpu_pins("g")] == [(2, 3), (0, 1), tuple(range(8)), tuple(range(8))]
    assert (await engine.vcpu_pins("g", inactive=True))[0].cpus == (2, 3)
    assert await engine.emulator_pin("g") == [1] and await engine.emulator_pin("g", inactive=True) == list(range(8))
    assert [(t.id, t.cpus) for t in await engine.iothreads("g")] == [(1, (4,))]
    assert "<vcpupin vcpu='0' cpuset='2-3'/>" in (await engine.guest_xml("g", ["inactive"])).replace('"', "'")
    for vcpu, cpus in ((4, [0]), (0, []), (-1, [0])):
        with pytest.raises(InvalidValue):
            await engine.pin_vcpu("g", vcpu, cpus)


async def test_iothreads_come_and_go(local: LocalEngine, engine: Engine) -> None:
    await engine.add_iothread("g", 5, live=True, config=True)
    assert [t.id for t in await engine.iothreads("g")] == [1, 5] == [t.id for t in await engine.iothreads("g", True)]
    assert running(local).iothreads == {1, 5}
    with pytest.raises(AlreadyExists):
        await engine.add_iothread("g", 5)
    await engine.del_iothread("g", 1)
    assert running(local).iothreads == {5} and [t.id for t in await engine.iothreads("g", True)] == [1, 5]
    with pytest.raises(InvalidValue):
        await engine.del_iothread("g", 1)


async def test_an_iothread_in_use_stays(engine: Engine, tmp_path: Path) -> None:
    xml = (
        XML.format(disk=tmp_path / "d", format="raw")
        .replace("<name>g", "<name>h")
        .replace("type='raw'", "type='raw' iothread='1'")
    )
    await engine.define(xml)
    with pytest.raises(WrongState, match="used by disk"):
        await engine.del_iothread("h", 1, config=True)


async def test_scheduler_parameters(local: LocalEngine, engine: Engine) -> None:
    await engine.set_scheduler_parameters(
        "g", SchedulerParameters(shares=2048, emulator_quota=5000), live=True, config=True
    )
    values = held(local)
    assert values["", "shares", ""] == 2048 and values["emulator", "quota", ""] == 5000
    assert (await engine.scheduler_parameters("g")) == SchedulerParameters(
        shares=2048, quota=20000, emulator_quota=5000
    )
    assert (await engine.scheduler_parameters("g", inactive=True)).shares == 2048
    for wrong in (SchedulerParameters(shares=1), SchedulerParameters(quota=10), SchedulerParameters(period=10**7)):
        with pytest.raises(InvalidValue):
            await engine.set_scheduler_parameters("g", wrong)


async def test_memory_parameters(local: LocalEngine, engine: Engine) -> None:
    assert await engine.memory_parameters("g") == MemoryParameters(
        hard_limit=256 * MIB, soft_limit=NO_LIMIT, swap_hard_limit=NO_LIMIT)  # fmt: skip
    await engine.set_memory_parameters("g", MemoryParameters(soft_limit=128 * MIB, hard_limit=NO_LIMIT))
    assert held(local)["", "soft_limit", ""] == 128 * MIB and held(local)["", "hard_limit", ""] == NO_LIMIT
    assert (await engine.memory_parameters("g")).hard_limit == NO_LIMIT
    assert (await engine.memory_parameters("g", inactive=True)).hard_limit == 256 * MIB
    with pytest.raises(InvalidValue):
        await engine.set_memory_parameters("g", MemoryParameters(hard_limit=64 * MIB, swap_hard_limit=32 * MIB))
    assert (await engine.memory_parameters("g")).hard_limit == NO_LIMIT


async def test_blkio_parameters(local: LocalEngine, engine: Engine) -> None:
    device = BlkioDevice(path="/dev/sda", read_bytes=MIB)
    await engine.set_blkio_parameters("g", BlkioParameters(weight=500, devices=(device,)))
    assert held(local)["", "weight", ""] == 500 and held(local)["", "read_bytes", "/dev/sda"] == MIB
    assert await engine.blkio_parameters("g") == BlkioParameters(weight=500, devices=(device,))
    await engine.set_blkio_parameters("g", BlkioParameters(devices=(BlkioDevice(path="/dev/sda", read_bytes=0),)))
    assert held(local)["", "read_bytes", "/dev/sda"] == 0 and (await engine.blkio_parameters("g")).devices == ()
    with pytest.raises(InvalidValue):
        await engine.set_blkio_parameters("g", BlkioParameters(weight=5))


async def test_numa_parameters(local: LocalEngine, engine: Engine) -> None:
    await engine.set_numa_parameters("g", NumaParameters(nodes=(0, 1)))
    assert held(local)["", "mems", ""] == "0-1"
    assert await engine.numa_parameters("g") == NumaParameters(mode="strict", nodes=(0, 1))
    with pytest.raises(WrongState):
        await engine.set_numa_parameters("g", NumaParameters(mode="interleave"))
    await engine.set_numa_parameters("g", NumaParameters(mode="interleave", nodes=(0,)), config=True)
    assert (await engine.numa_parameters("g", inactive=True)).mode == "interleave"


async def test_a_disk_is_throttled(engine: Engine) -> None:
    await engine.set_block_io_tune(
        "g", "vda", BlockIoTune(total_bytes_sec=MIB, read_iops_sec=100), live=True, config=True
    )
    assert await engine.block_io_tune("g", "vda") == BlockIoTune(total_bytes_sec=MIB, read_iops_sec=100)
    await engine.set_block_io_tune("g", "vda", BlockIoTune(write_bytes_sec=2 * MIB))
    assert await engine.block_io_tune("g", "vda") == BlockIoTune(write_bytes_sec=2 * MIB, read_iops_sec=100)
    assert (await engine.block_io_tune("g", "vda", inactive=True)).total_bytes_sec == MIB
    with pytest.raises(InvalidValue):
        await engine.set_block_io_tune("g", "vda", BlockIoTune(total_bytes_sec=1, read_bytes_sec=1))
    with pytest.raises(NoSuchDevice):
        await engine.block_io_tune("g", "vdb")
    await engine.set_block_io_tune("g", "vda", BlockIoTune(write_bytes_sec=0, read_iops_sec=0))
    assert await engine.block_io_tune("g", "vda") == BlockIoTune()


async def test_a_nic_is_limited(local: LocalEngine, engine: Engine) -> None:
    mac = "52:54:00:00:00:01"
    await engine.set_interface_parameters(
        "g", mac, InterfaceParameters(inbound=Rate(average=1000, peak=2000)), config=True
    )
    found = await engine.interface_parameters("g", mac, inactive=True)
    assert found == InterfaceParameters(inbound=Rate(average=1000, peak=2000))
    await engine.set_interface_parameters("g", mac, InterfaceParameters(outbound=Rate(average=500)))
    assert limits(local).shaped[""][1] is not None
    await engine.set_interface_parameters("g", mac, InterfaceParameters(inbound=Rate(average=0)), config=True)
    assert await engine.interface_parameters("g", mac, inactive=True) == InterfaceParameters()
    with pytest.raises(NoSuchDevice):
        await engine.interface_parameters("g", "vnet77")


async def test_period_of_memory_figures(engine: Engine) -> None:
    await engine.set_memory_stats_period("g", 10, live=True, config=True)
    assert 'period="10"' in (await engine.guest_xml("g", ["inactive"])).replace("'", '"')
    with pytest.raises(InvalidValue):
        await engine.set_memory_stats_period("g", -1)


async def test_performance_events_are_refused(engine: Engine) -> None:
    assert await engine.perf_events("g") == {}
    with pytest.raises(Unsupported):
        await engine.set_perf_events("g", {"cmt": True})


async def test_dumps(local: LocalEngine, engine: Engine, tmp_path: Path) -> None:
    target = tmp_path / "core"
    await engine.core_dump("g", str(target), memory_only=True)
    assert target.read_bytes().startswith(b"\x7fELF") and target.stat().st_mode & 0o777 == 0o600
    assert (await engine.guest("g")).reason == "unpaused"
    assert [(job.kind, job.state) for job in await engine.jobs("g")][-1] == ("dump", "completed")
    await engine.core_dump("g", str(tmp_path / "stream"))
    assert (await engine.guest("g")).state == "running"
    for wrong in ({"format": "win-dmp"}, {"memory_only": True, "live": True, "crash": True}, {"path": "here"}):
        with pytest.raises(InvalidValue):
            await engine.core_dump("g", **{"path": str(target), **wrong})  # type: ignore[arg-type]
    with pytest.raises(StorageFailed):
        await engine.core_dump("g", str(tmp_path / "absent/core"), memory_only=True)
    assert (await engine.guest("g")).state == "running"
    await engine.core_dump("g", str(target), memory_only=True, crash=True)
    assert (await engine.guest("g")).reason == "crashed"


async def test_a_failed_dump_leaves_no_file_and_the_guest_running(
    local: LocalEngine, engine: Engine, tmp_path: Path
) -> None:
    async def fail(*_: object) -> None:
        raise Unsupported("no such format")

    running(local).dump = fail  # type: ignore[method-assign]
    with pytest.raises(Unsupported):
        await engine.core_dump("g", str(tmp_path / "core"), memory_only=True)
    assert not (tmp_path / "core").exists() and (await engine.guest("g")).state == "running"


async def test_looks(local: LocalEngine, engine: Engine, tmp_path: Path) -> None:
    assert await engine.memory_peek("g", 0x1000, 16, physical=True) == bytes(16)
    assert await engine.block_peek("g", "vda", 254, 4) == bytes([254, 255, 0, 1])
    with pytest.raises(InvalidValue, match="ends before"):
        await engine.block_peek("g", "vda", 1020, 100)
    with pytest.raises(InvalidValue):
        await engine.memory_peek("g", 0, 5 * MIB)
    await engine.define(XML.format(disk=tmp_path / "disk", format="qcow2").replace("<name>g", "<name>q"))
    with pytest.raises(Unsupported):
        await engine.block_peek("q", "vda", 0, 4)
    assert await engine.disk_errors("g") == []
    running(local).faults = {"virtio-disk0": "no space"}
    assert await engine.disk_errors("g") == [DiskError(disk="vda", error="no space")]


async def test_the_state_of_control(local: LocalEngine, engine: Engine) -> None:
    assert await engine.control_info("g") == ControlInfo(state="ok")
    async with local.world.guests.find("g").lock.hold("a test"):
        assert (await engine.control_info("g")).state == "job"
    assert [label.model for label in await engine.security_labels("g")] == ["dac"]


async def test_a_display_is_opened(engine: Engine) -> None:
    import os

    fd = await engine.open_graphics("g")
    try:
        assert os.read(fd, 12) == b"RFB 003.008\n"
    finally:
        os.close(fd)
    with pytest.raises(NoSuchDevice):
        await engine.open_graphics("g", 1)


async def test_a_saved_state_is_redefined(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "saved"
    await engine.save("g", str(file))
    stream = file.read_bytes().rpartition(b"mock state")[1]
    xml = await engine.saved_xml(str(file))
    await engine.redefine_saved(str(file), xml.replace("</name>", "</name><title>told anew</title>"), paused=True)
    assert "told anew" in await engine.saved_xml(str(file)) and file.read_bytes().endswith(stream)
    assert [entry.name for entry in tmp_path.iterdir() if "saved" in entry.name] == ["saved"]
    assert (await engine.restore(str(file))).state == "paused"


ANSWERS = {
    "guest-get-host-name": '{"host-name": "web1"}', "guest-get-time": "1700000000123456789", "guest-set-time": "{}",
    "guest-get-vcpus": '[{"logical-id": 0, "online": true}, {"logical-id": 1, "online": true, "can-offline": true}]',
    "guest-set-vcpus": "1", "guest-fsfreeze-freeze": "2", "guest-fsfreeze-freeze-list": "1", "guest-fsfreeze-thaw": "2",
    "guest-fstrim": "{}", "guest-get-users": '[{"user": "ann", "login-time": 5.5}]', "guest-set-user-password": "{}",
    "guest-get-osinfo": '{"id": "debian", "kernel-release": "6.1"}', "guest-get-timezone": '{"zone": "UTC", "offset": 0}',
    "guest-get-fsinfo": '[{"name": "vda1", "mountpoint": "/", "type": "ext4", "used-bytes": 5, "total-bytes": 9, "disk":'
                        ' [{"bus-type": "virtio", "bus": 0, "unit": 0, "target": 0, "pci-controller":'
                        ' {"domain": 0, "bus": %d, "slot": %d, "function": 0}}]}]',
}  # fmt: skip


async def test_the_agents_calls(local: LocalEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    asked: list[dict[str, object]] = []
    disk = local.world.guests.find("g").need_running().guest.devices.disks[0]

    async def answer(command: str, deadline: float) -> str:
        given = json.loads(command)
        asked.append(given)
        text = ANSWERS[given["execute"]]
        if "%d" in text:
            text = text % (disk.address.bus, disk.address.slot)  # type: ignore[union-attr]
        return f'{{"return": {text}}}'

    monkeypatch.setattr(running(local), "agent_command", answer)
    assert await engine.guest_hostname("g") == "web1"
    assert await engine.guest_time("g") == GuestTime(seconds=1700000000, nanoseconds=123456789)
    await engine.set_guest_time("g", 5, 6)
    assert asked[-1]["arguments"] == {"time": 5_000_000_006}
    await engine.set_guest_time("g", sync=True)
    assert asked[-1]["arguments"] == {}
    assert await engine.guest_vcpus("g") == GuestVcpus(vcpus=(0, 1), online=(0, 1), offlinable=(1,))
    await engine.set_guest_vcpus("g", [1], False)
    assert asked[-1]["arguments"] == {"vcpus": [{"logical-id": 1, "online": False}]}
    for wrong in ([0], [7], []):
        with pytest.raises(InvalidValue):
            await engine.set_guest_vcpus("g", wrong, False)
    assert (await engine.freeze("g"), await engine.freeze("g", ["/"]), await engine.thaw("g")) == (2, 1, 2)
    await engine.trim("g", 4096)
    assert asked[-1]["arguments"] == {"minimum": 4096}
    assert [user.name for user in await engine.guest_users("g")] == ["ann"]
    await engine.set_user_password("g", "ann", "secret")
    assert asked[-1]["arguments"] == {"username": "ann", "password": "c2VjcmV0", "crypted": False}
    assert (await engine.guest_os("g")).kernel_release == "6.1" and (await engine.guest_zone("g")).name == "UTC"
    assert await engine.guest_filesystems("g") == [
        GuestFilesystem(mountpoint="/", name="vda1", type="ext4", disks=("vda",), total=9, used=5)]  # fmt: skip


async def test_without_an_agent(engine: Engine) -> None:
    with pytest.raises(AgentUnavailable):
        await engine.guest_hostname("g")


async def test_the_host(engine: Engine) -> None:
    whole, one = await engine.node_cpu_stats(), await engine.node_cpu_stats(0)
    assert whole.idle > one.idle > 0 and (await engine.node_cpu_map()).present == 8
    assert (await engine.node_memory_stats()).total == (await engine.node_memory_stats(0)).total == 16 * 2**30
    with pytest.raises(InvalidValue):
        await engine.node_cpu_stats(8)
    await engine.set_node_memory_parameters(NodeMemoryParameters(pages_to_scan=200))
    found = await engine.node_memory_parameters()
    assert (found.pages_to_scan, found.sleep_millisecs) == (200, 20)
    with pytest.raises(Unsupported):
        await engine.cpu_models("s390x")


async def test_a_monitor_reads_and_changes_nothing(local: LocalEngine, engine: Engine) -> None:
    monitor = local.session(Identity(uid=1000, gid=1000, readonly=True))
    assert await monitor.vcpu_pins("g") and await monitor.memory_parameters("g") and await monitor.node_cpu_map()
    for work in (monitor.pin_vcpu("g", 0, [0]), monitor.core_dump("g", "/x"), monitor.memory_peek("g", 0, 1),
                 monitor.guest_hostname("g"), monitor.open_graphics("g"), monitor.guest_addresses("g", "agent"),
                 monitor.set_node_memory_parameters(NodeMemoryParameters())):  # fmt: skip
        with pytest.raises(Denied):
            await work


async def test_one_change_at_a_time(local: LocalEngine, engine: Engine) -> None:
    await asyncio.gather(*(engine.pin_vcpu("g", n % 2, [n]) for n in range(8)))
    assert [pin.cpus for pin in await engine.vcpu_pins("g")][:2] == [(6,), (7,)]
