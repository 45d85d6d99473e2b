"""The D-Bus service among clients that are many, deaf or rude: everybody else is served."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dbus_fast import Message, MessageFlag, MessageType

from frontinus_dbus import underway
from support.bus import Rig, ask, service
from support.real import place
from support.waiting import until

__all__ = ["place"]
pytestmark = pytest.mark.needs("dbus-daemon", "root")
CLIENTS = 500
WORLD = ("org.frontinus1", "/org/frontinus1", "org.freedesktop.DBus.ObjectManager.GetManagedObjects")


@pytest.fixture
async def rig(place: Path) -> AsyncIterator[Rig]:
    async with service(place, guests=100) as rig:
        yield rig


async def test_five_hundred_clients_are_answered_and_told(rig: Rig) -> None:
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(rig.bus.client()) for _ in range(CLIENTS)]
        heard: set[int] = set()
        everyone = asyncio.Event()
        for index, client in enumerate(clients):
            client.add_message_handler(_listener(index, heard, everyone))
            await ask(client, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.AddMatch", "s",
                      "type='signal',interface='org.libvirt.Connect'")  # fmt: skip
        asked = (ask(c, "org.libvirt", rig.guest(), "org.libvirt.Domain.GetXMLDesc", "u", 0) for c in clients)
        answers = await asyncio.wait_for(asyncio.gather(*asked), 120)
        assert len({text for (text,) in answers}) == 1
        await rig.engine.suspend("test")
        await asyncio.wait_for(everyone.wait(), 120)
    assert (await rig.call("org.libvirt.Domain.GetState", "u", 0))[0][0] == 3


def _listener(index: int, heard: set[int], everyone: asyncio.Event):  # type: ignore[no-untyped-def]
    def take(message: Message) -> None:
        if message.message_type is MessageType.SIGNAL and message.member == "DomainEvent":
            heard.add(index)
            if len(heard) == CLIENTS:
                everyone.set()

    return take


async def test_who_wants_no_answers_is_bounded_all_the_same(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(underway, "OF_A_CLIENT", 50)
    going, go_on = 0, asyncio.Event()

    async def slow(guest: str, flags: object = ()) -> str:
        nonlocal going
        going += 1
        await go_on.wait()
        return "<domain/>"

    monkeypatch.setitem(rig.local._use_cases, "guest_xml", slow)
    async with rig.bus.client() as rude, rig.bus.client() as other:
        interface, member = "org.frontinus1.Guest", "Xml"
        path = (await ask(other, *WORLD[:2], "org.frontinus1.Manager.Find", "s", "test"))[0]
        for _ in range(300):
            await rude.send(Message(destination="org.frontinus1", path=path, interface=interface, member=member,
                                    signature="as", body=[[]], flags=MessageFlag.NO_REPLY_EXPECTED))  # fmt: skip
        refused = await rude.call(Message(destination="org.frontinus1", path=path, interface=interface, member=member,
                                          signature="as", body=[[]]))  # fmt: skip
        assert refused is not None and refused.error_name == "org.freedesktop.DBus.Error.LimitsExceeded"
        asked = asyncio.ensure_future(ask(other, "org.frontinus1", path, f"{interface}.{member}", "as", []))
        await until(lambda: going == 51)
        go_on.set()
        assert await asked == ["<domain/>"]


def deaf(rig: Rig, calls: int) -> socket.socket:
    """A client that listens to everything, asks for much, and never reads: its words are written in one go."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(rig.bus.folder / "bus"))
    sock.sendall(b"\0AUTH EXTERNAL " + b"0".hex().encode() + b"\r\nBEGIN\r\n")
    bus, (interface, _, member) = "org.freedesktop.DBus", WORLD[2].rpartition(".")
    to_bus = {"destination": bus, "path": "/org/freedesktop/DBus", "interface": bus}
    words = [
        Message(**to_bus, member="Hello"),
        Message(**to_bus, member="AddMatch", signature="s", body=["type='signal'"]),
        *(Message(destination=WORLD[0], path=WORLD[1], interface=interface, member=member) for _ in range(calls)),
    ]
    for serial, message in enumerate(words, 1):
        message.serial = serial
        sock.sendall(bytes(message._marshall(False)))
    return sock


async def test_who_never_reads_harms_nobody_else(rig: Rig) -> None:
    sockets = [deaf(rig, 200) for _ in range(3)]
    try:
        async with rig.bus.client() as client, asyncio.timeout(300):
            for turn in range(50):
                await (rig.engine.suspend("test") if turn % 2 == 0 else rig.engine.resume("test"))
                ((state, _),) = await ask(client, "org.libvirt", rig.guest(), "org.libvirt.Domain.GetState", "u", 0)
                assert state in (1, 3)
            (world,) = await ask(client, *WORLD)
            assert len([path for path in world if path.startswith("/org/frontinus1/guest/")]) == 101
    finally:
        for end in sockets:
            end.close()


async def test_callers_are_forgotten_when_they_go(rig: Rig) -> None:
    """A call that changes something makes the service ask the bus who calls; it must not remember everyone for ever."""
    async with rig.bus.client() as watcher:
        for _ in range(20):
            async with rig.bus.client() as client:
                await ask(client, "org.libvirt", rig.guest(), "org.libvirt.Domain.GetSecurityLabelList")
        await ask(watcher, "org.libvirt", rig.guest(), "org.libvirt.Domain.GetSecurityLabelList")
        assert rig.callers is not None
        async with asyncio.timeout(60):
            while len(rig.callers._known) > 1:
                await ask(watcher, "org.libvirt", rig.guest(), "org.libvirt.Domain.GetState", "u", 0)


async def test_garbage_for_arguments_is_refused_and_the_service_lives(rig: Rig) -> None:
    async with rig.bus.client() as client:
        for signature, body in (("s", ["x" * 2_000_000]), ("au", [[0] * 100_000]), ("a{sv}", [{}]), ("", [])):
            reply = await client.call(Message(destination="org.libvirt", path="/org/libvirt/Test/domain/" + "_" * 200,
                                              interface="org.libvirt.Domain", member="GetXMLDesc", signature=signature,
                                              body=body))  # fmt: skip
            assert reply.message_type is MessageType.ERROR
        assert await ask(client, "org.libvirt", "/org/libvirt/Test", "org.libvirt.Connect.ListDomains", "u", 0)
