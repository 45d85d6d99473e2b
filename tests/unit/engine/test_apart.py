"""Long documents are read beside the event loop: whoever calls meanwhile is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from frontinus.api.engine import Engine
from frontinus.engine import apart

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
