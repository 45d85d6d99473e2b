"""What a scraper can ask the exporter for by its headers and its query, and how long it waits."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from frontinus_prometheus import httpd
from frontinus_prometheus.routes import Routes, patience, wants_openmetrics
from support.exporter import Exporter, exporter


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Exporter]:
    async with exporter(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("application/openmetrics-text", True),
        ('application/openmetrics-text;version="1.0.0"', True),
        ("application/openmetrics-text; version=2.0.0", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=0.2, text/plain;q=0.3", False),
        ("text/plain;q=0.3 , Application/OpenMetrics-Text ; Q=0.3", True),
        ("application/openmetrics-text;q=much,text/plain", False),
        (";;,=,q=1,;q", False),
    ],
)
def test_accept(accept: str, openmetrics: bool) -> None:
    assert wants_openmetrics(accept) is openmetrics


@pytest.mark.parametrize(
    ("accept", "packed"),
    [("", False), ("gzip", True), ("deflate, GZIP;q=0.5", True), ("gzip;q=0", False), ("*", True), ("*;q=0", False),
     ("br, *;q=1, gzip;q=0", False), ("identity", False)],
)  # fmt: skip
def test_accept_encoding(accept: str, packed: bool) -> None:
    assert httpd.takes_gzip(accept) is packed


@pytest.mark.parametrize(
    ("header", "waits"), [("", 3), ("10", 3), ("1", 0.8), ("0", 3), ("-1", 3), ("nan", 3), ("inf", 3), ("x", 3)]
)
def test_a_scrapers_timeout(header: str, waits: float) -> None:
    assert patience(header, 3) == pytest.approx(waits)


PIECES = (
    b"GET",
    b"/probe?target=%ff&=",
    b"//[::1",
    b"http://[x/",
    b"HTTP/1.1",
    b"HTTP/1.0\r\n:",
    b"\r\nAccept: ;q=,",
    b"\xff",
)


@given(st.binary(max_size=300) | st.lists(st.sampled_from(PIECES), max_size=6).map(b" ".join))
def test_whatever_comes_is_a_request_or_is_refused(head: bytes) -> None:
    try:
        request = httpd.parse(head + b"\r\n\r\n")
    except httpd.Malformed as error:
        assert 400 <= error.status < 600
        return
    assert isinstance(wants_openmetrics(request.headers.get("accept", "")), bool)


@given(
    st.text(max_size=80)
    | st.lists(st.sampled_from(["gzip", "*", ";", "q=", "0.5", ",", "nan", "-1", "text/plain"])).map("".join)
)
def test_whatever_is_wished_for_is_understood_or_passed_over(header: str) -> None:
    assert isinstance(wants_openmetrics(header), bool) and isinstance(httpd.takes_gzip(header), bool)
    assert 0 < patience(header, 3) <= 3


async def test_a_header_that_comes_twice_is_one_list(rig: Exporter) -> None:
    request = httpd.parse(b"GET / HTTP/1.1\r\nAccept: text/plain;q=0.1\r\naccept: application/openmetrics-text\r\n\r\n")
    assert wants_openmetrics(request.headers["accept"])


async def test_a_scrape_of_some_names(rig: Exporter) -> None:
    names = (
        "frontinus_guest_cpu_seconds_total",
        "frontinus_exporter_render_seconds_bucket",
        "process_open_fds",
        "nothing",
    )
    query = "&".join(f"name[]={name}" for name in names)
    for accept, parse in (("*/*", parse_text), ("application/openmetrics-text", parse_openmetrics)):
        families = list(parse((await rig.get(f"/metrics?{query}", Accept=accept)).body))
        found = {sample.name for family in families for sample in family.samples}
        assert {name for name in found if not name.endswith("_created")} == set(names[:3])
    inovex = (await rig.get("/metrics/inovex?name[]=libvirt_up")).body
    assert inovex.splitlines()[2:] == ["libvirt_up 1"]


async def test_a_scraper_in_a_hurry_gets_the_last_figures(rig: Exporter) -> None:
    await rig.get()
    assert rig.link._engine is not None
    rig.link._engine = Hung()  # type: ignore[assignment]
    rig.link.deadline = 300
    began = time.monotonic()
    for path in ("/metrics", "/metrics/inovex"):  # which reads definitions first: both within one deadline
        body = (await rig.get(path, **{"X-Prometheus-Scrape-Timeout-Seconds": "0.5"})).body
        assert "cpu" in body and "frontinus_stats_success 1" not in body
    assert (await rig.get("/probe?target=test", **{"X-Prometheus-Scrape-Timeout-Seconds": "0.5"})).status == 200
    assert time.monotonic() - began < 100
    assert not [task for task in asyncio.all_tasks() if "Link._ask" in str(task) and task is not rig.link._asking]


class Hung:
    """An engine that answers nothing."""

    def __getattr__(self, name: str) -> object:
        async def never(*_: object, **__: object) -> None:
            await asyncio.Event().wait()

        return never


async def test_bodies_are_packed_where_that_is_chosen(rig: Exporter) -> None:
    server = httpd.Server(Routes(rig.link, rig.own), lambda reason: None, compress=True)
    (port,) = await server.listen("127.0.0.1", 0)

    async def ask(path: str, encoding: str) -> tuple[bytes, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nAccept-Encoding: {encoding}\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return head, body

    head, body = await ask("/metrics", "gzip")
    assert b"Content-Encoding: gzip" in head and f"Content-Length: {len(body)}\r".encode() in head
    assert b"frontinus_up 1" in gzip.decompress(body)
    for path, encoding in (("/metrics", "identity"), ("/-/healthy", "gzip")):
        head, body = await ask(path, encoding)
        assert b"Content-Encoding" not in head and (b"healthy" in body or b"frontinus_up 1" in body)
    await server.close()
    plain = await rig.get(**{"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers


async def test_a_guest_that_tells_nonsense_spoils_no_scrape(rig: Exporter) -> None:
    """Its agent is the guest's own program: it may claim any size, repeat itself, and go on for ever."""
    rig.link._groups = ("cpu", "agent")
    twice = {"name": "a" * 9999, "mountpoint": "/", "type": "ext4", "disk": [], "total-bytes": 7, "used-bytes": 1}
    mock = rig.mocks["guest-00000"]
    mock.agent = {
        "guest-get-host-name": {"host-name": "x" * 10**6}, "guest-get-users": [{"user": "u"}] * 3,
        "guest-get-osinfo": {"pretty-name": 'a"\\\n\r\x00\x1b[31m{}%s'},
        "guest-get-fsinfo": [twice, twice, *({**twice, "mountpoint": f"/{n}"} for n in range(999))],
    }  # fmt: skip
    mock.tell("agent", open=True)
    body = await told(rig, 'frontinus_guest_agent_users{name="guest-00000"')
    parsed = [s for family in parse_text(body) for s in family.samples if s.labels.get("name") == "guest-00000"]
    sizes = [s for s in parsed if s.name == "frontinus_guest_filesystem_size_bytes"]
    assert len(sizes) == 255 == len({s.labels["mountpoint"] for s in sizes}) and len(sizes[0].labels["device"]) == 512
    (info,) = [s for s in parsed if s.name == "frontinus_guest_agent_info"]
    assert len(info.labels["hostname"]) == 512 and info.labels["os"] == 'a"\\\n\r\x00\x1b[31m{}%s'

    other = rig.mocks["guest-00001"]
    other.agent = {"guest-get-users": [], "guest-get-fsinfo": [{**twice, "total-bytes": 10**30}],
                   "guest-get-host-name": {"host-name": "\ud800"}}  # fmt: skip
    other.tell("agent", open=True)
    others = ("frontinus_stats_success 1\n", 'frontinus_guest_cpu_seconds_total{name="test"')
    body = await told(rig, 'frontinus_guest_agent_users{name="guest-00001"', *others)
    assert 'filesystem_size_bytes{name="guest-00001"' not in body


async def told(rig: Exporter, *words: str) -> str:
    """The first scrape that has all these words."""
    body = ""
    async with asyncio.timeout(60):
        while not all(word in body for word in words):
            body = (await rig.get()).body
    return body
