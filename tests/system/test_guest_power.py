"""Sleep, wake-up and autostart of real guests."""

from __future__ import annotations

from pathlib import Path

from guest_image import GuestImage
from support.real_console import answers
from system.test_guest_life import Watcher, guest_xml
from trial import Daemon


async def test_sleep_by_the_agent_and_wakeup(daemon: Daemon, place: Path, agent_image: GuestImage) -> None:
    sleeps = "<pm><suspend-to-mem enabled='yes'/></pm><devices>"
    async with daemon.engine() as engine:
        watcher = await Watcher(engine).ready()
        await engine.define(guest_xml(place, agent_image).replace("<devices>", sleeps))
        await engine.start("real")
        await watcher.until("AgentEvent")
        await engine.pm_suspend("real", "mem")
        await watcher.until("pmsuspended")
        assert (await engine.guest("real")).state == "pmsuspended"
        await engine.pm_wakeup("real")
        await watcher.until("started", detail="wakeup")
        assert (await engine.guest("real")).state == "running"
        watcher.close()


async def test_a_marked_guest_starts_with_the_engine(daemon: Daemon, place: Path, guest_image: GuestImage) -> None:
    async with daemon.engine() as engine:
        await engine.define(guest_xml(place, guest_image))
        await engine.set_autostart("real", True)
        assert (await engine.guest("real")).state == "shutoff"
    await daemon.stop()
    await daemon.start()
    async with daemon.engine() as engine:
        watcher = await Watcher(engine).ready()
        if not (await engine.guest("real")).active:
            await watcher.until("started")
        await answers(engine, "real")
        watcher.close()
