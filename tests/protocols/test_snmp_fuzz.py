"""The same mutated packets for our agent and for Debian's snmpd: ours gives no answer that snmpd would not give, and lives.

FRONTINUS_MUTANTS=100000 sends that many; the usual number is smaller. Behind each packet a correct request is sent: what comes
before its answer is the answer to the packet.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from frontinus import durable
from frontinus_snmp import ber, pdu, store, usm
from frontinus_snmp.agent import AT_ONCE
from frontinus_snmp.ber import Malformed
from frontinus_snmp.peer import discovery
from frontinus_snmp.usm import AUTH, PRIV, REPORTABLE, Authority, User, make_user
from support.mutants import body, mutated
from support.ports import free_port
from support.snmp import PASSWORDS

pytestmark = [pytest.mark.needs("snmpd"), pytest.mark.timeout(3600)]
MUTANTS = int(os.environ.get("FRONTINUS_MUTANTS", "3000"))
COMMUNITY = b"a-community-of-tests"
SYS_DESCR = ber.varbind(ber.encode_oid((1, 3, 6, 1, 2, 1, 1, 1, 0)), b"\x05\x00")
SENTINEL, LAST = 0x5E471AE1, 0x5E471AE2
"""Numbers of correct requests: those behind each packet, and the last one before the first packet."""
HERE = Path(__file__).parents[1]


@dataclass
class Target:
    """An agent that packets are sent to, and what is known of its engine."""

    port: int
    sock: socket.socket = field(init=False)
    engine: usm.Engine = (b"", 0, 0)
    learned: float = 0.0
    user: User | None = None
    answered: int = 0
    behind: int = 1
    """Correct requests behind each packet: ours answers a SET after what it finds waiting, see agent.AT_ONCE."""

    def __post_init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.connect(("127.0.0.1", self.port))
        self.sock.settimeout(60)

    def learn(self, mine: Authority) -> None:
        """Its engine, and a user's keys for it; the clock from an authentic report."""
        self.sock.send(discovery(mine))
        message = read(self.sock.recv(65536))
        self.user = make_user("fuzz", "SHA-256", "AES-128", PASSWORDS, message.engine_id, "all")
        self.engine = (message.engine_id, message.boots, message.time)
        request = pdu.write_pdu(pdu.GET, 1, 0, 0, SYS_DESCR)
        self.sock.send(mine.write(self.engine, 1, self.user, request, AUTH | PRIV | REPORTABLE))
        message = read(self.sock.recv(65536))
        self.engine, self.learned = (message.engine_id, message.boots, message.time), time.monotonic()

    @property
    def now(self) -> usm.Engine:
        engine_id, boots, seconds = self.engine
        return engine_id, boots, seconds + int(time.monotonic() - self.learned)

    def ask(self, packet: bytes) -> bytes | None:
        """The answer to a packet, or None; the agent must answer the correct requests behind it."""
        sentinel = request(SENTINEL)
        self.sock.send(packet)
        found: list[bytes] = []
        for _ in range(self.behind):
            self.sock.send(sentinel)
            while not answers(data := self.sock.recv(65536), SENTINEL):
                found.append(data)
        assert len(found) <= 1, ("two answers to one packet", [each.hex() for each in found])
        self.answered += len(found)
        return found[0] if found else None


def read(data: bytes) -> usm.Message:
    return usm.read(data, pdu.version(data)[1])[1]


def request(number: int) -> bytes:
    """A correct one."""
    return pdu.write_community(1, COMMUNITY, pdu.write_pdu(pdu.GET, number, 0, 0, SYS_DESCR))


def answers(data: bytes, number: int) -> bool:
    try:
        version, pos = pdu.version(data)
        return version == pdu.V2C and pdu.read_community(data, pos).pdu.request_id == number
    except Malformed:
        return False


@pytest.fixture
def snmpd(tmp_path: Path) -> Iterator[Target]:
    """Debian's snmpd, where a community reads all and a user changes what can be changed."""
    folder, port = tmp_path / "snmpd", free_port()
    folder.mkdir()
    auth, priv = (password.decode() for password in PASSWORDS)
    (folder / "snmpd.conf").write_text(
        f"agentAddress udp:127.0.0.1:{port}\nrocommunity {COMMUNITY.decode()} 127.0.0.1\nexactEngineID 0x80001f8805{'ab' * 12}\n"
        f"createUser fuzz SHA-256 {auth} AES {priv}\nrwuser fuzz priv\n"
    )
    env = {**os.environ, "MIBS": "", "SNMP_PERSISTENT_DIR": str(folder)}
    argv = [
        "snmpd",
        "-f",
        "-C",
        "-c",
        str(folder / "snmpd.conf"),
        "-Lf",
        str(folder / "log"),
        "-p",
        str(folder / "pid"),
    ]
    with subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL) as running:
        try:
            yield alive(Target(port))
        finally:
            running.kill()


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Target]:
    """Our agent as a process, with guests; its log must stay free of tracebacks."""
    port, state = free_port(), tmp_path / "state"
    state.mkdir(mode=0o700)
    (tmp_path / "community").write_bytes(COMMUNITY)
    (tmp_path / "community").chmod(0o600)
    (tmp_path / "snmp.toml").write_text(
        f'listen = ["127.0.0.1:{port}"]\n[v2c]\nenabled = true\ncommunity_file = "{tmp_path}/community"\n'
        'sources = ["127.0.0.0/8"]\nview = "everything"\n'
    )
    agent = [sys.executable, "-m", "frontinus_snmp.main", "--monitor-socket", str(tmp_path / "ro.sock"), "--config",
             str(tmp_path / "snmp.toml"), "--state", str(state)]  # fmt: skip
    known = {"engine_id": f"80001f8805{'cd' * 12}", "boots": 0}  # the same in each run
    durable.write(state / store.ENGINE, json.dumps(known).encode())
    adding = [*agent, "adduser", "fuzz", "--view", "everything", "--write-view", "everything", "--password-fd", "0"]
    subprocess.run(adding, input=b"\n".join(PASSWORDS), check=True, stdout=subprocess.DEVNULL)
    log = (tmp_path / "log").open("w")
    engine = subprocess.Popen([sys.executable, str(HERE / "support/scripted_engine.py"), str(tmp_path / "ro.sock"), "20"],
                              stdout=subprocess.PIPE)  # fmt: skip
    assert engine.stdout is not None and engine.stdout.readline() == b"ready\n"
    running = subprocess.Popen(agent, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield alive(Target(port, behind=AT_ONCE + 2))
        assert running.poll() is None
    finally:
        running.kill()
        engine.kill()
        running.wait()
        engine.wait()
        log.close()
    said = (tmp_path / "log").read_text()
    assert "Traceback" not in said, said
    assert len(said.splitlines()) < 200, "the log is limited"


def alive(target: Target) -> Target:
    target.sock.settimeout(0.5)
    for _ in range(200):
        try:
            target.ask(b"")
            break
        except (TimeoutError, ConnectionRefusedError):
            time.sleep(0.1)
    target.sock.settimeout(60)
    target.sock.send(request(LAST))  # behind it nothing comes late
    while not answers(target.sock.recv(65536), LAST):
        pass
    return target


def packet(kind: str, target: Target, mine: Authority, seed: str) -> bytes:
    """The same mutant for each target, under its own engine and keys."""
    chance = random.Random(seed)
    content = body(chance)
    if kind == "v2c":
        return pdu.write_community(1, COMMUNITY, mutated(content, chance))
    if kind == "v2c around":
        return mutated(pdu.write_community(1, COMMUNITY, content), chance)
    if kind == "v3 context":
        mine = Authority(
            chance.choice((target.engine[0], chance.randbytes(chance.randint(0, 32)))), 0, {}, Counter(), 65507
        )
        mine._context += chance.choice((b"", b"\x04\x00", b"\x05\x00"))
        return mine.write(target.now, 7, target.user, content, AUTH | PRIV | chance.choice((REPORTABLE, 0)))
    sealed = (target.now, chance.randrange(2**31), target.user, mutated(content, chance), AUTH | PRIV | REPORTABLE)
    if kind == "v3":
        return mine.write(*sealed)
    return mutated(mine.write(*sealed[:3], content, sealed[4]), chance)


@pytest.mark.parametrize(
    ("kind", "share"), [("v2c", 0.3), ("v2c around", 0.2), ("v3", 0.3), ("v3 around", 0.1), ("v3 context", 0.1)]
)
def test_no_answer_that_snmpd_would_not_give(snmpd: Target, ours: Target, kind: str, share: float) -> None:
    seed, differing = os.environ.get("FRONTINUS_SEED", "1"), []
    count = int(MUTANTS * share)
    for target in (snmpd, ours):
        target.answered = 0
        target.mine = Authority(b"", 0, {}, Counter(), 65507)  # type: ignore[attr-defined]
        target.learn(target.mine)  # type: ignore[attr-defined]
        target.mine = Authority(target.engine[0], 0, {}, Counter(), 65507)  # type: ignore[attr-defined]
    for number in range(count):
        seeds = f"{kind} {seed} {number}"
        given = ours.ask(packet(kind, ours, ours.mine, seeds))  # type: ignore[attr-defined]
        if given is not None and snmpd.ask(packet(kind, snmpd, snmpd.mine, seeds)) is None:  # type: ignore[attr-defined]
            differing.append((seeds, given.hex()))
    print(f"{kind}: {count} mutants, {ours.answered} answered, {snmpd.answered} of these by snmpd too")
    assert not differing, differing[:10]
    assert ours.answered > count / 1000
