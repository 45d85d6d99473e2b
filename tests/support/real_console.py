"""A real guest's console: wait for words, after typing others."""

from __future__ import annotations

import asyncio
import socket

from frontinus.api.engine import Engine

SECONDS = 90.0


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
