"""Power is lost while a real guest runs and its images are worked on; no image is lost, and nothing is left half.

The whole of a host's disk is the file system that records all that happens (support/losing.py): definitions, books, images, and
what QEMU writes into them. A guest without system writes by QEMU's own command, and each write is flushed as a database would.
QEMU ends with the power. What is left by chance (support/lost.py) is laid out, an engine is started on it, and then:

- the guest's disk has all that was flushed, and of one write under way any part;
- each snapshot that is known has what it was made of, and each image is sound;
- no file is there that nobody knows.

`FRONTINUS_CUTS_LIVE` sets how often the power goes for each work (default 3), `FRONTINUS_SEED` when.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from lxml import etree

from frontinus.api.engine import Engine
from frontinus.daemon.compose_qemu import qemu_engine
from frontinus.daemon.config import Config, rooted_paths
from frontinus.engine.local import LocalEngine
from frontinus.mock.engine import ROOT
from support import losing, lost, qmp
from support.disks import bare_xml, disk, image, job_gone, job_ready
from support.ending import end_all
from support.waiting import eventually, until

pytestmark = [pytest.mark.needs("root", "qemu-img", "mount"), pytest.mark.timeout(900)]

CUTS = int(os.environ.get("FRONTINUS_CUTS_LIVE", "3"))
SEED = int(os.environ.get("FRONTINUS_SEED", "7"))
REGIONS, REGION = 8, 64 << 10
State = list[int]
"""The byte that each region of the disk is full of."""


@dataclass
class Told:
    """What is to be expected: the disk is one of `either`, but for the region that is being written. `snapshots`: what they hold,
    by name, and `deleting` them. `kept`: files that somebody wanted; `maybe`: such as are whole if they are there (without a
    state: whatever that is). `saved`: the disk when the guest's memory was, which may be there as long as it has that."""

    either: list[State] = field(default_factory=lambda: [[0] * REGIONS])
    writing: int | None = None
    snapshots: dict[str, State] = field(default_factory=dict)
    deleting: list[str] = field(default_factory=list)
    kept: dict[str, State] = field(default_factory=dict)
    maybe: dict[str, State] = field(default_factory=dict)
    saved: State | None = None


class Writer:
    """A running guest and what it has written."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder, self.told = engine, folder, Told()

    @property
    def now(self) -> State:
        return self.told.either[-1]

    def tell(self, **changes: object) -> None:
        """From here on this is to be expected."""
        self.told = replace(self.told, **changes)  # type: ignore[arg-type]
        losing.mark(self.folder, json.dumps(self.told.__dict__))

    async def write(self, region: int, value: int) -> None:
        after = [value if place == region else byte for place, byte in enumerate(self.now)]
        self.tell(either=[self.now, after], writing=region)
        for command in (f"write -q -P {value} {region * REGION} {REGION}", "flush"):
            await qmp.io(self.engine, "bare", command)
        self.tell(either=[after], writing=None)

    async def snapshot(self, name: str, *flags: str, memory: str = "") -> None:
        self.tell(snapshots={**self.told.snapshots, name: self.now})
        document = f"<domainsnapshot><name>{name}</name>{memory}</domainsnapshot>"
        await self.engine.create_snapshot("bare", document, flags)  # type: ignore[arg-type]

    async def delete(self, name: str) -> None:
        self.tell(deleting=[name])
        await self.engine.delete_snapshot("bare", name)
        self.tell(deleting=[])

    async def revert(self, name: str) -> None:
        then = self.told.snapshots[name]
        self.tell(either=[self.now, then])
        await self.engine.revert_snapshot("bare", name, ["running"])
        self.tell(either=[then])


async def layers(it: Writer) -> None:
    """Snapshots outside, merged from below and from the top."""
    await it.write(0, 1)
    await it.snapshot("s1", "disk-only")
    await it.write(1, 2)
    await it.snapshot("s2", "disk-only")
    await it.write(0, 3)
    await it.delete("s1")
    await it.write(2, 4)
    await it.delete("s2")
    await it.write(1, 5)


async def inside(it: Writer) -> None:
    """Snapshots with memory inside the image."""
    await it.write(0, 1)
    await it.snapshot("s1")
    await it.write(0, 2)
    await it.snapshot("s2")
    await it.write(1, 3)
    await it.delete("s1")
    await it.write(2, 4)


async def memory(it: Writer) -> None:
    """Snapshots outside with memory in a file, one of them deleted."""
    for number in (1, 2):
        await it.write(0, number)
        await it.snapshot(f"s{number}", memory=f"<memory snapshot='external' file='{it.folder}/images/m{number}'/>")
    await it.write(1, 3)
    await it.delete("s1")


async def back(it: Writer) -> None:
    """Gone back, outside and inside."""
    await it.write(0, 1)
    await it.snapshot("s1", "disk-only")
    await it.write(0, 2)
    await it.revert("s1")
    await it.write(1, 3)
    await it.snapshot("s2")
    await it.write(1, 4)
    await it.revert("s2")
    await it.write(2, 5)


async def copy(it: Writer) -> None:
    """Copied and gone over to; copied once more and left."""
    await it.write(0, 1)
    for number in (1, 2):
        target = f"<disk type='file'><driver type='qcow2'/><source file='{it.folder}/images/copy{number}'/></disk>"
        await it.engine.block_copy("bare", "vda", target)
        await job_ready(it.engine, "bare")
        await it.write(number, 2)
        it.tell(maybe={"a.qcow2" if number == 1 else "copy2": it.now})
        if number == 1:
            await it.engine.abort_block_job("bare", "vda", ["pivot"])
            it.tell(kept={"a.qcow2": it.now})
        else:
            await it.engine.abort_block_job("bare", "vda")
            it.tell(kept={**it.told.kept, "copy2": it.now})
        await it.write(3, 3 + number)


async def merge(it: Writer) -> None:
    """Layers committed and pulled without snapshots that know of them."""
    for number in range(3):
        await it.write(number, number + 1)
        document = f"<domainsnapshot><name>l{number}</name></domainsnapshot>"
        it.tell(kept={**it.told.kept, "a.qcow2" if not number else f"a.l{number - 1}": it.now})
        await it.engine.create_snapshot("bare", document, ["disk-only", "no-metadata"])
    await it.write(3, 4)
    it.tell(kept={}, maybe={"a.l0": [], "a.l1": []})
    await it.engine.block_commit("bare", "vda", base="vda[1]", top="vda[3]", flags=["delete"])

    async def gone() -> bool:
        return not any((it.folder / "images" / name).exists() for name in it.told.maybe)

    await eventually(gone, "the layers are not deleted")
    it.tell(maybe={})
    await it.write(0, 5)
    it.tell(kept={"a.qcow2": []})
    await it.engine.block_pull("bare", "vda")
    await job_gone(it.engine, "bare")
    await it.write(1, 6)


async def backup(it: Writer) -> None:
    """Pushed whole, then what changed."""
    for number in (1, 2):
        await it.write(0, number)
        since = "<incremental>c1</incremental>" if number == 2 else ""
        target = f"<disk name='vda' type='file'><target file='{it.folder}/images/backup{number}'/></disk>"
        mark = f"<domaincheckpoint><name>c{number}</name></domaincheckpoint>"
        it.tell(maybe={f"backup{number}": it.now if number == 1 else []})
        await it.engine.begin_backup("bare", f"<domainbackup>{since}<disks>{target}</disks></domainbackup>", mark)

        async def ended(number: int = number) -> bool:
            jobs = [job for job in await it.engine.jobs("bare") if job.kind == "backup"]
            return len(jobs) == number and all(job.state == "completed" for job in jobs)

        await eventually(ended, "the backup does not end")
        it.tell(kept={**it.told.kept, f"backup{number}": it.now if number == 1 else []})
        await it.write(1, number + 2)


async def saved(it: Writer) -> None:
    """Memory saved by the engine, and used up when the guest goes on."""
    for number in (1, 2):
        await it.write(0, number)
        it.tell(saved=it.now)
        await it.engine.managed_save("bare")
        await it.engine.start("bare")
        await it.write(1, number)


WORKS: Mapping[str, Callable[[Writer], Awaitable[None]]] = {
    work.__name__: work for work in (layers, inside, memory, back, copy, merge, backup, saved)
}


@dataclass
class Rig:
    """`disk`: what loses what was not synced. All else in the place is not looked at."""

    place: Path

    @property
    def disk(self) -> Path:
        return self.place / "disk"

    @contextlib.asynccontextmanager
    async def engine(self) -> AsyncIterator[tuple[LocalEngine, Engine]]:
        """The engine of one boot."""
        subprocess.run(["rm", "-rf", self.place / "run"], check=True)
        (self.place / "run").mkdir(mode=0o711)
        paths = replace(rooted_paths(self.place), config=f"{self.disk}/config", state=f"{self.disk}/state")
        engine = await qemu_engine(Config(paths=paths, default_network=False))
        await engine.start(autostart=False)
        session = engine.session(ROOT)
        try:
            yield engine, session
        finally:
            await end_all(session)
            await engine.stop()


@pytest.fixture
def rig(place: Path) -> Rig:
    (place / "disk").mkdir(mode=0o711)
    return Rig(place)


@pytest.mark.parametrize("name", WORKS)
async def test_power_is_lost_under_a_running_guest(rig: Rig, tmp_path: Path, name: str) -> None:
    record = tmp_path / "record"
    with losing.mounted(rig.disk, record):
        (rig.disk / "images").mkdir(mode=0o711)
        first = image(rig.disk / "images/a.qcow2", REGIONS * REGION)
        async with rig.engine() as (_, session):
            await session.define(bare_xml(disk(first)))
            await session.start("bare")
            losing.begin(rig.disk)
            it = Writer(session, rig.disk)
            it.tell()
            await WORKS[name](it)
            it.tell()
    found = lost.Record.load(record)
    for left in found.by_chance(random.Random(f"{SEED} {name}"), CUTS):
        lost.lay_out(left.image, rig.disk)
        where = f"{name}: after {left.what} ({left.variant}, seed {SEED})"
        async with rig.engine() as (engine, session):
            await settled(engine)
            await end_all(session)  # one that went back may run again
            await look(rig, session, Told(**json.loads(left.mark)) if left.mark else Told(), where)


async def settled(engine: LocalEngine) -> None:
    """The books tell nobody."""
    await until(lambda: all(record.books.pending is None for record in engine.world.guests), 120)


async def look(rig: Rig, session: Engine, told: Told, where: str) -> None:
    """What the engine found, against what was told."""
    chain = sources(await session.guest_xml("bare", ["inactive"]))
    assert fits(state(chain[0]), told), f"{where}: the disk {chain} has {state(chain[0])}, not {told}"
    if (await session.guest("bare")).managed_save:
        assert state(chain[0]) == told.saved, f"{where}: the disk has {state(chain[0])}, its memory is of {told.saved}"
        assert (await session.start("bare")).reason == "restored", where
        await end_all(session)
    known = set(chain)
    for one in await session.snapshots("bare"):
        document = await session.snapshot_xml("bare", one.name)
        files = sources(document)
        known |= {*files, *(str(memory.get("file")) for memory in etree.fromstring(document).iterfind("memory"))}
        if one.name not in told.deleting:
            now = state(files[0], one.name if one.disks == "internal" else None)
            assert now == told.snapshots[one.name], f"{where}: snapshot {one.name} has {now}, not {told}"
    for name, before in (told.maybe | told.kept).items():
        path = rig.disk / "images" / name
        assert path.exists() or name not in told.kept, f"{where}: {name} is lost"
        assert not before or not path.exists() or before == state(path), (
            f"{where}: {name} has {state(path)}, not {before}"
        )
    known |= {str(rig.disk / "images" / name) for name in told.maybe | told.kept}
    there = {str(path) for path in (rig.disk / "images").iterdir()}
    assert there <= known, f"{where}: nobody knows {there - known}"
    for layer in chain:
        done = subprocess.run(["qemu-img", "check", "-q", layer], check=False, capture_output=True, text=True)
        assert done.returncode in (0, 3), f"{where}: {layer} is not sound: {done.stdout}{done.stderr}"


def sources(document: str) -> list[str]:
    """The files of the first disk, from the top down."""
    found = etree.fromstring(document).find(".//devices/disk")
    return [str(source.get("file")) for source in found.iter("source")] if found is not None else []


def state(path: Path | str, snapshot: str | None = None) -> list[int | list[int]]:
    """The byte of each region, or all the bytes of one that has several."""
    raw = f"/tmp/frontinus-test-{os.getpid()}-{time.monotonic_ns()}.raw"
    chosen = ["-l", f"snapshot.name={snapshot}"] if snapshot else []
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", *chosen, path, raw], check=True)
    try:
        data = Path(raw).read_bytes()
    finally:
        Path(raw).unlink()
    found = [sorted(set(data[at : at + REGION])) for at in range(0, REGIONS * REGION, REGION)]
    return [values[0] if len(values) == 1 else values for values in found]


def fits(found: list[int | list[int]], told: Told) -> bool:
    """Whether a disk has what was flushed; of the region that is being written any part is there."""
    if told.writing is None:
        return found in told.either
    before, after = told.either
    at = told.writing
    here = found[at] if isinstance(found[at], list) else [found[at]]
    assert isinstance(here, list)
    return found[:at] + found[at + 1 :] == before[:at] + before[at + 1 :] and {*here} <= {before[at], after[at]}
