"""The exporter over HTTP beside a mock engine, judged by promtool and scraped by Prometheus itself."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from frontinus.api.engine import Engine
from frontinus.mock.hypervisor import MockGuest
from frontinus.ports import GuestFigures
from frontinus_prometheus import httpd
from frontinus_prometheus.dashboards import ONE_GUEST, OVERVIEW
from frontinus_prometheus.link import Round
from support.exporter import Exporter, exporter, values
from support.ports import free_port
from support.waiting import until

OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Exporter]:
    async with exporter(tmp_path) as made:
        yield made


async def run(*argv: str, given: str = "") -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(*argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                                                   stderr=asyncio.subprocess.STDOUT)  # fmt: skip
    said, _ = await process.communicate(given.encode())
    assert process.returncode is not None
    return process.returncode, said.decode()


# --- what is shown


async def test_figures_are_the_engines(rig: Exporter) -> None:
    answer = await rig.get()
    (figures,) = await rig.engine.stats(["guest-00001"])
    assert figures.cpu and figures.cpu.time
    shown = values(answer.body, "frontinus_guest_cpu_seconds_total")["guest-00001"]
    assert 0 < shown <= figures.cpu.time / 1e9 < shown + 300
    assert values(answer.body, "frontinus_guest_block_capacity_bytes")["guest-00000"] == 2**33
    assert values(answer.body, "frontinus_up") == {"": 1}


async def test_content_is_negotiated(rig: Exporter) -> None:
    plain, chosen = await rig.get(), await rig.get(Accept=OPENMETRICS)
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert chosen.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert chosen.body.endswith("# EOF\n") and "# EOF" not in plain.body
    kinds = {family.name: family.type for family in parse_openmetrics(chosen.body)}
    assert kinds["frontinus_guest"] == "info" and kinds["frontinus_exporter_scrapes"] == "counter"


@pytest.mark.needs("promtool")
async def test_promtool_finds_nothing(rig: Exporter) -> None:
    await rig.engine.suspend("test")
    await rig.connected()
    assert await run("promtool", "check", "metrics", given=(await rig.get()).body) == (0, "")


async def test_changes_show_at_once(rig: Exporter) -> None:
    await rig.engine.suspend("guest-00000")
    await rig.engine.destroy("guest-00001")
    await rig.engine.undefine("guest-00001")
    await rig.connected()
    body = (await rig.get()).body
    assert 'frontinus_guest_status_info{name="guest-00000",uuid="' in body and 'state="paused",reason="user"' in body
    assert "guest-00001" not in body


# --- what it costs, and what it stands


class Slow:
    """An engine that counts its calls for figures and answers when let."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self.calls, self.go = engine, 0, asyncio.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    async def poll(self, **given: object) -> object:
        self.calls += 1
        await self.go.wait()
        return await self._engine.poll(**given)  # type: ignore[arg-type]


def slow(rig: Exporter) -> Slow:
    assert rig.link._engine is not None
    made = Slow(rig.link._engine)
    rig.link._engine = made  # type: ignore[assignment]
    return made


async def test_scrapes_at_once_cost_one_call(rig: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = slow(rig)
    waiting, ask = 0, rig.link.round

    async def counted(guests: Sequence[str] | None = None, *, end: float | None = None) -> Round:
        nonlocal waiting
        waiting += 1
        return await ask(guests, end=end)

    monkeypatch.setattr(rig.link, "round", counted)
    scrapes = [asyncio.create_task(rig.get()) for _ in range(5)]
    await until(lambda: waiting == 5 and engine.calls > 0)
    engine.go.set()
    bodies = [(await scrape).body for scrape in scrapes]
    assert engine.calls == 1
    assert all("frontinus_guest_cpu_seconds_total{" in body for body in bodies)


async def test_an_engine_that_hangs_shows_the_last_figures_and_says_so(rig: Exporter) -> None:
    before = (await rig.get()).body
    slow(rig)
    rig.link.deadline = 0.1
    body = (await rig.get()).body
    assert values(before, "frontinus_stats_success") == {"": 1} and values(body, "frontinus_stats_success") == {"": 0}
    name = "frontinus_guest_cpu_seconds_total"
    assert values(body, name) == values(before, name) != {}
    assert values(body, "frontinus_stats_age_seconds")[""] >= 0.1


async def _for_ever(guest: MockGuest, groups: Sequence[str], deadline: float) -> GuestFigures:
    """Figures without a deadline."""
    await guest.answers.wait()
    return await guest.figures(groups, deadline)


async def test_a_guest_that_hangs_goes_stale_alone(rig: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.get()
    hanging = rig.mocks["guest-00000"]
    hanging.answers.clear()
    body = (await rig.get()).body
    stale = values(body, "frontinus_guest_stats_stale")
    assert stale.pop("guest-00000") == 1 and set(stale.values()) == {0}
    assert "guest-00000" in values(body, "frontinus_guest_cpu_seconds_total")
    monkeypatch.setattr(hanging, "_late_figures", partial(_for_ever, hanging))
    before, after = (await rig.get()).body, (await rig.get()).body
    assert [values(one, "frontinus_stats_success")[""] for one in (before, after)] == [1, 1], "it is waited for again"
    name = "frontinus_guest_cpu_seconds_total"
    assert values(before, name)["test"] < values(after, name)["test"]
    rig.mocks["guest-00000"].answers.set()
    back = (await rig.get()).body
    assert values(back, "frontinus_guest_stats_stale")["guest-00000"] == 0
    assert values(back, name)["guest-00000"] > values(after, name)["guest-00000"]


async def test_an_engine_that_comes_back(rig: Exporter) -> None:
    rig.close_socket()
    await rig.lost()
    answer = await rig.get()
    assert answer.status == 200 and values(answer.body, "frontinus_up") == {"": 0}
    assert "guest-0000" not in answer.body
    assert (await rig.get("/-/ready")).status == 503 and (await rig.get("/-/healthy")).status == 200
    rig.open_socket()
    await rig.connected()
    assert set(values((await rig.get()).body, "frontinus_guest_cpu_seconds_total")) == {
        "test",
        "guest-00000",
        "guest-00001",
    }


async def test_many_scrapes_leave_nothing_behind(rig: Exporter) -> None:
    for _ in range(50):
        await rig.get()
    await until(lambda: len(rig.server._open) == 0)
    assert len(asyncio.all_tasks()) < 30


async def test_what_connections_leave_is_picked_up(rig: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio's transports refer to themselves: without a collection they pile up, a thousand scrapes a MiB."""
    monkeypatch.setattr(httpd, "LITTER", 10)
    often = gc.get_threshold()
    gc.set_threshold(10**6)
    gc.collect()
    before = transports()
    try:
        for _ in range(60):
            await rig.get("/-/healthy")
        await until(lambda: not rig.server._open)
        assert transports() - before < 45, "of both ends of 60 connections"
    finally:
        gc.set_threshold(*often)


def transports() -> int:
    return sum(type(found).__name__ == "_SelectorSocketTransport" for found in gc.get_objects())


# --- strangers


async def send(port: int, data: bytes, *, end: bool = False) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    if end:
        writer.write_eof()
    try:
        async with asyncio.timeout(60):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /metrics\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\n\r\n", 505),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd", 413),
        (b"POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 413),
        (b"PUT /metrics HTTP/1.1\r\nConnection: close\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * httpd.MAX_HEAD + b"\r\n\r\n", 431),
        (b"GET /?" + b"&".join(b"a=1" for _ in range(99)) + b" HTTP/1.1\r\n\r\n", 400),
        (b"GET /nothing HTTP/1.1\r\nConnection: close\r\n\r\n", 404),
    ],
)
async def test_bad_requests_are_refused(rig: Exporter, data: bytes, status: int) -> None:
    said = await send(rig.port, data)
    assert said.startswith(f"HTTP/1.1 {status} ".encode())
    assert (await rig.get("/-/healthy")).status == 200


async def test_connections_are_kept_and_head_has_no_body(rig: Exporter) -> None:
    said = await send(rig.port, b"HEAD /metrics HTTP/1.1\r\n\r\nGET /-/healthy HTTP/1.1\r\nConnection: close\r\n\r\n")
    first, second = said.split(b"\r\n\r\nHTTP/1.1", 1)
    assert first.startswith(b"HTTP/1.1 200 OK") and b"frontinus_" not in said
    assert second.endswith(b"\r\n\r\nhealthy\n")


async def test_a_slow_client_is_let_go(rig: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpd, "HEAD_TIME", 0.1)
    assert await send(rig.port, b"GET /metrics HTTP/1.1\r\nHost:") == b""
    assert rig.own.refused.labels("slow")._value.get() == 1


async def test_a_connection_that_is_kept_is_not_kept_for_ever(rig: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpd, "IDLE_TIME", 0.1)  # which begins with the first answer
    said = await send(rig.port, b"GET /-/healthy HTTP/1.1\r\nHost: test\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 200 ") and b"Connection: close" not in said
    assert rig.own.refused.labels("slow")._value.get() == 1


async def test_a_client_that_does_not_read_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpd, "CHUNK_TIME", 0.2)

    async def large(_: httpd.Request) -> httpd.Response:
        return httpd.Response(b"x" * 50_000_000)

    reasons: list[str] = []
    server = httpd.Server(large, reasons.append)
    (port,) = await server.listen("127.0.0.1", 0)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
    await asyncio.get_running_loop().sock_sendall(client, b"GET / HTTP/1.1\r\n\r\n")
    await until(lambda: reasons == ["slow"])
    client.close()
    await server.close()


async def test_an_unhurried_reader_gets_all_before_the_end(tmp_path: Path) -> None:
    async def large(_: httpd.Request) -> httpd.Response:
        return httpd.Response(b"x" * 3_000_000)

    server = httpd.Server(large, lambda reason: None)
    (port,) = await server.listen("127.0.0.1", 0)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", port))
    await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    got = 0
    while data := await loop.sock_recv(client, 65536):
        got += data.count(b"x")
    assert got >= 3_000_000
    client.close()
    await server.close()


async def test_who_owes_a_request_for_longest_makes_room(rig: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpd, "MAX_CONNECTIONS", 2)
    held = [await asyncio.open_connection("127.0.0.1", rig.port) for _ in range(2)]
    await until(lambda: len(rig.server._waiting) == 2)
    assert (await rig.get("/-/healthy")).status == 200
    async with asyncio.timeout(60):
        assert await held[0][0].read() == b""
    held[1][1].write(b"GET /-/healthy HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert (await held[1][0].read()).startswith(b"HTTP/1.1 200 ")
    for _, writer in held:
        writer.close()


async def test_connections_are_limited(rig: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpd, "MAX_CONNECTIONS", 2)
    engine = slow(rig)
    scrapes = [asyncio.create_task(rig.get()) for _ in range(2)]
    await until(lambda: len(rig.server._open) == 2 and not rig.server._waiting)
    assert await send(rig.port, b"GET /-/healthy HTTP/1.1\r\n\r\n") == b""
    engine.go.set()
    assert [(await scrape).status for scrape in scrapes] == [200, 200]
    await until(lambda: not rig.server._open)
    assert (await rig.get("/-/healthy")).status == 200


# --- as users run it


async def fetch(url: str) -> str:
    def read() -> str:
        with urlopen(url, timeout=60) as answer:
            return str(answer.read().decode())

    return await asyncio.to_thread(read)


async def says(url: str, wanted: str, seconds: float = 90) -> str:
    """The first answer that contains a text."""
    end = time.monotonic() + seconds
    said = ""
    while time.monotonic() < end:
        try:
            said = await fetch(url)
        except OSError as error:
            said = str(error)
        if wanted in said:
            return said
        await asyncio.sleep(0.1)
    raise AssertionError(f"{url} never said {wanted!r}, last: {said[:500]}")


async def test_the_process_serves_and_ends(rig: Exporter) -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "frontinus_prometheus.main", "--socket", "/nowhere", "--monitor-socket",
        str(rig.folder / "ro.sock"), "--listen", f"127.0.0.1:{port}")  # fmt: skip
    try:
        assert "guest-00001" in await says(f"http://127.0.0.1:{port}/metrics", "frontinus_up 1")
    finally:
        process.terminate()
        async with asyncio.timeout(60):
            assert await process.wait() == 0


@pytest.mark.needs("prometheus")
async def test_prometheus_scrapes_it(rig: Exporter, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "p.yml").write_text(json.dumps({
        "global": {"scrape_interval": "500ms"},
        "scrape_configs": [{"job_name": "frontinus", "static_configs": [{"targets": [f"127.0.0.1:{rig.port}"]}]}],
    }))  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        "prometheus", f"--config.file={tmp_path / 'p.yml'}", f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)})  # fmt: skip
    api = f"http://127.0.0.1:{port}/api/v1/query?query="
    try:
        await says(api + "up", '"1"]')
        question = 'sum by (name) (frontinus_guest_info * on (uuid) group_left frontinus_guest_state{state="running"})'
        said = json.loads(await says(api + quote(question), "guest-00001"))
        assert {r["metric"]["name"]: r["value"][1] for r in said["data"]["result"]} == dict.fromkeys(rig.mocks, "1")
        await says(api + quote("rate(frontinus_guest_cpu_seconds_total[10s]) > 0"), "guest-00000")
        for panel in (panel for panel in (*OVERVIEW, *ONE_GUEST) if panel.kind == "stat"):
            for _, query in panel.queries:
                asked = query.replace("$instance", f"127.0.0.1:{rig.port}").replace("$guest", "guest-00001")
                await says(api + quote(asked), '"value":')
    finally:
        process.terminate()
        await process.wait()
