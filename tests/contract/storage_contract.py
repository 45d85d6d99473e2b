"""What every storage host does alike, through an engine on it: pools, volumes, their jobs and events. Linux and the mock run it."""

from __future__ import annotations

import asyncio
import socket
from typing import Protocol
from xml.sax.saxutils import escape

import pytest

from frontinus.api.descriptor import Descriptor
from frontinus.api.engine import Engine
from frontinus.api.errors import (
    AlreadyExists,
    FrontinusError,
    InvalidValue,
    InvalidXML,
    NoSuchPool,
    NoSuchVolume,
    WrongState,
)
from frontinus.api.events import HostJobEvent, PoolEvent, VolumeEvent
from frontinus.api.views import Snapshot
from frontinus.engine.local import LocalEngine
from frontinus.wire.pieces import data_head, hole
from support.waiting import closing

MIB = 2**20
NAMES = ("-rf", "--help", "a b", "it's", 'qu"ote', "ünï-码", "json:{}", "nbd:a", "a,b=c", "$(id)", "%s", "x" * 255)
"""Each means something to some tool, or would if it were let through."""
UNSEEN = (".", "..", ".hidden", "lost+found", "a/b", "../a", "a\nb", "a\tb", "x" * 256, "é" * 128)
SECONDS = 60.0


class Rig(Protocol):
    """An engine with one pool `p`, running and empty, that has room for some MiB; and what is in its folder, hidden or not."""

    engine: LocalEngine
    session: Engine

    def names(self) -> list[str]: ...


def volume(name: str, kind: str = "raw", size: int = MIB, rest: str = "", allocation: int | None = 0) -> str:
    allocated = f"<allocation>{allocation}</allocation>" if allocation is not None else ""
    return (f"<volume><name>{name}</name><capacity>{size}</capacity>{allocated}"
            f"<target><format type='{kind}'/>{rest}</target></volume>")  # fmt: skip


class NamesContract:
    """What holds where a file system takes any name; those of other systems' servers do not."""

    @pytest.mark.parametrize("name", NAMES)
    async def test_any_name_is_a_name(self, rig: Rig, name: str) -> None:
        document = escape(name)
        for kind in ("qcow2", "raw"):
            made = await rig.session.create_volume("p", volume(document, kind, size=8192))
            assert made.name == name and rig.names() == [name]
            await rig.session.resize_volume("p", name, MIB)
            await rig.session.clone_volume("p", volume("copy", size=MIB), "p", name)
            await rig.session.delete_volume("p", "copy")
            if kind == "raw":
                await put(await rig.session.upload_volume("p", name), b"content")
                assert await take(await rig.session.download_volume("p", name, length=7)) == b"content"
                await rig.session.wipe_volume("p", name)
            await rig.session.delete_volume("p", name)
        assert rig.names() == []


class StorageContract:
    """Subclasses are collected by pytest and define a fixture `rig`. `folder`: what a folder is as a volume."""

    folder = "dir"

    async def test_a_volume_is_made_found_and_deleted(self, rig: Rig) -> None:
        made = await rig.session.create_volume("p", volume("a.qcow2", "qcow2"))
        assert (made.format, made.capacity, made.encrypted) == ("qcow2", MIB, False)
        for found in (await rig.session.volume("p", "a.qcow2"), await rig.session.volume_by_path(made.path),
                      await rig.session.volume_by_key(made.key)):  # fmt: skip
            assert found == made
        assert [one.name for one in await rig.session.volumes("p")] == ["a.qcow2"]
        assert "<format type='qcow2'/>" in await rig.session.volume_xml("p", "a.qcow2")
        await rig.session.delete_volume("p", "a.qcow2")
        with pytest.raises(NoSuchVolume):
            await rig.session.volume("p", "a.qcow2")
        assert rig.names() == []

    async def test_a_name_is_given_once(self, rig: Rig) -> None:
        await rig.session.create_volume("p", volume("a"))
        with pytest.raises(AlreadyExists):
            await rig.session.create_volume("p", volume("a", "qcow2"))
        assert rig.names() == ["a"]

    async def test_what_cannot_be_made_leaves_nothing(self, rig: Rig) -> None:
        for xml in (volume("a", "fat9"), volume("a", "qcow2", rest="<compat>9</compat>"), volume("../a"), "<volume/>"):
            with pytest.raises(FrontinusError):
                await rig.session.create_volume("p", xml)
        assert rig.names() == []

    async def test_content_goes_in_and_comes_out(self, rig: Rig) -> None:
        await rig.session.create_volume("p", volume("a", size=100_000))
        data = bytes(range(256)) * 200
        assert await put(await rig.session.upload_volume("p", "a", 1000), data) == b"\0"
        got = await take(await rig.session.download_volume("p", "a"))
        assert got == bytes(1000) + data + bytes(100_000 - 1000 - len(data))
        assert await take(await rig.session.download_volume("p", "a", 1001, 3)) == data[1:4]
        assert rig.names() == ["a"]

    async def test_an_upload_that_is_too_long_changes_nothing(self, rig: Rig) -> None:
        await rig.session.create_volume("p", volume("a", size=4096))
        assert await put(await rig.session.upload_volume("p", "a"), b"x" * 4096) == b"\0"
        assert await put(await rig.session.upload_volume("p", "a"), b"y" * 5000) == b""
        assert await take(await rig.session.download_volume("p", "a")) == b"x" * 4096
        assert any(job.state == "failed" and job.error for job in await rig.session.jobs())
        assert rig.names() == ["a"]

    async def test_a_clone_has_the_content_and_its_own_format(self, rig: Rig) -> None:
        await rig.session.create_volume("p", volume("a", size=MIB))
        await put(await rig.session.upload_volume("p", "a"), b"content")
        made = await rig.session.clone_volume("p", volume("b", "qcow2"), "p", "a")
        assert (made.format, made.capacity) == ("qcow2", MIB)
        assert rig.names() == ["a", "b"]
        with pytest.raises(AlreadyExists):
            await rig.session.clone_volume("p", volume("a"), "p", "b")

    async def test_no_volume_gets_a_name_that_would_not_be_seen(self, rig: Rig) -> None:
        for name in UNSEEN:
            with pytest.raises(InvalidXML, match="<name>"):
                await rig.session.create_volume("p", volume(escape(name)))
            assert rig.names() == []

    async def test_a_volume_grows_and_shrinks_only_when_told(self, rig: Rig) -> None:
        for name, kind in (("a", "raw"), ("b", "qcow2")):
            await rig.session.create_volume("p", volume(name, kind))
            await rig.session.resize_volume("p", name, 2 * MIB)
            await rig.session.resize_volume("p", name, MIB, ["delta"])
            assert (await rig.session.volume("p", name)).capacity == 3 * MIB
            with pytest.raises(InvalidValue):
                await rig.session.resize_volume("p", name, MIB)
            await rig.session.resize_volume("p", name, MIB, ["shrink"])
            assert (await rig.session.volume("p", name)).capacity == MIB

    async def test_a_wiped_volume_has_no_content(self, rig: Rig) -> None:
        await rig.session.create_volume("p", volume("a", size=8192))
        await put(await rig.session.upload_volume("p", "a"), b"secret" * 1000)
        with pytest.raises(FrontinusError):
            await rig.session.wipe_volume("p", "a", "nonsense")  # type: ignore[arg-type]
        await rig.session.wipe_volume("p", "a", "nnsa")
        assert await take(await rig.session.download_volume("p", "a")) == bytes(8192)

    async def test_holes_are_told_of_and_not_sent(self, rig: Rig) -> None:
        """Bytes on the socket, both ways; and what comes out is what went in."""
        size, data = 64 * MIB, bytes(range(1, 256)) * 4096
        for name in ("a", "b"):
            await rig.session.create_volume("p", volume(name, size=size))
        sent = b"".join((hole(MIB), data_head(len(data)), data, hole(size - MIB - len(data))))
        assert await put(await rig.session.upload_pieces("p", "a"), sent) == b"\0"
        got = await take(await rig.session.download_pieces("p", "a"))
        assert len(got) < len(data) + 2 * MIB and max(len(sent), len(got)) < size // 8
        assert await put(await rig.session.upload_pieces("p", "b"), got) == b"\0"
        for name in ("a", "b"):
            assert await take(await rig.session.download_volume("p", name)) == bytes(MIB) + data + bytes(
                size - MIB - len(data)
            )
        assert (await rig.session.volume("p", "b")).allocation <= 4 * MIB
        for broken in (data_head(4096) + b"short", hole(size + 1), b"head"):
            assert await put(await rig.session.upload_pieces("p", "b"), broken) == b""
        assert await put(await rig.session.upload_pieces("p", "b", MIB, 4096), hole(4096)) == b"\0"
        assert await take(await rig.session.download_volume("p", "b", MIB, 4097)) == bytes(4096) + data[4096:4097]

    async def test_a_folder_can_be_a_volume(self, rig: Rig) -> None:
        made = await rig.session.create_volume("p", "<volume type='dir'><name>d</name><capacity>0</capacity></volume>")
        assert made.kind == self.folder
        await rig.session.delete_volume("p", "d")
        assert rig.names() == []

    async def test_work_is_a_job_and_changes_are_news(self, rig: Rig) -> None:
        async with closing(rig.session.watch()) as news:
            first = await anext(news)
            assert isinstance(first, Snapshot)
            assert [pool.name for pool in first.pools] == ["p"]
            await rig.session.create_volume("p", volume("a", allocation=MIB))
            seen = [
                await asyncio.wait_for(anext(news), SECONDS) for _ in range(4)
            ]  # a job's end and the rest in any order
        assert [one.state for one in seen if isinstance(one, HostJobEvent)] == ["running", "completed"]
        assert [(one.volume, one.kind) for one in seen if isinstance(one, VolumeEvent)] == [("a", "created")]
        (changed,) = [one for one in seen if isinstance(one, PoolEvent)]
        assert (changed.kind, changed.pool) == ("changed", await rig.session.pool("p")), "what the pool holds since"

    async def test_a_pool_has_its_life(self, rig: Rig) -> None:
        session = rig.session
        with pytest.raises(WrongState):
            await session.undefine_pool("p")
        with pytest.raises(WrongState):
            await session.start_pool("p")
        async with closing(session.watch()) as news:
            await anext(news)
            await session.refresh_pool("p")
            await session.destroy_pool("p")
            with pytest.raises(WrongState):
                await session.volumes("p")
            await session.start_pool("p")
            await session.set_pool_autostart("p", True)
            assert (await session.pool("p")).autostart
            await session.destroy_pool("p")
            await session.delete_pool("p")
            await session.undefine_pool("p")
            kinds = [event.kind for event in [await anext(news) for _ in range(6)] if isinstance(event, PoolEvent)]
        assert kinds == ["refreshed", "stopped", "started", "changed", "stopped", "deleted"]
        with pytest.raises(NoSuchPool):
            await session.pool("p")

    async def test_two_pools_do_not_share_a_place(self, rig: Rig) -> None:
        xml = (await rig.session.pool_xml("p", inactive=True)).replace("<name>p<", "<name>q<")
        with pytest.raises(AlreadyExists):
            await rig.session.define_pool(xml)
        uuid = (await rig.session.pool("p")).uuid
        with pytest.raises(AlreadyExists):
            await rig.session.define_pool(xml.replace(uuid, "6695eb01-f6a4-8304-79aa-97f2502e193f"))

    async def test_bad_documents_are_refused_by_element(self, rig: Rig) -> None:
        with pytest.raises(InvalidXML) as refused:
            await rig.session.create_volume("p", "<volume><name>x</name><capacity unit='parsec'>1</capacity></volume>")
        assert refused.value.details["element"] == "capacity"


async def put(descriptor: Descriptor, data: bytes) -> bytes:
    """Send all and shut the side down; what comes back: a zero byte, or nothing where it failed."""
    loop = asyncio.get_running_loop()
    with socket.socket(fileno=descriptor) as sock:
        sock.setblocking(False)
        async with asyncio.timeout(SECONDS):
            try:
                await loop.sock_sendall(sock, data)
                sock.shutdown(socket.SHUT_WR)
                return await loop.sock_recv(sock, 16)
            except ConnectionError:
                return b""


async def take(descriptor: Descriptor) -> bytes:
    loop, taken = asyncio.get_running_loop(), bytearray()
    with socket.socket(fileno=descriptor) as sock:
        sock.setblocking(False)
        async with asyncio.timeout(SECONDS):
            while data := await loop.sock_recv(sock, 65536):
                taken += data
    return bytes(taken)
