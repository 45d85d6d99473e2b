"""Memory, cells and what they are worth, as QEMU's command line has them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.qemu.limits import UNLIMITED
from support.guest_argv import found, objects
from support.guests import qemu72
from support.whole_guest import MIB, options, plan

CELLS = ("<vcpu>4</vcpu><cpu><numa><cell id='0' cpus='0,2' memory='256' unit='MiB'{0}/>"
         "<cell id='1' cpus='1,3' memory='256' unit='MiB'/></numa></cpu>")  # fmt: skip


RAM = {"qom-type": "memory-backend-ram", "id": "pc.ram", "size": 512 * MIB}


FILE = {"qom-type": "memory-backend-file", "id": "pc.ram", "x-use-canonical-path-for-ramblock-id": False,
        "size": 512 * MIB}  # fmt: skip


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", RAM),
        ("<memoryBacking><allocation mode='immediate' threads='3'/></memoryBacking>",
         RAM | {"prealloc": True, "prealloc-threads": 3}),
        ("<memoryBacking><hugepages/></memoryBacking>", FILE | {"mem-path": "/huge2M/7-test", "prealloc": True}),
        ("<memoryBacking><hugepages><page size='1' unit='GiB'/></hugepages><access mode='shared'/><discard/></memoryBacking>",
         FILE | {"mem-path": "/huge1G/7-test", "prealloc": True, "share": True, "discard-data": True}),
        ("<memoryBacking><hugepages><page size='4' unit='KiB'/></hugepages></memoryBacking>", RAM),
        ("<memoryBacking><source type='file'/><access mode='private'/></memoryBacking>",
         FILE | {"mem-path": "/ram/7-test/pc.ram", "share": False}),
        ("<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>",
         FILE | {"qom-type": "memory-backend-memfd", "share": True}),
        ("<memoryBacking><hugepages/><source type='memfd'/></memoryBacking>",
         FILE | {"qom-type": "memory-backend-memfd", "hugetlb": True, "hugetlbsize": 2 * MIB, "prealloc": True}),
        ("<numatune><memory mode='interleave' nodeset='1-2'/></numatune>",
         RAM | {"host-nodes": [1, 2], "policy": "interleave"}),
        ("<numatune><memory mode='restrictive' nodeset='1-2'/></numatune>", RAM),
        ("<numatune><memory placement='auto'/></numatune>", RAM | {"host-nodes": [0, 1], "policy": "bind"}),
    ],
)  # fmt: skip
def test_memory(more: str, expected: dict[str, object]) -> None:
    assert objects(more)["pc.ram"] == expected


def test_memory_is_allocated_near_where_it_belongs() -> None:
    made = objects("<memoryBacking><hugepages/></memoryBacking><numatune><memory nodeset='3'/></numatune>")
    assert made["tc-pc.ram"] == {"qom-type": "thread-context", "id": "tc-pc.ram", "node-affinity": [3]}
    assert made["pc.ram"]["prealloc-context"] == "tc-pc.ram"


def test_memory_is_rounded_to_whole_mebibytes() -> None:
    assert found("m", memory="<memory unit='KiB'>219100</memory>") == ["size=219136k"]
    assert found("m", CELLS.format("") + "<maxMemory slots='3' unit='GiB'>2</maxMemory>") == [
        "size=524288k,slots=3,maxmem=2097152k"]  # fmt: skip


def test_what_a_host_lacks_is_told() -> None:
    with pytest.raises((Unsupported, InvalidXML), match="8 KiB"):
        plan("<memoryBacking><hugepages><page size='8' unit='KiB'/></hugepages></memoryBacking>")
    with pytest.raises(Unsupported, match="node 9"):
        plan("<numatune><memory nodeset='9'/></numatune>")


def test_before_machines_had_memory() -> None:
    machines = {name: replace(m, default_ram_id=None, numa_mem_supported=True) for name, m in qemu72().machines.items()}
    old = replace(qemu72(), machines=machines)
    said = options(plan("<memoryBacking><hugepages/></memoryBacking>", old).argv)
    assert said["mem-prealloc"] == [""] and said["mem-path"] == ["/huge2M/7-test"]
    assert "memory-backend" not in said["machine"][0]
    assert found("numa", CELLS.format(""), old) == [
        "node,nodeid=0,cpus=0,cpus=2,mem=256",
        "node,nodeid=1,cpus=1,cpus=3,mem=256",
    ]


def test_cells() -> None:
    more = (
        CELLS.format(" memAccess='shared'") + "<numatune><memnode cellid='1' mode='preferred' nodeset='2'/></numatune>"
    )
    assert found("numa", more) == [
        "node,nodeid=0,cpus=0,cpus=2,memdev=ram-node0",
        "node,nodeid=1,cpus=1,cpus=3,memdev=ram-node1",
    ]
    made = objects(more)
    assert made["ram-node0"] == {"qom-type": "memory-backend-file", "id": "ram-node0", "share": True, "size": 256 * MIB,
                                 "mem-path": "/ram/7-test/ram-node0"}  # fmt: skip
    assert made["ram-node1"] == {"qom-type": "memory-backend-ram", "id": "ram-node1", "size": 256 * MIB, "host-nodes": [2],
                                 "policy": "preferred"}  # fmt: skip
    assert "memory-backend" not in found("machine", more)[0]


def test_one_distance_asks_for_all() -> None:
    distances = "<distances><sibling id='1' value='31'/></distances>"
    cells = CELLS.format("").replace("unit='MiB'/><cell", f"unit='MiB'>{distances}</cell><cell")
    assert found("numa", cells)[2:] == ["dist,src=0,dst=0,val=10", "dist,src=0,dst=1,val=31", "dist,src=1,dst=0,val=31",
                                        "dist,src=1,dst=1,val=10"]  # fmt: skip


HMAT = """<vcpu>2</vcpu><cpu><numa><cell id='0' cpus='0' memory='128' unit='MiB'/>
<cell id='1' cpus='1' memory='128' unit='MiB'><cache level='1' associativity='full' policy='writethrough'>
<size value='2' unit='MiB'/><line value='64' unit='B'/></cache></cell><cell id='2' memory='256' unit='MiB'/>
<interconnects><latency initiator='0' target='2' type='access' value='9'/>
<latency initiator='1' target='2' type='access' value='5'/>
<bandwidth initiator='1' target='1' cache='1' type='read' value='2' unit='MiB'/></interconnects></numa></cpu>"""


def test_memory_performance() -> None:
    said = found("numa", HMAT)
    assert [line for line in said if line.startswith("node")] == [
        "node,nodeid=0,cpus=0,initiator=0,memdev=ram-node0", "node,nodeid=1,cpus=1,initiator=1,memdev=ram-node1",
        "node,nodeid=2,initiator=1,memdev=ram-node2"]  # fmt: skip
    assert said[-2:] == [
        "hmat-lb,initiator=1,target=1,hierarchy=first-level,data-type=read-bandwidth,bandwidth=2048K",
        "hmat-cache,node-id=1,size=2048K,level=1,associativity=complex,policy=write-through,line=64"]  # fmt: skip
    assert ",hmat=on" in found("machine", HMAT)[0]


def test_memory_that_may_be_locked() -> None:
    locked = "<memoryBacking><locked/></memoryBacking>"
    assert plan(locked).limits == {"memlock": UNLIMITED} and found("overcommit", locked) == ["mem-lock=on"]
    limit = "<memtune><hard_limit unit='MiB'>900</hard_limit></memtune>"
    assert plan(locked + limit).limits == {"memlock": 900 * MIB}
    assert plan(limit).limits == {}
