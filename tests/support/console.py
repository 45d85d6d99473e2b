"""A guest's shell on its serial console: a command goes in, what it prints and its status come back."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
from types import TracebackType

from frontinus.api.engine import Engine
from guest_image import READY
from support.real_console import HEARD


class Console:
    """`async with Console(engine, "guest") as console: status, text = await console.run("ls")`."""

    def __init__(self, engine: Engine, guest: str) -> None:
        self._engine, self._guest = engine, guest
        self._numbers = itertools.count(1)
        self._text = ""

    async def __aenter__(self) -> Console:
        self._fd = await self._engine.open_console(self._guest)
        os.set_blocking(self._fd, False)
        self._more = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._fd, self._read)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def _read(self) -> None:
        try:
            self._text += os.read(self._fd, 65536).decode(errors="replace")
        except OSError:
            return
        self._more.set()

    async def ready(self, seconds: float = 240) -> None:
        """Wait until the guest is up: it says so, or its shell answers, if that was said before anybody listened."""
        asking = asyncio.get_running_loop().call_later(HEARD, self._ask)
        try:
            await self._until(rf"{re.escape(READY)}|answer-42", seconds)
        finally:
            asking.cancel()

    def _ask(self) -> None:
        os.write(self._fd, b"\necho answer-$((40+2))\n")

    async def run(self, command: str, seconds: float = 60) -> tuple[int, str]:
        """Status and output of a command."""
        number = next(self._numbers)
        self._text = ""
        os.write(self._fd, f"{command}; echo status-{number}=$?\n".encode())
        match = await self._until(rf"status-{number}=(\d+)", seconds)
        return int(match[1]), self._text[: match.start()]

    async def _until(self, pattern: str, seconds: float) -> re.Match[str]:
        try:
            async with asyncio.timeout(seconds):
                while (match := re.search(pattern, self._text)) is None:
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"no {pattern} within {seconds:g} s:\n{self._text[-3000:]}") from None
        return match
