"""The engine killed while the QEMU of a running guest changes the passphrases of its disk: one opens it in the end, and the guest
never loses it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import struct
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import FrontinusError
from support import traces
from support.disks import bare_xml
from support.qmp import ask
from support.waiting import eventually, until
from trial import Daemon

pytestmark = pytest.mark.needs("root", "qemu-img", "cryptsetup")

MIB = 2**20
KEYS = (b"the first one", b"the second one")
SECONDS = 90.0
SLOT, SLOTS, ACTIVE = ">I44x", 208, 0x00AC71F3
"""Where a LUKS1 header has its first key slot (on-disk format 1.2.3, table 1), and the mark of one that is in use."""
NOTE = "trusted.frontinus.secret"


def slots(path: Path) -> tuple[bool, ...]:
    """Which of the first two slots hold a passphrase."""
    head = path.read_bytes()[:592]
    return tuple(mark == ACTIVE for (mark,) in list(struct.iter_unpack(SLOT, head[SLOTS : SLOTS + 96])))


def noted(path: Path, uuid: str) -> bool:
    try:
        return os.getxattr(path, NOTE) == f"uuid:{uuid}".encode()
    except OSError:
        return False


def journal(root: Path) -> list[Path]:
    """What a daemon has noted of changes under way."""
    return list((root / "state/volume-work").glob("*.json"))


Moment = Callable[[Path, Path, str], bool]
"""Whether it is there: by the image, the daemon's folder and the new secret."""
MOMENTS: Mapping[str, Moment] = {
    "it is in the journal": lambda image, root, uuid: bool(journal(root)),
    "the new one is added": lambda image, root, uuid: all(slots(image)),
    "it is noted": lambda image, root, uuid: noted(image, uuid),
    "the guest's definition names it": lambda image, root, uuid: any(
        uuid in path.read_text() for path in (root / "config/guests").glob("*.xml")
    ),
    "the old one is erased": lambda image, root, uuid: noted(image, uuid) and sum(slots(image)) == 1,
}


def opens(path: Path, key: bytes) -> bool:
    command = ["cryptsetup", "open", "--test-passphrase", "--type", "luks1", "--key-file", "-", path]
    return subprocess.run(command, input=key, check=False, capture_output=True).returncode == 0


async def prepared(engine: Engine, place: Path) -> tuple[Path, list[str]]:
    """A guest that runs on a volume `safe`, opened by the first of two secrets."""
    path, uuids = place / "images/safe", []
    await engine.define_pool(f"<pool type='dir'><name>p</name><target><path>{place}/images</path></target></pool>")
    await engine.start_pool("p", build=[])
    with path.open("wb") as file:
        file.truncate(4 * MIB)
    quick = ["--batch-mode", "--type", "luks1", "--pbkdf-force-iterations", "1000", "--key-file", "-"]
    subprocess.run(["cryptsetup", "luksFormat", *quick, path], input=KEYS[0], check=True)
    for use, key in zip(("one", "other"), KEYS, strict=True):
        made = await engine.define_secret(f"<secret><usage type='volume'><volume>{use}</volume></usage></secret>")
        await engine.set_secret_value(made.uuid, key)
        uuids.append(made.uuid)
    os.setxattr(path, NOTE, f"uuid:{uuids[0]}".encode())
    await engine.refresh_pool("p")
    opened = f"<encryption format='luks'><secret type='passphrase' uuid='{uuids[0]}'/></encryption>"
    disk = f"<source file='{path}'>{opened}</source><target dev='vda' bus='virtio'/>"
    await engine.define(bare_xml(f"<disk type='file' device='disk'><driver name='qemu' type='raw'/>{disk}</disk>"))
    await engine.start("bare")
    return path, uuids


async def killed_at(daemon: Daemon, moment: Moment, image: Path, uuid: str) -> bool:
    """Have the volume get another secret, and kill the engine at this moment, or as soon after it as this process runs: what is
    noted by then tells whether the volume gets the new secret or keeps its old one."""
    async with daemon.engine() as engine:
        task = asyncio.ensure_future(engine.set_volume_secret("p", "safe", uuid))
        await until(lambda: moment(image, daemon.folder, uuid) or task.done(), SECONDS)
        await daemon.kill()
        with contextlib.suppress(FrontinusError):
            await task
    return noted(image, uuid)


async def settled(daemon: Daemon, image: Path, uuids: list[str]) -> int:
    """Which of the secrets opens the volume when all is done: it alone, and whoever needs it knows."""

    await until(lambda: not journal(daemon.folder), SECONDS)
    which = [opens(image, key) for key in KEYS]
    assert sum(which) == 1, (which, daemon.log[-3000:])
    number = which.index(True)
    async with daemon.engine() as engine:
        assert uuids[number] in await engine.volume_xml("p", "safe")
        for flags in ((), ("inactive",)):
            document = await engine.guest_xml("bare", flags)
            assert uuids[number] in document and uuids[1 - number] not in document, document
    return number


async def runs_on_it(engine: Engine) -> None:
    """The guest's QEMU goes on, and has no passphrase or job left over."""
    assert (await engine.guest("bare")).state == "running"
    for command in ("query-jobs", "query-block-jobs"):
        assert await ask(engine, "bare", command) == []
    objects = {one["name"] for one in await ask(engine, "bare", "qom-list", path="/objects")}
    assert not any("added-secret" in name or "erased-secret" in name for name in objects), objects


async def test_the_engine_dies_at_each_moment(daemon: Daemon, place: Path) -> None:
    """One change after the other, so that each shows as well that the one before left a QEMU that opens the disk."""
    async with daemon.engine() as engine:
        image, uuids = await prepared(engine, place)
    now = 0
    for name, moment in MOMENTS.items():
        done = await killed_at(daemon, moment, image, uuids[1 - now])
        await daemon.start()
        assert await settled(daemon, image, uuids) == (1 - now if done else now), name
        now = 1 - now if done else now
        async with daemon.engine() as engine:
            await runs_on_it(engine)
    async with daemon.engine() as engine:
        await engine.destroy("bare")
        await engine.start("bare")


async def test_a_qemu_that_does_not_answer_the_next_engine_is_waited_for(daemon: Daemon, place: Path) -> None:
    """As one that derives a key for the engine that died: it has the volume open, so that no tool can settle the change."""
    async with daemon.engine() as engine:
        image, uuids = await prepared(engine, place)
    qemu = traces.qemu(place)
    done = await killed_at(daemon, MOMENTS["it is in the journal"], image, uuids[1])
    unsettled = bool(journal(place))
    os.kill(qemu, signal.SIGSTOP)
    try:
        await daemon.start()
    finally:
        os.kill(qemu, signal.SIGCONT)
    assert ("waits for a guest that does not answer" in daemon.log) is unsettled
    assert await settled(daemon, image, uuids) == int(done)
    async with daemon.engine() as engine:
        await runs_on_it(engine)


@pytest.mark.parametrize("name", ["the new one is added", "it is noted"])
async def test_the_engine_and_qemu_die(name: str, daemon: Daemon, place: Path) -> None:
    """As when the host loses power: the tool finishes what the guest's QEMU had begun."""
    async with daemon.engine() as engine:
        image, uuids = await prepared(engine, place)
    qemu = traces.qemu(place)
    done = await killed_at(daemon, MOMENTS[name], image, uuids[1])
    os.kill(qemu, signal.SIGKILL)
    await daemon.start()
    assert await settled(daemon, image, uuids) == int(done)
    async with daemon.engine() as engine:

        async def ended() -> bool:
            return not (await engine.guest("bare")).active

        await eventually(ended, "the guest does not end")
        await engine.start("bare")
