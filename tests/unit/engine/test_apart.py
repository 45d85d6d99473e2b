"""Long documents are read beside the event loop: whoever calls meanwhile is answered."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from frontinus.api.engine import Engine
from frontinus.engine import apart, runstate
from frontinus.engine.guest import hotplug
from frontinus.engine.local import LocalEngine

DISKS = 300
MOST = 0.4
"""Read on the event loop, one part of the work alone takes more than this of the whole."""
ROUNDS = 5
"""A machine under load may hold up any one of them."""


def document(name: str) -> str:
    disks = "".join(
        f"<disk type='file'><source file='/images/{name}-{number}'/><target dev='{drive(number)}' bus='scsi'/></disk>"
        for number in range(DISKS)
    )
    return (
        f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><os><type machine='q35'>hvm</type></os>"
        f"<description>{'A long text. ' * 40_000}</description><devices>{disks}</devices></domain>"
    )


def drive(number: int) -> str:
    return f"sd{chr(97 + number // 26 - 1) if number >= 26 else ''}{chr(97 + number % 26)}"


async def longest_silence(work: Awaitable[object], ask: Callable[[], Awaitable[object]]) -> float:
    """The longest that a caller waited for an answer while the work was done, as a part of the time that it took."""
    task = asyncio.ensure_future(work)
    began = last = time.monotonic()
    silence = 0.0
    while not task.done():
        await ask()
        await asyncio.sleep(0)
        silence, last = max(silence, time.monotonic() - last), time.monotonic()
    await task
    return silence / (last - began)


def network(name: str) -> str:
    hosts = "".join(
        f"<host mac='52:54:00:00:{number // 256:02x}:{number % 256:02x}' ip='10.0.{number // 256}.{number % 256}'/>"
        for number in range(2, 5000)
    )
    dhcp = f"<ip address='10.0.0.1' netmask='255.0.0.0'><dhcp>{hosts}</dhcp></ip>"
    return f"<network><name>{name}</name><bridge name='br{name[-1]}'/>{dhcp}</network>"


CALLS: dict[str, Callable[[Engine, str], Awaitable[object]]] = {
    "define": lambda engine, xml: engine.define(xml),
    "argv": lambda engine, xml: engine.argv(xml),
    "define_network": lambda engine, xml: engine.define_network(xml),
    "create": lambda engine, xml: engine.create(xml, paused=True),
}


@pytest.mark.parametrize("call", CALLS)
async def test_others_are_answered_while_a_long_document_is_read(engine: Engine, call: str) -> None:
    silences: list[float] = []
    while len(silences) < ROUNDS and min(silences, default=1) > MOST:
        name = f"{call}{len(silences)}"
        xml = network(name) if "network" in call else document(name)
        silences.append(await longest_silence(CALLS[call](engine, xml), engine.guests))
    assert min(silences) <= MOST, silences


async def test_short_documents_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "to_thread", None)
    assert await apart.reading("<domain/>", lambda: 7) == 7
    assert await apart.reading(None, lambda: 7) == 7


CARD = "<interface type='user'><mac address='52:54:00:00:00:01'/><model type='e1000e'/></interface>"
CARD_DOWN = CARD.replace("</interface>", "<link state='down'/></interface>")


async def test_a_large_guest_is_completed_apart_when_devices_come_and_change(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: dict[str, bool] = {}
    for name in ("plugged", "add_device", "changed_device"):
        monkeypatch.setattr(hotplug, name, partial(noted, where, name, getattr(hotplug, name)))
    await engine.define(document("large"))
    await engine.start("large")
    await engine.attach_device("large", CARD, live=True, config=True)
    await engine.update_device("large", CARD_DOWN, config=True)
    assert where == {"plugged": True, "add_device": True, "changed_device": True}


def noted(where: dict[str, bool], name: str, work: Callable[..., object], *given: object) -> object:
    """Do the work, and note whether that is beside the event loop."""
    where[name] = threading.current_thread() is not threading.main_thread()
    return work(*given)


class Gate:
    """Holds up the thread that writes a run state down until it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        self._encode = runstate.encode
        monkeypatch.setattr(runstate, "encode", self._held)

    def _held(self, state: runstate.RunState) -> str:
        if threading.current_thread() is not threading.main_thread():
            self.reached.set()
            assert self.open.wait(60)
        return self._encode(state)


async def test_others_are_answered_while_a_large_guest_changes(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    await engine.create(document("large"), paused=True)
    await engine.resume("large")
    gate = Gate(monkeypatch)
    suspended = asyncio.ensure_future(engine.suspend("large"))
    assert await asyncio.to_thread(gate.reached.wait, 60)
    assert (await engine.guest("large")).state == "paused"
    gate.open.set()
    await suspended


async def test_what_is_written_last_is_what_is_true_last(
    local: LocalEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuid = (await engine.create(document("large"), paused=True)).uuid
    await engine.resume("large")
    record, gate = local.world.guests.find("large"), Gate(monkeypatch)
    suspended = asyncio.ensure_future(engine.suspend("large"))
    assert await asyncio.to_thread(gate.reached.wait, 60)
    record.become("running", "unpaused")
    later = asyncio.ensure_future(runstate.save_running(local.world.store, record))
    await asyncio.sleep(0)
    gate.open.set()
    await asyncio.gather(suspended, later)
    (stored,) = await local.world.store.load(runstate.KIND)
    assert (stored.key, runstate.decode(stored.text).state) == (uuid, "running")


async def test_a_guest_that_ends_while_it_is_written_down_is_not_found_again(
    local: LocalEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.create(document("large"), paused=True)
    await engine.resume("large")
    gate = Gate(monkeypatch)
    suspended = asyncio.ensure_future(engine.suspend("large"))
    assert await asyncio.to_thread(gate.reached.wait, 60)
    destroyed = asyncio.ensure_future(engine.destroy("large"))
    gate.open.set()
    await asyncio.gather(suspended, destroyed)
    assert not list(await local.world.store.load(runstate.KIND))


async def test_what_is_said_of_a_guest_that_has_ended_is_not_written_down(local: LocalEngine, engine: Engine) -> None:
    await engine.create("<domain type='qemu'><name>a</name><memory>65536</memory><os><type>hvm</type></os></domain>")
    record = local.world.guests.find("a")
    await runstate.forget(local.world.store, record, record.need_running())
    await runstate.save_running(local.world.store, record)
    assert not list(await local.world.store.load(runstate.KIND))
