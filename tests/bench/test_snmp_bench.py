"""The SNMP agent beside a C agent of net-snmp's own library with the same table: interleaved, views on, data changing.

Ten columns of vmTable. The figures of the agent's guests come from another process and are asked for anew every second.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import shlex
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from frontinus_snmp import ber, pdu
from frontinus_snmp.details import details
from frontinus_snmp.objects import MODULES, vm
from frontinus_snmp.rows import Guest, Places, State
from frontinus_snmp.tree import Shown, Tree, View
from support.ports import free_port
from support.scripted_engine import XML, Scripted
from support.snmp import PASSWORDS

pytestmark = [pytest.mark.needs("gcc", "net-snmp-config", "snmpbulkwalk"), pytest.mark.timeout(900)]
HERE = Path(__file__).parent
COMMUNITY = "a-community-of-benches"
COLUMNS = (2, 3, 5, 6, 7, 8, 9, 13, 16, 17)
TABLE = (1, 3, 6, 1, 2, 1, 236, 1, 4)
ENTRY = ".".join(map(str, (*TABLE, 1)))
PAIRS = 9
GETS = 2000
V2C = ("-v2c", "-c", COMMUNITY)
AUTH, PRIV = (password.decode() for password in PASSWORDS)
V3 = ("-v3", "-l", "authPriv", "-u", "bench", "-a", "SHA-256", "-A", AUTH, "-x", "AES", "-X", PRIV)


@dataclass
class Agent:
    """An agent under test."""

    pid: int
    port: int

    @property
    def cpu(self) -> float:
        """Seconds of CPU used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def memory(self) -> float:
        """MB that the process has in memory."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


@contextlib.contextmanager
def process(*argv: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(argv, env={**os.environ, "MIBS": "", **env}, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                          text=True) as running:  # fmt: skip
        try:
            yield running
        finally:
            running.kill()


def ready(running: subprocess.Popen[str]) -> None:
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"


@contextlib.contextmanager
def reference(folder: Path, rows: int) -> Iterator[Agent]:
    """net-snmp's agent library in C."""
    program, port = folder / "snmp_table", free_port()
    libraries = subprocess.run(["net-snmp-config", "--agent-libs"], capture_output=True, text=True, check=True).stdout
    argv = ["gcc", "-O2", "-o", str(program), str(HERE / "snmp_table.c"), *shlex.split(libraries)]
    subprocess.run(argv, check=True)
    views = "".join(f"view columns included .{ENTRY}.{column}\n" for column in COLUMNS)
    (folder / "snmp_table.conf").write_text(
        f"rocommunity {COMMUNITY} 127.0.0.1 -V columns\ncreateUser bench SHA-256 {AUTH} AES {PRIV}\n"
        f"rouser bench priv -V columns\ndontLogTCPWrappersConnects yes\n{views}"
    )
    with process(str(program), str(rows), f"udp:127.0.0.1:{port}", SNMPCONFPATH=str(folder),
                 SNMP_PERSISTENT_DIR=str(folder / "persistent")) as running:  # fmt: skip
        ready(running)
        yield Agent(running.pid, port)


@contextlib.contextmanager
def ours(folder: Path, rows: int) -> Iterator[Agent]:
    """Our agent as a process of its own, with a scripted engine in another."""
    port, state = free_port(), folder / "state"
    state.mkdir(mode=0o700)
    (folder / "community").write_text(COMMUNITY)
    (folder / "community").chmod(0o600)
    names = ", ".join(f'"{ENTRY}.{column}"' for column in COLUMNS)
    (folder / "snmp.toml").write_text(
        f'listen = ["127.0.0.1:{port}"]\nmax_age = 4.0\nviews.columns.include = [{names}]\n'
        f'[v2c]\nenabled = true\ncommunity_file = "{folder}/community"\nsources = ["127.0.0.0/8"]\nview = "columns"\n'
    )
    agent = [sys.executable, "-m", "frontinus_snmp.main", "--monitor-socket", str(folder / "ro.sock"), "--config",
             str(folder / "snmp.toml"), "--state", str(state)]  # fmt: skip
    added = subprocess.run([*agent, "adduser", "bench", "--view", "columns", "--password-fd", "0"],
                           input=b"\n".join(PASSWORDS), check=True, capture_output=True)  # fmt: skip
    assert added.returncode == 0
    with process(
        sys.executable, str(HERE.parent / "support/scripted_engine.py"), str(folder / "ro.sock"), str(rows)
    ) as engine:
        ready(engine)
        with process(*agent) as running:
            made = Agent(running.pid, port)
            deadline = time.monotonic() + 60
            while walk(made, V2C, 50)[1] != rows * len(COLUMNS):
                assert time.monotonic() < deadline and running.poll() is None
                time.sleep(0.5)
            yield made


def walk(agent: Agent, access: tuple[str, ...], repetitions: int) -> tuple[float, int]:
    """Seconds that a walk of the table takes, and the bindings that it shows."""
    argv = ["snmpbulkwalk", "-On", "-t", "5", "-r", "1", f"-Cr{repetitions}", *access, f"127.0.0.1:{agent.port}", ENTRY]
    env = {**os.environ, "MIBS": "", "SNMPCONFPATH": "/nonexistent", "SNMP_PERSISTENT_DIR": "/nonexistent"}
    before = time.perf_counter()
    said = subprocess.run(argv, capture_output=True, env=env, check=False).stdout
    return time.perf_counter() - before, said.count(b"\n") - said.count(b"No more")


def gets(agent: Agent, rows: int, count: int = GETS) -> float:
    """Requests a second that are answered, one after another, each for a random object of the table."""
    chance = random.Random(rows)
    names = [(*TABLE, 1, chance.choice(COLUMNS), chance.randint(1, rows)) for _ in range(count)]
    packets = [pdu.write_community(1, COMMUNITY.encode(), pdu.write_pdu(
        pdu.GET, number, 0, 0, ber.varbind(ber.encode_oid(name), b"\x05\x00"))) for number, name in enumerate(names)]  # fmt: skip
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", agent.port))
        sender.settimeout(5)
        before = time.perf_counter()
        for packet in packets:
            sender.send(packet)
            sender.recv(2048)
        return count / (time.perf_counter() - before)


def pairs(measure: Callable[[Agent], float], one: Agent, other: Agent) -> list[float]:
    """Ratios of the first's time to the second's, measured in turns."""
    found = []
    for number in range(PAIRS):
        first, second = (measure(agent) for agent in ((one, other) if number % 2 else (other, one)))
        found.append(first / second if number % 2 else second / first)
    return found


def said(what: str, ratios: list[float], limit: float) -> None:
    median = statistics.median(ratios)
    spread = f"{min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} pairs"
    print(f"{what}: {median:.2f} times the C agent's (limit {limit:.2f}), {spread}")


WALKS = (("v2c", V2C, 50, 1.0), ("v2c", V2C, 25, 1.0), ("v3 authPriv", V3, 25, 1.25), ("v3 authPriv", V3, 50, 1.25))
"""Ways to walk, and how much of the C agent's time they may take."""


def beside(
    agent: Agent, c: Agent, rows: int, name: str, access: tuple[str, ...], repetitions: int, limit: float
) -> None:
    ratios = pairs(lambda each: walk(each, access, repetitions)[0], agent, c)
    said(f"{rows} rows, walk by {name}, {repetitions} repetitions", ratios, limit)


@pytest.mark.parametrize("rows", [1000, 5000])
def test_beside_a_c_agent(tmp_path: Path, rows: int) -> None:
    (tmp_path / "c").mkdir()
    with ours(tmp_path, rows) as agent, reference(tmp_path / "c", rows) as c:
        count = rows * len(COLUMNS)
        for access in (V2C, V3):
            assert walk(c, access, 50)[1] == walk(agent, access, 50)[1] == count
        for way in WALKS:
            beside(agent, c, rows, *way)
        said(f"{rows} rows, time of a GET", pairs(lambda a: 1 / gets(a, rows), agent, c), 1 / 0.9)
        before = agent.cpu, c.cpu
        for _ in range(5):
            assert walk(agent, V3, 25)[1] == walk(c, V3, 25)[1] == count
        spent = [(after - was) / 5 / count * 1e6 for after, was in zip((agent.cpu, c.cpu), before, strict=True)]
        print(f"{rows} rows, v3: CPU a binding: ours {spent[0]:.1f} us, the C agent's {spent[1]:.1f} us")
        print(f"{rows} rows: memory: ours {agent.memory:.0f} MB (limit 90), the C agent's {c.memory:.0f} MB")
        assert agent.memory <= 90


def test_what_new_figures_cost() -> None:
    """A refresh of 1000 guests, with every cell of VM-MIB encoded anew, and as it is: only what is asked for is encoded."""
    engine = Scripted(1000)
    guests = [Guest(n, view, Places(), details=details(XML.format(number=n))) for n, view in enumerate(engine.views, 1)]
    state = State(guests=guests)
    tree = Tree(state, MODULES)
    shown: dict[str, Shown] = {"the table of ten columns": tree.shown(View(frozenset((*TABLE, 1, column) for column in COLUMNS))),
             "all of VM-MIB": tree.shown(View(frozenset({vm.VM_MIB})))}  # fmt: skip
    for name, view in shown.items():
        spent = []
        for _ in range(9):
            figures = asyncio.run(engine.stats())
            before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
            for guest, each in zip(guests, figures, strict=True):
                guest.figures, guest.now = each, time.time()
            tree.fill(figures_only=True)
            published = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
            count = len(view.following((), 10**6))
            spent.append((published, resource.getrusage(resource.RUSAGE_SELF).ru_utime - before))
        took, whole = (statistics.median(values) * 1000 for values in zip(*spent[2:], strict=True))
        limit = " (at most 20 ms)" if "ten" in name else ""
        print(f"1000 guests: {took:.1f} ms to publish; {whole:.1f} ms with {count} bindings of {name} encoded{limit}")
