"""An engine that has stopped owns no thread, no task and no lock; what was under way has cleaned up before."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from frontinus.client.remote import connect
from frontinus.daemon.server import Server
from frontinus.domain.host import Paths
from frontinus.engine.local import LocalEngine
from frontinus.linux.audit import LinuxAudit
from frontinus.linux.network.networks import LinuxNetworks
from frontinus.linux.resources import LinuxResources
from frontinus.linux.storage.host import LinuxStorage
from frontinus.mock.engine import FIRST, POOL, ROOT, mock_engine
from frontinus.state.store import FileStore
from support import leftovers
from support.leftovers import left
from support.waiting import until


def own_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio")}


async def engine_of_this_host(folder: Path) -> LocalEngine:
    """All ports that have threads are real; its guests are a mock's."""
    paths = Paths(**{name: str(folder / name) for name in ("config", "state", "run", "log", "nvram", "ram")})
    world = replace(
        (await mock_engine(paths, fixture=False)).world, store=FileStore(paths, exclusive=True),
        storage=LinuxStorage(folder / "run"), resources=LinuxResources(paths), audit=LinuxAudit(),
        host_networks=LinuxNetworks(paths),
    )  # fmt: skip
    return LocalEngine(world)


async def test_no_thread_and_no_lock_is_left(tmp_path: Path) -> None:
    before = own_threads()
    for _ in range(2):  # the second finds the folders free
        engine = await engine_of_this_host(tmp_path)
        session = engine.session(ROOT)
        await session.define(FIRST)
        await session.start("test")
        await session.create_pool(POOL.replace("/default-pool", str(tmp_path)), build=())
        await session.create_volume("default-pool", "<volume><name>v.qcow2</name><capacity>65536</capacity>"
                                    "<target><format type='qcow2'/></target></volume>")  # fmt: skip
        assert own_threads() > before
        await session.delete_volume("default-pool", "v.qcow2")
        await session.destroy_pool("default-pool")
        await session.destroy("test")
        await engine.stop()
        assert own_threads() == before
        await engine.stop()  # idempotent


async def test_what_runs_in_the_background_cleans_up_while_the_store_is_there(tmp_path: Path) -> None:
    engine = await engine_of_this_host(tmp_path)
    store, begun = engine.world.store, asyncio.Event()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await store.save("marks", "seen", "")

    engine.world.spawn(work(), "work")
    await begun.wait()
    await engine.stop()
    assert (tmp_path / "state/marks/seen").exists()


async def test_calls_that_were_under_way_have_cleaned_up_before_the_engine_lets_go(tmp_path: Path) -> None:
    done: list[str] = []
    local = await mock_engine(fixture=False)
    begun = asyncio.Event()

    class Slow:
        async def version(self) -> object:
            try:
                begun.set()
                return await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.05)
                done.append("cleaned up")

    server = Server(tmp_path / "sock", lambda who: Slow(), readonly=False, mode=0o600)  # type: ignore[arg-type, return-value]
    async with await connect(tmp_path / "sock") as client:
        asking = asyncio.ensure_future(client.version())
        await begun.wait()
        server.close()
        await server.ended()
        assert done == ["cleaned up"]
        await asyncio.wait([asking])
        assert asking.exception() is not None
    await local.stop()


async def test_what_a_test_leaves_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard of the other folders."""
    monkeypatch.setattr(leftovers, "SECONDS", 0.1)
    before, stop = leftovers.here(), threading.Event()
    assert left(before) == []
    thread = threading.Thread(target=stop.wait, name="forgotten")
    thread.start()
    process = await asyncio.create_subprocess_exec("sleep", "600")
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    try:
        told = " ".join(left(before))
        assert "thread forgotten" in told and "sleep 600" in told and "listening socket ('127.0.0.1'" in told
    finally:
        stop.set()
        thread.join()
        process.kill()
        await process.wait()
        server.close()
        await server.wait_closed()
    await until(lambda: left(before) == [])
