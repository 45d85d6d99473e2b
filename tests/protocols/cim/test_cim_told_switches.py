"""What is told of switches and their ports, as clients hear it: what comes, changes and goes, each once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from frontinus_cim.wire.model import Embedded
from support.cim import Rig, rig, subscribe
from support.waiting import until

MACS = ("52:54:00:00:07:01", "52:54:00:00:07:02")
NETWORK = "<network><name>office</name><bridge name='virbr7'/></network>"
NIC = "<interface type='{0}'><source {0}='{1}'/><mac address='{2}'/></interface>"
XML = """<domain type='qemu'><name>{0}</name><memory>65536</memory><os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices>{1}</devices></domain>"""
Told = list[tuple[str, str]]
"""What happened (Created and so on), and the Name or DeviceID of what it happened to."""
BASES = {"CIM_InstCreation": "Created", "CIM_InstModification": "Modified", "CIM_InstDeletion": "Deleted"}


@pytest.fixture
async def cim(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, guests=0) as made:
        await until(lambda: any(network.facts for network in made.world.networks.values()))
        yield made


@pytest.fixture
def told(cim: Rig) -> Told:
    """What a subscription to all of switches is told from now on."""
    heard = Told()

    def hear(indication: Embedded) -> None:
        source: Any = indication.values["SourceInstance"]
        name = source.values.get("DeviceID", source.values["Name"])
        assert f'"{name}"' in str(indication.values["SourceInstanceModelPath"])
        assert source.cls in ("KVM_VirtualEthernetSwitch", "KVM_EthernetSwitchPort")
        assert ("PreviousInstance" in indication.values) == (indication.cls == "CIM_InstModification")
        heard.append((BASES[indication.cls], str(name)))

    subscribe(cim, "Frontinus:Switches", hear)
    return heard


async def after(cim: Rig, told: Told) -> set[tuple[str, str]]:
    """What was told since the last time; nothing of it twice."""
    await cim.settled()
    chosen = list(told)
    told.clear()
    assert len(chosen) == len(set(chosen)), chosen
    return set(chosen)


async def test_a_network_comes_starts_stops_and_goes(cim: Rig, told: Told) -> None:
    await cim.engine.define_network(NETWORK)
    assert await after(cim, told) == {("Created", "office"), ("Created", "office/virbr7")}
    await cim.engine.start_network("office")
    assert await after(cim, told) == {("Modified", "office"), ("Modified", "office/virbr7")}
    await cim.engine.destroy_network("office")
    assert await after(cim, told) == {("Modified", "office"), ("Modified", "office/virbr7")}
    await cim.engine.undefine_network("office")
    assert await after(cim, told) == {("Deleted", "office"), ("Deleted", "office/virbr7")}


async def test_ports_come_and_go_with_guests_and_with_the_network(cim: Rig, told: Told) -> None:
    await cim.engine.define_network(NETWORK)
    await cim.engine.start_network("office")
    await cim.engine.define(XML.format("one", NIC.format("network", "office", MACS[0])))
    await after(cim, told)
    port = f"office/one/{MACS[0]}"
    await cim.engine.start("one")
    assert await after(cim, told) == {("Created", port)}
    await cim.engine.attach_device("one", NIC.format("network", "office", MACS[1]), live=True)
    assert await after(cim, told) == {("Created", f"office/one/{MACS[1]}")}
    down = NIC.format("network", "office", MACS[1]).replace("<mac", "<link state='down'/><mac")
    await cim.engine.update_device("one", down, live=True)
    assert await after(cim, told) == {("Modified", f"office/one/{MACS[1]}")}
    await cim.engine.destroy_network("office")
    gone = {("Deleted", port), ("Deleted", f"office/one/{MACS[1]}")}
    assert gone <= await after(cim, told)
    await cim.engine.start_network("office")
    assert {("Created", port)} <= await after(cim, told)
    await cim.engine.destroy("one")
    assert gone == await after(cim, told)


async def test_a_bridge_is_a_switch_as_long_as_guests_are_on_it(cim: Rig, told: Told) -> None:
    for name, mac in zip(("one", "two"), MACS, strict=True):
        await cim.engine.define(XML.format(name, NIC.format("bridge", "br7", mac)))
        bridge = {("Created", "br7"), ("Created", "br7/br7")} if name == "one" else set()
        assert await after(cim, told) == bridge
    await cim.engine.start("two")
    assert await after(cim, told) == {("Created", f"br7/two/{MACS[1]}")}
    await cim.engine.undefine("one")
    assert await after(cim, told) == set()
    await cim.engine.destroy("two")
    assert await after(cim, told) == {("Deleted", f"br7/two/{MACS[1]}")}
    await cim.engine.rename("two", "other")
    await cim.engine.undefine("other")
    assert await after(cim, told) == {("Deleted", "br7"), ("Deleted", "br7/br7")}


async def test_a_network_that_takes_a_bridge_is_the_switch_then(cim: Rig, told: Told) -> None:
    await cim.engine.define(XML.format("one", NIC.format("bridge", "virbr7", MACS[0])))
    await cim.engine.start("one")
    await after(cim, told)
    await cim.engine.define_network(NETWORK)
    told_now = await after(cim, told)
    assert told_now == {("Created", "office"), ("Created", "office/virbr7"), ("Deleted", "virbr7"),
                        ("Deleted", "virbr7/virbr7"), ("Deleted", f"virbr7/one/{MACS[0]}")}  # fmt: skip


async def test_what_was_there_before_is_not_new(cim: Rig, told: Told) -> None:
    await cim.engine.define(XML.format("one", NIC.format("bridge", "br7", MACS[0])))
    await cim.engine.start("one")
    await after(cim, told)
    stopped = cim.world._remote
    assert stopped is not None
    stopped.close()
    await until(lambda: cim.world._remote not in (None, stopped))
    assert await after(cim, told) == set()
    await cim.engine.destroy("one")
    assert await after(cim, told) == {("Deleted", f"br7/one/{MACS[0]}")}
