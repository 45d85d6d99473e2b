"""Content in pieces: holes of files are found, told of instead of sent, and made again."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontinus.api.descriptor import Descriptor
from frontinus.api.errors import StorageFailed
from frontinus.client import transfer
from frontinus.mock.engine import ROOT, mock_engine
from frontinus.sparse import layout
from frontinus.wire.pieces import Reader, data_head, hole

MIB = 2**20
PARTS = st.lists(st.one_of(st.binary(max_size=40), st.integers(1, 2**62)))


def joined(parts: list[bytes | int]) -> list[bytes | int]:
    """The same, where neither data nor holes follow each other, and nothing is empty."""
    found: list[bytes | int] = []
    for part in parts:
        if found and type(found[-1]) is type(part):
            found[-1] += part  # type: ignore[operator]
        elif part:
            found.append(part)
    return found


@given(PARTS, st.integers(1, 50))
def test_a_stream_says_the_same_however_it_is_cut(parts: list[bytes | int], cut: int) -> None:
    stream = b"".join(hole(one) if isinstance(one, int) else data_head(len(one)) + one for one in parts)
    reader = Reader()
    read = [one for at in range(0, len(stream), cut) for one in reader.feed(stream[at : at + cut])]
    assert reader.is_whole and joined(read) == joined(parts)
    if stream:
        short = Reader()
        list(short.feed(stream[:-1]))
        assert not short.is_whole


def test_the_holes_of_a_file_are_found(tmp_path: Path) -> None:
    with (tmp_path / "f").open("w+b") as file:
        file.truncate(8 * MIB)
        file.seek(2 * MIB)
        file.write(b"x" * MIB)
        file.flush()
        parts = list(layout(file.fileno(), MIB, 8 * MIB))
        if len(parts) == 1:
            pytest.skip("this file system does not tell of holes")
        assert parts == [(MIB, 2 * MIB, False), (2 * MIB, 3 * MIB, True), (3 * MIB, 8 * MIB, False)]
        assert list(layout(file.fileno(), 0, 0)) == []


async def test_the_client_sends_and_keeps_holes(tmp_path: Path) -> None:
    source, target, data = tmp_path / "source", tmp_path / "target", os.urandom(MIB)
    with source.open("wb") as file:
        file.truncate(32 * MIB)
        file.seek(4 * MIB)
        file.write(data)
    engine = await mock_engine()
    ours, theirs = socket.socketpair()
    sending = asyncio.create_task(
        transfer.upload(engine.session(ROOT), Descriptor(theirs.detach()), str(source), sparse=True)
    )
    stream = await asyncio.to_thread(read_all, ours)
    ours.sendall(b"\0")
    assert await sending == 32 * MIB and len(stream) < MIB + 4096
    ours, theirs = socket.socketpair()
    receiving = asyncio.create_task(
        transfer.download(engine.session(ROOT), Descriptor(theirs.detach()), str(target), 0, sparse=True)
    )
    await asyncio.to_thread(ours.sendall, stream)
    ours.close()
    assert await receiving == 32 * MIB
    assert target.read_bytes() == source.read_bytes() and target.stat().st_blocks * 512 <= 2 * MIB
    ours, theirs = socket.socketpair()
    ours.sendall(stream[:1000])
    ours.close()
    with pytest.raises(StorageFailed, match="ended early"):
        await transfer.download(engine.session(ROOT), Descriptor(theirs.detach()), str(target), 0, sparse=True)
    await engine.stop()


def read_all(sock: socket.socket) -> bytes:
    found = bytearray()
    while data := sock.recv(MIB):
        found += data
    return bytes(found)
