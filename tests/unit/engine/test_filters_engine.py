"""Filters and bindings as use cases of the engine, on the mock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import (
    AlreadyExists,
    Denied,
    InvalidValue,
    InvalidXML,
    NoSuchFilter,
    StorageFailed,
    WrongState,
)
from frontinus.api.events import FilterEvent
from frontinus.api.identity import Identity
from frontinus.api.views import Snapshot
from frontinus.domain.host import Paths
from frontinus.engine.filter.filtering import LEASES, load_filters, restore_filters
from frontinus.engine.local import LocalEngine
from frontinus.engine.recovery import recover
from frontinus.mock.engine import ROOT, mock_engine
from frontinus.mock.firewall import MemoryFirewall
from frontinus.mock.store import MemoryStore
from support.filters import rule

MAC = "52:54:00:00:00:07"
UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"
GUEST = """<domain type='qemu'><name>web</name><uuid>{uuid}</uuid><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices>{nic}</devices></domain>"""
BINDING = f"""<filterbinding><owner><name>other</name><uuid>{UUID}</uuid></owner><portdev name='tap9'/>
<mac address='52:54:00:00:00:09'/><filterref filter='clean-traffic'/></filterbinding>"""


def nic(filter: str = "clean-traffic", parameters: str = "", link: str = "") -> str:
    reference = f"<filterref filter='{filter}'>{parameters}</filterref>" if filter else ""
    return (f"<interface type='bridge'><mac address='{MAC}'/><source bridge='br0'/><model type='virtio'/>"
            f"{reference}{link}</interface>")  # fmt: skip


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[LocalEngine]:
    paths = Paths(*(str(tmp_path / name) for name in ("config", "state", "run", "log", "cache")))
    engine = await mock_engine(paths, fixture=False)
    await engine.start()
    yield engine
    await engine.stop()


def firewall(local: LocalEngine) -> MemoryFirewall:
    return cast("MemoryFirewall", local.world.firewall)


async def start(engine: Engine, inside: str = "") -> None:
    await engine.define(GUEST.format(uuid=UUID, nic=inside or nic()))
    await engine.start("web")


async def test_the_standard_filters_are_there(engine: Engine) -> None:
    found = await engine.filters()
    assert len(found) == 24 and all(one.builtin for one in found)
    clean = await engine.filter("clean-traffic")
    assert await engine.filter(clean.uuid) == clean
    assert "<filterref filter='no-mac-spoofing'/>" in await engine.filter_xml("clean-traffic")
    with pytest.raises(NoSuchFilter):
        await engine.filter("clean")


async def test_define_replace_and_forget(engine: Engine) -> None:
    events = engine.watch()
    first = await anext(events)
    assert isinstance(first, Snapshot) and len(first.filters) == 24
    made = await engine.define_filter(rule("<tcp/>"))
    assert not made.builtin
    again = await engine.define_filter(rule("<udp/>"))
    assert again.uuid == made.uuid and "<udp/>" in await engine.filter_xml("x")
    with pytest.raises(AlreadyExists, match="with UUID"):
        await engine.define_filter(f"<filter name='x'><uuid>{UUID}</uuid></filter>")
    with pytest.raises(AlreadyExists, match="is named 'x'"):
        await engine.define_filter(f"<filter name='y'><uuid>{made.uuid}</uuid></filter>")
    await engine.undefine_filter("x")
    told = [await anext(events) for _ in range(3)]
    assert [(e.kind, e.name, e.filter and e.filter.uuid) for e in told if isinstance(e, FilterEvent)] == [
        ("defined", "x", made.uuid), ("defined", "x", made.uuid), ("undefined", "x", None)]  # fmt: skip


async def test_what_is_refused_changes_nothing(engine: Engine) -> None:
    with pytest.raises(InvalidXML):
        await engine.define_filter("<filter name='x'><rule action='accept'/></filter>")
    with pytest.raises(InvalidValue, match="includes itself"):
        await engine.define_filter("<filter name='x'><filterref filter='x'/></filter>")
    await engine.define_filter("<filter name='a'><filterref filter='b'/></filter>")
    with pytest.raises(InvalidValue, match="'b' includes itself"):
        await engine.define_filter("<filter name='b'><filterref filter='a'/></filter>")
    with pytest.raises(WrongState, match="came with us"):
        await engine.undefine_filter("allow-arp")
    await engine.define_filter("<filter name='b'/>")
    with pytest.raises(WrongState, match="by filter 'a'"):
        await engine.undefine_filter("b")
    assert len(await engine.filters()) == 26


async def test_a_standard_filter_can_be_replaced_and_comes_back(local: LocalEngine, engine: Engine) -> None:
    ours = await engine.filter_xml("allow-arp")
    uuid = (await engine.filter("allow-arp")).uuid
    await start(engine, nic("allow-arp"))
    before = firewall(local).rules["vnet0"]
    await engine.define_filter("<filter name='allow-arp' chain='arp'><rule action='drop' direction='inout'/></filter>")
    assert await engine.filter_xml("allow-arp") != ours and (await engine.filter("allow-arp")).uuid == uuid
    assert firewall(local).rules["vnet0"] != before
    await engine.undefine_filter("allow-arp")
    assert await engine.filter_xml("allow-arp") == ours and firewall(local).rules["vnet0"] == before


async def test_a_guests_nic_is_filtered_from_start_to_end(local: LocalEngine, engine: Engine) -> None:
    await start(engine, nic(parameters="<parameter name='IP' value='192.0.2.5'/>"))
    (binding,) = await engine.filter_bindings()
    assert (binding.link, binding.filter, binding.owner_name, binding.mac) == ("vnet0", "clean-traffic", "web", MAC)
    assert binding.addresses == ("192.0.2.5",)
    assert "<parameter name='IP' value='192.0.2.5'/>" in await engine.filter_binding_xml("vnet0")
    assert set(firewall(local).in_force) == {"vnet0"}
    with pytest.raises(WrongState, match="NIC of guest 'web'"):
        await engine.delete_filter_binding("vnet0")
    await engine.destroy("web")
    assert not firewall(local).in_force and not await engine.filter_bindings()
    with pytest.raises(NoSuchFilter):
        await engine.filter_binding("vnet0")


@pytest.mark.parametrize(("inside", "words"), [
    (nic("gone"), "no filter 'gone'"),
    (nic("allow-dhcp-server"), r"needs values for \$DHCPSERVER"),
    (nic(parameters="<parameter name='IP' value='here'/>"), "'here' is not an IPv4 address"),
])  # fmt: skip
async def test_a_guest_whose_filter_cannot_be_does_not_start(
    local: LocalEngine, engine: Engine, inside: str, words: str
) -> None:
    with pytest.raises((NoSuchFilter, InvalidValue), match=words):
        await start(engine, inside)
    assert (await engine.guest("web")).state == "shutoff"
    assert not firewall(local).in_force and not await engine.filter_bindings()


async def test_a_changed_filter_is_in_force_on_all_nics_that_include_it(local: LocalEngine, engine: Engine) -> None:
    await engine.define_filter("<filter name='outer'><filterref filter='inner'/></filter>")
    await engine.define_filter("<filter name='inner'/>")
    await start(engine, nic("outer"))
    assert firewall(local).rules["vnet0"].chains == {}
    await engine.define_filter("<filter name='inner'><rule action='drop' direction='out'/></filter>")
    assert list(firewall(local).rules["vnet0"].chains) == ["vnet0/from"]
    with pytest.raises(WrongState, match="'vnet0' of 'web'"):
        await engine.undefine_filter("outer")
    with pytest.raises(InvalidValue, match=r"needs values for \$X"):
        await engine.define_filter(
            "<filter name='inner'><rule action='drop' direction='out'><ip srcipaddr='$X'/></rule></filter>"
        )
    assert "srcipaddr" not in await engine.filter_xml("inner"), "nothing has changed"
    assert list(firewall(local).rules["vnet0"].chains) == ["vnet0/from"]


async def test_a_filter_that_cannot_be_stored_is_not_in_force(
    local: LocalEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await start(engine, nic("allow-arp"))
    before = firewall(local).rules["vnet0"]

    async def full(self: MemoryStore, kind: str, key: str, text: str) -> None:
        raise StorageFailed("full", path="/")

    monkeypatch.setattr(MemoryStore, "save", full)
    with pytest.raises(StorageFailed):
        await engine.define_filter("<filter name='allow-arp' chain='arp'/>")
    assert firewall(local).rules["vnet0"] == before and "<rule" in await engine.filter_xml("allow-arp")


async def test_update_device_changes_adds_and_takes_a_filter(local: LocalEngine, engine: Engine) -> None:
    await start(engine, nic())
    await engine.update_device("web", nic("allow-ipv4"), live=True)
    assert (await engine.filter_binding("vnet0")).filter == "allow-ipv4"
    assert firewall(local).in_force["vnet0"].instance.filter == "allow-ipv4"
    with pytest.raises(NoSuchFilter):
        await engine.update_device("web", nic("gone"), live=True)
    assert (await engine.filter_binding("vnet0")).filter == "allow-ipv4"
    await engine.update_device("web", nic(""), live=True)
    assert not firewall(local).in_force and not await engine.filter_bindings()
    await engine.update_device("web", nic("clean-traffic"), live=True)
    assert set(firewall(local).in_force) == {"vnet0"}
    await engine.destroy("web")
    assert not firewall(local).in_force, "a filter that came with an update goes with the guest too"


async def test_hotplug(local: LocalEngine, engine: Engine) -> None:
    await start(engine, "<memballoon model='none'/>")
    await engine.attach_device("web", nic(), live=True)
    (binding,) = await engine.filter_bindings()
    assert set(firewall(local).in_force) == {binding.link}
    with pytest.raises(NoSuchFilter):
        await engine.attach_device("web", nic("gone").replace(MAC, "52:54:00:00:00:08"), live=True)
    await engine.detach_device("web", nic(), live=True)
    assert not firewall(local).in_force and not await engine.filter_bindings()


async def test_bindings_that_others_make(local: LocalEngine, engine: Engine) -> None:
    made = await engine.create_filter_binding(BINDING)
    assert made.link == "tap9" and made.owner_name == "other"
    with pytest.raises(AlreadyExists):
        await engine.create_filter_binding(BINDING)
    with pytest.raises(NoSuchFilter):
        await engine.create_filter_binding(BINDING.replace("clean-traffic", "gone").replace("tap9", "tap8"))
    assert "<portdev name='tap9'/>" in await engine.filter_binding_xml("tap9")
    assert [one.link for one in await engine.filter_bindings()] == ["tap9"]
    await engine.delete_filter_binding("tap9")
    assert not firewall(local).in_force and not await engine.filter_bindings()


async def again(local: LocalEngine) -> LocalEngine:
    """Another engine on what the first one left."""
    other = await mock_engine(local.world.host.paths, fixture=False)
    other.world.store, other.world.firewall = local.world.store, local.world.firewall
    other.world.hypervisor, other.world.resources = local.world.hypervisor, local.world.resources
    await load_filters(other.world)
    await recover(other.world)
    return other


async def test_after_a_restart_all_is_as_it_was(local: LocalEngine, engine: Engine) -> None:
    await engine.define_filter(rule("<tcp/>"))
    await start(engine)
    await engine.create_filter_binding(BINDING)
    end = time.time() + 1000
    firewall(local).learn("vnet0", {"192.0.2.5": end, "192.0.2.6": time.time() - 1})
    assert (await engine.filter_binding("vnet0")).addresses == ("192.0.2.5",)
    await asyncio.sleep(0)
    other = await again(local)
    session = other.session(ROOT)
    assert {one.link: one.addresses for one in await session.filter_bindings()} == {"vnet0": ("192.0.2.5",), "tap9": ()}
    assert (await session.filter("x")).name == "x"
    assert dict(firewall(local).in_force["vnet0"].addresses) == {"192.0.2.5": end}
    firewall(local).learn("vnet0", {})
    assert (await session.filter_binding("vnet0")).addresses == ()


async def test_a_filter_that_is_lost_leaves_rules_as_they_are(local: LocalEngine, engine: Engine) -> None:
    made = await engine.define_filter(rule("<tcp/>"))
    await start(engine, nic("x"))
    store = cast("MemoryStore", local.world.store)
    store.documents["filters"][made.uuid] = "<filter"
    other = await again(local)
    assert firewall(local).kept == {"vnet0"} and "vnet0" in firewall(local).rules
    assert [one.filter for one in await other.session(ROOT).filter_bindings()] == ["x"]
    assert any("filters/" in place for place in store.aside)


async def test_leases_find_their_nic_again_and_addresses_that_were_only_used_do_not(
    local: LocalEngine, engine: Engine
) -> None:
    await start(engine)
    end = time.time() + 1000
    firewall(local).learn("vnet0", {"192.0.2.5": end})
    await engine.destroy("web")
    await engine.start("web")
    (binding,) = await engine.filter_bindings()
    assert binding.addresses == ("192.0.2.5",)
    assert dict(firewall(local).in_force[binding.link].addresses) == {"192.0.2.5": end}
    firewall(local).learn(binding.link, {"192.0.2.9": None})
    await engine.destroy("web")
    await engine.start("web")
    assert (await engine.filter_bindings())[0].addresses == ()
    store = cast("MemoryStore", local.world.store)
    assert not store.documents[LEASES]


async def test_leases_on_disk_that_are_over_are_forgotten(local: LocalEngine) -> None:
    store = cast("MemoryStore", local.world.store)
    store.documents[LEASES] = {"a": '{"192.0.2.1":1.0}', "b": "no json", "c": '{"192.0.2.2":null}'}
    await load_filters(local.world)
    assert local.world.filters.leases["c"] == {"192.0.2.2": None}
    assert set(store.documents[LEASES]) == {"c"} and f"{LEASES}/b.broken" in store.aside
    await restore_filters(local.world, [])


async def test_reading_is_for_all_changing_is_not(local: LocalEngine) -> None:
    reader = local.session(Identity(uid=1000, gid=1000, readonly=True))
    assert len(await reader.filters()) == 24 and await reader.filter_xml("allow-arp")
    for refused in (reader.define_filter(rule("<tcp/>")), reader.undefine_filter("allow-arp"),
                    reader.create_filter_binding(BINDING), reader.delete_filter_binding("tap9")):  # fmt: skip
        with pytest.raises(Denied):
            await refused


async def test_permissions_know_the_filter(local: LocalEngine, engine: Engine) -> None:
    await engine.create_filter_binding(BINDING)
    clean = await engine.filter("clean-traffic")
    known = {"nwfilter_name": clean.name, "nwfilter_uuid": clean.uuid}
    assert known.items() <= (await local._about("filter", {"filter": "clean-traffic"})).items()
    assert known.items() <= (await local._about("filter_binding", {"link": "tap9"})).items()
    assert not await local._about("filter", {"filter": "gone"})
    assert (await local._about("define_filter", {"xml": rule("<tcp/>"), "validate": False}))["nwfilter_name"] == "x"
