"""Networks on a real host, in a network namespace of the test's own: what iproute2, nft and dig see of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from contract.networks_contract import CASES, Case
from frontinus.api.errors import HostFailed
from frontinus.domain.host import HostFacts, Paths
from frontinus.domain.plan import Floor, Tap
from frontinus.linux.network import dnsmasq
from frontinus.linux.network.forwarding import SWITCHES
from frontinus.linux.network.networks import LinuxNetworks
from frontinus.linux.resources import LinuxResources
from frontinus.network.definition import complete, parse_network
from frontinus.network.firewall import firewall, table_name
from frontinus.network.model import Network
from frontinus.network.plan import NetworkPlan, plan
from support.namespaces import own_network
from support.waiting import until

pytestmark = pytest.mark.needs("ip", "nft", "dnsmasq", "tc")

XML = """<network><name>net "one"</name><forward mode='nat'/><bridge name='virbr7' stp='off'/><mtu size='1400'/>
<mac address='52:54:00:07:07:07'/><domain name='lab.example'/>
<dns><host ip='10.7.7.5'><hostname>five</hostname></host></dns>
<bandwidth><inbound average='1000' peak='2000' burst='64'/></bandwidth>
<ip address='10.7.7.1' prefix='24'><dhcp><range start='10.7.7.2' end='10.7.7.99'/></dhcp></ip>
<ip family='ipv6' address='fd00:7::1' prefix='64'/>
<route address='10.70.0.0' prefix='16' gateway='10.7.7.9'/></network>"""


def ip(*words: str) -> list[dict[str, object]]:
    done = subprocess.run(["ip", "-json", "-details", *words], capture_output=True, text=True, check=True)
    shown: list[dict[str, object]] = json.loads(done.stdout or "[]")
    return shown


def shown(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def network(text: str = XML) -> Network:
    return complete(parse_network(text), HostFacts())


@asynccontextmanager
async def host() -> AsyncIterator[tuple[LinuxNetworks, Paths]]:
    """The port with folders of its own; every server that is left is ended."""
    with tempfile.TemporaryDirectory(prefix="frontinus-net-") as name:
        Path(name).chmod(0o711)
        paths = Paths(**{field: f"{name}/{field}" for field in ("config", "state", "run", "log")})
        port = LinuxNetworks(paths)
        try:
            yield port, paths
        finally:
            dnsmasq.sweep(f"{paths.state}/dnsmasq", [])
            await port.close()


def planned(paths: Paths, text: str = XML) -> NetworkPlan:
    return plan(network(text), paths)


def servers(paths: Paths) -> list[int]:
    return [pid for one in Path(f"{paths.state}/dnsmasq").glob("*.conf") for pid in dnsmasq.running(str(one))]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@own_network
async def test_linux_keeps_the_contract(case: Case) -> None:
    async with host() as (port, paths):
        await case(port, paths)


@own_network
async def test_a_network_comes_is_kept_as_wanted_and_goes() -> None:
    async with host() as (port, paths):
        wanted = planned(paths)
        switch("0")
        await port.set_up(wanted)
        (bridge,) = ip("link", "show", "virbr7")
        assert (bridge["mtu"], bridge["address"]) == (1400, "52:54:00:07:07:07")
        addresses = shown("ip", "addr", "show", "virbr7")
        assert "inet 10.7.7.1/24 brd 10.7.7.255" in addresses
        assert "inet6 fd00:7::1/64" in addresses
        assert "10.70.0.0/16 via 10.7.7.9" in shown("ip", "route")
        assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "1\n"
        (pid,) = servers(paths)
        assert "Uid:\t0\t" not in Path(f"/proc/{pid}/status").read_text()
        assert "rate 8Mbit ceil 16Mbit" in shown("tc", "class", "show", "dev", "virbr7")
        await port.set_up(wanted)
        assert servers(paths) == [pid]
        changed = (
            XML.replace("10.7.7.1'", "10.7.8.1'")
            .replace("10.7.7.", "10.7.8.")
            .replace("gateway='10.7.7", "gateway='10.7.8")
        )
        await port.set_up(planned(paths, changed))
        assert "10.7.7.1" not in shown("ip", "addr", "show", "virbr7")
        assert servers(paths) != [pid]
        await port.tear_down(planned(paths, changed))
        await port.tear_down(planned(paths, changed))
        assert [link["ifname"] for link in ip("link")] == ["lo"]
        assert servers(paths) == []
        assert not list(Path(f"{paths.state}/dnsmasq").glob("*.conf"))


def forwards() -> tuple[str, str]:
    return tuple(Path("/proc/sys/net", name).read_text().strip() for name in SWITCHES.values())  # type: ignore[return-value]


def switch(value: str) -> None:
    """Another network of tests may have begun with what the host has."""
    for name in SWITCHES.values():
        Path("/proc/sys/net", name).write_text(value)


ROUTED = """<network><name>two</name><forward mode='route'/><bridge name='virbr8'/><mac address='52:54:00:08:08:08'/>
<ip address='10.8.8.1' prefix='24'/></network>"""


@own_network
async def test_the_host_forwards_while_a_network_needs_it() -> None:
    async with host() as (port, paths):
        ip("link", "add", "own0", "type", "bridge")
        own = Path("/proc/sys/net/ipv4/conf/own0/forwarding")
        switch("0")
        own.write_text("1")
        assert forwards() == ("0", "0")
        await port.set_up(planned(paths))
        await port.set_up(planned(paths, ROUTED))
        assert forwards() == ("1", "1")
        await port.tear_down(planned(paths))
        assert forwards() == ("1", "0")
        await port.tear_down(planned(paths, ROUTED))
        assert forwards() == ("0", "0") and own.read_text() == "1\n", "each device is as it was"


@own_network
async def test_what_a_killed_engine_switched_on_the_next_one_switches_off() -> None:
    async with host() as (port, paths):
        switch("0")
        await port.set_up(planned(paths))
        later = LinuxNetworks(paths)
        await later.sweep([planned(paths)])
        assert forwards()[0] == "1"
        await later.sweep([])
        assert forwards() == ("0", "0")
        await later.set_up(planned(paths, ROUTED))
        await later.close()
        last = LinuxNetworks(paths)
        await last.tear_down(planned(paths, ROUTED))
        assert forwards()[0] == "0"
        await last.close()


@own_network
async def test_a_host_that_forwards_already_goes_on() -> None:
    async with host() as (port, paths):
        switch("1")
        await port.set_up(planned(paths, ROUTED))
        await port.tear_down(planned(paths, ROUTED))
        await port.sweep([])
        assert forwards()[0] == "1"


@own_network
async def test_a_link_of_somebody_else_is_left_alone() -> None:
    async with host() as (port, paths):
        ip("link", "add", "virbr7", "type", "bridge")
        with pytest.raises(HostFailed, match="none of ours"):
            await port.set_up(planned(paths))
        await port.tear_down(planned(paths))
        assert len(ip("link", "show", "virbr7")) == 1
        assert "virbr7" in await port.links()


@own_network
async def test_names_are_read_again_without_another_server() -> None:
    async with host() as (port, paths):
        ip("link", "set", "lo", "up")
        await port.set_up(planned(paths))
        (pid,) = servers(paths)
        assert await resolved("five") == "10.7.7.5"
        await port.set_up(planned(paths, XML.replace("five", "six")))
        assert servers(paths) == [pid]
        async with asyncio.timeout(60):
            while await resolved("six") != "10.7.7.5":  # noqa: ASYNC110  # nobody tells when it has read
                await asyncio.sleep(0.05)


async def resolved(name: str) -> str:
    """What dnsmasq says, by the simplest resolver that there is: one packet."""
    import socket
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
        asking.setblocking(False)
        question = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + labels + struct.pack(">2H", 1, 1)
        answer, loop = b"", asyncio.get_running_loop()
        async with asyncio.timeout(60):
            while not answer:  # asked before it listens, it hears nothing
                asking.sendto(question, ("10.7.7.1", 53))
                with suppress(TimeoutError):
                    answer = await asyncio.wait_for(loop.sock_recv(asking, 512), 5)
    return ".".join(str(byte) for byte in answer[-4:]) if answer[7] else ""


@own_network
async def test_rules_are_put_back_and_removed_to_the_last() -> None:
    async with host() as (port, paths):
        commands = firewall([(network(), "virbr7")], paths)
        news = port.news()
        first = asyncio.ensure_future(anext(news))
        await asyncio.sleep(0)
        await port.guard(commands)
        assert "masquerade" in shown("nft", "list", "ruleset")
        shown("nft", "flush", "ruleset")
        async with asyncio.timeout(60):
            assert (await first).kind == "rules"
        await port.guard(commands)
        assert table_name(paths) in shown("nft", "list", "ruleset")
        await port.guard(firewall([], paths))
        assert shown("nft", "list", "ruleset") == ""


@own_network
async def test_the_end_of_a_server_and_new_leases_are_told() -> None:
    async with host() as (port, paths):
        wanted = planned(paths)
        news = port.news()
        waiting = asyncio.ensure_future(anext(news))
        await port.set_up(wanted)
        assert wanted.dnsmasq is not None
        async with asyncio.timeout(60):
            await until(lambda: port._inotify is not None)
            Path(wanted.dnsmasq.leases).write_text("2000000000 52:54:00:00:00:0a 10.7.7.7 guest 01:52:54:00:00:00:0a\n")
            told = await waiting
            assert (told.kind, told.network) == ("leases", 'net "one"')
            (lease,) = await port.leases(wanted)
            assert (lease.address, lease.mac, lease.hostname) == ("10.7.7.7", "52:54:00:00:00:0a", "guest")
            os.kill(servers(paths)[0], signal.SIGKILL)
            while (await anext(news)).kind != "dnsmasq":
                pass
        await port.set_up(wanted)
        assert len(servers(paths)) == 1


@own_network
async def test_servers_of_networks_that_are_no_more_are_ended() -> None:
    async with host() as (port, paths):
        await port.set_up(planned(paths))
        await port.sweep([planned(paths)])
        assert len(servers(paths)) == 1
        await port.sweep([])
        assert servers(paths) == []


@own_network
async def test_routes_of_the_host() -> None:
    async with host() as (port, _):
        ip("link", "add", "eth7", "type", "veth", "peer", "eth8")
        ip("addr", "add", "10.1.2.3/24", "dev", "eth7")
        ip("link", "set", "eth7", "up")
        ip("link", "set", "eth8", "up")
        ip("route", "add", "10.5.0.0/16", "via", "10.1.2.9")
        found = {(str(route.net), route.device, route.direct) for route in await port.routes()}
        assert found == {("10.1.2.0/24", "eth7", True), ("10.5.0.0/16", "eth7", False)}


@own_network
async def test_a_hook_is_told_and_can_refuse() -> None:
    async with host() as (port, paths):
        folder = Path(paths.config, "hooks")
        folder.mkdir(parents=True)
        hook, note = folder / "network", folder / "note"
        hook.write_text(f'#!/bin/sh\necho "$@" >>{note}; cat >>{note}\n[ $2 != start ] || {{ echo no; exit 3; }} >&2\n')
        hook.chmod(0o755)
        await port.hook("a b", "started", "begin", "<network/>")
        assert note.read_text() == "a b started begin -\n<network/>"
        with pytest.raises(HostFailed, match="refuses start of 'a b': no"):
            await port.hook("a b", "start", "begin", "<network/>")
        hook.chmod(0o644)
        await port.hook("a b", "start", "begin", "<network/>")  # what cannot be run is none


@own_network
async def test_floors_of_taps_come_and_go() -> None:
    async with host() as (port, paths):
        await port.set_up(planned(paths))
        resources = LinuxResources(paths)
        tap = Tap(mac="52:54:00:00:00:0a", fds=(3,), bridge="virbr7", alias="net0", floor=Floor(3, 40, 200))

        async def journal(undo: object) -> None:
            return None

        prepared = await resources.set_up([tap], None, journal)
        assert "class htb 1:3 parent 1:1" in shown("tc", "class", "show", "dev", "virbr7")
        assert "52540000/ffffffff at -14" in shown("tc", "filter", "show", "dev", "virbr7")
        await port.set_up(planned(paths))
        assert "class htb 1:3 parent 1:1" in shown("tc", "class", "show", "dev", "virbr7")
        for fd in prepared.fds.values():
            os.close(fd)
        await resources.tear_down(prepared.undo)
        await resources.tear_down(prepared.undo)
        assert "1:3" not in shown("tc", "class", "show", "dev", "virbr7")
        assert "1:3" not in shown("tc", "filter", "show", "dev", "virbr7")
        resources.close()
