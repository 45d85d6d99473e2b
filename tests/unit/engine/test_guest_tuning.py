"""Placement, limits and rates on the mock hypervisor: what reaches the host, and what the definition keeps."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import (
    AlreadyExists,
    Denied,
    InvalidValue,
    NoSuchDevice,
    Unsupported,
    WrongState,
)
from frontinus.api.identity import Identity
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
from frontinus.engine.local import LocalEngine
from frontinus.mock.limits import MemoryLimits
from support.mocked import mock_guest
from support.tuned_guest import XML, started

MIB = 2**20


@pytest.fixture
async def engine(local: LocalEngine, tmp_path: Path) -> Engine:
    return await started(local, tmp_path)


def limits(local: LocalEngine) -> MemoryLimits:
    assert isinstance(local.world.limits, MemoryLimits)
    return local.world.limits


def held(local: LocalEngine) -> dict[tuple[str, str, str], int | str]:
    return limits(local).held[mock_guest(local, "g").record.folder]


DOCUMENT = """<domain type='qemu'><name>{0}</name><memory unit='MiB'>64</memory>{1}<os><type arch='x86_64' machine='q35'>hvm</type>
</os></domain>"""


async def test_a_start_enforces_what_the_definition_says(local: LocalEngine, engine: Engine) -> None:
    assert held(local) == {("", "shares", ""): 512, ("vcpu0", "quota", ""): 20000, ("vcpu1", "quota", ""): 20000,
                           ("", "hard_limit", ""): 256 * MIB}  # fmt: skip
    threads = await mock_guest(local, "g").threads()
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


DISK = "<disk type='file' device='disk'><source file='/a'/><target dev='vda' bus='virtio'/></disk>"
PORT = "<interface type='bridge'><source bridge='b'/><virtualport type='openvswitch'/></interface>"


@pytest.mark.parametrize(("asked", "element"), [
    ("<cputune><cachetune vcpus='0'><cache id='0' level='3' type='both' size='3' unit='MiB'/></cachetune></cputune>", "cachetune"),
    ("<cputune><memorytune vcpus='0'><node id='0' bandwidth='60'/></memorytune></cputune>", "memorytune"),
    ("<cputune><cachetune vcpus='0'><monitor level='3' vcpus='0'/></cachetune></cputune>", "cachetune"),
    ("<cputune><energytune vcpus='0'><monitor vcpus='0'/></energytune></cputune>", "energytune"),
    ("<resource><fibrechannel appid='a'/></resource>", "fibrechannel"),
    ("<resource><partition>/mine</partition></resource>", "partition"),
    ("<perf><event name='cmt' enabled='yes'/></perf>", "perf"),
    ("<seclabel type='static' model='dac'><label>+0:+0</label></seclabel>", "seclabel"),
    (f"<devices>{DISK}</devices>".replace("<source", "<backenddomain name='b'/><source"), "backenddomain"),
    ("<devices><filesystem><source dir='/a'/><target dir='t'/><space_hard_limit>9</space_hard_limit></filesystem></devices>",
     "space_hard_limit"),
    (f"<devices>{PORT}</devices>", "virtualport"),
    ("<devices><interface type='direct'><source dev='eth0' mode='passthrough'/><vlan><tag id='5'/></vlan></interface></devices>",
     "vlan"),
])  # fmt: skip
async def test_what_nothing_here_keeps_is_no_silent_promise(engine: Engine, asked: str, element: str) -> None:
    await engine.define(DOCUMENT.format("s", asked).replace("'qemu'", "'kvm'"))
    with pytest.raises(Unsupported, match=f"<{element}>"):
        await engine.start("s")
    assert (await engine.guest("s")).state == "shutoff"


async def test_nothing_is_plugged_that_nothing_here_keeps(engine: Engine) -> None:
    with pytest.raises(Unsupported, match="<virtualport>"):
        await engine.attach_device("g", PORT, live=True)
    assert "openvswitch" not in await engine.guest_xml("g")


async def test_the_partition_that_libvirt_s_documents_name_is_no_wish(engine: Engine) -> None:
    await engine.define(DOCUMENT.format("s", "<resource><partition>/machine</partition></resource>"))
    await engine.start("s")


SHARED = """<vcpu current='1'>2</vcpu><cputune>
<cachetune vcpus='0-1'><cache id='0' level='3' type='both' size='3' unit='MiB'/><monitor level='3' vcpus='1'/></cachetune>
<memorytune vcpus='0-1'><monitor vcpus='0-1'/></memorytune><energytune vcpus='0-1'><monitor vcpus='0'/></energytune></cputune>"""


async def test_caches_are_shared_and_measured_as_the_definition_says(local: LocalEngine, engine: Engine) -> None:
    limits(local).shares = True
    await engine.define(DOCUMENT.format("s", SHARED).replace("'qemu'", "'kvm'"))
    await engine.start("s")
    folder = mock_guest(local, "s").record.folder
    (share,), threads = limits(local).shared[folder]
    assert share.vcpus == (0, 1) and share.caches[0].size == 3 * MIB and list(threads.vcpus) == [0]
    await engine.set_vcpus("s", 2)
    assert list(limits(local).shared[folder][1].vcpus) == [0, 1], "a vCPU that is plugged in joins"
    assert "<cachetune vcpus='0-1' id='vcpus_0-1'>" in (await engine.guest_xml("s")).replace('"', "'")
    assert "vcpus_0-1" not in await engine.guest_xml("s", ["inactive"])
    (all_,) = await engine.stats(["s"])
    assert [(m.kind, m.name, m.values) for m in all_.monitors] == [
        ("cache", "vcpus_1", {"occupancy": {0: 13.0}}), ("bandwidth", "vcpus_0-1", {"total": {0: 15.0}, "local": {0: 15.0}}),
        ("energy", "vcpus_0", {"core_energy": {0: 11.0}, "activity": {0: 8.0}})]  # fmt: skip
    (few,) = await engine.stats(["s"], ["memory"])
    assert [m.kind for m in few.monitors] == ["bandwidth"]
    await engine.destroy("s")
    assert limits(local).shared == {}


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
    threads = await mock_guest(local, "g").threads()
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
    assert mock_guest(local, "g").iothreads == {1, 5}
    with pytest.raises(AlreadyExists):
        await engine.add_iothread("g", 5)
    await engine.del_iothread("g", 1)
    assert mock_guest(local, "g").iothreads == {5} and [t.id for t in await engine.iothreads("g", True)] == [1, 5]
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
