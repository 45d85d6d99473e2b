"""kill -9 of the daemon at random moments while networks, and guests on them, start and stop.

Afterwards links, rules, servers, leases and files are what they were at the start.
`FRONTINUS_NETWORK_CYCLES` sets how many start and stop (default 15; a release runs 500).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
from collections.abc import Awaitable
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import Disconnected, FrontinusError
from support.ending import end_all
from support.namespaces import own_network
from support.traces import files as below
from support.waiting import until
from trial import Daemon

CYCLES = int(os.environ.get("FRONTINUS_NETWORK_CYCLES", "15"))
SEED = int(os.environ.get("FRONTINUS_SEED", "7"))
KILLS = 0.4
"""How often a cycle is cut off."""
SOON = 0.8
"""Seconds within which a kill comes."""

pytestmark = [pytest.mark.needs("ip", "nft", "dnsmasq"), pytest.mark.timeout(120 + 5 * CYCLES)]

NETWORKS = {
    "nat": """<network><name>nat</name><forward mode='nat'/><bandwidth><inbound average='1000'/></bandwidth>
      <ip address='10.31.1.1' prefix='24'><dhcp><range start='10.31.1.2' end='10.31.1.9'/></dhcp></ip>
      <ip family='ipv6' address='fd00:31::1' prefix='64'/></network>""",
    "alone": """<network><name>alone</name><ip address='10.31.2.1' prefix='24'>
      <dhcp><range start='10.31.2.2' end='10.31.2.9'/></dhcp></ip></network>""",
    "routed": """<network><name>routed</name><forward mode='route'/><ip address='10.31.3.1' prefix='24'/></network>""",
}
GUEST = """<domain type='qemu'><name>g-{network}</name><memory unit='MiB'>32</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
<interface type='network'><source network='{network}'/><model type='virtio'/>{bandwidth}</interface></devices></domain>"""
FLOOR = "<bandwidth><inbound average='10' floor='20'/></bandwidth>"


def traces(place: Path) -> dict[str, object]:
    """All that a network or a guest on it could leave behind."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if b"frontinusd" not in b"".join(words[:2]) and any(os.fsencode(place) in word for word in words):
                found.append(words[0])
    files = [str(path.relative_to(place)) for part in ("state", "run", "config") for path in below(place / part)
             if path.is_file()]  # fmt: skip
    return {
        "links": subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True).stdout,
        "routes": subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout,
        "rules": subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout,
        "processes": sorted(found),
        "files": sorted(files),
    }


async def cycle(engine: Engine, name: str, dice: random.Random) -> None:
    """A network starts, sometimes a guest on it, and all of it stops."""
    if (await engine.network(name)).active:
        await engine.destroy_network(name)
    await engine.start_network(name)
    if dice.random() < 0.5:
        await engine.create(GUEST.format(network=name, bandwidth=FLOOR if name == "nat" else ""), paused=True)
        assert [port.owner_name for port in await engine.network_ports(name)] == [f"g-{name}"]
        if dice.random() < 0.5:
            await engine.destroy(f"g-{name}")
            assert await engine.network_ports(name) == []
    await engine.destroy_network(name)


async def cut_off(daemon: Daemon, work: Awaitable[None], after: float) -> None:
    """Kill the daemon while it works, and start it again."""
    task = asyncio.ensure_future(work)
    await asyncio.wait({task}, timeout=after)
    await daemon.kill()
    with contextlib.suppress(Disconnected, FrontinusError):
        await task
    await daemon.start()


async def settle(engine: Engine) -> None:
    await end_all(engine)
    for network in await engine.networks(active=True):
        await engine.destroy_network(network.uuid)
    for network in await engine.networks():
        await engine.undefine_network(network.uuid)


@own_network
async def test_nothing_leaks(place: Path) -> None:
    daemon, dice = Daemon(place), random.Random(SEED)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    await daemon.start()
    before = traces(place) | {"processes": []}  # but for those that ask QEMU what it can do
    async with daemon.engine() as engine:
        for text in NETWORKS.values():
            await engine.define_network(text)
    kills = 0
    try:
        for _ in range(CYCLES):
            name = dice.choice(list(NETWORKS))
            async with contextlib.AsyncExitStack() as stack:
                engine = await stack.enter_async_context(daemon.engine())
                await end_all(engine)
                if dice.random() < KILLS:
                    kills += 1
                    await cut_off(daemon, cycle(engine, name, dice), dice.random() * SOON)
                else:
                    await cycle(engine, name, dice)
        async with daemon.engine() as engine:
            views = {view.name for view in await engine.networks()}
            assert views == set(NETWORKS)
            await settle(engine)
        assert kills > 0
        assert "could not be taken over" not in daemon.log
        with contextlib.suppress(TimeoutError):
            await until(lambda: traces(place) == before)  # the kernel removes a tap a moment after its last holder
        assert traces(place) == before
    finally:
        async with daemon.engine() as engine:
            await settle(engine)
        await daemon.stop()
