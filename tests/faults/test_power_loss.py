"""Power is lost at each moment of what is done to volumes; the next start finishes or undoes it, and no image is lost.

The engine works on a file system that records all that happens (support/losing.py), from which follows what each moment leaves
(support/lost.py): what was fsynced; all names without content that was not; everything; and of what was not fsynced any part,
by chance. Each of these is laid out as a real folder, and an engine is started on it. `FRONTINUS_CUTS` sets how often chance is
asked for each work (default 10), `FRONTINUS_SEED` what it answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from contract.storage_contract import MIB, put, take, volume
from frontinus.api.engine import Engine
from frontinus.api.storage import VolumeView
from frontinus.domain.host import Paths
from frontinus.engine.local import LocalEngine
from frontinus.linux.imagefiles import LinuxImages
from frontinus.linux.keeper import HostKeeper
from frontinus.linux.storage.host import LinuxStorage
from frontinus.mock.engine import ROOT, mock_engine
from frontinus.state.store import FileStore
from frontinus.storage import imaging
from support import losing, lost
from support.waiting import until

pytestmark = [pytest.mark.needs("root", "qemu-img", "mount"), pytest.mark.timeout(600)]

CUTS = int(os.environ.get("FRONTINUS_CUTS", "10"))
SEED = int(os.environ.get("FRONTINUS_SEED", "7"))
OLD, NEW = b"old" * 20_000, b"new" * 20_000
SIZE = 65536
Content = dict[str, str]
"""What each volume says, by its name."""


@dataclass
class Work:
    """Something that is done to volumes: what must be there, the work, what may be there afterwards (before, after)."""

    before: Callable[[Engine], Awaitable[object]]
    act: Callable[[Engine], Awaitable[object]]


async def _raw(engine: Engine) -> None:
    await engine.create_volume("p", volume("old", size=SIZE))
    await put(await engine.upload_volume("p", "old"), OLD)


async def _qcow2(engine: Engine) -> None:
    await _raw(engine)
    await engine.clone_volume("p", volume("image", "qcow2", size=SIZE), "p", "old")


async def _upload(engine: Engine) -> None:
    await put(await engine.upload_volume("p", "old"), NEW)


async def _guest(engine: Engine) -> None:
    await _qcow2(engine)
    path = (await engine.volume("p", "image")).path
    disk = f"<driver name='qemu' type='qcow2'/><source file='{path}'/><target dev='vda' bus='virtio'/>"
    await engine.define(f"""<domain type='qemu'><name>g</name><memory>65536</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices><disk type='file' device='disk'>{disk}</disk></devices></domain>""")


async def _raw_and_base(engine: Engine) -> None:
    await _raw(engine)
    base = _base(await engine.volume("p", "old"))
    base.write_bytes(OLD[:SIZE])


def _base(beside: VolumeView) -> Path:
    """A file that is in no pool, beside the pool."""
    return Path(beside.path).parents[1] / "base"


async def _over(engine: Engine) -> None:
    base = _base(await engine.volume("p", "old"))
    below = f"<backingStore><path>{base}</path><format type='raw'/></backingStore>"
    await engine.create_volume("p", volume("new", "qcow2", size=SIZE).replace("<target>", f"{below}<target>"))


async def _copied(engine: Engine) -> None:
    """The engine opens every image."""
    for one in await engine.volumes("p"):
        if one.format == "qcow2":
            await engine.clone_volume("p", volume("copy", "raw", size=SIZE), "p", one.name)
            await engine.delete_volume("p", "copy")


async def _inside(engine: Engine) -> None:
    await engine.create_snapshot("g", "<domainsnapshot><name>s</name></domainsnapshot>")


async def _snapshot(engine: Engine) -> None:
    await engine.create_snapshot("g", "<domainsnapshot><name>s</name></domainsnapshot>", ["disk-only"])


WORKS = {
    "create raw": Work(_raw, lambda engine: engine.create_volume("p", volume("new", size=SIZE, allocation=SIZE))),
    "create qcow2": Work(_raw, lambda engine: engine.create_volume("p", volume("new", "qcow2", size=SIZE))),
    "clone": Work(_raw, lambda engine: engine.clone_volume("p", volume("new", "qcow2", size=SIZE), "p", "old")),
    "upload": Work(_raw, _upload),
    "wipe": Work(_raw, lambda engine: engine.wipe_volume("p", "old")),
    "resize raw": Work(_raw, lambda engine: engine.resize_volume("p", "old", 2 * SIZE)),
    "resize qcow2": Work(_qcow2, lambda engine: engine.resize_volume("p", "image", 2 * MIB)),
    "delete": Work(_qcow2, lambda engine: engine.delete_volume("p", "image")),
    "create over another": Work(_raw_and_base, _over),
    "create folder": Work(_raw, lambda engine: engine.create_volume("p", volume("new", "dir", size=0))),
    "snapshot": Work(_guest, _snapshot),
    "snapshot inside": Work(_guest, _inside),
    "define pool": Work(_raw, lambda engine: engine.define_pool(_pool("q", "/nowhere/q"))),
}


def _pool(name: str, path: Path | str) -> str:
    return f"<pool type='dir'><name>{name}</name><target><path>{path}</path></target></pool>"


@dataclass
class Rig:
    """`disk`: what loses what was not synced; `run`: what a boot clears anyway."""

    disk: Path
    run: Path

    @contextlib.asynccontextmanager
    async def engine(self) -> AsyncIterator[tuple[LocalEngine, Engine]]:
        """An engine whose storage and state are on the disk, with a hypervisor that is a mock."""
        self.run.mkdir()
        paths = Paths(config=f"{self.disk}/config", state=f"{self.disk}/state", run=str(self.run))
        mock = (await mock_engine(fixture=False)).world
        store, storage = FileStore(paths), LinuxStorage(self.run)
        engine = LocalEngine(
            replace(mock, store=store, storage=storage, images=LinuxImages(), keeper=HostKeeper(self.disk / "config"))
        )
        await engine.start(autostart=False)
        try:
            yield engine, engine.session(ROOT)
        finally:
            await engine.stop()
            await store.close()
            storage.close()
            subprocess.run(["rm", "-rf", self.run], check=True)


@pytest.fixture
def rig(place: Path) -> Rig:
    (place / "disk").mkdir()
    return Rig(place / "disk", place / "run")


async def _content(engine: Engine, scratch: Path) -> Content:
    """What volumes say, as a reader of their formats sees it, and their sizes."""
    found: Content = {}
    for one in await engine.volumes("p"):
        data = await take(await engine.download_volume("p", one.name)) if one.format != "dir" else b""
        if one.format == "qcow2":
            subprocess.run(["qemu-img", "check", "-q", "-f", "qcow2", one.path], check=True)
            flat = f"{scratch}/flat"
            command = ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", one.path, flat]
            await asyncio.to_thread(subprocess.run, command, check=True)
            data = Path(flat).read_bytes()
            Path(flat).unlink()
        found[one.name] = _said(data, one.capacity if one.format != "dir" else 0, one.format)
    return found


def _said(data: bytes, capacity: int, kind: str | None) -> str:
    return f"{hashlib.sha256(data.rstrip(bytes(1))).hexdigest()[:8]} of {capacity} as {kind}"


@pytest.mark.parametrize("name", WORKS)
async def test_power_may_be_lost_at_any_moment(rig: Rig, tmp_path: Path, name: str) -> None:
    work, record = WORKS[name], tmp_path / "record"
    with losing.mounted(rig.disk, record):
        async with rig.engine() as (_, session):
            await session.define_pool(_pool("p", rig.disk / "images"))
            await session.start_pool("p", build=[])
            await work.before(session)
            before = await _content(session, tmp_path)
            losing.begin(rig.disk)
            await work.act(session)
            await session.refresh_pool("p")
            after = await _content(session, tmp_path)
    found = lost.Record.load(record)
    lefts = [*found.moments(), *found.by_chance(random.Random(f"{SEED} {name}"), CUTS)]
    assert len(lefts) > 1 + CUTS
    seen = set()
    for left in lefts:
        lost.lay_out(left.image, rig.disk)
        async with rig.engine() as (engine, session):
            now = await _whole(rig, engine, session)
        allowed = [before, after] if name != "wipe" else [before, after, {"old": _said(b"", SIZE, "raw")}]
        assert now in allowed, f"{name}: after {left.what} ({left.variant}, seed {SEED}) there is {now}"
        seen.add(tuple(sorted(now.items())))
    assert len(seen) > 1 or before == after, "the work never counted"


async def _whole(rig: Rig, engine: LocalEngine, session: Engine) -> Content:
    """Nothing half is left, and what documents name is there."""
    await _whole_folder(rig, engine, session)
    for guest in await session.guests():
        names = [one.name for one in await session.snapshots(guest.uuid)]
        path = (await session.guest_xml(guest.uuid)).partition("<source file='")[2].partition("'")[0]
        documents = [await session.snapshot_xml(guest.uuid, name) for name in names]
        assert Path(path).exists() and path.endswith(".s") is any("'external'" in one for one in documents)
        inside = list(await LinuxImages().snapshots(path, "qcow2"))
        assert inside == [name for name, one in zip(names, documents, strict=True) if "'internal'" in one]
    await _copied(session)
    return await _content(session, rig.disk.parent)


async def _whole_folder(rig: Rig, engine: LocalEngine, session: Engine) -> None:
    await until(lambda: all(record.books.pending is None for record in engine.world.guests))  # the books tell nobody
    await session.start_pool("p")
    left = [path.name for path in (rig.disk / "images").iterdir() if path.name.startswith(".")]
    assert not left
    assert not list(await engine.world.store.load("volume-work"))


KEYS = (b"the first passphrase", b"the second one")


@pytest.mark.needs("cryptsetup")
async def test_power_may_be_lost_while_a_secret_changes(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all moments only some, spread over the whole; with quick keys, as it takes seconds to derive an honest one."""
    monkeypatch.setattr(imaging, "DERIVING_MS", 10)
    record, path = tmp_path / "record", rig.disk / "images/safe"
    with losing.mounted(rig.disk, record):
        async with rig.engine() as (_, session):
            await session.define_pool(_pool("p", rig.disk / "images"))
            await session.start_pool("p", build=[])
            _encrypt(path, KEYS[0])
            uuids = [await _secret(session, str(path), KEYS[0]), await _secret(session, "other", KEYS[1])]
            await session.refresh_pool("p")
            losing.begin(rig.disk)
            await session.set_volume_secret("p", "safe", uuids[1])
    found = lost.Record.load(record)
    lefts = found.moments()
    some = [lefts[0], *found.by_chance(random.Random(SEED), max(2, CUTS // 5)), lefts[len(lefts) // 2], lefts[-1]]
    opened = []
    for left in some:
        lost.lay_out(left.image, rig.disk)
        async with rig.engine() as (engine, session):
            await _whole_folder(rig, engine, session)
            noted = uuids[1] in await session.volume_xml("p", "safe")
        opens = [_opens(path, key) for key in KEYS]
        assert opens == [not noted, noted], left[:3]
        opened.append(noted)
    assert set(opened) == {False, True}


def _encrypt(path: Path, key: bytes) -> None:
    with path.open("wb") as file:
        file.truncate(4 * MIB)
    quick = ["--batch-mode", "--type", "luks1", "--pbkdf-force-iterations", "1000", "--key-file", "-"]
    subprocess.run(["cryptsetup", "luksFormat", *quick, path], input=key, check=True)


def _opens(path: Path, key: bytes) -> bool:
    command = ["cryptsetup", "open", "--test-passphrase", "--type", "luks1", "--key-file", "-", path]
    return subprocess.run(command, input=key, check=False, capture_output=True).returncode == 0


async def _secret(session: Engine, use: str, value: bytes) -> str:
    made = await session.define_secret(f"<secret><usage type='volume'><volume>{use}</volume></usage></secret>")
    await session.set_secret_value(made.uuid, value)
    return made.uuid
