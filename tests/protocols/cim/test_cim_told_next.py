"""What is told of resources of a guest as it is and of its next start: each that comes, changes or goes, once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from frontinus_cim.wire.model import Embedded
from support.cim import Rig, rig, subscribe
from support.waiting import until

XML = """<domain type='qemu'><name>two</name><memory>65536</memory><vcpu>2</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices><disk type='file'><source file='/var/tmp/a.img'/>
<target dev='vda' bus='virtio'/></disk></devices></domain>"""
DISK = "<disk type='file'><source file='/var/tmp/{0}.img'/><target dev='{0}' bus='virtio'/></disk>"
Told = list[tuple[str, str]]
"""What happened (Created and so on), and to which settings."""


@pytest.fixture
async def cim(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, guests=0) as made:
        yield made


@pytest.fixture
def told(cim: Rig) -> Told:
    """What a subscription to all of resources is told from now on."""
    heard = Told()

    def hear(indication: Embedded) -> None:
        source: Any = indication.values["SourceInstance"]
        what = indication.cls.removeprefix("KVM_ResourceAllocationSettingData").removesuffix("Indication")
        heard.append((what, str(source.values["InstanceID"])))

    subscribe(cim, "Frontinus:Resources", hear)
    return heard


async def after(cim: Rig, told: Told) -> set[tuple[str, str]]:
    """What was told since the last time, of disks, memory and processors; nothing of it twice."""
    await cim.settled()
    chosen = [one for one in told if one[1].rpartition("/")[2] in ("vda", "vdb", "vdc", "mem", "proc")]
    told.clear()
    assert len(chosen) == len(set(chosen)), chosen
    return set(chosen)


async def test_a_guest_comes_and_goes_with_its_resources(cim: Rig, told: Told) -> None:
    await cim.engine.define(XML)
    assert await after(cim, told) == {("Created", f"two/{part}") for part in ("vda", "mem", "proc")}
    await cim.engine.rename("two", "other")
    assert await after(cim, told) == {(what, f"{name}/{part}") for part in ("vda", "mem", "proc")
                                      for what, name in (("Deleted", "two"), ("Created", "other"))}  # fmt: skip
    await cim.engine.undefine("other")
    assert await after(cim, told) == {("Deleted", f"other/{part}") for part in ("vda", "mem", "proc")}


async def test_the_next_start_has_resources_of_its_own_while_a_guest_runs(cim: Rig, told: Told) -> None:
    await cim.engine.define(XML)
    await after(cim, told)
    await cim.engine.start("two")
    following = {f"two/defined/{part}" for part in ("vda", "mem", "proc")}
    assert {one for one in await after(cim, told) if "defined" in one[1]} == {("Created", one) for one in following}
    await cim.engine.destroy("two")
    assert {one for one in await after(cim, told) if "defined" in one[1]} == {("Deleted", one) for one in following}


async def test_changes_are_told_of_the_set_that_they_are_in(cim: Rig, told: Told) -> None:
    await cim.engine.define(XML)
    await cim.engine.start("two")
    await after(cim, told)
    await cim.engine.attach_device("two", DISK.format("vdb"), live=True, config=False)
    assert await after(cim, told) == {("Created", "two/vdb")}
    await cim.engine.attach_device("two", DISK.format("vdc"), live=False, config=True)
    assert await after(cim, told) == {("Created", "two/defined/vdc")}
    await cim.engine.update_device("two", DISK.format("vdc").replace("/var/tmp", "/var/lib"), live=False, config=True)
    assert await after(cim, told) == {("Modified", "two/defined/vdc")}
    await cim.engine.detach_device("two", DISK.format("vdc").replace("/var/tmp", "/var/lib"), live=False, config=True)
    assert await after(cim, told) == {("Deleted", "two/defined/vdc")}
    await cim.engine.set_vcpus("two", 1, live=False, config=True)
    assert await after(cim, told) == {("Modified", "two/defined/proc")}
    await cim.engine.set_memory("two", 32 * 2**20, live=False, config=True)
    assert await after(cim, told) == {("Modified", "two/defined/mem")}
    await cim.engine.set_memory("two", 48 * 2**20, live=True, config=False)
    assert await after(cim, told) == {("Modified", "two/mem")}


async def test_what_was_there_before_is_not_new(cim: Rig, told: Told) -> None:
    """A provider that finds running guests has nothing to tell of them."""
    await cim.engine.define(XML)
    await cim.engine.start("two")
    await after(cim, told)
    stopped = cim.world._remote
    assert stopped is not None
    stopped.close()
    await until(lambda: cim.world._remote not in (None, stopped))
    assert await after(cim, told) == set()
    await cim.engine.undefine("two")
    gone = {("Deleted", f"two/defined/{part}") for part in ("vda", "mem", "proc")}
    assert await after(cim, told) == gone, "it runs on, without a next start"
