"""kill -9 of the daemon at random moments while guests are defined, started, stopped and forgotten.

Afterwards: no guest lost, none doubled, no torn file, no process, tap, socket or private folder left over.
`FRONTINUS_KILLS` sets how often (default 20; the bench of the release runs 200).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import uuid
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import Disconnected, FrontinusError, WrongState
from frontinus.domain.definition import parse_guest
from support import traces
from support.waiting import until
from trial import Daemon

KILLS = int(os.environ.get("FRONTINUS_KILLS", "20"))
GUESTS = 10
SEED = int(os.environ.get("FRONTINUS_SEED", "7"))

XML = """<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>32</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices><disk type='file'><driver name='qemu' type='raw'/><source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
<interface type='ethernet'><mac address='{mac}'/><model type='virtio'/></interface></devices></domain>"""


class Client:
    """One guest's endless life, and what it was told: the truth that the daemon must keep."""

    def __init__(self, number: int, place: Path) -> None:
        self.name = f"kill{number}"
        self.uuid = str(uuid.uuid5(uuid.NAMESPACE_OID, self.name))
        disk = place / f"{self.name}.img"
        disk.write_bytes(bytes(2**20))
        run = os.getpid() & 0xFFFF  # others may run this test beside us
        self.mac = f"52:54:00:{run >> 8:02x}:{run & 0xFF:02x}:{number:02x}"
        self.xml = XML.format(name=self.name, uuid=self.uuid, disk=disk, mac=self.mac)
        self.defined: bool | None = False
        """Whether the definition is there; None while a call was cut off."""
        self.running: bool | None = False
        self.ending = False
        """Whether a call to end it was cut off: what it was told then, it may do under a later engine."""

    async def live(self, engine: Engine, dice: random.Random) -> None:
        """One random step."""
        if not self.defined:
            await self._do("defined", True, engine.define(self.xml))
        elif self.running:
            await self.end(engine)
        elif dice.random() < 0.3:
            await self._do("defined", False, engine.undefine(self.uuid))
        else:
            await self._do("running", True, engine.start(self.uuid))

    async def end(self, engine: Engine) -> None:
        told, self.ending = self.ending, True
        try:
            await self._do("running", False, engine.destroy(self.uuid))
        except WrongState:
            assert told, f"{self.name} has ended by itself"
            self.running = False
        self.ending = False

    async def _do(self, what: str, value: bool, call: object) -> None:
        setattr(self, what, None)
        await call  # type: ignore[misc]
        setattr(self, what, value)

    async def learn(self, engine: Engine) -> None:
        """Compare the truth with what the daemon found, then go on from there."""
        views = [g for g in await engine.guests() if g.name == self.name]
        assert len(views) <= 1, f"{self.name} is doubled: {views}"
        defined, running = bool(views), bool(views and views[0].active)
        assert self.defined in (None, defined), f"{self.name}: defined was {self.defined}, is {defined}"
        known = None if self.ending else self.running
        assert known in (None, running), f"{self.name}: running was {known}, is {running}: {views}"
        self.defined, self.running, self.ending = defined, running, self.ending and running


async def churn(daemon: Daemon, clients: list[Client], dice: random.Random) -> None:
    """All clients live until the daemon dies under them."""

    async def one(client: Client, engine: Engine) -> None:
        while True:
            await client.live(engine, dice)

    with contextlib.suppress(Disconnected):
        async with daemon.engine() as engine:
            await asyncio.gather(*(one(client, engine) for client in clients))


def taps(clients: list[Client]) -> set[str]:
    """Taps of these guests: the host's end has the guest's MAC with fe in front."""
    ours = {"fe" + client.mac[2:] for client in clients}
    found = set()
    for link in Path("/sys/class/net").iterdir():
        with contextlib.suppress(OSError):  # it went meanwhile
            if (link / "address").read_text().strip() in ours:
                found.add(link.name)
    return found


@pytest.mark.timeout(1500)
async def test_kill_at_random_moments(place: Path) -> None:
    dice = random.Random(SEED)
    clients = [Client(number, place) for number in range(GUESTS)]
    for _ in range(KILLS):
        daemon = Daemon(place)
        await daemon.start()
        async with daemon.engine() as engine:
            for client in clients:
                await client.learn(engine)
        work = asyncio.create_task(churn(daemon, clients, dice))
        await asyncio.sleep(dice.uniform(0.0, 1.2))
        await daemon.kill()
        try:
            await work
        except FrontinusError as error:
            pytest.fail(f"a call failed before the daemon died: {error}")
    await settle(place, clients)


async def settle(place: Path, clients: list[Client]) -> None:
    """End everything in order, then look for what is left."""
    daemon = Daemon(place)
    await daemon.start()
    async with daemon.engine() as engine:
        for client in clients:
            await client.learn(engine)
            files = [file for file in traces.files(place / "config") if file.name.startswith(client.uuid)]
            assert len(files) == (1 if client.defined else 0), files
            for file in files:
                assert parse_guest(file.read_text()).uuid == client.uuid
            if client.running:
                await client.end(engine)
            if client.defined:
                await engine.undefine(client.uuid)
        assert await engine.guests() == []
    await daemon.stop()
    assert traces.left(str(place)) == {}
    await until(lambda: not traces.sockets(str(place)))  # the kernel removes these and taps a moment after their holder
    await until(lambda: not taps(clients))
    left = [p for p in (place / "state").glob("domain-*")] + [p for p in (place / "run").rglob("*") if p.is_file()]
    assert left == [], left
    assert all((place / f"{client.name}.img").stat().st_uid == 0 for client in clients), "an image kept a guest's label"
    broken = [p for p in place.rglob("*") if ".broken" in p.name or p.name.endswith(".tmp")]
    assert broken == [], broken
