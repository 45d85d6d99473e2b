"""Filters in force on real taps and bridges: packets are sent, and arrive or do not."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from frontinus.domain.host import Paths
from frontinus.domain.plan import Tap
from frontinus.filter.instance import FilterUse
from frontinus.linux.network.filters import BridgeFilters
from frontinus.linux.resources import LinuxResources
from support.filtered import TABLE, filtered, on_wire, tables
from support.namespaces import own_network
from support.packets import (
    GUEST,
    KINDS,
    TENANT,
    Wire,
)
from support.waiting import until

pytestmark = pytest.mark.needs("ip", "nft")


@own_network
async def test_a_table_of_packets() -> None:
    assert len(KINDS) >= 40
    wire = on_wire()
    names = {f"{kind.name} passed" for kind in KINDS if not kind.passes}
    assert set(await wire.wrong()) == names, (
        "without a filter every kind arrives: what is dropped later, the filter drops"
    )
    filters = BridgeFilters(TABLE)
    await filters.put({"tap0": filtered(TENANT)})
    assert await wire.wrong() == []
    await filters.drop(["tap0"])
    assert tables() == ""
    assert set(await wire.wrong()) == names
    await filters.close()


@own_network
async def test_nothing_slips_through_while_a_filter_changes() -> None:
    wire = on_wire()
    filters = BridgeFilters(TABLE)
    other = TENANT.replace("priority='-650'", "priority='-690'").replace(
        "filter='no-arp-spoofing'", "filter='no-arp-spoofing'"
    )
    more = other.replace("</filter>", "<rule action='drop' direction='out'><tcp dstportstart='9'/></rule></filter>")
    versions = [filtered(text) for text in (TENANT, other, more)]
    await filters.put({"tap0": versions[0]})
    changes = 0
    ended = False

    async def change() -> None:
        nonlocal changes
        while not ended:
            changes += 1
            await filters.put({"tap0": versions[changes % 3]})

    changing = asyncio.create_task(change())
    try:
        async with asyncio.timeout(240):
            while changes < 60:
                assert await wire.wrong() == []
                await asyncio.sleep(0)
    finally:
        ended = True
        await changing
    await filters.close()


async def no_journal(undo: Sequence[dict[str, object]]) -> None:
    pass


@pytest.mark.parametrize("vnet_hdr", [False, True])
@own_network
async def test_rules_are_there_before_the_tap_is_on_its_bridge_and_go_with_it(tmp_path: Path, vnet_hdr: bool) -> None:
    wire = Wire()
    wire.header = 10 if vnet_hdr else 0
    filters = BridgeFilters(TABLE)
    host = LinuxResources(Paths(state=str(tmp_path), run=str(tmp_path)), filters=filters)
    plan = Tap(GUEST, (3,), bridge="br0", alias="net0", vnet_hdr=vnet_hdr, filter=FilterUse("tenant"),
               filtered=filtered(TENANT))  # fmt: skip
    seen: list[str] = []
    connect = host._taps._connect

    def watched(resource: Tap, name: str) -> None:
        seen.append(tables())
        connect(resource, name)

    host._taps._connect = watched  # type: ignore[method-assign]
    made = await host.set_up([plan], None, no_journal)
    assert '"vnet0" : jump vnet0/from' in seen[0]
    assert [(one["kind"], one["name"], one["alias"]) for one in made.undo] == [("filter", "vnet0", "net0")]
    wire.join(made.fds[3])
    assert await wire.wrong() == []
    os.close(made.fds[3])
    await host.tear_down(made.undo)
    assert tables() == ""
    await host.tear_down(made.undo)


@own_network
async def test_the_next_guest_with_the_name_of_a_tap_keeps_its_rules(tmp_path: Path) -> None:
    """The kernel gives a name again as soon as the tap is gone, which is before the end of its guest is cleared up."""
    wire = Wire()
    filters = BridgeFilters(TABLE)
    host = LinuxResources(Paths(state=str(tmp_path), run=str(tmp_path)), filters=filters)
    plan = Tap(GUEST, (3,), bridge="br0", alias="net0", filter=FilterUse("tenant"), filtered=filtered(TENANT))
    first = await host.set_up([plan], None, no_journal)
    os.close(first.fds[3])
    await until(lambda: not Path("/sys/class/net/vnet0").exists())
    second = await host.set_up([plan], None, no_journal)
    assert first.names == second.names == {"net0": "vnet0"}
    await host.tear_down(first.undo)
    wire.join(second.fds[3])
    assert await wire.wrong() == []
    os.close(second.fds[3])
    await host.tear_down(second.undo)
    assert tables() == ""


@own_network
async def test_a_start_that_fails_leaves_no_rules(tmp_path: Path) -> None:
    filters = BridgeFilters(TABLE)
    host = LinuxResources(Paths(state=str(tmp_path), run=str(tmp_path)), filters=filters)
    plan = Tap(GUEST, (3,), bridge="nobridge", alias="net0", filter=FilterUse("tenant"), filtered=filtered(TENANT))
    with pytest.raises(Exception, match="nobridge"):
        await host.set_up([plan], None, no_journal)
    assert tables() == ""


@own_network
async def test_what_somebody_flushes_is_put_back() -> None:
    wire = on_wire()
    filters = BridgeFilters(TABLE)
    filters.listen(lambda link, addresses: None)
    await filters.put({"tap0": filtered(TENANT)})
    before = tables()
    for command in (
        ["flush", "ruleset"],
        ["delete", "table", "bridge", TABLE],
        ["flush", "chain", "bridge", TABLE, "from"],
    ):
        subprocess.run(["nft", *command], check=True)
        async with asyncio.timeout(60):
            while tables() != before:  # noqa: ASYNC110  the kernel is asked, nobody tells
                await asyncio.sleep(0.02)
        assert await wire.wrong() == []
    await filters.close()


@own_network
async def test_another_engine_finds_what_is_there_and_takes_what_is_left_over() -> None:
    wire = on_wire()
    first = BridgeFilters(TABLE)
    await first.put({"tap0": filtered(TENANT), "gone": filtered(TENANT), "kept": filtered("no-mac-spoofing")})
    second = BridgeFilters(TABLE)
    await second.restore({"tap0": filtered(TENANT)}, ["kept", "new"])
    assert await wire.wrong() == []
    there = tables()
    assert "gone" not in there and "ether saddr 52:54:00:00:00:01 return" in there and '"kept"' in there
    assert '"new" : jump new/from' in there, "where a filter is lost and no rules are, nothing passes"
    await second.drop(["tap0", "kept", "new"])
    assert tables() == ""
    await second.restore({})
    assert tables() == ""
    for filters in (first, second):
        await filters.close()
