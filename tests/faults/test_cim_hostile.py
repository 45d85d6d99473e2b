"""What the CIM provider does with bad requests: each has its answer, and none keeps it from serving the next."""

# ruff: noqa: E501 - messages stand as they are sent

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
import time
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from frontinus_cim.front import access, httpd
from frontinus_cim.wire import safexml
from support.cim import PASSWORD, Rig, rig, until

GET = '<IMETHODCALL NAME="{name}"><LOCALNAMESPACEPATH><NAMESPACE NAME="root"/><NAMESPACE NAME="{place}"/></LOCALNAMESPACEPATH>{rest}</IMETHODCALL>'
CLASS = '<IPARAMVALUE NAME="ClassName"><CLASSNAME NAME="{}"/></IPARAMVALUE>'


@pytest.fixture
async def cim(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, guests=0) as made:
        yield made


def message(
    inner: str, cim: str = 'CIMVERSION="2.0" DTDVERSION="2.0"', protocol: str = "1.0", around: str = "SIMPLEREQ"
) -> bytes:
    return (f'<?xml version="1.0" encoding="utf-8"?><CIM {cim}><MESSAGE ID="1" PROTOCOLVERSION="{protocol}"><{around}>{inner}</{around}>'
            "</MESSAGE></CIM>").encode()  # fmt: skip


def call(
    name: str = "EnumerateInstanceNames", rest: str = CLASS.format("KVM_ComputerSystem"), place: str = "virt"
) -> bytes:
    return message(GET.format(name=name, place=place, rest=rest))


def basic(user: str = "admin", password: str = PASSWORD) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def headers(name: str = "EnumerateInstanceNames", place: str = "root/virt", **more: str | None) -> dict[str, str]:
    found: dict[str, str | None] = {"Authorization": basic(), "Content-Type": 'application/xml; charset="utf-8"', "CIMOperation": "MethodCall",
                                    "CIMMethod": name, "CIMObject": place}  # fmt: skip
    found |= {key.replace("_", "-"): value for key, value in more.items()}
    return {key: value for key, value in found.items() if value is not None}


async def all_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side hangs up, however it does."""
    found = b""
    async with asyncio.timeout(60):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(2**16):
                found += data
    return found


async def post(cim: Rig, body: bytes, given: dict[str, str] | None = None, *, method: str = "POST", path: str = "/cimom",
               length: str | None = None, pieces: int = 0) -> tuple[int, dict[str, str], str]:  # fmt: skip
    """Status, headers and body of the answer to a request that is written by hand, its first octets in `pieces` of that size."""
    context = ssl.create_default_context(cafile=str(cim.folder / "cim/certificate.pem"))
    reader, writer = await asyncio.open_connection("127.0.0.1", cim.port, ssl=context, server_hostname="localhost")
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        f"Content-Length: {length or len(body)}",
    ]
    lines += [f"{name}: {value}" for name, value in (given if given is not None else headers()).items()]
    try:
        whole = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        for at in range(0, 20, pieces) if pieces else ():
            writer.write(whole[at : at + pieces])
            await writer.drain()
            await asyncio.sleep(0.01)  # else the pieces arrive as one
        writer.write(whole[20:] if pieces else whole)
        answer = await all_of(reader)
    finally:
        writer.close()
    head, _, rest = answer.partition(b"\r\n\r\n")
    first, *others = head.decode().split("\r\n")
    return int(first.split()[1]), {n.lower(): v for n, _, v in (line.partition(": ") for line in others)}, rest.decode()


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "&{a};&{a};&{a};&{a};&{a};&{a};">' for a, b in zip("abcdefg", "bcdefgh", strict=True))
    + "]>"
)
HTTP: list[tuple[str, bytes, dict[str, str] | None, dict[str, str], int, str | None]] = [
    ("GET", b"", None, {"method": "GET"}, 405, None),
    ("nobody", call(), headers(Authorization=None), {}, 401, None),
    ("not basic", call(), headers(Authorization="Bearer x"), {}, 401, None),
    ("not base64", call(), headers(Authorization="Basic %%%"), {}, 401, None),
    ("wrong password", call(), headers(Authorization=basic(password="wrong-one")), {}, 401, None),
    ("wrong user", call(), headers(Authorization=basic("root")), {}, 401, None),
    ("other path", call(), None, {"path": "/etc/passwd"}, 404, None),
    ("no operation", call(), headers(CIMOperation=None), {}, 400, "unsupported-operation"),
    ("bogus operation", call(), headers(CIMOperation="Bogus"), {}, 400, "unsupported-operation"),
    ("other method", call(), headers("GetInstance"), {}, 400, "header-mismatch"),
    ("other namespace", call(), headers(place="root/interop"), {}, 400, "header-mismatch"),
    ("JSON", b"{}", headers(Content_Type="application/json"), {}, 415, None),
    ("latin 1", call(), headers(Content_Type="application/xml; charset=iso-8859-1"), {}, 415, None),
    ("truncated", call()[:-20], None, {}, 400, "request-not-well-formed"),
    ("empty", b"", None, {}, 400, "request-not-well-formed"),
    ("not UTF-8", call().replace(b"KVM_", b"\xff\xfe"), None, {}, 400, "request-not-well-formed"),
    ("UTF-16", call().decode().encode("utf-16"), None, {}, 400, "request-not-well-formed"),
    ("NUL", call().replace(b"KVM_", b"&#0;"), None, {}, 400, "request-not-well-formed"),
    ("other root", b"<CIMX/>", None, {}, 400, "request-not-valid"),
    ("bomb", BOMB.encode() + b"<CIM>&h;</CIM>", None, {}, 400, "request-not-well-formed"),
    ("outside", b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><CIM>&a;</CIM>', None, {}, 400, "request-not-well-formed"),
    ("outside document type", b'<!DOCTYPE CIM SYSTEM "http://127.0.0.1:9/x.dtd"><CIM/>', None, {}, 400, "request-not-well-formed"),
    ("outside parameter", b'<!DOCTYPE x [<!ENTITY % a SYSTEM "file:///etc/passwd"> %a;]><CIM/>', None, {}, 400, "request-not-well-formed"),
    ("compressed", zlib.compress(b"A" * 10**7), headers(Content_Encoding="deflate"), {}, 415, None),
    ("no CIMObject", call(), headers(CIMObject=None), {}, 400, "header-mismatch"),
    ("header that is too long", call(), headers(X_More="x" * 40_000), {}, 400, None),
    ("two lengths", call(), headers(Transfer_Encoding="chunked"), {}, 400, None),
    ("deep", b"<a>" * 50_000, None, {}, 400, "request-not-well-formed"),
    ("many", b"<CIM>" + b"<a/>" * 200_000 + b"</CIM>", None, {}, 400, "request-not-well-formed"),
    ("text", b"<CIM>" + b"A\n" * 900_000 + b"</CIM>", None, {}, 501, "unsupported-cim-version"),
    ("entities", b"<CIM>" + b"&lt;" * 450_000 + b"</CIM>", None, {}, 501, "unsupported-cim-version"),
    ("large", b"x" * (safexml.MAX_BYTES + 1), None, {}, 413, None),
    ("CIM 1", message("", 'CIMVERSION="1.0" DTDVERSION="2.0"'), None, {}, 501, "unsupported-cim-version"),
    ("DTD 3", message("", 'CIMVERSION="2.0" DTDVERSION="3.0"'), None, {}, 501, "unsupported-dtd-version"),
    ("protocol 2", message("", protocol="2.0"), None, {}, 501, "unsupported-protocol-version"),
    ("many at once", message("", around="MULTIREQ"), None, {}, 501, "multiple-requests-unsupported"),
    ("bad length", call(), None, {"length": "abc"}, 400, None),
]  # fmt: skip


@pytest.mark.parametrize("name", [row[0] for row in HTTP])
async def test_bad_messages(cim: Rig, name: str) -> None:
    _, body, given, how, status, error = next(row for row in HTTP if row[0] == name)
    began = time.monotonic()
    code, found, _ = await post(cim, body, given, **how)  # type: ignore[arg-type]
    assert code == status and found.get("cimerror") == error, (code, found)
    assert time.monotonic() - began < 60
    if status == 401:
        assert found["www-authenticate"].startswith("Basic")
    good, _, said = await post(cim, call())
    assert good == 200 and "KVM_ComputerSystem" in said


MAN = "http://www.dmtf.org/cim/mapping/http/v1.0"
EXTENDED: list[tuple[str, str | None, str, int, str | None]] = [
    ("as DSP0200 shows it", f"{MAN} ; ns=73", "73-", 200, None),
    ("quoted, as RFC 2774 shows it", f'"{MAN}"; ns=16', "16-", 200, None),
    ("without digits", MAN, "", 200, None),
    ("no declaration", None, "73-", 510, None),
    ("another extension", "http://www.example.org/x ; ns=73", "73-", 510, None),
    ("a second one", f"{MAN} ; ns=73, http://www.example.org/x ; ns=74", "73-", 510, None),
    ("no two digits", f"{MAN} ; ns=7x", "7x-", 510, None),
    ("nothing that parses", ";;,", "73-", 510, None),
    ("another prefix than declared", f"{MAN} ; ns=73", "74-", 400, "unsupported-operation"),
]


@pytest.mark.parametrize("name", [row[0] for row in EXTENDED])
async def test_m_post_declares_what_it_needs(cim: Rig, name: str) -> None:
    _, man, prefix, status, error = next(row for row in EXTENDED if row[0] == name)
    given = {(prefix + key if key.startswith("CIM") else key): value for key, value in headers().items()}
    code, found, said = await post(cim, call(), {**given, **({"Man": man} if man else {})}, method="M-POST")
    mark = f"; ns={prefix[:2]}" if prefix else ""
    assert code == status, (code, found)
    if status == 200:
        assert "KVM_ComputerSystem" in said and found[f"{prefix}cimoperation"] == "MethodResponse"
        assert found["ext"] == "" and found["man"] == MAN + mark and found["connection"] == "close"
    elif error is not None:
        assert found["73-cimerror"] == error and "cimerror" not in found
    good, _, said = await post(cim, call())
    assert good == 200 and "KVM_ComputerSystem" in said


async def test_m_post_comes_in_pieces_and_has_to_prove_who_it_is(cim: Rig) -> None:
    given = {"Man": f"{MAN} ; ns=01", **{f"01-{k}" if k.startswith("CIM") else k: v for k, v in headers().items()}}
    code, _, said = await post(cim, call(), given, method="M-POST", pieces=1)
    assert code == 200 and "KVM_ComputerSystem" in said
    del given["Authorization"]
    assert (await post(cim, call(), given, method="M-POST"))[0] == 401
    assert (await post(cim, call(), given, method="M-GET"))[0] == 400
    assert (await post(cim, call(), method="GET"))[1]["allow"] == "POST, M-POST"


async def chunked(cim: Rig, chunks: list[bytes], given: dict[str, str] | None = None) -> bytes:
    """The first line of the answer to a body in chunks, as much of them as the provider takes; b'' if it only hung up."""
    context = ssl.create_default_context(cafile=str(cim.folder / "cim/certificate.pem"))
    reader, writer = await asyncio.open_connection("127.0.0.1", cim.port, ssl=context, server_hostname="localhost")
    lines = ["POST /cimom HTTP/1.1", "Host: localhost", "Transfer-Encoding: chunked"]
    lines += [f"{name}: {value}" for name, value in (headers() if given is None else given).items()]
    try:
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
        with contextlib.suppress(OSError):
            for chunk in chunks:
                writer.write(chunk)
                await writer.drain()
        async with asyncio.timeout(60):
            return await reader.readline()
    except OSError:
        return b""
    finally:
        writer.close()


CHUNK = b"10000\r\n" + b"A" * 0x10000 + b"\r\n"
CHUNKS: list[tuple[str, list[bytes], dict[str, str] | None, bytes]] = [
    ("sound", [b"%x\r\n%b\r\n" % (len(call()), call()), b"0\r\n\r\n"], None, b"200"),
    ("a byte each", [b"1\r\n%c\r\n" % octet for octet in call()] + [b"0\r\n\r\n"], None, b"200"),
    ("more than is allowed", [CHUNK] * 64, None, b"413"),
    ("more than is allowed, of nobody", [CHUNK] * 64, headers(Authorization=None), b"401"),
    ("of a size that is no number", [b"xyz\r\n"], None, b"400"),
    ("of a size beyond all memory", [b"ffffffffffffffffff\r\nA"], None, b"400"),
    ("with an extension without end", [b"5;" + b"x" * 100_000], None, b"408"),
    ("that never end", [b"1\r\n<\r\n"], None, b"408"),
]


@pytest.mark.parametrize("name", [row[0] for row in CHUNKS])
async def test_bodies_in_chunks(cim: Rig, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, chunks, given, status = next(row for row in CHUNKS if row[0] == name)
    monkeypatch.setattr(httpd, "READ_SECONDS", 0.5 if status == b"408" else 60)
    said = await chunked(cim, chunks, given)
    assert said.split()[1:2] == [status] or (said == b"" and status not in (b"200", b"408")), said
    monkeypatch.setattr(httpd, "READ_SECONDS", 60)
    good, _, said_then = await post(cim, call())
    assert good == 200 and "KVM_ComputerSystem" in said_then


KEY = '<KEYBINDING NAME="{}"><KEYVALUE VALUETYPE="{}">{}</KEYVALUE></KEYBINDING>'
NAME = '<IPARAMVALUE NAME="InstanceName"><INSTANCENAME CLASSNAME="KVM_ComputerSystem">{}</INSTANCENAME></IPARAMVALUE>'
WHOLE = KEY.format("CreationClassName", "string", "KVM_ComputerSystem")
NESTED = (
    "<VALUE.REFERENCE><INSTANCENAME CLASSNAME='KVM_SystemDevice'><KEYBINDING NAME='a'>" * 30
    + "</KEYBINDING></INSTANCENAME></VALUE.REFERENCE>" * 30
)
CIM: list[tuple[str, str, str, int]] = [
    ("Fly", "", "virt", 7), ("EnumerateInstances", CLASS.format("KVM_ComputerSystem"), "none", 3),
    ("EnumerateInstances", CLASS.format("KVM_None"), "virt", 5), ("EnumerateInstances", "", "virt", 4),
    ("EnumerateInstances", CLASS.format("KVM_ComputerSystem") * 2, "virt", 4),
    ("EnumerateInstances", CLASS.format("KVM_ComputerSystem") + '<IPARAMVALUE NAME="Nothing"><VALUE>1</VALUE></IPARAMVALUE>', "virt", 4),
    ("EnumerateInstances", CLASS.format("KVM_ComputerSystem") + '<IPARAMVALUE NAME="DeepInheritance"><VALUE>maybe</VALUE></IPARAMVALUE>', "virt", 4),
    ("EnumerateInstances", '<IPARAMVALUE NAME="ClassName"><VALUE.ARRAY><VALUE>x</VALUE></VALUE.ARRAY></IPARAMVALUE>', "virt", 4),
    ("OpenEnumerateInstances", CLASS.format("KVM_ComputerSystem") + '<IPARAMVALUE NAME="MaxObjectCount"><VALUE>-1</VALUE></IPARAMVALUE>', "virt", 4),
    ("OpenEnumerateInstances", CLASS.format("KVM_ComputerSystem") + '<IPARAMVALUE NAME="OperationTimeout"><VALUE>100000</VALUE></IPARAMVALUE>', "virt", 22),
    ("OpenEnumerateInstances", CLASS.format("KVM_ComputerSystem") + '<IPARAMVALUE NAME="FilterQueryLanguage"><VALUE>SQL</VALUE></IPARAMVALUE><IPARAMVALUE NAME="FilterQuery"><VALUE>x</VALUE></IPARAMVALUE>', "virt", 14),
    ("OpenEnumerateInstances", CLASS.format("KVM_ComputerSystem") + '<IPARAMVALUE NAME="FilterQueryLanguage"><VALUE>DMTF:FQL</VALUE></IPARAMVALUE>', "virt", 4),
    ("OpenEnumerateInstances", CLASS.format("KVM_ComputerSystem") + '<IPARAMVALUE NAME="FilterQueryLanguage"><VALUE>DMTF:FQL</VALUE></IPARAMVALUE><IPARAMVALUE NAME="FilterQuery"><VALUE>Name LIKE</VALUE></IPARAMVALUE>', "virt", 15),
    ("OpenEnumerateInstances", CLASS.format("KVM_ComputerSystem") + '<IPARAMVALUE NAME="ContinueOnError"><VALUE>true</VALUE></IPARAMVALUE>', "virt", 26),
    ("PullInstancesWithPath", '<IPARAMVALUE NAME="EnumerationContext"><VALUE>forged</VALUE></IPARAMVALUE><IPARAMVALUE NAME="MaxObjectCount"><VALUE>1</VALUE></IPARAMVALUE>', "virt", 21),
    ("GetInstance", NAME.format(WHOLE), "virt", 4),
    ("GetInstance", NAME.format(WHOLE + KEY.format("Name", "numeric", "5")), "virt", 4),
    ("GetInstance", NAME.format(WHOLE + KEY.format("Name", "string", "x") + KEY.format("More", "string", "x")), "virt", 4),
    ("GetInstance", NAME.format(WHOLE + KEY.format("Name", "string", "x" * 100_000)), "virt", 6),
    ("GetInstance", f'<IPARAMVALUE NAME="InstanceName">{NESTED}</IPARAMVALUE>', "virt", 0),
    ("ExecQuery", '<IPARAMVALUE NAME="QueryLanguage"><VALUE>WQL</VALUE></IPARAMVALUE><IPARAMVALUE NAME="Query"><VALUE>SELECT * FROM KVM_ComputerSystem WHERE ' + "(" * 300 + "</VALUE></IPARAMVALUE>", "virt", 15),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(CIM)))
async def test_bad_operations(cim: Rig, number: int) -> None:
    name, rest, place, status = CIM[number]
    code, found, said = await post(cim, call(name, rest, place), headers(name, f"root/{place}"))
    if status == 0:
        assert code == 400 and found["cimerror"] == "request-not-valid"
    else:
        assert code == 200 and f'<ERROR CODE="{status}"' in said, said[-300:]
    assert "Traceback" not in said


async def test_a_defect_is_told_without_its_traceback(cim: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(cim.service.registry), "below", lambda *_: 1 / 0)
    code, _, said = await post(cim, call())
    assert code == 200 and '<ERROR CODE="1"' in said and "ZeroDivision" not in said


async def test_a_body_that_never_comes_is_not_waited_for(cim: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpd, "READ_SECONDS", 0.3)
    code, _, _ = await post(cim, b"<CIM", length="5000")
    assert code == 408


async def test_headers_that_never_end_are_not_waited_for(cim: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpd, "HEADER_SECONDS", 0.3)
    context = ssl.create_default_context(cafile=str(cim.folder / "cim/certificate.pem"))
    reader, writer = await asyncio.open_connection("127.0.0.1", cim.port, ssl=context, server_hostname="localhost")
    try:
        writer.write(b"POST /cimom HTTP/1.1\r\nHost: x\r\n")
        assert await all_of(reader) == b""
    finally:
        writer.close()


async def test_more_connections_than_allowed_are_closed(tmp_path: Path) -> None:
    async with rig(tmp_path, guests=0, connections=3) as cim:
        context = ssl.create_default_context(cafile=str(cim.folder / "cim/certificate.pem"))
        held = [
            await asyncio.open_connection("127.0.0.1", cim.port, ssl=context, server_hostname="localhost")
            for _ in range(3)
        ]
        await until(lambda: server_of(cim).open == 3)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            held.append(await asyncio.open_connection("127.0.0.1", cim.port, ssl=context, server_hostname="localhost"))
            assert await all_of(held[3][0]) == b""
        assert server_of(cim).open == 3
        for _, writer in held:
            writer.close()


async def test_who_never_begins_tls_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpd, "HANDSHAKE_SECONDS", 0.3)
    async with rig(tmp_path, guests=0) as cim:
        reader, writer = await asyncio.open_connection("127.0.0.1", cim.port)
        assert await all_of(reader) == b""
        writer.close()


def server_of(cim: Rig) -> httpd.Bounded:
    assert cim.front._runner is not None
    server = cim.front._runner.server
    assert isinstance(server, httpd.Bounded)
    return server


async def deaf(cim: Rig) -> asyncio.StreamWriter:
    """A client that asks for more than fits on the way, and takes none of it."""
    context = ssl.create_default_context(cafile=str(cim.folder / "cim/certificate.pem"))
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", cim.port))
    _, writer = await asyncio.open_connection(sock=plain, ssl=context, server_hostname="localhost", limit=2**10)
    body = call("EnumerateInstances", CLASS.format("CIM_ManagedElement"))
    lines = [f"{name}: {value}" for name, value in headers("EnumerateInstances").items()]
    start = ["POST /cimom HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *lines]
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write("\r\n".join(start).encode() + b"\r\n\r\n" + body)
    return writer


async def test_who_takes_no_answers_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(httpd, "STALL_SECONDS", 0.5)
    caplog.set_level("INFO")
    async with rig(tmp_path, guests=150) as cim:
        writer = await deaf(cim)
        await until(lambda: "does not take its answer" in caplog.text)
        await until(lambda: server_of(cim).open == 0 and cim.front.unsent == 0)
        writer.transport.abort()


async def test_answers_that_nobody_takes_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpd, "MOST_UNSENT", 2**16)
    monkeypatch.setattr(httpd, "STALL_SECONDS", 600)
    async with rig(tmp_path, guests=150) as cim:
        writer = await deaf(cim)
        await until(lambda: cim.front.unsent > 2**16)
        code, found, _ = await post(cim, call())
        assert code == 503 and found["retry-after"] == "10"
        writer.transport.abort()
        await until(lambda: cim.front.unsent == 0)
        assert (await post(cim, call()))[0] == 200


async def test_a_long_answer_arrives_whole_and_the_connection_stays(tmp_path: Path) -> None:
    async with rig(tmp_path, guests=20) as cim, aiohttp.ClientSession() as session:
        given = {name: value for name, value in headers("EnumerateInstances").items() if name != "Connection"}
        body, ports = call("EnumerateInstances", CLASS.format("CIM_ManagedElement")), set()
        for _ in range(3):
            async with session.post(
                f"https://127.0.0.1:{cim.port}/cimom", data=body, headers=given, ssl=False
            ) as answer:
                said = await answer.read()
                assert len(said) == answer.content_length and len(said) > 2 * httpd.PIECE and said.endswith(b"</CIM>")
            ports |= {
                conn.transport.get_extra_info("sockname")
                for pool in session.connector._conns.values()
                for conn, _ in pool
            }
        assert len(ports) == 1 and cim.front.unsent == 0


async def test_passwords_are_not_tried_without_end(cim: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "WINDOW", 600)
    for number in range(12):
        code, _, _ = await post(cim, call(), headers(Authorization=basic(password=f"guess-{number}")))
        assert code == 401
    code, _, _ = await post(cim, call())
    assert code == 401, "who guessed has to wait, even with the right one"


async def test_an_enumeration_is_its_users_own(cim: Rig) -> None:
    rest = CLASS.format("CIM_LogicalDevice") + '<IPARAMVALUE NAME="MaxObjectCount"><VALUE>1</VALUE></IPARAMVALUE>'
    await post(cim, call("OpenEnumerateInstances", rest), headers("OpenEnumerateInstances"))
    (name,) = cim.service.contexts.open
    more = f'<IPARAMVALUE NAME="EnumerationContext"><VALUE>{name}</VALUE></IPARAMVALUE><IPARAMVALUE NAME="MaxObjectCount"><VALUE>1</VALUE></IPARAMVALUE>'
    given = headers("PullInstancesWithPath")
    _, _, said = await post(cim, call("PullInstancesWithPath", more), {**given, "Authorization": basic("eye")})
    assert 'CODE="21"' in said
    _, _, said = await post(cim, call("PullInstancesWithPath", more), given)
    assert "VALUE.INSTANCEWITHPATH" in said


async def test_open_enumerations_are_bounded(cim: Rig) -> None:
    rest = CLASS.format("CIM_LogicalDevice") + '<IPARAMVALUE NAME="MaxObjectCount"><VALUE>1</VALUE></IPARAMVALUE>'
    codes = [
        (await post(cim, call("OpenEnumerateInstances", rest), headers("OpenEnumerateInstances")))[2] for _ in range(34)
    ]
    assert sum('CODE="27"' in said for said in codes) == 2
