"""Real guests on real networks, all inside a network namespace of the test's own, with a host beyond it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import HostFailed, Unsupported
from frontinus.api.events import LeaseEvent
from guest_image import GuestImage
from support.console import Console
from support.namespaces import own_network
from support.waiting import until
from trial import Daemon

pytestmark = [pytest.mark.needs("ip", "nft", "dnsmasq", "tc", "unshare", "nsenter"), pytest.mark.timeout(600)]

NAT = """<network><name>office</name><forward mode='nat'><nat ipv6='yes'/></forward><bridge name='virbr7' stp='off'/>
<domain name='office.example'/>
<ip address='10.7.7.1' prefix='24'><dhcp><range start='10.7.7.100' end='10.7.7.199'/>
<host mac='52:54:00:00:00:0a' name='alpha' ip='10.7.7.10'/></dhcp></ip>
<ip family='ipv6' address='fd00:7::1' prefix='64'/></network>"""
ISOLATED = """<network><name>vault</name><bridge name='virbr8' stp='off'/>
<ip address='10.8.8.1' prefix='24'><dhcp><range start='10.8.8.100' end='10.8.8.199'/></dhcp></ip></network>"""
GUEST = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>128</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{place}/kernel</kernel><initrd>{place}/initrd</initrd>
<cmdline>{cmdline}</cmdline></os><features><acpi/></features><cpu mode='maximum'/><devices>
<interface type='network'><mac address='{mac}'/><source network='{network}'/><model type='virtio'/></interface>
<serial type='pty'/><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng></devices></domain>"""
GUESTS = {"alpha": ("office", "52:54:00:00:00:0a"), "beta": ("office", "52:54:00:00:00:0b"),
          "hidden": ("vault", "52:54:00:00:00:0c")}  # fmt: skip


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout


@asynccontextmanager
async def outside() -> AsyncIterator[None]:
    """A host beyond this one, which knows no way back to the guests' own addresses."""
    process = await asyncio.create_subprocess_exec("unshare", "--net", "sleep", "infinity")
    try:
        theirs, mine = Path(f"/proc/{process.pid}/ns/net"), Path("/proc/self/ns/net")
        await until(lambda: not theirs.samefile(mine))
        ip("link", "add", "wan0", "type", "veth", "peer", "wan1", "netns", str(process.pid))
        for words in ("addr add 203.0.113.1/24 dev wan0", "addr add fd00:203::1/64 dev wan0 nodad", "link set wan0 up",
                      "link set lo up"):  # fmt: skip
            ip(*words.split())
        for words in ("addr add 203.0.113.2/24 dev wan1", "addr add fd00:203::2/64 dev wan1 nodad", "link set wan1 up"):
            subprocess.run(["nsenter", "-t", str(process.pid), "-n", "ip", *words.split()], check=True)
        yield
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def running(place: Path) -> AsyncIterator[tuple[Daemon, Engine]]:
    """A daemon whose networks and guests are gone afterwards."""
    daemon = Daemon(place)
    await daemon.start()
    try:
        async with daemon.engine() as engine:
            yield daemon, engine
    finally:
        if daemon.process is None or daemon.process.returncode is not None:
            await daemon.start()
        async with daemon.engine() as engine:
            for guest in await engine.guests(active=True):
                await engine.destroy(guest.uuid)
            for network in await engine.networks(active=True):
                await engine.destroy_network(network.uuid)
        await daemon.stop()


def document(place: Path, image: GuestImage, name: str) -> str:
    network, mac = GUESTS[name]
    for file, source in (("kernel", image.kernel), ("initrd", image.initrd)):
        if not (place / file).exists():
            shutil.copy(source, place / file)
            (place / file).chmod(0o644)
    return GUEST.format(name=name, network=network, mac=mac, place=place, cmdline=image.cmdline("idle", net="dhcp"))


@asynccontextmanager
async def booted(engine: Engine, place: Path, image: GuestImage, *names: str) -> AsyncIterator[dict[str, Console]]:
    """Guests that are up and have asked for their addresses."""
    async with AsyncExitStack() as stack:
        consoles = {}
        for name in names:
            await engine.create(document(place, image, name))
            consoles[name] = await stack.enter_async_context(Console(engine, name))
        for console in consoles.values():
            await console.ready()
        yield consoles


async def reaches(console: Console, who: str, seconds: int = 60) -> bool:
    """Whether a guest gets an answer from somebody within some seconds."""
    status, _ = await console.run(
        f"ping -c 1 -W 1 {who} >/dev/null || ping -c {seconds} -w {seconds} {who} | grep -q seq=", 3 * seconds
    )
    return status == 0


async def refused(console: Console, who: str) -> bool:
    status, _ = await console.run(f"ping -c 2 -w 2 {who} | grep -q seq=")
    return status != 0


@own_network
async def test_guests_on_networks(place: Path, guest_image: GuestImage) -> None:
    async with outside(), running(place) as (daemon, engine):
        for text in (NAT, ISOLATED):
            await engine.create_network(text)
        heard = asyncio.create_task(_leases_of(engine, len(GUESTS)))
        async with booted(engine, place, guest_image, *GUESTS) as guests:
            assert await asyncio.wait_for(heard, 60) == {mac for _, mac in GUESTS.values()}
            alpha, beta, hidden = (guests[name] for name in GUESTS)
            leases = {lease.mac: lease for lease in await engine.network_leases("office")}
            assert leases["52:54:00:00:00:0a"].address == "10.7.7.10"
            theirs = (await engine.network_leases("vault"))[0].address
            assert [a.addresses[0].address for a in await engine.guest_addresses("alpha")] == ["10.7.7.10"]
            assert await reaches(beta, "alpha.office.example")
            assert await reaches(beta, "alpha")
            assert await reaches(beta, "203.0.113.2")
            assert await refused(beta, theirs)
            assert await refused(hidden, "203.0.113.2")
            assert await refused(hidden, "10.7.7.10")
            assert await reaches(hidden, "10.8.8.1")
            assert [a.addresses[0].address for a in await engine.guest_addresses("beta", "arp")]
            assert await reaches(alpha, "fd00:203::2")
            show = "ip -6 addr show dev eth0"  # it has an address when a router has advertised the prefix
            _, shown = await beta.run(f"until {show} | grep -q fd00:7:; do sleep 1; done; {show}", 120)
            other = next(word for word in shown.split() if word.startswith("fd00:7:") and "/" in word)
            assert await reaches(alpha, other.partition("/")[0])
            await _survives(daemon, place, alpha)


@own_network
async def test_a_running_guest_goes_from_one_network_to_another(place: Path, guest_image: GuestImage) -> None:
    """What it sends arrives there and no longer here, also after the engine was killed; its definition follows."""
    card = "<interface type='{}'><mac address='52:54:00:00:00:0a'/><source {}/><model type='virtio'/></interface>"
    subprocess.run(["ip", "link", "add", "br9", "type", "bridge"], check=True)
    ip("addr", "add", "10.9.9.1/24", "dev", "br9")
    ip("link", "set", "br9", "up")
    async with running(place) as (daemon, engine):
        for text in (NAT, ISOLATED):
            await engine.create_network(text)
        async with booted(engine, place, guest_image, "alpha") as guests:
            alpha = guests["alpha"]
            assert await reaches(alpha, "10.7.7.1")
            await alpha.run("ip addr add 10.8.8.50/24 dev eth0; ip addr add 10.9.9.50/24 dev eth0")
            await engine.update_device("alpha", card.format("network", "network='vault'"), live=True)
            assert await reaches(alpha, "10.8.8.1") and await refused(alpha, "10.7.7.1")
            assert [p.owner_name for p in await engine.network_ports("vault")] == ["alpha"]
            assert await engine.network_ports("office") == []
            await engine.update_device("alpha", card.format("bridge", "bridge='br9'"), live=True)
            assert await reaches(alpha, "10.9.9.1") and await refused(alpha, "10.8.8.1")
            assert await engine.network_ports("vault") == []
            with pytest.raises(HostFailed, match="br6"):
                await engine.update_device("alpha", card.format("bridge", "bridge='br6'"), live=True)
            with pytest.raises(Unsupported, match="bridge to bridge"):
                await engine.update_device("alpha", card.format("direct", "dev='br9' mode='bridge'"), live=True)
            (tap,) = (str(link["ifname"]) for link in links("master", "br9"))
            await daemon.kill()
            ip("link", "set", tap, "master", "virbr7")
            await daemon.start()
            await until(lambda: bool(links("master", "br9")))
        async with daemon.engine() as again, Console(again, "alpha") as alpha:
            assert await reaches(alpha, "10.9.9.1")


async def _leases_of(engine: Engine, count: int) -> set[str]:
    """The MACs of the first leases that the engine tells of."""
    found: set[str] = set()
    async for event in engine.watch():
        if isinstance(event, LeaseEvent) and event.kind == "added":
            found.add(event.lease.mac or "")
        if len(found) == count:
            break
    return found


async def _survives(daemon: Daemon, place: Path, alpha: Console) -> None:
    """A crash of the daemon disturbs nobody, and the new one knows everything."""
    servers = _servers(place)
    async with daemon.engine() as engine:
        ports = await engine.network_ports("office")
    await alpha.run("(ping 203.0.113.2 >/run/pings 2>&1 &)")
    await daemon.kill()
    await daemon.start()
    async with daemon.engine() as engine, Console(engine, "alpha") as alpha:
        assert _servers(place) == servers
        _, told = await alpha.run(
            "sleep 2; kill -INT $(pidof ping); while pidof ping; do usleep 100000; done; cat /run/pings"
        )
        answers = [int(number) for number in re.findall(r"seq=(\d+)", told)]
        assert len(answers) > 1 and answers == list(range(len(answers))), "an answer is missing before the last"
        assert await engine.network_ports("office") == ports
        assert len(await engine.network_leases("office")) == 2
        assert await reaches(alpha, "203.0.113.2")
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        await until(lambda: "masquerade" in _rules())
        assert await reaches(alpha, "203.0.113.2")
        os.kill(servers[0], signal.SIGKILL)
        await until(lambda: len(_servers(place)) == 2 and servers[0] not in _servers(place))
        await engine.destroy("alpha")
        assert [port.owner_name for port in await engine.network_ports("office")] == ["beta"]


def _rules() -> str:
    return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout


def _servers(place: Path) -> list[int]:
    """Pids of the dnsmasq of this daemon."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if words.startswith(b"/usr/sbin/dnsmasq") and os.fsencode(place) in words:
            found.append(int(path.parent.name))
    return sorted(found)


ROOT_PORTS = "".join(f"<controller type='pci' index='{n}' model='pcie-root-port'/>" for n in range(1, 5))
EMPTY = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
<controller type='pci' index='0' model='pcie-root'/>{ports}
<interface type='network'><source network='{network}'{more}/><model type='virtio'/></interface></devices></domain>"""
GOLD = """<interface type='network'><mac address='52:54:00:00:00:31'/><source network='groups' portgroup='gold'/>
<model type='virtio'/></interface>"""
POOL = """<network><name>pool</name><forward mode='passthrough'><interface dev='sea0'/><interface dev='sea1'/></forward>
</network>"""
THEIRS = "<network><name>theirs</name><forward mode='bridge'/><bridge name='br9'/></network>"
GROUPS = """<network><name>groups</name><bridge name='virbr9' stp='off'/><bandwidth><inbound average='1000'/></bandwidth>
<ip address='10.9.9.1' prefix='24'/>
<portgroup name='gold'><bandwidth><inbound average='50' floor='300'/></bandwidth></portgroup></network>"""


def links(*words: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(ip("-json", "-details", "link", "show", *words) or "[]")
    return [link for link in found if link]


@own_network
async def test_what_guests_get_in_each_mode(place: Path) -> None:
    """Guests without a system: what their start makes on the host, and that their end takes it back."""
    for number in (0, 1):
        ip("link", "add", f"sea{number}", "type", "veth", "peer", f"far{number}")
        ip("link", "set", f"sea{number}", "up")
    ip("link", "add", "br9", "type", "bridge")
    async with running(place) as (daemon, engine):
        for text in (POOL, THEIRS, GROUPS):
            await engine.create_network(text)
        for name in ("one", "two"):
            await engine.create(EMPTY.format(ports=ROOT_PORTS, name=name, network="pool", more=""), paused=True)
        assert {(link["link"], link["linkinfo"]["info_data"]["mode"]) for link in links("type", "macvtap")} == {  # type: ignore[index]
            ("sea0", "passthru"), ("sea1", "passthru")}  # fmt: skip
        with pytest.raises(HostFailed, match="no free device"):
            await engine.create(EMPTY.format(ports=ROOT_PORTS, name="three", network="pool", more=""), paused=True)
        await engine.create(EMPTY.format(ports=ROOT_PORTS, name="three", network="theirs", more=""), paused=True)
        assert len(links("master", "br9")) == 1
        await engine.attach_device("three", GOLD)
        assert "class htb 1:3" in _classes()
        await daemon.kill()
        await daemon.start()
        async with daemon.engine() as again:
            assert "class htb 1:3" in _classes()
            assert [port.owner_name for port in await again.network_ports("pool")] == ["one", "two"]
            await again.destroy_network("groups")
            await again.create_network(GROUPS)
            assert len(links("master", "virbr9")) == 1  # the card that was left without its bridge is back on one
            for name in ("one", "two", "three"):
                await again.destroy(name)
            ours = (("type", "macvtap"), ("master", "br9"), ("master", "virbr9"))
            await until(lambda: not any(links(*words) for words in ours))  # a tap goes a moment after its last holder
            assert await again.network_ports("pool") == []


def _classes() -> str:
    return subprocess.run(["tc", "class", "show", "dev", "virbr9"], capture_output=True, text=True, check=True).stdout


@own_network
async def test_a_session_has_no_networks(place: Path) -> None:
    daemon = Daemon(place, "--session")
    await daemon.start()
    try:
        async with daemon.engine() as engine:
            assert await engine.networks() == []
            with pytest.raises(Unsupported, match="root"):
                await engine.define_network(NAT)
    finally:
        await daemon.stop()


@own_network
async def test_the_default_network_is_there_from_the_first_start(place: Path) -> None:
    (place / "frontinus.toml").write_text("default_network = true\nadapters = []\n")
    ip("link", "add", "dummy7", "type", "veth", "peer", "dummy8")
    ip("addr", "add", "192.168.122.9/24", "dev", "dummy7")
    ip("link", "set", "dummy7", "up")
    daemon = Daemon(place, "--config", str(place / "frontinus.toml"))
    await daemon.start()
    try:
        async with daemon.engine() as engine:
            (view,) = await engine.networks()
            assert (view.name, view.active, view.autostart) == ("default", True, True)
            assert "cannot be 192.168.122.0/24: 192.168.122.0/24 is behind dummy7" in daemon.log
            assert "inet 192.168.123.1/24" in ip("addr", "show", str(view.bridge))
        servers = _servers(place)
        await daemon.kill()
        await daemon.start()
        async with daemon.engine() as engine:
            assert [view.active for view in await engine.networks()] == [True]
            assert _servers(place) == servers
            await engine.destroy_network("default")
            await engine.undefine_network("default")
            left = [link["ifname"] for link in json.loads(ip("-json", "link")) if link["ifname"].startswith("virbr")]
            assert left == []
            assert _servers(place) == []
    finally:
        await daemon.stop()
