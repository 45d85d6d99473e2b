"""Programs beside QEMU, real ones and small ones of the test's own: whom they run as, when they are ready, how they end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from frontinus import procfs
from frontinus.api.errors import HostFailed
from frontinus.domain.host import Paths
from frontinus.domain.plan import Folder, Helper
from frontinus.linux import helpers
from frontinus.linux.resources import LinuxResources
from frontinus.ports.resources import Credentials, Prepared
from support.waiting import until

GUEST = "11111111-1111-1111-1111-111111111111"
SECRET = b"open sesame"

LISTEN = """
import os, socket, sys, time
print("hello from the helper", flush=True)
time.sleep(float(sys.argv[2]))
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); time.sleep(float(sys.argv[2])); s.listen()
while True:
    told = (os.getresuid(), os.getgroups(), sorted(os.listdir("/proc/self/fd")), dict(os.environ))
    s.accept()[0].sendall(repr(told).encode())
"""


class Stage:
    """An engine's resources and one guest's home on it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.host = LinuxResources(
            Paths(state=f"{place}/state", run=f"{place}/run", log=f"{place}/log"),
            (70000, 70009),
            secret_of=lambda *use: SECRET,
        )
        self.home = f"{place}/state/domain-1-x"
        self.who: Credentials | None = None
        self.journal: list[dict[str, object]] = []
        self.prepared: list[Prepared] = []

    async def start(self, *helpers: Helper) -> Prepared:
        self.who = await self.host.credentials(GUEST)

        async def journal(undo: Sequence[dict[str, object]]) -> None:
            self.journal = list(undo)

        prepared = await self.host.set_up([Folder(self.home), *helpers], self.who, journal)
        self.prepared.append(prepared)
        return prepared


@pytest.fixture
async def stage(place: Path) -> AsyncIterator[Stage]:
    stage = Stage(place)
    yield stage
    for prepared in stage.prepared:
        await stage.host.tear_down(prepared.undo)
    stage.host.close()


def python(code: str, *words: str) -> tuple[str, ...]:
    return ("/usr/bin/python3", "-c", code, *words)


def pid_of(prepared: Prepared) -> int:
    found = prepared.undo[-1]["pid"]
    assert isinstance(found, int)
    return found


def said(path: str) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        return client.recv(65536).decode()


async def test_a_helper_is_ready_when_it_listens(stage: Stage) -> None:
    path = f"{stage.home}/h.sock"
    prepared = await stage.start(Helper("listener", python(LISTEN, path, "0.3"), path))
    told = said(path)
    assert stage.who is not None and told.startswith(f"(({stage.who.uid}, {stage.who.uid}, {stage.who.uid}), [")
    assert "['0', '1', '2', '3', '4']" in told, "standard streams, its socket, the listing: nothing of ours"
    assert f"'HOME': '{stage.home}'" in told and "PYTEST" not in told
    status = Path(f"/proc/{pid_of(prepared)}/status").read_text()
    for line in ("CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"):
        assert line in status
    assert Path(stage.home, "listener.log").read_text() == "hello from the helper\n"
    assert "pid" not in stage.journal[-1], "its number cannot be known before it runs"
    await stage.host.tear_down(prepared.undo)
    assert not Path(f"/proc/{pid_of(prepared)}").exists(), "ended and reaped"


async def test_a_privileged_helper_serves_the_guests_user(stage: Stage) -> None:
    path = f"{stage.home}/h.sock"
    await stage.start(Helper("listener", python(LISTEN, path, "0"), path, privileged=True))
    assert said(path).startswith("((0, 0, 0), ")
    assert stage.who is not None and Path(path).stat().st_uid == stage.who.uid


async def test_a_helper_that_fails_says_why_and_leaves_nothing(stage: Stage, place: Path) -> None:
    code = "import sys; sys.exit('the state is locked')"
    with pytest.raises(HostFailed, match="broken ended at once: the state is locked"):
        await stage.start(Helper("broken", python(code), f"{stage.home}/h.sock"))
    with pytest.raises(HostFailed, match="'/usr/bin/nosuch' is not installed"):
        await stage.start(Helper("broken", ("/usr/bin/nosuch",), f"{stage.home}/h.sock"))
    assert not Path(stage.home).exists()


async def test_a_helper_that_never_listens_is_ended(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helpers, "READY_SECONDS", 0.3)
    monkeypatch.setattr(helpers, "END_SECONDS", 0.2)
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    with pytest.raises(HostFailed, match=r"stubborn does not listen on .*h\.sock after 0.3 s"):
        await stage.start(Helper("stubborn", python(stubborn), f"{stage.home}/h.sock"))
    await until(lambda: not [pid for pid in procfs.processes() if procfs.environment(pid).get("HOME") == stage.home])


async def test_undo_ends_only_the_process_that_was_started(stage: Stage) -> None:
    path = f"{stage.home}/h.sock"
    prepared = await stage.start(Helper("listener", python(LISTEN, path, "0"), path))
    record = prepared.undo[-1]
    await stage.host.tear_down([record | {"started": 4711}])
    assert said(path)
    os.kill(pid_of(prepared), signal.SIGKILL)
    await stage.host.tear_down([record])
    await stage.host.tear_down([record])


async def test_secrets_and_a_program_that_comes_first(stage: Stage) -> None:
    path, folder = f"{stage.home}/h.sock", f"{stage.place}/state/tpm/x"
    Path(folder).mkdir(parents=True)
    Path(folder, "old").touch()
    os.link(Path(folder, "old"), f"{stage.place}/elsewhere")
    first = "import os, sys; open(sys.argv[1] + '/made', 'wb').write(os.read(3, 99))"
    then = "import os, socket, sys; s = socket.socket(socket.AF_UNIX); "
    then += "a = os.read(3, 99) + open(sys.argv[1] + '/made', 'rb').read(); "
    then += "s.bind(sys.argv[2]); s.listen(); c = s.accept()[0]; c.sendall(a); s.accept()"
    await stage.start(
        Helper("keeper", python(then, folder, path), path, (folder,), python(first, folder), secrets={3: ("vtpm", "uuid", None)})
    )  # fmt: skip
    assert said(path) == SECRET.decode() * 2
    assert stage.who is not None
    assert Path(folder).stat().st_uid == Path(folder, "made").stat().st_uid == stage.who.uid
    assert Path(folder, "old").stat().st_uid == 0, "a file with a second name may be anybody's"
    failing = Helper("keeper", python(then), path, setup=python("import sys; sys.exit('no entropy')"))
    await stage.host.tear_down(stage.prepared.pop().undo)
    with pytest.raises(HostFailed, match="python3 failed: no entropy"):
        await stage.start(failing)


async def test_a_pair_of_sockets_joins_helper_and_qemu(stage: Stage) -> None:
    code = "import socket; s = socket.socket(fileno=9); s.sendall(s.recv(99).upper())"
    prepared = await stage.start(Helper("gpu", python(code), "", pair=(5, 9)))
    with socket.socket(fileno=prepared.fds.pop(5)) as ours:
        ours.sendall(b"hello")
        ours.settimeout(60)
        assert await asyncio.to_thread(ours.recv, 99) == b"HELLO"


async def test_the_sweep_ends_what_a_dead_engine_left(stage: Stage, place: Path) -> None:
    path = f"{stage.home}/h.sock"
    prepared = await stage.start(Helper("listener", python(LISTEN, path, "0"), path))
    after = LinuxResources(Paths(state=f"{place}/state", run=f"{place}/run"), (70000, 70009))
    await after.sweep([stage.home])
    assert said(path), "it belongs to a living guest"
    await after.sweep([])
    assert not Path(stage.home).exists()
    started = prepared.undo[-1]["started"]
    assert isinstance(started, int) and not procfs.is_alive(pid_of(prepared), started)
    after.close()


@pytest.mark.needs("swtpm")
async def test_swtpm_makes_a_chip_and_keeps_it_under_another_user(stage: Stage) -> None:
    path, own = f"{stage.home}/swtpm.sock", f"{stage.place}/state/swtpm/{GUEST}"
    state = f"{own}/tpm2"
    words = ("/usr/bin/swtpm", "socket", "--ctrl", f"type=unixio,path={path},mode=0600", "--tpmstate", f"dir={state},mode=0600",
             "--log", f"file={own}/swtpm.log", "--terminate", "--tpm2", "--key", "pwdfd=3,mode=aes-256-cbc")  # fmt: skip
    setup = ("/usr/bin/swtpm_setup", "--tpm-state", state, "--createek", "--lock-nvram", "--tpm2", "--pwdfile-fd", "3",
             "--cipher", "aes-256-cbc", "--logfile", f"{own}/swtpm.log", "--not-overwrite")  # fmt: skip
    swtpm = Helper("swtpm", words, path, (own, state), setup, {3: "uuid"})
    prepared = await stage.start(swtpm)
    first = stage.who
    chip = Path(state, "tpm2-00.permall").read_bytes()
    assert first is not None and Path(state).stat().st_uid == first.uid
    await stage.host.tear_down(prepared.undo)
    again = await stage.start(swtpm)
    assert stage.who is not None and stage.who.uid != first.uid == 70000
    assert Path(state).stat().st_uid == stage.who.uid
    assert Path(f"/proc/{pid_of(again)}").stat().st_uid == stage.who.uid
    assert Path(state, "tpm2-00.permall").read_bytes() == chip
