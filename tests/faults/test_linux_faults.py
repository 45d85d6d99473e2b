"""An engine that is killed while it sets guests up: the next one finds in the journal what must be taken back."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import subprocess
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from frontinus import procfs
from frontinus.domain.host import Paths
from frontinus.domain.plan import CopyOnce, Folder, Helper, Label, Listener, Resource, SecretFile, Tap
from frontinus.linux.resources import LinuxResources
from frontinus.state.store import FileStore
from support.namespaces import in_own_network

KILLS = 60
GUESTS = 3
LISTEN = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); s.accept()"


class Engine:
    """The two ports of an engine that matter here."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.paths = Paths(config=f"{place}/config", state=f"{place}/state", run=f"{place}/run", nvram=f"{place}/nvram")
        self.store = FileStore(self.paths, exclusive=True)
        self.resources = LinuxResources(self.paths, (70000, 70999))

    def plan(self, number: int) -> list[Resource]:
        home = f"{self.paths.state}/domain-{number}-x"
        return [
            Folder(home),
            SecretFile(f"{home}/key"),
            Listener(f"{home}/monitor", 3),
            Listener(f"{self.place}/agent{number}", 4),
            CopyOnce(f"{self.place}/template", f"{self.paths.nvram}/{number}.fd"),
            Label(f"{self.paths.nvram}/{number}.fd"),
            Label(f"{self.place}/disk{number}"),
            Label(f"{self.place}/cd", readonly=True),
            Tap("52:54:00:00:00:01", (5,), bridge="br0"),
            Tap(f"52:54:00:00:00:{number + 2:02x}", (6,), lower="lower", mode="bridge"),
            Helper("helper", ("/usr/bin/python3", "-S", "-c", LISTEN, f"{home}/helper"), f"{home}/helper"),
        ]

    async def start(self, number: int) -> str:
        async def journal(undo: Sequence[Mapping[str, object]]) -> None:
            await self.store.save("running", str(number), json.dumps(undo))

        who = await self.resources.credentials(str(number))
        prepared = await self.resources.set_up(self.plan(number), who, journal)
        await journal(prepared.undo)
        for fd in prepared.fds.values():
            os.close(fd)
        return json.dumps(prepared.undo)

    async def end(self, number: int, text: str) -> None:
        await self.resources.tear_down(json.loads(text))
        await self.store.delete("running", str(number))

    async def live(self) -> None:
        """Start and end guests without end."""

        async def one(number: int) -> None:
            while True:
                await self.end(number, await self.start(number))

        await asyncio.gather(*(one(number) for number in range(GUESTS)))

    async def recover(self) -> int:
        """What the engine does when it comes up: nobody lives. Returns how many guests it found half made."""
        found = list(await self.store.load("running"))
        for stored in found:
            await self.end(int(stored.key), stored.text)
        await self.resources.sweep([])
        return len(found)


def left(place: Path) -> list[str]:
    """Everything that must not be there when no guest is."""
    processes = [str(pid) for pid in procfs.processes() if str(place) in procfs.environment(pid).get("HOME", "")]
    shown = subprocess.run(["ip", "-json", "link"], capture_output=True, check=True).stdout
    links = [link["ifname"] for link in json.loads(shown) if link["ifname"].startswith(("vnet", "macvtap"))]
    homes = [entry.name for entry in (place / "state").glob("domain-*")] if (place / "state").is_dir() else []
    sockets = [entry.name for entry in place.glob("agent*")]
    users = [entry.name for entry in (place / "run/users").glob("*")]
    torn = [entry.name for entry in place.rglob(".*.new")]
    images = (*place.glob("disk*"), place / "cd")
    owned = [f"{image} is of {image.stat().st_uid}" for image in images if image.stat().st_uid != 1001]
    listed = [f"{image} has {os.listxattr(image)}" for image in images if os.listxattr(image)]
    stores = [f"{entry} is of a guest" for entry in (place / "nvram").glob("*") if entry.stat().st_uid != 0]
    return [*processes, *links, *homes, *sockets, *users, *torn, *owned, *listed, *stores]


def kill_an_engine(place: Path, seconds: float) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(Engine(place).live())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL, "the engine died by itself"


@pytest.mark.needs("ip")
def test_a_killed_engine_leaks_nothing(place: Path) -> None:
    for name in (*(f"disk{n}" for n in range(GUESTS)), "cd"):
        (place / name).touch(mode=0o600)
        os.chown(place / name, 1001, 1001)
    (place / "template").write_bytes(bytes(100_000))

    async def work() -> None:
        subprocess.run(["ip", "link", "add", "br0", "up", "type", "bridge"], check=True)
        subprocess.run(["ip", "link", "add", "lower", "type", "veth", "peer", "name", "peer"], check=True)
        dice, half_made = random.Random(3), 0
        for kill in itertools.count(1):
            kill_an_engine(
                place, dice.uniform(0.02, 0.2) * (1 + kill // KILLS)
            )  # later, where the first came too early
            engine = Engine(place)
            half_made += await engine.recover()
            engine.resources.close()
            await engine.store.close()
            assert [thing for thing in left(place) if not thing.startswith("vnet")] == []
            if kill >= KILLS and half_made > KILLS / 2:
                break
            assert kill < 10 * KILLS, "the kills hit nothing"
        async with asyncio.timeout(60):
            while left(place):  # noqa: ASYNC110  the kernel removes taps a moment after their last holder
                await asyncio.sleep(0.01)

    in_own_network(work)
