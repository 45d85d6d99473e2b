from __future__ import annotations

import array
import asyncio
import os
import socket
from pathlib import Path

import pytest

from frontinus.api.errors import HypervisorFailed, Unresponsive
from frontinus.qemu.monitor.client import Command, Monitor
from frontinus.qemu.monitor.wire import Wire
from support.monitor_peer import ok, said, session


async def test_negotiation_and_answer() -> None:
    async with session() as s:
        s.peer.answers["query-status"] = ok({"status": "running"})
        assert await s.monitor.ask(dict[str, str], "query-status") == {"status": "running"}
        assert [c["execute"] for c in s.peer.got] == ["qmp_capabilities", "query-status"]
        assert "arguments" not in s.peer.got[1]


async def test_batch_in_one_write_with_answers_out_of_order() -> None:
    async with session() as s:
        kept: list[bytes] = []
        s.peer.answers["a"] = lambda c: (kept.append(ok("A")(c)), b"")[1]
        s.peer.answers["b"] = said(b'{"id": ID, "error": {"class": "DeviceNotFound", "desc": "no b"}}')
        s.peer.answers["c"] = lambda c: ok("C")(c) + kept.pop()
        answers = await s.monitor.execute_many([Command("a"), Command("b", {"x": 1}), Command("c")])
        assert (answers[0].value(str), answers[2].value(str)) == ("A", "C")
        with pytest.raises(HypervisorFailed, match="no b") as caught:
            answers[1].value(str)
        assert caught.value.details == {"class": "DeviceNotFound", "command": "b"}
        assert s.peer.got[2]["arguments"] == {"x": 1}
        assert await s.monitor.execute_many([]) == []


async def test_events_keep_their_order_among_answers() -> None:
    async with session() as s:
        event = b'{"timestamp": {"seconds": 5, "microseconds": 250000}, "event": "%s", "data": {"n": %d}}\r\n'
        s.peer.answers["x"] = lambda c: event % (b"ONE", 1) + ok(0)(c) + event % (b"TWO", 2)
        await s.monitor.execute("x")
        s.peer.answers["y"] = lambda c: b'{"event": "BARE"}\n' + ok(0)(c)
        await s.monitor.execute("y")
        assert [(e.name, e.data, e.seconds) for e in s.events] == [
            ("ONE", {"n": 1}, 5.25), ("TWO", {"n": 2}, 5.25), ("BARE", {}, 0.0)]  # fmt: skip


async def test_deadline_of_one_batch_leaves_the_next_alone() -> None:
    async with session() as s:
        late: list[dict[str, object]] = []
        s.peer.answers["slow"] = lambda c: (late.append(c), b"")[1]
        with pytest.raises(Unresponsive, match=r"slow within 0\.05 s"):
            await s.monitor.execute_many([Command("quick"), Command("slow")], deadline=0.05)
        assert s.monitor.behind
        s.peer.answers["next"] = lambda c: ok("stale")(late[0]) + ok("fresh")(c)
        assert await s.monitor.ask(str, "next") == "fresh"
        assert not s.monitor.behind


async def test_cancelled_caller_leaves_no_trace() -> None:
    async with session() as s:
        s.peer.answers["slow"] = lambda c: b""
        task = asyncio.create_task(s.monitor.execute("slow"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not s.monitor._waiting
        await s.monitor.execute("other")


async def test_end_fails_who_waits_and_who_comes_later() -> None:
    async with session() as s:
        s.peer.answers["die"] = lambda c: (s.peer.sock.shutdown(socket.SHUT_RDWR), b"")[1]
        with pytest.raises(HypervisorFailed, match="monitor is gone") as caught:
            await asyncio.wait_for(s.monitor.execute("die"), 2)
        assert caught.value.details["class"] == "Disconnected"
        assert s.ends == ["the connection was closed"] and not s.monitor.connected
        with pytest.raises(HypervisorFailed, match="monitor is gone"):
            await s.monitor.execute("x")


async def test_closing_is_no_end() -> None:
    async with session() as s:
        s.peer.answers["slow"] = lambda c: b""
        task = asyncio.create_task(s.monitor.execute("slow"))
        await asyncio.sleep(0)
        s.monitor.close()
        with pytest.raises(HypervisorFailed):
            await task
        assert s.ends == []


async def test_nonsense_is_survived() -> None:
    async with session() as s:
        s.peer.answers["x"] = lambda c: b'nonsense\n\xff\xfe\n[]\n{"error": {"class": "G", "desc": "d"}}\n' + ok(1)(c)
        assert await s.monitor.ask(int, "x") == 1


async def test_answer_of_another_shape() -> None:
    async with session() as s:
        s.peer.answers["x"] = ok("text")
        with pytest.raises(HypervisorFailed, match="not understood"):
            await s.monitor.ask(int, "x")


async def test_descriptor_goes_with_its_command() -> None:
    async with session() as s:
        read, write = os.pipe()
        await s.monitor.execute("getfd", {"fdname": "f"}, fds=[write])
        os.close(write)
        (theirs,) = s.peer.fds
        os.write(theirs, b"hello")
        os.close(theirs)
        assert os.read(read, 10) == b"hello"
        os.close(read)


async def test_connect(tmp_path: Path) -> None:
    path = tmp_path / "monitor"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    with pytest.raises(HypervisorFailed, match="Connection refused"):
        await Monitor.connect(str(path), print, print)
    listener.listen()
    monitor = await Monitor.connect(str(path), print, print)
    with pytest.raises(Unresponsive, match=r"within 0\.05 s"):  # connected to, but nobody answers
        await monitor.negotiate(deadline=0.05)
    monitor.close()
    with pytest.raises(HypervisorFailed, match="No such file"):
        await Monitor.connect(str(tmp_path / "none"), print, print)
    listener.close()


async def test_first_commands_go_with_the_negotiation() -> None:
    async with session() as s:
        s.peer.answers["x"] = ok(5)
        (answer,) = await s.monitor.negotiate([Command("x")])
        assert answer.value(int) == 5
        s.peer.answers["qmp_capabilities"] = said(b'{"id": ID, "error": {"class": "G", "desc": "again?"}}')
        with pytest.raises(HypervisorFailed, match="again"):
            await s.monitor.negotiate()


async def test_expected_event() -> None:
    async with session() as s:
        s.peer.answers["x"] = lambda c: (
            b'{"event": "A", "data": {"n": 1}}\n{"event": "A", "data": {"n": 2}}\n' + ok(0)(c)
        )
        with s.monitor.expect(lambda e: e.data.get("n") == 2) as future:
            await s.monitor.execute("x")
            assert (await future).data == {"n": 2}
        with s.monitor.expect(lambda e: e.name == "B") as future:
            await s.monitor.execute("x")
            assert not future.done()
        assert future.cancelled() and not s.monitor._expected and len(s.events) == 4
        with s.monitor.expect(lambda e: e.name == "B") as future:
            s.peer.sock.shutdown(socket.SHUT_RDWR)
            with pytest.raises(HypervisorFailed, match="monitor is gone"):
                await asyncio.wait_for(future, 2)
        with s.monitor.expect(lambda e: True) as future, pytest.raises(HypervisorFailed):
            await asyncio.wait_for(future, 2)


async def test_long_message_arrives_and_a_longer_one_ends_it() -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    lines: asyncio.Queue[bytes] = asyncio.Queue()
    ends: asyncio.Queue[str] = asyncio.Queue()
    wire = Wire(ours, lines.put_nowait, ends.put_nowait, limit=1000_000)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(theirs, b"x" * 900_000 + b"\nshort\n")
    assert [len(await lines.get()), await lines.get()] == [900_000, b"short"]
    sending = asyncio.create_task(loop.sock_sendall(theirs, b"y" * 3000_000))
    assert "exceeds 1000000 bytes" in await ends.get() and not wire.open
    with pytest.raises(ConnectionError):
        await sending
    theirs.close()


async def test_writes_wait_for_a_slow_reader_and_keep_descriptors_beside_their_bytes() -> None:
    ours, theirs = socket.socketpair()
    wire = Wire(ours, lambda line: None, lambda reason: None)
    read, write = os.pipe()
    big = b"a" * 2_000_000
    wire.send(big)
    wire.send(b"b", [write])
    wire.send(b"c" * 10)
    os.close(write)  # the caller's once send returned
    got, fds = b"", array.array("i")
    theirs.setblocking(False)
    while len(got) < len(big) + 11:
        await asyncio.sleep(0)
        try:
            data, new, _, _ = socket.recv_fds(theirs, 100_000, 4)
        except BlockingIOError:
            continue
        if new:
            assert not got[len(big) :]
        fds.extend(new)
        got += data
    assert got == big + b"b" + b"c" * 10 and len(fds) == 1
    os.close(fds[0])
    os.close(read)
    wire.close()
    wire.send(b"into nothing")
    theirs.close()
