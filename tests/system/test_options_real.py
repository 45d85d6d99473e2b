"""Starts and saves with options, single vCPUs, what events do, monitors' events and the agent's further words: a real guest."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import InvalidValue
from frontinus.api.options import MonitorEvent
from frontinus.api.tuning import IothreadParameters
from guest_image import GuestImage
from system.test_guest_life import BOOT, Watcher, boot, guest_xml
from trial import Daemon

pytestmark = pytest.mark.needs("root")


@pytest.fixture
async def engine(daemon: Daemon) -> AsyncIterator[Engine]:
    async with daemon.engine() as engine:
        yield engine


def xml(place: Path, image: GuestImage) -> str:
    return guest_xml(place, image).replace(
        "<vcpu current='1'>2</vcpu>", "<vcpu current='1'>3</vcpu><iothreads>1</iothreads>"
    )


async def test_a_running_guest_is_changed(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    await engine.define(xml(place, guest_image))
    await engine.start_with("real", ["reset-nvram"])
    await boot(engine, "real")
    heard: list[MonitorEvent] = []
    listening = asyncio.create_task(_listen(engine, heard))
    await engine.switch_vcpus("real", [2], True, live=True, config=True)
    with pytest.raises(InvalidValue, match="on already"):
        await engine.switch_vcpus("real", [2], True)
    assert (await engine.guest("real")).vcpus == 2
    await engine.set_vcpus("real", 3, live=True)
    await engine.set_iothread(
        "real", 1, IothreadParameters(poll_max_ns=4096, thread_pool_min=65, thread_pool_max=70), live=True
    )
    (thread,) = (await engine.stats(["real"], ["iothread"]))[0].iothreads
    assert thread.poll_max == 4096
    await engine.set_lifecycle_action("real", "reboot", "destroy", live=True)
    watcher = await Watcher(engine).ready()
    await engine.monitor_command("real", '{"execute":"system_reset"}')
    await watcher.until("stopped")
    await asyncio.wait_for(listening, BOOT)
    assert heard[-1].event == "SHUTDOWN" and '"reason": "host-qmp-system-reset"' in heard[-1].data
    await engine.start("real")  # with CPU 2, and without CPU 1, as its definition says
    assert (await engine.guest("real")).vcpus == 2


async def _listen(engine: Engine, heard: list[MonitorEvent]) -> None:
    async for event in engine.watch_monitor("real"):
        heard.append(event)
        if event.event == "SHUTDOWN":
            return


async def test_a_state_past_the_cache(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    await engine.define(xml(place, guest_image))
    await engine.start("real")
    await boot(engine, "real")
    await engine.dump_with("real", str(place / "core"), flags=["memory-only", "live", "bypass-cache"])
    assert (place / "core").read_bytes()[:4] == b"\x7fELF"
    await engine.save_with("real", str(place / "saved"), flags=["paused", "bypass-cache"])
    assert (await engine.restore_with(str(place / "saved"), flags=["bypass-cache"])).state == "paused"
    await engine.resume("real")
    await engine.save_with("real", flags=["bypass-cache"])
    changed = (await engine.managed_definition("real", ["secure"])).replace("</name>", "</name><title>Saved</title>")
    await engine.redefine_managed("real", changed)
    view = await engine.start_with("real", ["bypass-cache"])
    assert (view.state, view.reason, view.title) == ("running", "restored", "Saved")


async def test_guests_end_with_their_connections(
    daemon: Daemon, engine: Engine, place: Path, guest_image: GuestImage
) -> None:
    await engine.define(xml(place, guest_image))
    async with daemon.engine() as caller:
        await caller.start_with("real", ["autodestroy"])
        watcher = await Watcher(engine).ready()
    await watcher.until("stopped")
    async with daemon.engine() as caller:
        await caller.start_with("real", ["autodestroy", "paused"])
        await daemon.kill()
    await daemon.start()
    async with daemon.engine() as again:
        async with asyncio.timeout(BOOT):
            while (await again.guest("real")).active:  # noqa: ASYNC110  # it may have ended before anybody could watch
                await asyncio.sleep(0.1)


async def test_keys_and_disks_that_the_agent_knows(engine: Engine, place: Path, agent_image: GuestImage) -> None:
    await engine.define(xml(place, agent_image))
    watcher = await Watcher(engine).ready()
    await engine.start("real")
    await watcher.until("AgentEvent")
    await engine.set_agent_timeout("real", 60)
    disks = await engine.guest_disks("real")
    assert [disk.target for disk in disks if disk.name == "/dev/vda"] == ["vda"]
    await _write(engine, "/etc/passwd", b"root::0:0::/tmp:/bin/sh\n")
    await engine.set_authorized_keys("real", "root", ["ssh-ed25519 AAAAone me"])
    await engine.set_authorized_keys("real", "root", ["ssh-ed25519 AAAAtwo me"])
    assert sorted(await engine.authorized_keys("real", "root")) == ["ssh-ed25519 AAAAone me", "ssh-ed25519 AAAAtwo me"]
    await engine.set_authorized_keys("real", "root", ["ssh-ed25519 AAAAone me"], "remove")
    assert await engine.authorized_keys("real", "root") == ["ssh-ed25519 AAAAtwo me"]
    await engine.set_authorized_keys("real", "root", ["ssh-ed25519 AAAAnew me"], "replace")
    assert await engine.authorized_keys("real", "root") == ["ssh-ed25519 AAAAnew me"]


async def _write(engine: Engine, path: str, data: bytes) -> None:
    """A file of the guest's, by its agent."""
    handle = await _agent(engine, "guest-file-open", path=path, mode="w")
    await _agent(engine, "guest-file-write", handle=handle, **{"buf-b64": base64.b64encode(data).decode()})
    await _agent(engine, "guest-file-close", handle=handle)


async def _agent(engine: Engine, command: str, **arguments: object) -> object:
    answer = await engine.agent_command("real", json.dumps({"execute": command, "arguments": arguments}), BOOT)
    return json.loads(answer)["return"]
