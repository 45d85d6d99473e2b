"""The CIM provider's promised figures: 1000 mock guests, a client that only reads bytes, over TLS, against prebuilt strings."""

# ruff: noqa: E501 - messages stand as they are sent

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from frontinus_cim import compile as compiling
from frontinus_cim import tls
from frontinus_cim.httpd import Front
from frontinus_cim.service import Service
from support.cim import Rig, rig, schema

GUESTS = 1000
ASK = ('<?xml version="1.0"?><CIM CIMVERSION="2.0" DTDVERSION="2.0"><MESSAGE ID="1" PROTOCOLVERSION="1.0"><SIMPLEREQ>'
       '<IMETHODCALL NAME="{name}"><LOCALNAMESPACEPATH><NAMESPACE NAME="root"/><NAMESPACE NAME="virt"/></LOCALNAMESPACEPATH>{rest}'
       "</IMETHODCALL></SIMPLEREQ></MESSAGE></CIM>")  # fmt: skip
ALL = '<IPARAMVALUE NAME="ClassName"><CLASSNAME NAME="KVM_ComputerSystem"/></IPARAMVALUE>'
ONE = ('<IPARAMVALUE NAME="{param}"><INSTANCENAME CLASSNAME="KVM_ComputerSystem"><KEYBINDING NAME="Name"><KEYVALUE>guest-00007</KEYVALUE>'
       '</KEYBINDING><KEYBINDING NAME="CreationClassName"><KEYVALUE>KVM_ComputerSystem</KEYVALUE></KEYBINDING></INSTANCENAME>'
       "</IPARAMVALUE>")  # fmt: skip


@pytest.fixture
async def cim(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, guests=GUESTS, max_age=5.0) as made:
        yield made


class Prebuilt(Service):
    """Answers with bytes that were made before: what the transport alone costs."""

    answers: dict[str, bytes]

    async def answer(self, asked, who):  # type: ignore[no-untyped-def]
        return self.answers[asked.name]


async def ask(session: aiohttp.ClientSession, port: int, name: str, rest: str) -> bytes:
    headers = {
        "Authorization": "Basic YWRtaW46b3BlbnNlc2FtZS00",
        "CIMOperation": "MethodCall",
        "CIMMethod": name,
        "CIMObject": "root/virt",
        "Content-Type": "application/xml",
    }
    async with session.post(f"https://localhost:{port}/cimom", data=ASK.format(name=name, rest=rest), headers=headers, ssl=False) as answer:  # fmt: skip
        assert answer.status == 200
        return await answer.read()


async def rate(work: Callable[[], object], seconds: float = 3.0) -> float:
    """Times a second."""
    count, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        await work()  # type: ignore[misc]
        count += 1
    return count / passed


async def test_throughput(cim: Rig) -> None:
    async with aiohttp.ClientSession() as session:
        everything = await ask(session, cim.port, "EnumerateInstances", ALL)
        one = await ask(session, cim.port, "GetInstance", ONE.format(param="InstanceName"))
        assert everything.count(b"<INSTANCE ") == GUESTS + 1
        prebuilt = Prebuilt(cim.world, cim.service.registry)
        prebuilt.answers = {"EnumerateInstances": everything, "GetInstance": one}
        front = Front(prebuilt, cim.front.access)
        (port,) = await front.listen([("127.0.0.1", 0)], tls.context(tls.Config(), cim.folder / "cim", "localhost"))
        try:
            for round_ in range(2):
                real = await rate(lambda: ask(session, cim.port, "EnumerateInstances", ALL)) * (GUESTS + 1)
                bare = await rate(lambda: ask(session, port, "EnumerateInstances", ALL)) * (GUESTS + 1)
                got = await rate(lambda: ask(session, cim.port, "GetInstance", ONE.format(param="InstanceName")))
                near = await rate(lambda: ask(session, cim.port, "Associators", ONE.format(param="ObjectName")), 2.0)
                print(
                    f"\nround {round_}: EnumerateInstances {real:,.0f} instances/s ({len(everything) / 1001:.0f} bytes each), prebuilt "
                    f"{bare:,.0f} ({bare / real:.2f}x), GetInstance {got:,.0f}/s, Associators {near:,.0f}/s; client on the same core"
                )
            assert real > 8000 and bare / real < 3 and got > 200
        finally:
            await front.close()


async def test_associators_do_not_depend_on_the_number_of_guests(tmp_path: Path) -> None:
    took = {}
    for guests in (20, 400):
        async with (
            rig(
                tmp_path / str(guests) if (tmp_path / str(guests)).mkdir() is None else tmp_path,
                guests=guests,
                max_age=5.0,
            ) as cim,
            aiohttp.ClientSession() as session,
        ):
            took[guests] = 1 / await rate(
                lambda: ask(session, cim.port, "Associators", ONE.format(param="ObjectName")), 2.0
            )
    print(f"\nAssociators of one guest: {took[20] * 1e3:.1f} ms of 20 guests, {took[400] * 1e3:.1f} ms of 400")
    assert took[400] < 2 * took[20]


def test_start_up_with_a_warm_cache(tmp_path: Path) -> None:
    compiling.load(tmp_path)
    program = ("import time, sys; began = time.perf_counter(); from pathlib import Path; from frontinus_cim import httpd, access, tls, delivery, "
               "indications; from frontinus_cim.catalogue import registry; from frontinus_cim.compile import load; "
               "registry(load(Path(sys.argv[1]))); print(time.perf_counter() - began, 'pywbem' in sys.modules)")  # fmt: skip
    runs = [subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True).stdout.split()
            for _ in range(4)]  # fmt: skip
    print(f"\nstart-up with a warm cache: {sorted(float(run[0]) for run in runs)[0]:.2f} s at best of {len(runs)}")
    assert all(run[1] == "False" for run in runs) and min(float(run[0]) for run in runs) < 0.7
    assert schema().classes
