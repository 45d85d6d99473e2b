"""Ways into the demo's guest are offered where something answers, and nowhere else."""

from __future__ import annotations

import asyncio
import socket

import pytest

import demo_ways
from demo_net import TAP, USER, free_port, network
from demo_ways import _prometheus, _screen, _tool

XML = """
<domain><devices>
  <graphics type='spice' port='1'/>
  <graphics type='vnc' port='{}' listen='127.0.0.1'/>
</devices></domain>
"""


async def server(answer: bytes) -> tuple[asyncio.Server, int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer.startswith(b"HTTP"):  # closing on an unread request would reset the connection, the answer with it
            await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    started = await asyncio.start_server(serve, "127.0.0.1", 0)
    return started, int(started.sockets[0].getsockname()[1])


async def test_a_screen_is_offered_when_a_vnc_server_greets() -> None:
    vnc, port = await server(b"RFB 003.008\n")
    async with vnc:
        assert await _screen(XML.format(port)) == [("screen", f"vncviewer 127.0.0.1::{port}")]
    (row,) = await _screen(XML.format(port))
    assert "does not answer" in row[1]
    assert await _screen("<domain><devices/></domain>") == []


async def test_prometheus_is_offered_when_it_shows_the_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    web, port = await server(b'HTTP/1.0 200 OK\r\n\r\nup{name="demo"} 1\n')
    async with web:
        assert await _prometheus("demo", port) == [("Prometheus", f"curl http://127.0.0.1:{port}/metrics")]
        monkeypatch.setattr(demo_ways, "DEADLINE", 0.3)
        assert "does not answer" in (await _prometheus("other", port))[0][1]


async def test_a_tool_is_offered_when_it_shows_what_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await _tool("Echo", "echo", "a demo", "demo") == [("Echo", "echo a demo")]
    monkeypatch.setattr(demo_ways, "DEADLINE", 0.3)
    assert await _tool("Echo", "echo", "nothing", "demo") == [("Echo", "does not answer: nothing")]
    assert await _tool("None", "no-such-program", "", "demo") == []


def test_a_taken_port_is_not_used() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = int(taken.getsockname()[1])
        assert free_port(wanted) not in (wanted, 0)
    assert free_port(wanted) == wanted


def test_the_guest_pings_the_hosts_end_of_its_tap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo_net.taps_allowed", lambda: True)
    net = network()
    assert net.xml == TAP.format(host=net.words["ping"])
    assert net.words["net"].rpartition(".")[0] == net.words["ping"].rpartition(".")[0]
    monkeypatch.setattr("demo_net.taps_allowed", lambda: False)
    assert (network().xml, network().words) == (USER, {})
