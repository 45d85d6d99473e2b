"""The engine killed in the middle of work on volumes: at its next start all of it is finished or undone, no image is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import subprocess
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest

from contract.storage_contract import put, volume
from frontinus.api.engine import Engine
from frontinus.api.errors import FrontinusError
from frontinus.api.events import HostJobEvent
from frontinus.engine.storage.storagework import Work
from support import traces
from support.waiting import until
from trial import Daemon

pytestmark = pytest.mark.needs("root", "qemu-img")

MIB = 2**20
DEADLINE = 60.0


async def prepared(engine: Engine, place: Path) -> Path:
    """A running pool with a volume `big`, some of whose content is random."""
    folder = place / "images"
    await engine.define_pool(f"<pool type='dir'><name>p</name><target><path>{folder}</path></target></pool>")
    await engine.start_pool("p", build=[])
    await engine.create_volume("p", volume("big", size=192 * MIB))
    with (folder / "big").open("r+b") as file:
        for n in range(0, 192, 4):
            file.seek(n * MIB)
            file.write(os.urandom(3 * MIB))
    return folder


async def killed_during(daemon: Daemon, kind: str, call: str, *words: object, within: float = 0.15) -> None:
    """Kill the engine as soon as it says that the job of this kind runs, or up to `within` seconds later."""
    async with daemon.engine() as engine, aclosing(engine.watch()) as news:
        await anext(news)
        task = asyncio.ensure_future(getattr(engine, call)(*words))
        async with asyncio.timeout(DEADLINE):
            async for event in news:
                if isinstance(event, HostJobEvent) and event.kind == kind and event.state == "running":
                    break
        await asyncio.sleep(random.uniform(0, within))  # some way into it, wherever that is
        await daemon.kill()
        with contextlib.suppress(FrontinusError):
            await task
    await daemon.start()


async def whole(daemon: Daemon, folder: Path) -> list[str]:
    """What is there after a start: only volumes, all of them listed and sound, and a journal with nothing in it."""
    async with daemon.engine() as engine:
        listed = [one.name for one in await engine.volumes("p")]
        assert sorted(path.name for path in folder.iterdir()) == listed
        for one in await engine.volumes("p"):
            if one.format == "qcow2":
                command = ["qemu-img", "check", "-f", "qcow2", one.path]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stdout + done.stderr + daemon.log[-3000:]
    assert not list((daemon.folder / "state/volume-work").glob("*.json")), daemon.log[-3000:]
    return listed


async def test_a_clone_is_whole_or_not_there(daemon: Daemon, place: Path) -> None:
    async with daemon.engine() as engine:
        folder = await prepared(engine, place)
    before = (folder / "big").read_bytes()
    for number in range(4):
        await killed_during(daemon, "clone", "clone_volume", "p", volume(f"copy{number}", "qcow2"), "p", "big")
        assert f"copy{number}" not in (names := await whole(daemon, folder)) or _same(
            folder / f"copy{number}", folder / "big"
        )
        assert "big" in names
    assert (folder / "big").read_bytes() == before


def _same(copy: Path, original: Path) -> bool:
    command = ["qemu-img", "compare", "-q", "-f", "qcow2", "-F", "raw", copy, original]
    return subprocess.run(command, check=False).returncode == 0


async def test_a_wipe_that_was_begun_is_finished(daemon: Daemon, place: Path) -> None:
    async with daemon.engine() as engine:
        folder = await prepared(engine, place)
    await killed_during(daemon, "wipe", "wipe_volume", "p", "big", "zero")
    assert await whole(daemon, folder) == ["big"]
    with (folder / "big").open("rb") as file:
        assert not any(file.read(MIB)) and not any(file.read()[-MIB:])


async def test_a_resize_is_done_or_not(daemon: Daemon, place: Path) -> None:
    """In place: the data is there whatever the size is, and the image is sound."""
    async with daemon.engine() as engine:
        folder = await prepared(engine, place)
        await engine.clone_volume("p", volume("image", "qcow2"), "p", "big")
    sizes = [192 * MIB * 2**n for n in range(4)]
    for number in range(1, 4):
        await killed_during(
            daemon, "resize", "resize_volume", "p", "image", sizes[number], ["allocate"] if number == 2 else []
        )
        assert await whole(daemon, folder) == ["big", "image"]
        async with daemon.engine() as engine:
            assert (await engine.volume("p", "image")).capacity in sizes[: number + 1]
        assert _starts_alike(folder / "image", folder / "big")


async def test_a_tool_that_has_not_let_go_of_an_image_is_waited_for(daemon: Daemon, place: Path) -> None:
    """As one that was killed in its last write, which the next engine cannot see any more; here it is a stranger's."""
    async with daemon.engine() as engine:
        await engine.define_pool(f"<pool type='dir'><name>p</name><target><path>{place}/images</path></target></pool>")
        await engine.start_pool("p", build=[])
        path = (await engine.create_volume("p", volume("image", "qcow2", size=4 * MIB))).path
        document, pool = await engine.volume_xml("p", "image"), (await engine.pool("p")).uuid
    await daemon.stop()
    work = Work(what="resize", pool=pool, xml=document, path=path)
    (place / "state/volume-work" / f"{'0' * 32}.json").write_bytes(msgspec.json.encode(work))
    pipe = asyncio.subprocess.PIPE
    holder = await asyncio.create_subprocess_exec("qemu-io", "-f", "qcow2", path, stdin=pipe, stdout=pipe)
    assert holder.stdin is not None and holder.stdout is not None
    assert await holder.stdout.readexactly(8) == b"qemu-io>", "it has not opened the image"
    starting = asyncio.create_task(daemon.start())
    await until(lambda: "waits until its image is let go of" in daemon.log)
    holder.stdin.close()
    await holder.communicate()
    await starting
    assert await whole(daemon, place / "images") == ["image"]


def _starts_alike(image: Path, original: Path) -> bool:
    """What is beyond the end of the one is nothing in the other."""
    command = ["qemu-img", "compare", "-q", "-f", "qcow2", "-F", "raw", image, original]
    return subprocess.run(command, check=False).returncode == 0


@pytest.mark.needs("cryptsetup")
async def test_a_volume_opens_by_one_secret_after_any_change_of_it(daemon: Daemon, place: Path) -> None:
    keys, uuids, path = (b"the first one", b"the second one"), [], place / "images/safe"
    async with daemon.engine() as engine:
        await engine.define_pool(f"<pool type='dir'><name>p</name><target><path>{place}/images</path></target></pool>")
        await engine.start_pool("p", build=[])
        with path.open("wb") as file:
            file.truncate(4 * MIB)
        quick = ["--batch-mode", "--type", "luks1", "--pbkdf-force-iterations", "1000", "--key-file", "-"]
        subprocess.run(["cryptsetup", "luksFormat", *quick, path], input=keys[0], check=True)
        for use, key in zip((str(path), "other"), keys, strict=True):
            made = await engine.define_secret(f"<secret><usage type='volume'><volume>{use}</volume></usage></secret>")
            await engine.set_secret_value(made.uuid, key)
            uuids.append(made.uuid)
        await engine.refresh_pool("p")
    for number, moment in ((1, 0.2), (0, 1.5), (1, 3.0)):
        await killed_during(daemon, "rekey", "set_volume_secret", "p", "safe", uuids[number], within=moment)
        assert await whole(daemon, path.parent) == ["safe"]
        async with daemon.engine() as engine:
            document = await engine.volume_xml("p", "safe")
        noted = uuids.index(document.partition("type='passphrase' uuid='")[2][:36]) if "uuid='" in document else 0
        assert [_opens(path, key) for key in keys] == [noted == 0, noted == 1]


def _opens(path: Path, key: bytes) -> bool:
    command = ["cryptsetup", "open", "--test-passphrase", "--type", "luks1", "--key-file", "-", path]
    return subprocess.run(command, input=key, check=False, capture_output=True).returncode == 0


async def test_an_upload_that_breaks_off_changes_nothing(daemon: Daemon, place: Path) -> None:
    async with daemon.engine() as engine:
        folder = await prepared(engine, place)
        before = (folder / "big").read_bytes()
        descriptor = await engine.upload_volume("p", "big")
        with socket.socket(fileno=descriptor) as sock:
            await asyncio.to_thread(sock.sendall, b"x" * 8 * MIB)
            await daemon.kill()
    await daemon.start()
    assert await whole(daemon, folder) == ["big"]
    assert (folder / "big").read_bytes() == before
    async with daemon.engine() as engine:  # and the next one is not hindered
        assert await put(await engine.upload_volume("p", "big"), b"new") == b"\0"
    assert (folder / "big").read_bytes()[:6] == b"new" + before[3:6]


async def test_an_active_pool_is_found_again_and_a_lost_one_is_not(daemon: Daemon, place: Path) -> None:
    async with daemon.engine() as engine:
        await prepared(engine, place)
        await engine.create_pool(
            f"<pool type='dir'><name>t</name><target><path>{place}/t</path></target></pool>", build=[]
        )
        secret = await engine.define_secret("<secret><usage type='tls'><name>n</name></usage></secret>")
        await engine.set_secret_value(secret.uuid, b"kept")
        passing = await engine.define_secret(
            "<secret ephemeral='yes'><usage type='tls'><name>m</name></usage></secret>"
        )
        await engine.set_secret_value(passing.uuid, b"passing")
    await daemon.kill()
    (place / "t").rmdir()
    await daemon.start()
    async with daemon.engine() as engine:
        assert [(pool.name, pool.state) for pool in await engine.pools()] == [("p", "running")]
        assert [one.name for one in await engine.volumes("p")] == ["big"]
        assert [one.uuid for one in await engine.secrets()] == [secret.uuid]
        assert await engine.secret_value(secret.uuid) == b"kept"
    for path in traces.files(place):
        with contextlib.suppress(FileNotFoundError):
            assert not path.is_file() or b"passing" not in path.read_bytes()
