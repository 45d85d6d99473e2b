"""A real frontinusd under a folder of its own: for the demo and for tests."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from frontinus.api import Engine
from frontinus.client.remote import connect

DEADLINE = 240.0  # seconds to get ready or to stop: on a loaded machine a Python may take a minute to import it all


def program() -> list[str]:
    """frontinusd beside the Python that runs us; without one, as in the lab's VM, the module of it."""
    script = Path(sys.executable).with_name("frontinusd")
    return [str(script)] if script.exists() else [sys.executable, "-m", "frontinus.daemon.main"]


class DaemonFailed(Exception):
    """It did not get ready; the message ends with its log."""


class Daemon:
    """Start, stop and kill it as often as a test likes; its state stays in the folder."""

    def __init__(self, folder: Path, *options: str, environment: Mapping[str, str] | None = None,
                 deadline: float = DEADLINE) -> None:  # fmt: skip
        self.folder = folder
        self.deadline = deadline
        self.options = options
        self.environment = environment or {}
        self.process: asyncio.subprocess.Process | None = None

    @property
    def socket(self) -> Path:
        return self.folder / "run/frontinus.sock"

    @property
    def monitor_socket(self) -> Path:
        return self.folder / "run/frontinus-ro.sock"

    @property
    def log(self) -> str:
        return (self.folder / "frontinusd.log").read_text(errors="replace")

    async def start(self) -> None:
        """Returns when it is ready; DaemonFailed if it ends or takes too long."""
        address = self.folder / "ready"
        address.unlink(missing_ok=True)
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as ready,
            (self.folder / "frontinusd.log").open("ab") as log,
        ):
            ready.bind(str(address))
            self.process = await asyncio.create_subprocess_exec(
                *program(), "--root", str(self.folder), *self.options,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, **self.environment, "NOTIFY_SOCKET": str(address)},
            )  # fmt: skip
            told = asyncio.ensure_future(asyncio.get_running_loop().sock_recv(ready, 4096))
            ended = asyncio.ensure_future(self.process.wait())
            try:
                await asyncio.wait({told, ended}, timeout=self.deadline, return_when=asyncio.FIRST_COMPLETED)
                if not told.done():
                    await self.kill()
                    raise DaemonFailed(f"frontinusd did not get ready:\n{self.log[-4000:]}")
            finally:
                told.cancel()
                ended.cancel()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it and wait; returns its exit code. Guests run on."""
        if self.process is None:
            return 0
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), self.deadline)

    async def kill(self) -> None:
        """As a crash does it."""
        await self.stop(signal.SIGKILL)

    @asynccontextmanager
    async def engine(self, *, readonly: bool = False) -> AsyncIterator[Engine]:
        """A connection."""
        async with await connect(self.monitor_socket if readonly else self.socket) as engine:
            yield engine
