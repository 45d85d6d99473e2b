"""The CIM provider as a process, its users and certificates, and an engine that goes away and comes back."""

# ruff: noqa: E501 - messages stand as they are sent

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from pathlib import Path

import pytest
import pywbem

from frontinus.daemon.server import Server as Socket
from frontinus_cim.front import tls, users
from frontinus_cim.front.config import Config
from support.cim import PASSWORD, USERS, process, rig, says
from support.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore::pywbem.ToleratedServerIssueWarning")


async def names(port: int, certificate: Path) -> list[str]:
    """The guests that a provider shows."""
    connection = pywbem.WBEMConnection(f"https://127.0.0.1:{port}", ("admin", PASSWORD), ca_certs=str(certificate))
    try:
        found = await asyncio.to_thread(connection.EnumerateInstanceNames, "KVM_ComputerSystem", namespace="root/virt")
        return sorted(path["Name"] for path in found)
    finally:
        connection.close()


async def eventually(port: int, certificate: Path, wanted: list[str]) -> None:
    """Wait until it answers and knows the guests of its engine."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(pywbem.Error, OSError):
                if await names(port, certificate) == wanted:
                    return
            await asyncio.sleep(0.2)


async def test_the_process_opens_its_port_when_somebody_may_use_it(tmp_path: Path) -> None:
    state = tmp_path / "own"
    async with rig(tmp_path, guests=1) as cim, process(tmp_path, 'listen = ["127.0.0.1:0"]\n') as started:
        await says(started, b"no user is configured")
        users.write(state, USERS)
        port = int((await says(started, rb"https://127.0.0.1:(\d+)/cimom"))[1])
        await eventually(port, state / tls.CERTIFICATE, ["guest-00000", "test"])
        assert (state / "schema.msgpack").stat().st_mode & 0o077 == 0
        await cim.engine.suspend("test")
        connection = pywbem.WBEMConnection(
            f"https://127.0.0.1:{port}", ("admin", PASSWORD), ca_certs=str(state / tls.CERTIFICATE)
        )
        path = pywbem.CIMInstanceName(
            "KVM_ComputerSystem", {"Name": "test", "CreationClassName": "KVM_ComputerSystem"}, namespace="root/virt"
        )
        value, _ = await asyncio.to_thread(
            connection.InvokeMethod, "RequestStateChange", path, RequestedState=pywbem.Uint16(2)
        )
        connection.close()
        assert value in (0, 4096)  # done, or a job where that took long
        async with asyncio.timeout(60):
            while (await cim.engine.guest("test")).state != "running":  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_a_client_certificate_names_its_user(tmp_path: Path) -> None:
    for name in ("card", "stranger"):
        (tmp_path / name).mkdir()
        tls.make(tmp_path / name, name)
    known = {"card": users.make("card", "monitor", None)}
    config = Config(client_ca=tmp_path / "card" / tls.CERTIFICATE)
    async with rig(tmp_path, guests=0, known=known, config=config) as cim:
        for name, status in (("card", b"200"), (None, b"401")):
            context = ssl.create_default_context(cafile=str(tmp_path / "cim" / tls.CERTIFICATE))
            if name:
                context.load_cert_chain(tmp_path / name / tls.CERTIFICATE, tmp_path / name / tls.KEY)
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", cim.port, ssl=context, server_hostname="localhost"
            )
            body = (b'<CIM CIMVERSION="2.0" DTDVERSION="2.0"><MESSAGE ID="1" PROTOCOLVERSION="1.0"><SIMPLEREQ><IMETHODCALL NAME="EnumerateClassNames">'
                    b'<LOCALNAMESPACEPATH><NAMESPACE NAME="root"/><NAMESPACE NAME="virt"/></LOCALNAMESPACEPATH></IMETHODCALL></SIMPLEREQ></MESSAGE></CIM>')  # fmt: skip
            writer.write(b"POST /cimom HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/xml\r\nCIMOperation: MethodCall\r\n"
                         b"CIMMethod: EnumerateClassNames\r\nCIMObject: root/virt\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)  # fmt: skip
            assert (await reader.read()).split()[1] == status
            writer.close()
        context = ssl.create_default_context(cafile=str(tmp_path / "cim" / tls.CERTIFICATE))
        context.load_cert_chain(tmp_path / "stranger" / tls.CERTIFICATE, tmp_path / "stranger" / tls.KEY)
        with pytest.raises((ssl.SSLError, OSError)):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", cim.port, ssl=context, server_hostname="localhost"
            )
            writer.write(b"POST /cimom HTTP/1.1\r\n\r\n")
            if await reader.read() == b"":
                raise ConnectionResetError


async def test_certificates_have_the_roles_of_their_users(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each is trusted; what it may do is its user's, and a trusted name that is no user's may do nothing."""
    caplog.set_level(logging.INFO, "frontinus.audit")
    trusted = b""
    for name in ("boss", "reader", "nobody"):
        (tmp_path / name).mkdir()
        tls.make(tmp_path / name, name)
        trusted += (tmp_path / name / tls.CERTIFICATE).read_bytes()
    (tmp_path / "trusted.pem").write_bytes(trusted)
    known = {name: users.make(name, role, None) for name, role in (("boss", "control"), ("reader", "monitor"))}  # type: ignore[arg-type]
    path = pywbem.CIMInstanceName(
        "KVM_ComputerSystem", {"Name": "test", "CreationClassName": "KVM_ComputerSystem"}, namespace="root/virt"
    )
    async with rig(tmp_path, guests=0, known=known, config=Config(client_ca=tmp_path / "trusted.pem")) as cim:

        def pause(name: str) -> str:
            own = {"cert_file": str(tmp_path / name / tls.CERTIFICATE), "key_file": str(tmp_path / name / tls.KEY)}
            connection = pywbem.WBEMConnection(f"https://127.0.0.1:{cim.port}", x509=own, no_verification=True)
            try:
                assert connection.EnumerateInstanceNames("KVM_ComputerSystem", namespace="root/virt")
                return str(connection.InvokeMethod("RequestStateChange", path, RequestedState=pywbem.Uint16(9))[0])
            except pywbem.CIMError as error:
                return str(error.status_code_name)
            except pywbem.AuthError:
                return "outside"
            finally:
                connection.close()

        assert await asyncio.to_thread(pause, "reader") == "CIM_ERR_ACCESS_DENIED"
        assert await asyncio.to_thread(pause, "nobody") == "outside"
        assert (await cim.engine.guest("test")).state == "running"
        assert await asyncio.to_thread(pause, "boss") == "0"
        assert (await cim.engine.guest("test")).state == "paused"
    said = [record.getMessage() for record in caplog.records if record.name == "frontinus.audit"]
    about = "operation=KVM_ComputerSystem.RequestStateChange"
    assert f"cim user=reader {about} allowed=False" in said and f"cim user=boss {about} allowed=True" in said


async def test_an_engine_that_is_away_is_said_and_found_again(tmp_path: Path) -> None:
    async with rig(tmp_path, guests=1) as cim:
        cim.sockets.pop().close()
        await until(lambda: not cim.world.connected)
        with pytest.raises(pywbem.CIMError, match="cannot be reached"):
            await cim.ask("EnumerateInstanceNames", "KVM_ComputerSystem")
        await cim.engine.undefine("guest-00000")
        await cim.engine.destroy("guest-00000")
        cim.sockets.append(Socket(tmp_path / "frontinus.sock", cim.local.session, readonly=False, mode=0o600))
        await until(lambda: cim.world.connected)
        assert [path["Name"] for path in await cim.ask("EnumerateInstanceNames", "KVM_ComputerSystem")] == ["test"]


async def test_without_the_engines_trust_it_only_reads(tmp_path: Path) -> None:
    """Where only the monitor socket can be opened, a control user is told that nothing can be changed."""
    async with rig(tmp_path, guests=0) as cim:
        cim.world._trusted = False
        assert await cim.ask("EnumerateInstanceNames", "KVM_ComputerSystem")
        path = pywbem.CIMInstanceName(
            "KVM_ComputerSystem", {"Name": "test", "CreationClassName": "KVM_ComputerSystem"}, namespace="root/virt"
        )
        with pytest.raises(pywbem.CIMError) as denied:
            await cim.ask("InvokeMethod", "RequestStateChange", path, RequestedState=pywbem.Uint16(3))
        assert denied.value.status_code == pywbem.CIM_ERR_ACCESS_DENIED
        assert (await cim.engine.guest("test")).state == "running"
