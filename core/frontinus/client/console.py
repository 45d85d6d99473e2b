"""A terminal on a guest's console. Ctrl-] leaves it, as in virsh."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from frontinus.api.engine import Engine

ESCAPE = b"\x1d"


async def attach(engine: Engine, guest: str, device: str | None, *, force: bool) -> None:
    """Connect standard input and output to a console until Ctrl-] or its end."""
    fd = await engine.open_console(guest, device, force)
    sys.stdout.write(f"Connected to guest '{guest}'\nEscape character is ^] (Ctrl + ])\n")
    sys.stdout.flush()
    os.set_blocking(fd, False)
    try:
        with raw_terminal():
            await _carry(fd)
    finally:
        os.close(fd)
        sys.stdout.write("\n")


@contextmanager
def raw_terminal() -> Iterator[None]:
    """The terminal without line editing, restored afterwards; nothing when standard input is none."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setraw(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


async def _carry(fd: int) -> None:
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def finish() -> None:
        if not done.done():
            done.set_result(None)

    def from_guest() -> None:
        try:
            data = os.read(fd, 4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            finish()
            return
        os.write(sys.stdout.fileno(), data)

    def from_user() -> None:
        data = os.read(sys.stdin.fileno(), 4096)
        if not data or ESCAPE in data:
            finish()
            return
        os.write(fd, data)

    loop.add_reader(fd, from_guest)
    loop.add_reader(sys.stdin.fileno(), from_user)
    try:
        await done
    finally:
        loop.remove_reader(fd)
        loop.remove_reader(sys.stdin.fileno())
