"""Notifications as net-snmp's snmptrapd receives them: traps, informs that are repeated, bulk, and who gets none."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from frontinus.api.events import DeviceRemovedEvent, IoErrorEvent, JobEvent, PoolEvent, WatchdogEvent
from frontinus.api.storage import PoolView
from frontinus_snmp.peer import discovered, discovery
from frontinus_snmp.roots import ROOT
from frontinus_snmp.settings import Receiver, Settings
from frontinus_snmp.usm import LEAST_MAX_SIZE, Authority, User, make_user
from support.ports import free_port
from support.snmp import COMMUNITY, PASSWORDS, VM, Rig, rig, run, v3
from support.trapped import THEIRS, Receiving, receiving
from support.waiting import until

pytestmark = pytest.mark.needs("snmptrapd", "snmpset")
FRN = ".".join(map(str, ROOT))


def informer() -> dict[tuple[bytes, str], User]:
    made = make_user("informer", "SHA-256", "AES-128", PASSWORDS, THEIRS, "all")
    return {(THEIRS, "informer"): User(**{**vars(made), "engine_id": THEIRS})}


def to(port: int, **more: object) -> Receiver:
    return Receiver(("127.0.0.1", port), **more)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def told(tmp_path: Path, **more: object) -> AsyncIterator[tuple[Rig, Receiving]]:
    """An agent that tells snmptrapd by traps as `monitor`."""
    port = free_port()
    settings = Settings(notify=(to(port, user="monitor"),), **more)  # type: ignore[arg-type]
    async with (
        rig(tmp_path, settings=settings, writers={"monitor": "everything"}) as agent,
        receiving(tmp_path, port, agent.agent.authority.engine_id) as receiver,
    ):
        yield agent, receiver


async def test_a_life_is_told_by_both_modules(tmp_path: Path) -> None:
    async with told(tmp_path) as (agent, receiver):
        await agent.engine.suspend("guest-00000")
        line = await receiver.told(f"{VM}.0.4")
        assert f'.{VM}.1.4.1.2.1 = STRING: "guest-00000"' in line and f".{VM}.1.4.1.6.1 = INTEGER: 8" in line
        line = await receiver.told(f"{FRN}.0.1")
        assert f'.{FRN}.1.4.1.1.1 = STRING: "guest-00000"' in line and f".{FRN}.1.4.1.2.1 = INTEGER: 3" in line
        assert f".{FRN}.1.4.1.21.1 = INTEGER: 4" in line and f'.{FRN}.1.4.1.22.1 = STRING: "paused"' in line
        assert f'.{FRN}.1.4.1.23.1 = STRING: "user"' in line
        await agent.engine.destroy("guest-00000")
        await agent.engine.undefine("guest-00000")
        line = await receiver.told(f"{VM}.0.10")
        assert f".{VM}.1.4.1.8.1 = INTEGER: 2" in line
        assert agent.counters["notificationsSent"] >= 4 and agent.counters["notificationsDropped"] == 0


async def test_what_goes_wrong_is_told(tmp_path: Path) -> None:
    async with told(tmp_path) as (agent, receiver):
        guest = await agent.engine.guest("guest-00001")
        bus, about = agent.local.world.bus, {"uuid": guest.uuid, "name": guest.name}
        bus.publish(IoErrorEvent(**about, path="/disk", device="virtio-disk0", action="pause", reason="enospc"))
        bus.publish(WatchdogEvent(**about, action="reset"))
        bus.publish(DeviceRemovedEvent(**about, device="net1"))
        bus.publish(JobEvent(**about, job="job-7", kind="save", state="failed"))
        pool = PoolView(uuid="00000000-0000-0000-0000-0000000000aa", name="images", kind="dir", state="running", active=True,
                        capacity=1000, available=50)  # fmt: skip
        bus.publish(PoolEvent(uuid=pool.uuid, name=pool.name, kind="changed", pool=pool))
        bus.publish(PoolEvent(uuid=pool.uuid, name=pool.name, kind="changed", pool=pool))
        line = await receiver.told(f"{FRN}.0.2")
        for column, text in ((1, "guest-00001"), (24, "virtio-disk0"), (25, "/disk"), (26, "pause"), (23, "enospc")):
            assert f'.{FRN}.1.4.1.{column}.2 = STRING: "{text}"' in line
        assert f'.{FRN}.1.4.1.26.2 = STRING: "reset"' in await receiver.told(f"{FRN}.0.3")
        assert f'.{FRN}.1.4.1.24.2 = STRING: "net1"' in await receiver.told(f"{FRN}.0.4")
        line = await receiver.told(f"{FRN}.0.6")
        assert f'.{FRN}.1.8.1.2.1 = STRING: "job-7"' in line and f".{FRN}.1.8.1.4.1 = INTEGER: 4" in line
        line = await receiver.told(f"{FRN}.0.7")
        number = agent.link.tree.state.host_numbers[pool.uuid]
        assert f'.{FRN}.1.9.1.2.{number} = STRING: "images"' in line
        assert f".{FRN}.1.9.1.11.{number} = Counter64: 50" in line
        assert len(receiver.lines(f"{FRN}.0.7")) == 1  # a full pool is told of once


async def test_many_are_told_of_together(tmp_path: Path) -> None:
    async with told(tmp_path, bulk_seconds=10.0) as (agent, receiver):
        for name, number in ((f"{VM}.1.9.0", "2"), (f"{VM}.1.10.0", "1"), (f"{FRN}.1.1.3.0", "2")):
            code, said = await run("snmpset", *v3(), f"127.0.0.1:{agent.port}", name, "i", number)
            assert code == 0, said
        await asyncio.gather(*(agent.engine.suspend(name) for name in ("guest-00000", "test")))
        line = await receiver.told(f"{VM}.0.14")
        assert f".{VM}.1.11.0 = Hex-STRING: A0" in line  # guests 1 and 3
        assert not receiver.lines(f"{VM}.0.4") and not receiver.lines(f"{FRN}.0.1")


async def test_strangers_are_told_of_where_it_is_wanted(tmp_path: Path) -> None:
    async with told(tmp_path, strangers=True) as (agent, receiver):
        await run("snmpget", "-t", "1", "-r", "0", *v3("nobody"), f"127.0.0.1:{agent.port}", "1.3.6.1.2.1.1.1.0")
        await receiver.told("1.3.6.1.6.3.1.1.5.5")


async def test_informs_are_answered(tmp_path: Path) -> None:
    """The receiver's clock is learned by its report, which is authentic; then every inform is confirmed."""
    port = free_port()
    receiver = to(port, user="informer", inform=True, engine_id=THEIRS, timeout=60.0)
    async with (
        receiving(tmp_path, port) as trapped,
        rig(tmp_path, settings=Settings(notify=(receiver,)), peers=informer()) as agent,
    ):
        for number in range(3):
            await agent.engine.suspend("guest-00000")
            await until(lambda number=number: len(trapped.lines(f"{VM}.0.4")) == number + 1)  # type: ignore[misc]
            await agent.engine.resume("guest-00000")
            await until(lambda number=number: len(trapped.lines(f"{VM}.0.1")) == number + 1)  # type: ignore[misc]
        assert agent.counters["informsLost"] == agent.counters["informsRepeated"] == 0
        assert len(trapped.lines(f"{VM}.0.4")) == 3


@pytest.mark.parametrize("inform", [False, True])
async def test_communities_are_told_too(tmp_path: Path, inform: bool) -> None:
    port, community = free_port(), COMMUNITY.replace(b" ", b"-")
    receiver = to(port, community=community, view="all", inform=inform, timeout=60.0)
    async with receiving(tmp_path, port) as trapped, rig(tmp_path, settings=Settings(notify=(receiver,))) as agent:
        await agent.engine.suspend("guest-00000")
        await trapped.told(f"{VM}.0.4")
        await until(lambda: agent.counters["notificationsSent"] >= 2)
        assert agent.counters["informsLost"] == 0


async def test_an_inform_without_an_answer_is_repeated_and_then_lost(tmp_path: Path) -> None:
    receiver = to(free_port(), user="informer", inform=True, engine_id=THEIRS, timeout=0.2, retries=2)
    async with rig(tmp_path, settings=Settings(notify=(receiver,), own=False), peers=informer()) as agent:
        await agent.engine.suspend("guest-00000")
        await until(lambda: agent.counters["informsLost"] == 1)
        assert agent.counters["informsRepeated"] == 2
        found = await agent.walk(f"{FRN}.1.13", access=v3())
        assert found[f"{FRN}.1.13.3.0"] == "Counter32: 2" and found[f"{FRN}.1.13.4.0"] == "Counter32: 1"


async def test_an_inform_comes_through_when_the_receiver_is_late(tmp_path: Path) -> None:
    port = free_port()
    receiver = to(port, user="informer", inform=True, engine_id=THEIRS, timeout=1.0, retries=200)
    async with rig(tmp_path, settings=Settings(notify=(receiver,)), peers=informer()) as agent:
        await agent.engine.suspend("guest-00000")
        await until(lambda: agent.counters["informsRepeated"] >= 1)
        async with receiving(tmp_path, port) as trapped:
            await trapped.told(f"{VM}.0.4")
            assert agent.counters["informsLost"] == 0


async def test_who_may_not_see_it_is_not_told(tmp_path: Path) -> None:
    from frontinus_snmp.tree import View

    views = {
        "everything": View(frozenset({(1, 3, 6, 1)})),
        "names": View(frozenset({(1, 3, 6, 1, 2, 1, 236, 1, 4, 1, 2)})),
    }
    port = free_port()
    settings = Settings(views=views, notify=(to(port, user="monitor"), to(free_port(), user="not there")))
    async with rig(tmp_path, settings=settings, users={"monitor": "names"}) as agent:
        await agent.engine.suspend("guest-00000")
        await agent.settled()
        await agent.engine.resume("guest-00000")
        await agent.settled()
        assert agent.counters["notificationsSent"] == 0


async def test_an_engine_is_discovered(tmp_path: Path) -> None:
    port = free_port()
    async with receiving(tmp_path, port):
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as asking:
            asking.connect(("127.0.0.1", port))
            await loop.sock_sendall(asking, discovery(Authority(b"", 0, {}, Counter(), LEAST_MAX_SIZE)))
            assert discovered(await asyncio.wait_for(loop.sock_recv(asking, 65536), 60)) == THEIRS
