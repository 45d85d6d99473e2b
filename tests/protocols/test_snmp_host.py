"""What there is beside guests, by net-snmp's clients: pools, volumes, networks, leases, jobs, the host, IF-MIB, who may do what."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from frontinus.mock.networks import MemoryNetworks
from frontinus.ports.networks import Lease
from frontinus_snmp.hostside import NODES
from frontinus_snmp.roots import ROOT
from frontinus_snmp.rtnetlink import LinkStats
from frontinus_snmp.settings import Receiver, Settings, V2c
from support.snmp import COMMUNITY, Rig, rig, run, v3
from support.waiting import until

pytestmark = pytest.mark.needs("snmpset", "snmpbulkwalk")
FRN = ".".join(map(str, ROOT))
POOL, VOLUME, NETWORK, LEASE = (f"{FRN}.1.{number}.1" for number in (9, 10, 11, 12))
NETWORK_XML = """<network><name>lan</name><forward mode='nat'/><domain name='example.org'/>
<ip address='10.7.1.1' prefix='24'><dhcp><range start='10.7.1.2' end='10.7.1.99'/></dhcp></ip></network>"""
VOLUME_XML = "<volume><name>disk.img</name><capacity unit='MiB'>8</capacity></volume>"


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Rig]:
    settings = Settings(v2c=V2c(COMMUNITY, (ip_network("127.0.0.0/8"),), "everything"),
                        notify=(Receiver(("127.0.0.1", 9), "monitor"),))  # fmt: skip
    async with rig(tmp_path, settings=settings, writers={"monitor": "everything"}) as made:
        yield made


async def put(agent: Rig, *variables: str) -> tuple[int, str]:
    return await run("snmpset", "-On", "-t", "20", "-r", "0", *v3(), f"127.0.0.1:{agent.port}", *variables)


async def shows(agent: Rig, root: str, name: str, value: str) -> dict[str, str]:
    """Walk until an object has a value; all that the walk found."""
    await agent.settled()
    end = time.monotonic() + 60
    while (found := dict(await agent.walk(root))).get(name) != value:
        assert time.monotonic() < end, f"{name} is {found.get(name)}, not {value}"
    return found


async def test_pools_and_their_volumes(agent: Rig) -> None:
    found = await agent.walk(f"{FRN}.1.9")
    assert found[f"{POOL}.2.1"] == 'STRING: "default-pool"' and found[f"{POOL}.5.1"] == "INTEGER: 2"
    assert int(found[f"{POOL}.9.1"].split()[1]) >= int(found[f"{POOL}.11.1"].split()[1]) > 0
    await agent.engine.create_volume("default-pool", VOLUME_XML)
    found = await shows(agent, f"{FRN}.1.10", f"{VOLUME}.2.1.1", 'STRING: "disk.img"')
    assert found[f"{VOLUME}.7.1.1"] == f"Counter64: {8 * 2**20}"
    await shows(agent, f"{FRN}.1.9", f"{POOL}.12.1", "Gauge32: 1")
    for number, state in ((3, 0), (2, 2), (4, 2)):  # stop, start, refresh
        code, said = await put(agent, f"{POOL}.13.1", "i", str(number))
        assert code == 0, said
        await shows(agent, f"{FRN}.1.9", f"{POOL}.5.1", f"INTEGER: {state}")
    assert (await put(agent, f"{POOL}.7.1", "i", "1"))[0] == 0 and (await agent.engine.pool("default-pool")).autostart
    code, said = await put(agent, f"{POOL}.7.1", "i", "2", f"{POOL}.13.1", "i", "2")
    assert code != 0 and "inconsistentValue" in said and (await agent.engine.pool("default-pool")).autostart


async def test_networks_and_their_leases(agent: Rig) -> None:
    view = await agent.engine.define_network(NETWORK_XML)
    await agent.settled()
    rows = await agent.walk(f"{NETWORK}.2")
    index = next(name for name, value in rows.items() if value == 'STRING: "lan"').rpartition(".")[2]
    assert (await put(agent, f"{NETWORK}.13.{index}", "i", "2", f"{NETWORK}.6.{index}", "i", "1"))[0] == 0
    found = await shows(agent, f"{FRN}.1.11", f"{NETWORK}.4.{index}", "INTEGER: 1")
    assert found[f"{NETWORK}.9.{index}"] == "INTEGER: 2" and found[f"{NETWORK}.10.{index}"] == 'STRING: "example.org"'
    assert (await agent.engine.network("lan")).autostart
    host = agent.local.world.host_networks
    assert isinstance(host, MemoryNetworks)
    host.given["lan"] = [Lease("10.7.1.5", 2_000_000_000, "52:54:00:00:00:05", "web")]
    from frontinus.engine.network.netports import refresh_leases

    await refresh_leases(agent.local.world, agent.local.world.networks.find("lan"))
    place = f"{index}.4.10.7.1.5"
    found = await shows(agent, f"{FRN}.1.12", f"{LEASE}.4.{place}", 'STRING: "web"')
    assert found[f"{LEASE}.3.{place}"].split(": ")[1].split() == ["52", "54", "00", "00", "00", "05"]
    code, said = await put(agent, f"{NETWORK}.13.{index}", "i", "3")
    assert code == 0, said
    assert not (await agent.engine.network("lan")).active and view.uuid
    await agent.settled()
    assert not await walked(agent, f"{FRN}.1.12")


async def walked(agent: Rig, root: str) -> dict[str, str]:
    return {
        name: value
        for name, value in (await agent.walk(root)).items()
        if name.startswith(root) and "No Such" not in value
    }


async def test_the_host_is_shown(agent: Rig) -> None:
    host = await agent.engine.host()
    found = await agent.walk(f"{FRN}.1.2")
    assert found[f"{FRN}.1.2.1.0"] == f'STRING: "{host.hostname}"' and found[f"{FRN}.1.2.5.0"] == "Gauge32: 8"
    assert found[f"{FRN}.1.2.10.0"] == f"Gauge32: {16 * 2**20}" and found[f"{FRN}.1.2.13.0"] == "INTEGER: 2"
    nodes = await walked(agent, f"{FRN}.1.3.1.3")
    assert len(nodes) == len(list(NODES.glob("node[0-9]*")))


async def test_the_hosts_resources_are_shown(agent: Rig) -> None:
    found = await agent.walk("1.3.6.1.2.1.25")
    memory = int(found["1.3.6.1.2.1.25.2.2.0"].split()[1])
    assert memory > 2**17 and found["1.3.6.1.2.1.25.2.3.1.3.1"] == 'STRING: "Memory"'
    size, used, unit = (int(found[f"1.3.6.1.2.1.25.2.3.1.{n}.1"].split()[1]) for n in (5, 6, 4))
    assert size * unit // 1024 == memory and 0 < used < size
    loads = [value for name, value in found.items() if name.startswith("1.3.6.1.2.1.25.3.3.1.2.")]
    assert loads and all(0 <= int(load.split()[1]) <= 100 for load in loads)
    assert int(found["1.3.6.1.2.1.25.1.6.0"].split()[1]) > 1


async def test_taps_are_interfaces_and_no_other_device_is(agent: Rig) -> None:
    """A tap of a mock guest is no device of this host: one is put among those that the kernel told."""
    await agent.walk()
    (figures,) = await agent.engine.stats(["guest-00000"])
    name = figures.interfaces[0].name
    tap = LinkStats(name, 77, master=5, flags=0x1043, mtu=1500, mac=b"\xfe\x54\0\0\0\1", rx_bytes=2**40 + 3, tx_bytes=9)
    bridge = LinkStats("br7", 5, flags=1, operstate=6)
    state = agent.link.tree.state

    class Kernel:
        @staticmethod
        def links() -> dict[str, LinkStats]:
            return {tap.name: tap, "br7": bridge, "eth9": LinkStats("eth9", 9)}

    import frontinus_snmp.link as link

    before, link.rtnetlink = link.rtnetlink, Kernel  # type: ignore[assignment]
    try:
        found = await agent.walk("1.3.6.1.2.1.2")
        assert found["1.3.6.1.2.1.2.1.0"] == "INTEGER: 2" and len(state.links) == 3
        assert found["1.3.6.1.2.1.2.2.1.2.77"] == f'STRING: "{name}"' and "1.3.6.1.2.1.2.2.1.2.9" not in found
        assert found["1.3.6.1.2.1.2.2.1.10.77"] == "Counter32: 3" and found["1.3.6.1.2.1.2.2.1.8.77"] == "INTEGER: 1"
        assert found["1.3.6.1.2.1.2.2.1.3.5"] == "INTEGER: 209"
        found = await agent.walk("1.3.6.1.2.1.31")
        assert found["1.3.6.1.2.1.31.1.1.1.6.77"] == f"Counter64: {2**40 + 3}"
        assert found["1.3.6.1.2.1.31.1.1.1.18.77"].startswith('STRING: "guest-0000')
        index = agent.link._numbers.numbers[(await agent.engine.guest("guest-00000")).uuid]
        found = await agent.walk(f"1.3.6.1.2.1.236.1.8.1.2.{index}")
        assert list(found.values()) == ["INTEGER: 77"]
        found = await agent.walk(f"1.3.6.1.2.1.236.1.8.1.3.{index}")
        assert list(found.values()) == ["INTEGER: 5"]
    finally:
        link.rtnetlink = before


async def test_jobs_are_shown_and_aborted(agent: Rig) -> None:
    guest = await agent.engine.guest("guest-00001")

    async def work() -> None:
        async with agent.local.world.jobs.run("dump", guest.uuid) as job:
            job.processed, job.total = 250, 1000
            await asyncio.sleep(3600)

    task = asyncio.create_task(work())
    found = await shows(agent, f"{FRN}.1.8", f"{FRN}.1.8.1.3.1", 'STRING: "dump"')
    assert found[f"{FRN}.1.8.1.4.1"] == "INTEGER: 2" and found[f"{FRN}.1.8.1.5.1"] == "INTEGER: 2"
    found = await shows(agent, f"{FRN}.1.8", f"{FRN}.1.8.1.6.1", "INTEGER: 25")
    assert found[f"{FRN}.1.8.1.8.1"] == "Counter64: 1000"
    code, said = await put(agent, f"{FRN}.1.8.1.12.1", "i", "2")
    assert code == 0, said
    await until(task.done)
    assert task.cancelled()
    await shows(agent, f"{FRN}.1.8", f"{FRN}.1.8.1.4.1", "INTEGER: 5")
    code, said = await put(agent, f"{FRN}.1.8.1.12.1", "i", "2")
    assert code != 0 and "inconsistentValue" in said


async def test_who_may_do_what_is_shown_and_no_key(agent: Rig) -> None:
    found = await agent.walk("1.3.6.1.6.3")
    (user,) = agent.agent.authority.users.values()
    said = " ".join(found.values())
    for key in (user.auth_key, user.priv_key):
        assert key.hex() not in said.replace(" ", "").lower()
    assert found["1.3.6.1.6.3.16.1.2.1.3.3.7.109.111.110.105.116.111.114"] == 'STRING: "monitor"'
    assert found["1.3.6.1.6.3.16.1.4.1.6.7.109.111.110.105.116.111.114.0.3.3"] == 'STRING: "everything"'
    assert any(name.startswith("1.3.6.1.6.3.15.1.2.2.1.5.") and value.endswith(".1.5") for name, value in found.items())
    assert found["1.3.6.1.6.3.13.1.1.1.3.116.114.97.112"] == "INTEGER: 1"
    assert any(
        name.startswith("1.3.6.1.6.3.12.1.2.1.3.") and value.endswith("7F 00 00 01 00 09 ")
        for name, value in found.items()
    )


async def test_the_view_all_hides_who_may_do_what(tmp_path: Path) -> None:
    async with rig(tmp_path, users={"monitor": "all"}) as agent:
        found = await agent.walk("1.3.6.1.6.3", access=v3())
        assert "1.3.6.1.6.3.15.1.1.3.0" in found and not any(
            name.startswith(("1.3.6.1.6.3.15.1.2", "1.3.6.1.6.3.16", "1.3.6.1.6.3.12.1.2", "1.3.6.1.6.3.13"))
            for name in found
        )
