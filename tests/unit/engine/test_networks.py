"""The use cases on networks, on the mock."""

from __future__ import annotations

import asyncio
import ipaddress
import json

import pytest

from contract.networks_contract import CASES, Case
from frontinus.api.engine import Engine
from frontinus.api.errors import (
    AgentUnavailable,
    AlreadyExists,
    FrontinusError,
    HostFailed,
    InvalidXML,
    NoSuchNetwork,
    Unsupported,
    WrongState,
)
from frontinus.api.events import LeaseEvent, NetworkEvent
from frontinus.api.views import Snapshot
from frontinus.domain.host import Paths
from frontinus.engine.local import LocalEngine
from frontinus.engine.network.netrecord import NetworkState, decode_state
from frontinus.engine.network.netrecovery import recover_networks, start_networks
from frontinus.engine.recovery import recover
from frontinus.engine.world import World
from frontinus.mock.engine import ROOT
from frontinus.mock.networks import MemoryNetworks
from frontinus.ports.networks import HostRoute, Lease, NetworkNews, PoolDevice
from support.waiting import until

NAT = """<network><name>{name}</name><forward mode='nat'/>
<bandwidth><inbound average='1000'/></bandwidth><portgroup name='web' default='yes'>
<bandwidth><inbound average='10' floor='400'/></bandwidth></portgroup>
<ip address='10.{n}.1.1' prefix='24'><dhcp><range start='10.{n}.1.2' end='10.{n}.1.99'/></dhcp></ip></network>"""
GUEST = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>{devices}</devices></domain>"""
CARD = "<interface type='network'><mac address='{mac}'/><source network='{network}'/><model type='virtio'/></interface>"
MAC = "52:54:00:00:00:0a"


def host(local: LocalEngine) -> MemoryNetworks:
    found = local.world.host_networks
    assert isinstance(found, MemoryNetworks)
    return found


def nat(name: str = "n1", n: int = 1) -> str:
    return NAT.format(name=name, n=n)


def guest(name: str = "g", *networks: str) -> str:
    macs = (f"52:54:00:00:00:{number:02x}" for number in range(10, 99))
    cards = "".join(
        CARD.format(network=network, mac=mac) for network, mac in zip(networks or ("n1",), macs, strict=False)
    )
    return GUEST.format(name=name, devices=cards)


async def again(local: LocalEngine) -> LocalEngine:
    """A new engine after a crash of this one: the same store, host and hypervisor."""
    old = local.world
    world = World(old.hypervisor, old.resources, old.store, old.host, old.host_view, old.audit, old.node, old.storage,
                  old.keeper, old.limits, host_networks=old.host_networks, default_network=old.default_network)  # fmt: skip
    await recover_networks(world)
    await recover(world)
    await start_networks(world, autostart=True)
    return LocalEngine(world)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_the_mock_keeps_the_contract(case: Case) -> None:
    await case(MemoryNetworks(), Paths())


async def test_a_network_is_defined_started_stopped_and_forgotten(local: LocalEngine, engine: Engine) -> None:
    view = await engine.define_network(nat())
    assert (view.active, view.persistent, view.bridge, view.forward) == (False, True, "virbr0", "nat")
    assert "<mac address=" in await engine.network_xml("n1")
    started = await engine.start_network("n1")
    assert started.active
    assert list(host(local).up) == ["n1"]
    assert "virbr0" in str(host(local).rules)
    with pytest.raises(WrongState):
        await engine.start_network("n1")
    await engine.undefine_network(view.uuid)
    assert not (await engine.network("n1")).persistent
    await engine.destroy_network("n1")
    assert await engine.networks() == []
    assert not host(local).up
    assert "virbr0" not in str(host(local).rules)
    assert [hook[1] for hook in host(local).hooks] == ["start", "started", "stopped"]
    with pytest.raises(NoSuchNetwork):
        await engine.network("n1")


async def test_names_bridges_and_addresses_clash(local: LocalEngine, engine: Engine) -> None:
    await engine.create_network(nat())
    with pytest.raises(AlreadyExists):
        await engine.define_network(
            nat().replace("</name>", "</name><uuid>5d744f21-ba4a-4d6e-bdb2-30a35ff3207d</uuid>")
        )
    with pytest.raises(InvalidXML, match="another network"):
        await engine.define_network(nat("n2", 2).replace("<portgroup", "<bridge name='virbr0'/><portgroup"))
    host(local).known_routes = [HostRoute(ipaddress.ip_network("10.2.1.128/25"), "eth0", direct=True)]
    with pytest.raises(HostFailed, match="eth0"):
        await engine.create_network(nat("n2", 2))
    assert [view.name for view in await engine.networks()] == ["n1"]
    host(local).known_routes = [HostRoute(ipaddress.ip_network("10.0.0.0/8"), "vpn0", direct=False)]
    await engine.create_network(nat("n2", 2))


async def test_a_start_that_fails_leaves_nothing(local: LocalEngine, engine: Engine) -> None:
    await engine.define_network(nat())
    for step in ("set_up", "guard", "hook start"):
        host(local).failing = {step}
        with pytest.raises(HostFailed):
            await engine.start_network("n1")
        assert not host(local).up
        assert not await local.world.store.load("networks-running")
        assert not (await engine.network("n1")).active


async def test_a_guest_gets_a_port_and_gives_it_back(local: LocalEngine, engine: Engine) -> None:
    await engine.create_network(nat())
    await engine.define(guest())
    await engine.start("g")
    (port,) = await engine.network_ports("n1")
    assert (port.owner_name, port.mac, port.plug, port.portgroup) == ("g", MAC, "network", "web")
    assert port.link
    xml = await engine.guest_xml("g")
    assert f"<source network='n1' portgroup='web' bridge='virbr0' portid='{port.uuid}'/>" in xml
    assert "bridge=" not in await engine.guest_xml("g", ["inactive"])
    assert "classID='3'" in await engine.network_port_xml("n1", port.uuid)
    assert "connections='1'" in await engine.network_xml("n1")
    with pytest.raises(FrontinusError):
        await engine.delete_network_port("n1", port.uuid)
    await engine.destroy("g")
    assert await engine.network_ports("n1") == []


async def test_a_card_comes_and_goes_with_its_port(engine: Engine) -> None:
    await engine.create_network(nat())
    await engine.create_network(nat("n2", 2))
    await engine.create(guest())
    card = CARD.format(network="n2", mac="52:54:00:00:00:77")
    await engine.attach_device("g", card)
    assert len(await engine.network_ports("n2")) == 1
    await engine.update_device("g", CARD.format(network="n1", mac=MAC).replace("<model", "<link state='down'/><model"))
    assert len(await engine.network_ports("n1")) == 1
    await engine.detach_device("g", card)
    assert await engine.network_ports("n2") == []


async def test_a_card_of_the_definition_goes_with_its_port_from_both(engine: Engine) -> None:
    await engine.create_network(nat())
    await engine.define(guest())
    await engine.start("g")
    card = CARD.format(network="n1", mac=MAC)
    await engine.update_device("g", card.replace("<model", "<link state='down'/><model"), live=True, config=True)
    assert len(await engine.network_ports("n1")) == 1
    await engine.detach_device("g", card, live=True, config=True)
    assert await engine.network_ports("n1") == [] and "<interface" not in await engine.guest_xml("g", ["inactive"])


async def test_a_running_guests_card_goes_to_another_network(local: LocalEngine, engine: Engine) -> None:
    """Its tap goes to that bridge, its port is there and not where it was; what fails leaves all as it is."""
    for name, number in (("n1", 1), ("n2", 2)):
        await engine.create_network(nat(name, number))
    await engine.define(guest())
    await engine.start("g")
    bridges = {network.name: network.bridge for network in await engine.networks()}
    before = await engine.guest_xml("g"), await engine.network_ports("n1")
    host(local).failing.add("join")
    with pytest.raises(HostFailed, match="join"):
        await engine.update_device("g", CARD.format(network="n2", mac=MAC), live=True, config=True)
    assert (await engine.guest_xml("g"), await engine.network_ports("n1")) == before
    assert await engine.network_ports("n2") == [] and host(local).joined == {}
    await engine.update_device("g", CARD.format(network="n2", mac=MAC), live=True, config=True)
    (port,) = await engine.network_ports("n2")
    assert port.owner_name == "g" and await engine.network_ports("n1") == []
    assert list(host(local).joined.values()) == [bridges["n2"]]
    assert f"bridge='{bridges['n2']}'" in await engine.guest_xml("g")
    assert "<source network='n2'/>" in await engine.guest_xml("g", ["inactive"])
    with pytest.raises(NoSuchNetwork):
        await engine.update_device("g", CARD.format(network="none", mac=MAC), live=True)
    assert len(await engine.network_ports("n2")) == 1
    await engine.destroy("g")
    assert await engine.network_ports("n2") == []


async def test_a_card_of_a_bridge_is_there_after_a_restart(local: LocalEngine, engine: Engine) -> None:
    """Its tap may have been on the way to another bridge when the engine ended: what is written down holds."""
    card = f"<interface type='bridge'><mac address='{MAC}'/><source bridge='br{{}}'/><model type='virtio'/></interface>"
    await engine.define(GUEST.format(name="g", devices=card.format(7)))
    await engine.start("g")
    await engine.update_device("g", card.format(8), live=True)
    (tap,) = host(local).joined
    assert host(local).joined == {tap: "br8"} and f"<target dev='{tap}'/>" in await engine.guest_xml("g")
    host(local).joined[tap] = "br9"
    await again(local)
    assert host(local).joined == {tap: "br8"}
    host(local).failing.add("join")
    await again(local)


async def test_a_guest_does_not_start_without_its_network_nor_beyond_its_promises(engine: Engine) -> None:
    await engine.define(guest())
    with pytest.raises(NoSuchNetwork):
        await engine.start("g")
    await engine.define_network(nat())
    with pytest.raises(WrongState, match="not active"):
        await engine.start("g")
    await engine.start_network("n1")
    await engine.create(guest("three", "n1", "n1").replace("0a'", "bb'"))
    with pytest.raises(WrongState, match="1200"):
        await engine.start("g")
    assert len(await engine.network_ports("n1")) == 2


@pytest.mark.parametrize(("mode", "expected"), [
    ("<forward mode='bridge'/><bridge name='br9'/>", "<interface type='bridge'>"),
    ("<forward mode='vepa'><interface dev='e1'/><interface dev='e2'/></forward>", "dev='e1' mode='vepa'"),
    ("<forward mode='passthrough'><pf dev='pf0'/></forward>", "dev='vf0' mode='passthrough'"),
    ("<forward mode='hostdev' managed='yes'><pf dev='pf0'/></forward>", "<interface type='hostdev' managed='yes'>"),
])  # fmt: skip
async def test_other_modes_resolve_to_devices(local: LocalEngine, engine: Engine, mode: str, expected: str) -> None:
    host(local).pools["pf0"] = [PoolDevice("vf0", "0000:03:10.0")]
    await engine.create_network(f"<network><name>n1</name>{mode}</network>")
    await engine.create(guest())
    xml = await engine.guest_xml("g")
    assert expected in xml
    assert "network='n1'" in xml
    assert "<interface type='network'>" in await engine.guest_xml("g", ["inactive"])
    if "pf0" in mode:
        with pytest.raises(HostFailed, match="no free"):
            await engine.create(guest("other").replace("0a'", "bb'"))


async def test_sections_change_both_halves_or_one(local: LocalEngine, engine: Engine) -> None:
    await engine.define_network(nat())
    await engine.start_network("n1")
    entry = f"<host mac='{MAC}' name='a' ip='10.1.1.5'/>"
    await engine.update_network("n1", "add-last", "ip-dhcp-host", entry, live=True)
    dnsmasq = host(local).up["n1"].dnsmasq
    assert dnsmasq is not None
    assert f"{MAC},10.1.1.5,a" in dnsmasq.files.hosts
    assert MAC not in await engine.network_xml("n1", inactive=True)
    await engine.update_network("n1", "add-last", "ip-dhcp-host", entry, config=True)
    assert MAC in await engine.network_xml("n1", inactive=True)
    host(local).failing = {"set_up"}
    with pytest.raises(HostFailed):
        await engine.update_network("n1", "delete", "ip-dhcp-host", f"<host mac='{MAC}'/>", live=True, config=True)
    assert MAC in await engine.network_xml("n1")
    with pytest.raises(WrongState):
        await engine.update_network("n1", "modify", "forward", "<forward mode='route'/>")


async def test_leases_and_addresses(local: LocalEngine, engine: Engine) -> None:
    await engine.create_network(nat())
    await engine.create(guest())
    host(local).given["n1"] = [Lease("10.1.1.7", 1000, MAC, "g"), Lease("10.1.1.8", 0, "52:54:00:00:00:ff")]
    assert [lease.address for lease in await engine.network_leases("n1", MAC)] == ["10.1.1.7"]
    (found,) = await engine.guest_addresses("g")
    assert [(a.address, a.prefix) for a in found.addresses] == [("10.1.1.7", 24)]
    host(local).macs = {MAC: ["10.1.1.7", "fe80::1"]}
    (found,) = await engine.guest_addresses("g", "arp")
    assert [(a.family, a.prefix) for a in found.addresses] == [("ipv4", 32), ("ipv6", 128)]
    assert (await engine.network("n1")).leases == 2


async def test_addresses_that_the_agent_tells(
    local: LocalEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.create(guest("g").replace("type='network'", "type='user'"))
    told = [{"name": "eth0", "hardware-address": MAC, "ip-addresses": [
        {"ip-address": "10.1.1.7", "ip-address-type": "ipv4", "prefix": 24}, {"ip-address": "fe80::1", "prefix": 64}]},
        {"name": "lo"}]  # fmt: skip

    async def answer(command: str, deadline: float) -> str:
        assert "guest-network-get-interfaces" in command
        return json.dumps({"return": told})

    process = local.world.guests.find("g").need_running().process
    monkeypatch.setattr(process, "agent_command", answer)
    first, second = await engine.guest_addresses("g", "agent")
    assert (first.name, first.mac, [(a.family, a.address, a.prefix) for a in first.addresses]) == (
        "eth0", MAC, [("ipv4", "10.1.1.7", 24), ("ipv6", "fe80::1", 64)])  # fmt: skip
    assert (second.name, second.mac, second.addresses) == ("lo", None, ())
    told[:] = [{"nonsense": 1}]
    with pytest.raises(AgentUnavailable):
        await engine.guest_addresses("g", "agent")


async def test_news_is_followed(local: LocalEngine, engine: Engine) -> None:
    await recover_networks(local.world)
    events = engine.watch()
    first = await anext(events)
    assert isinstance(first, Snapshot)
    assert first.networks == ()
    await engine.create_network(nat())
    assert isinstance(event := await anext(events), NetworkEvent)
    assert (event.kind, event.network is not None and event.network.active) == ("started", True)
    host(local).given["n1"] = [Lease("10.1.1.7", 1000, MAC)]
    host(local).happen(NetworkNews("leases", "n1"))
    async with asyncio.timeout(60):
        lease = await anext(events)
    assert isinstance(lease, LeaseEvent)
    assert (lease.kind, lease.lease.mac) == ("added", MAC)
    host(local).rules = ()
    host(local).up.clear()
    host(local).happen(NetworkNews("dnsmasq", "n1"))
    host(local).happen(NetworkNews("rules"))
    await until(lambda: host(local).rules and host(local).up)


async def test_a_new_engine_takes_over_what_was_active(local: LocalEngine, engine: Engine) -> None:
    await engine.define_network(nat())
    await engine.start_network("n1")
    await engine.create(guest())
    ports = await engine.network_ports("n1")
    other = (await again(local)).session(ROOT)
    assert [view.active for view in await other.networks()] == [True]
    assert await other.network_ports("n1") == ports
    assert host(local).taps["n1"] == (ports[0].link,)


async def test_guests_of_a_network_that_is_started_anew_are_on_it_again(local: LocalEngine, engine: Engine) -> None:
    await engine.define_network(nat())
    await engine.start_network("n1")
    await engine.create(guest())
    ports = await engine.network_ports("n1")
    await engine.destroy_network("n1")
    await engine.start_network("n1")
    assert host(local).taps["n1"] == (ports[0].link,)
    assert await engine.network_ports("n1") == ports
    await engine.destroy("g")
    assert await engine.network_ports("n1") == []


async def test_ports_of_guests_that_died_meanwhile_are_given_back(local: LocalEngine, engine: Engine) -> None:
    await engine.create_network(nat())
    await engine.create(guest())
    (stored,) = await local.world.store.load("running")
    await local.world.store.delete("running", stored.key)
    other = (await again(local)).session(ROOT)
    assert await other.network_ports("n1") == []


@pytest.mark.parametrize("phase", ["starting", "stopping"])
async def test_a_half_made_network_is_taken_away(local: LocalEngine, engine: Engine, phase: str) -> None:
    await engine.create_network(nat())
    (stored,) = await local.world.store.load("networks-running")
    text = stored.text.replace('"active"', f'"{phase}"')
    assert isinstance(decode_state(text), NetworkState)
    await local.world.store.save("networks-running", stored.key, text)
    other = await again(local)
    assert await other.session(ROOT).networks() == []
    assert not host(local).up


async def test_what_does_not_load_is_set_aside(local: LocalEngine) -> None:
    await local.world.store.save("networks", "x", "<network/>")
    await local.world.store.save("networks-running", "y", "{}")
    other = await again(local)
    assert await other.session(ROOT).networks() == []
    assert not await local.world.store.load("networks")


async def test_the_default_network_is_made_once_and_elsewhere_if_need_be(local: LocalEngine, engine: Engine) -> None:
    local.world.default_network = True
    host(local).known_routes = [HostRoute(ipaddress.ip_network("192.168.122.0/24"), "eth0", direct=True)]
    first = (await again(local)).session(ROOT)
    (view,) = await first.networks()
    assert (view.name, view.active, view.autostart) == ("default", True, True)
    assert "192.168.123.1" in await first.network_xml("default")
    await first.destroy_network("default")
    await first.undefine_network("default")
    second = await again(local)
    assert await second.session(ROOT).networks() == []


async def test_an_engine_without_networks_says_why(local: LocalEngine, engine: Engine) -> None:
    host(local).refused = "a user's own engine has no networks"
    assert await engine.networks() == []
    with pytest.raises(Unsupported, match="own engine"):
        await engine.define_network(nat())
    with pytest.raises(Unsupported, match="own engine"):
        await engine.create(guest())


async def test_ports_by_themselves(engine: Engine) -> None:
    await engine.create_network(nat())
    text = f"""<networkport><owner><name>x</name><uuid>5d744f21-ba4a-4d6e-bdb2-30a35ff3207d</uuid></owner>
    <mac address='{MAC}'/><plug type='none'/></networkport>"""
    made = await engine.create_network_port("n1", text)
    assert made.plug == "network"
    await engine.delete_network_port("n1", made.uuid)
    with pytest.raises(NoSuchNetwork):
        await engine.network_port_xml("n1", made.uuid)


async def test_autostart(local: LocalEngine, engine: Engine) -> None:
    await engine.define_network(nat())
    await engine.set_network_autostart("n1", True)
    other = (await again(local)).session(ROOT)
    (view,) = await other.networks(active=True)
    assert view.autostart
