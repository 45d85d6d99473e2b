"""Thousands of mutated packets, v2c and v3 behind a valid digest: no exception, no answer too large, still answering."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from frontinus_snmp import ber, pdu
from frontinus_snmp.agent import Agent
from frontinus_snmp.control import Control
from frontinus_snmp.link import Link
from frontinus_snmp.manage import Manage
from frontinus_snmp.objects import MODULES
from frontinus_snmp.rows import State
from frontinus_snmp.settings import Settings, V2c
from frontinus_snmp.tree import Tree
from frontinus_snmp.usm import AUTH, PRIV, REPORTABLE, Authority, make_user
from support.mutants import body, mutated

ENGINE = b"\x80\x00\x1f\x88\x05fuzzed"
PACKETS = 4000
SOURCE = ("127.0.0.1", 5)


class Bench:
    """An agent over a tree of nothing but scalars, and a manager that has its keys."""

    def __init__(self) -> None:
        self.user = make_user("u", "SHA-256", "AES-128", (b"authentic-enough", b"private-enough"), ENGINE, "all")
        counters: Counter[str] = Counter()
        authority = Authority(ENGINE, 1, {b"u": self.user}, counters, 8192)
        self.manager = Authority(ENGINE, 1, {}, Counter(), 8192)
        link = SimpleNamespace(usable=lambda: True, tree=Tree(State(description="d", counters=counters), MODULES))
        settings = Settings(v2c=V2c(b"community", (ip_network("127.0.0.0/8"),), "everything"))
        control = Control(link.tree, counters, Manage(None), lambda generation: asyncio.sleep(0))
        self.agent = Agent(cast(Link, link), authority, settings, counters, control)

    def ask(self, data: bytes) -> list[bytes]:
        answers: list[bytes] = []
        self.agent.receive(data, SOURCE, answers.append)
        assert len(answers) <= 1 and all(len(each) <= 8192 for each in answers)
        return answers

    def v2c(self, body: bytes) -> bytes:
        return pdu.write_community(1, b"community", body)

    def v3(self, body: bytes) -> bytes:
        return self.manager.message(7, self.user, body, AUTH | PRIV | REPORTABLE)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", ["v2c", "v2c around", "v3", "v3 around", "v3 scoped"])
def test_nothing_breaks_it(bench: Bench, kind: str, seed: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    chance = random.Random(f"{kind} {seed}")
    answered = 0
    for number in range(PACKETS // 2):
        content = body(chance)
        if kind == "v2c":
            data = bench.v2c(mutated(content, chance))
        elif kind == "v2c around":
            data = mutated(bench.v2c(content), chance)
        elif kind == "v3":
            data = bench.v3(mutated(content, chance))
        elif kind == "v3 around":
            data = mutated(bench.v3(content), chance)
        else:
            data = bench.v3(content) if chance.random() < 0.1 else scoped(bench, mutated(content, chance), chance)
        answered += len(bench.ask(data))
        if number % 500 == 0:
            alive(bench)
    alive(bench)
    assert 0 < answered < PACKETS // 2, answered
    assert not caplog.records


def scoped(bench: Bench, content: bytes, chance: random.Random) -> bytes:
    """A message with a valid digest around a scoped PDU for another engine or context, or of noise."""
    other = Authority(chance.randbytes(chance.randint(0, 32)), 1, {}, Counter(), 8192)
    other.started = bench.manager.started
    data = other.message(7, bench.user, content, AUTH | PRIV | REPORTABLE)
    return data if chance.random() < 0.5 else mutated(data, chance)


def alive(bench: Bench) -> None:
    """It answers a correct request of each kind correctly."""
    get = pdu.write_pdu(pdu.GET, 77, 0, 0, ber.varbind(ber.encode_oid((1, 3, 6, 1, 2, 1, 1, 7, 0)), b"\x05\x00"))
    [answer] = bench.ask(bench.v2c(get))
    assert pdu.read_community(answer, pdu.version(answer)[1]).pdu.raw.endswith(b"\x02\x01\x48")
    [answer] = bench.ask(bench.v3(get))
    assert len(answer) > 100


def test_what_is_not_a_request_gets_no_answer(bench: Bench) -> None:
    for kind in (pdu.RESPONSE, pdu.TRAP, pdu.REPORT, pdu.INFORM):
        assert bench.ask(bench.v2c(pdu.write_pdu(kind, 1, 0, 0, b""))) == []


def test_a_stranger_gets_no_answer(bench: Bench) -> None:
    get = pdu.write_pdu(pdu.GET, 1, 0, 0, b"")
    assert bench.ask(pdu.write_community(1, b"Community", get)) == []
    answers: list[bytes] = []
    bench.agent.receive(bench.v2c(get), ("192.0.2.1", 5), answers.append)
    assert answers == []
    assert bench.ask(b"\x30\x1a\x02\x01\x00" + bench.v2c(get)[5:]) == []  # SNMPv1
    assert bench.ask(bytes(70000)) == []


def test_no_mutated_packet_is_kept(tmp_path: Path) -> None:
    """Memory does not grow with the addresses that strangers come from."""
    from frontinus_snmp.limits import MOST_SOURCES, Limiter

    limiter = Limiter()
    for number in range(3 * MOST_SOURCES):
        limiter.allows(str(number))
    assert len(limiter._sources) <= MOST_SOURCES
