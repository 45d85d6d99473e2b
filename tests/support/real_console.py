"""A real guest's console: wait for words, after typing others, or for whoever answers there."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from frontinus.api.engine import Engine
from guest_image import READY

SECONDS = 240.0
HEARD = 30.0
"""Seconds for a guest to say that it is up, before it is asked: it may have said so when nobody listened yet."""


async def expect(engine: Engine, guest: str, wanted: str, say: str = "") -> None:
    """Wait for a text on the guest's console, after typing another."""
    with socket.socket(fileno=await engine.open_console(guest)) as console:
        console.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(console, say.encode())
        text = b""
        async with asyncio.timeout(SECONDS):
            while wanted.encode() not in text:
                data = await loop.sock_recv(console, 65536)
                assert data, f"the console ended: {text[-500:]!r}"
                text += data


async def boot(engine: Engine, guest: str) -> None:
    """Wait until the guest is up: it says so on its console, or its shell answers."""
    try:
        async with asyncio.timeout(HEARD):
            await expect(engine, guest, READY)
    except TimeoutError:
        await answers(engine, guest)


async def answers(engine: Engine, guest: str) -> None:
    """Wait until the guest's shell answers. What a guest said before anybody listened is lost; this may come at any time."""
    with socket.socket(fileno=await engine.open_console(guest, force=True)) as console:
        console.setblocking(False)
        loop, text = asyncio.get_running_loop(), b""
        async with asyncio.timeout(SECONDS):
            while b"answer-42" not in text:
                await loop.sock_sendall(console, b"\necho answer-$((40+2))\n")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        while b"answer-42" not in text:
                            data = await loop.sock_recv(console, 65536)
                            assert data, f"the console ended: {text[-500:]!r}"
                            text += data
