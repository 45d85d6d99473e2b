"""A port that looked free and is another's when QEMU binds it: the guest gets the next one."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from frontinus.daemon.compose_qemu import qemu_engine
from frontinus.daemon.config import Config, rooted_paths
from frontinus.engine.guest import displays
from frontinus.mock.engine import ROOT
from support.ports import free_port

XML = """<domain type='qemu'><name>shown</name><memory unit='MiB'>32</memory><os><type machine='q35'>hvm</type></os>
<devices><graphics type='vnc' autoport='yes' listen='127.0.0.1'/></devices></domain>"""


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The ports that somebody takes as soon as they were found free: the first two."""
    taken: list[socket.socket] = []
    ports: list[int] = []
    look = displays._free

    def free(port: int) -> bool:
        found = look(port)
        if found and len(taken) < 2:
            other = socket.create_server(("127.0.0.1", port))
            taken.append(other)
            ports.append(port)
        return found

    monkeypatch.setattr(displays, "_free", free)
    monkeypatch.setattr(displays, "FIRST_PORT", free_port())
    yield ports
    for other in taken:
        other.close()


async def test_the_next_port_is_taken_when_one_is_lost_before_it_is_bound(
    place: Path, probed: Path, lost: list[int]
) -> None:
    shutil.copytree(probed, place / "cache/capabilities")
    engine = await qemu_engine(Config(paths=rooted_paths(place), default_network=False))
    await engine.start(autostart=False)
    session = engine.session(ROOT)
    try:
        await session.create(XML, paused=True)
        shown = etree.fromstring(await session.guest_xml("shown")).find("devices/graphics")
        assert shown is not None
        port = int(shown.get("port", "0"))
        reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 60)
        assert len(lost) == 2 and port > max(lost)
        assert (await asyncio.wait_for(reader.readexactly(4), 60)) == b"RFB "
        writer.close()
    finally:
        for guest in await session.guests(active=True):
            await session.destroy(guest.uuid)
        await engine.stop()
