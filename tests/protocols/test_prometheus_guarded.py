"""One guest at a time, service discovery, TLS and passwords."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path

import bcrypt
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from frontinus.api.errors import InvalidValue
from frontinus_prometheus import httpd, main, webconfig
from frontinus_prometheus.httpd import Server
from frontinus_prometheus.routes import Routes
from frontinus_prometheus.webconfig import NOBODY, Guard
from support.exporter import Answer, Exporter, exporter, get
from support.waiting import until


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Exporter]:
    async with exporter(tmp_path) as made:
        yield made


# --- one guest, and which there are


async def test_a_probe_shows_one_guest(rig: Exporter) -> None:
    uuid = (await rig.engine.guest("guest-00001")).uuid
    by_name, by_uuid = await rig.get("/probe?target=guest-00001"), await rig.get(f"/probe?target={uuid}")
    for answer in (by_name, by_uuid):
        assert 'frontinus_guest_cpu_seconds_total{name="guest-00001"' in answer.body
        assert "guest-00000" not in answer.body and "frontinus_exporter" not in answer.body
    openmetrics = await rig.get("/probe?target=test", Accept="application/openmetrics-text; version=1.0.0")
    assert {f.name for f in parse_openmetrics(openmetrics.body)} >= {"frontinus_guest", "frontinus_guest_cpu_seconds"}
    compat = await rig.get("/probe?target=guest-00001&profile=kumina")
    assert 'libvirt_domain_info_cpu_time_seconds_total{domain="guest-00001"' in compat.body


@pytest.mark.parametrize(("query", "status"), [("", 400), ("?target=", 400), ("?target=nobody", 404),
                                               ("?target=test&profile=x", 400), ("?target=a%20b%2F..", 404)])  # fmt: skip
async def test_a_probe_of_nothing(rig: Exporter, query: str, status: int) -> None:
    assert (await rig.get(f"/probe{query}")).status == status


async def test_a_probe_without_an_engine(rig: Exporter) -> None:
    rig.close_socket()
    await rig.lost()
    assert (await rig.get("/probe?target=test")).status == 503
    assert (await rig.get("/sd")).body == "[]"
    rig.open_socket()


async def test_service_discovery_lists_the_guests(rig: Exporter) -> None:
    await rig.engine.suspend("guest-00000")
    await rig.connected()
    answer = await rig.get("/sd")
    assert answer.headers["content-type"].startswith("application/json")
    groups = {group["targets"][0]: group["labels"] for group in json.loads(answer.body)}
    assert set(groups) == {"test", "guest-00000", "guest-00001"}
    labels = groups["guest-00000"]
    assert labels["__meta_frontinus_guest_state"] == "paused" and labels["__meta_frontinus_guest_active"] == "true"
    assert all(isinstance(value, str) for value in labels.values())


# --- passwords


def hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


async def guarded(rig: Exporter, file: Path) -> tuple[Server, Guard, int]:
    guard = Guard(file)
    server = Server(Routes(rig.link, rig.own, guard), lambda reason: rig.own.refused.labels(reason).inc())
    (port,) = await server.listen("127.0.0.1", 0, guard.tls)
    return server, guard, port


def touch(file: Path) -> None:
    """Another time stamp, whatever the file system's grain."""
    os.utime(file, ns=(time.time_ns(), file.stat().st_mtime_ns + 1_000_000))


async def test_passwords(rig: Exporter, tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text(
        f"basic_auth_users:\n  ann: {hashed('secret')}\nhttp_server_config:\n  headers: {{X-Frame-Options: deny}}\n"
    )
    server, _, port = await guarded(rig, file)

    async def status(headers: Mapping[str, str]) -> int:
        return (await get(port, "/-/healthy", headers)).status

    answer = await get(port, "/metrics")
    assert answer.status == 401 and "Basic" in answer.headers["www-authenticate"] and "frontinus_" not in answer.body
    for headers in (basic("ann", "wrong"), basic("bob", "secret"), basic("ann", ""), basic("ann", "x" * 100),
                    {"Authorization": "Basic %%%"}, {"Authorization": "Bearer abc"}, {"Authorization": "Basic YW5u"}):  # fmt: skip
        assert await status(headers) == 401, headers
    good = await get(port, "/-/healthy", basic("ann", "secret"))
    assert good.status == 200 and good.headers["x-frame-options"] == "deny"
    file.write_text(f"basic_auth_users:\n  ann: {hashed('changed')}\n")
    touch(file)
    assert (await status(basic("ann", "secret")), await status(basic("ann", "changed"))) == (401, 200)
    for text in ("basic_auth_users: [", "", "basic_auth_users: {}"):
        file.write_text(text)
        touch(file)
        assert await status(basic("ann", "changed")) == 200  # a broken file, or half of one, changes nothing
        assert await status({}) == 401
    await server.close()


async def test_what_strangers_guess_pushes_out_no_password(
    rig: Exporter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users:\n  ann: {hashed('secret')}\n")
    guard, checked = Guard(file), 0
    assert await guard.admits(basic("ann", "secret")["Authorization"])

    def check(password: bytes, stored: bytes) -> bool:
        nonlocal checked
        checked += 1
        return False

    monkeypatch.setattr(webconfig, "_matches", check)
    for number in range(200):
        assert not await guard.admits(basic("ann", f"guess{number}")["Authorization"])
    assert await guard.admits(basic("ann", "secret")["Authorization"])
    assert checked == 200 and len(guard._right) == 1


@pytest.mark.needs("openssl")
async def test_a_change_that_takes_a_restart_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    certificate(tmp_path, "ca")
    certificate(tmp_path, "server", "ca")
    files = {"cert_file": "server.pem", "key_file": "server.key"}
    file = tmp_path / "web.yml"
    file.write_text(json.dumps({"tls_server_config": files}))
    guard = Guard(file)
    file.write_text(json.dumps({"tls_server_config": {**files, "min_version": "TLS13"}}))
    touch(file)
    await guard.refresh()
    assert "takes a restart" in caplog.text


async def test_a_password_is_hashed_once(rig: Exporter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users:\n  ann: {hashed('secret')}\n")
    guard = Guard(file)
    real, calls = bcrypt.checkpw, 0

    def counting(password: bytes, stored: bytes) -> bool:
        nonlocal calls
        calls += 1
        return real(password, stored)

    monkeypatch.setattr(bcrypt, "checkpw", counting)
    header = basic("ann", "secret")["Authorization"]
    assert [await guard.admits(header) for _ in range(5)] == [True] * 5
    assert calls == 1
    assert bcrypt.checkpw(b"nobody", NOBODY)  # a real hash: an unknown user takes as long
    assert not await guard.admits(basic("bob", "nobody")["Authorization"])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("- a", "must be a mapping"),
        ("a: [", "web configuration"),
        ("tls: {}", "'tls' is not supported"),
        ("tls_server_config: {cert_file: c}", "needs 'key_file'"),
        ("tls_server_config: {cert_file: c, key_file: k, cipher_suites: [x]}", "cipher_suites' is not supported"),
        ("tls_server_config: {cert_file: c, key_file: k, min_version: TLS10}", "min_version"),
        ("tls_server_config: {cert_file: c, key_file: k, client_auth_type: RequireAnyClientCert}", "client_auth_type"),
        ("tls_server_config: {cert_file: c, key_file: k, client_ca_file: x}", "client_ca_file"),
        ("tls_server_config: {cert_file: nowhere, key_file: nowhere}", "No such file"),
        ("basic_auth_users: {ann: plain}", "no bcrypt hash"),
        ("basic_auth_users: {ann: 5}", "texts"),
        ("http_server_config: {headers: {Set-Cookie: x}}", "Set-Cookie"),
    ],
)
def test_bad_web_configurations_are_named(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "web.yml"
    file.write_text(text)
    with pytest.raises(InvalidValue, match=named):
        Guard(file)


# --- TLS


def certificate(folder: Path, name: str, issuer: str | None = None) -> None:
    """NAME.pem and NAME.key, signed by itself or by another of the folder."""
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
               "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}",
               "-addext", "subjectAltName=DNS:localhost"]  # fmt: skip
    if issuer:
        request += ["-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(request, cwd=folder, check=True, capture_output=True)


async def over_tls(port: int, folder: Path, client: str | None = None) -> Answer:
    trust = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    if client:
        trust.load_cert_chain(folder / f"{client}.pem", folder / f"{client}.key")
    return await get(port, "/metrics", tls=trust)


@pytest.mark.needs("openssl")
async def test_tls_and_client_certificates(rig: Exporter, tmp_path: Path) -> None:
    for name, issuer in (("ca", None), ("server", "ca"), ("client", "ca"), ("stranger", None)):
        certificate(tmp_path, name, issuer)
    file = tmp_path / "web.yml"
    tls = {"cert_file": "server.pem", "key_file": "server.key"}
    file.write_text(json.dumps({"tls_server_config": tls}))
    server, _, port = await guarded(rig, file)
    answer = await over_tls(port, tmp_path)
    assert answer.status == 200 and "frontinus_up 1" in answer.body
    assert "frontinus_exporter_http_refused_total{" not in (await rig.get()).body, "nobody was too slow"
    await server.close()

    tls |= {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "ca.pem", "min_version": "TLS13"}
    file.write_text(json.dumps({"tls_server_config": tls}))
    server, _, port = await guarded(rig, file)
    assert (await over_tls(port, tmp_path, "client")).status == 200
    for client in (None, "stranger"):
        with pytest.raises((ssl.SSLError, ConnectionError, IndexError)):
            await over_tls(port, tmp_path, client)
    await server.close()


@pytest.mark.needs("openssl")
async def test_who_says_nothing_over_tls_makes_room(
    rig: Exporter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(httpd, "MAX_CONNECTIONS", 2)
    certificate(tmp_path, "ca")
    certificate(tmp_path, "server", "ca")
    file = tmp_path / "web.yml"
    file.write_text(json.dumps({"tls_server_config": {"cert_file": "server.pem", "key_file": "server.key"}}))
    server, _, port = await guarded(rig, file)
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
    await until(lambda: len(server._open) == 2)
    assert (await over_tls(port, tmp_path)).status == 200
    plain = await asyncio.open_connection("127.0.0.1", port)
    plain[1].write(b"GET /metrics HTTP/1.1\r\n\r\n")
    with suppress(ConnectionError):
        async with asyncio.timeout(60):
            assert not (await plain[0].read()).startswith(b"HTTP")
    await until(lambda: rig.own.refused.labels("tls")._value.get() == 1)
    for _, writer in (*silent, plain):
        writer.close()
    await server.close()
    assert not server._open


@pytest.mark.needs("openssl")
async def test_a_new_certificate_is_taken_in(rig: Exporter, tmp_path: Path) -> None:
    certificate(tmp_path, "ca")
    certificate(tmp_path, "server", "ca")
    file = tmp_path / "web.yml"
    file.write_text(json.dumps({"tls_server_config": {"cert_file": "server.pem", "key_file": "server.key"}}))
    server, guard, port = await guarded(rig, file)

    def shown() -> str:
        return ssl.get_server_certificate(("127.0.0.1", port))

    before = await asyncio.to_thread(shown)
    certificate(tmp_path, "server", "ca")
    await over_tls(port, tmp_path)  # a request is when files are looked at
    assert await asyncio.to_thread(shown) != before
    await server.close()


# --- the command line


def test_options_come_from_the_command_line_then_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "FILE", tmp_path / "usual.toml")
    assert main.arguments([]).addresses == [("127.0.0.1", 9177)]
    (tmp_path / "usual.toml").write_text('listen = ["[::1]:9", ":8"]\nmax_age = 5\n')
    options = main.arguments(["--max-age", "2"])
    assert options.addresses == [("::1", 9), ("", 8)] and (options.max_age, options.deadline) == (2, 3)


@pytest.mark.parametrize(
    "text",
    [
        "listen = [",
        "listen = '127.0.0.1:1'",
        "colour = 1",
        "listen = ['here']",
        "max_age = true",
        "max_age = -1.0",
        "deadline = 0",
        "deadline = nan",
        "max_age = inf",
    ],
)
def test_bad_files_are_refused(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.toml").write_text(text)
    assert main.main(["--config", str(tmp_path / "c.toml")]) == 1
    assert capsys.readouterr().err.startswith("frontinus-prometheus: ")


@pytest.mark.needs("promtool")
async def test_prometheus_takes_the_documented_configurations(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/prometheus.md").read_text()
    blocks = re.findall(r"```yaml\n(scrape_configs:.*?)```", page, re.S)
    assert len(blocks) == 2
    for block in blocks:
        (tmp_path / "p.yml").write_text(block)
        done = subprocess.run(["promtool", "check", "config", str(tmp_path / "p.yml")], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
