"""Supervision of the adapters: each its own unprivileged process, restarted when it dies, more slowly when it keeps dying.

An adapter is an entry point of the group `frontinus.adapters`, whose module has `main(arguments)`; it gets the socket that
it may use. It holds no privilege: a hostile packet can crash an adapter, never a guest.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import os
import signal
import sys
from dataclasses import dataclass

from frontinus.daemon.config import Config

log = logging.getLogger(__name__)
GROUP = "frontinus.adapters"
FIRST_DELAY, LAST_DELAY = 0.5, 60.0
STEADY = 30.0
"""Seconds of life after which an adapter counts as healthy again."""


@dataclass(frozen=True)
class Adapter:
    """An installed adapter."""

    name: str
    module: str


def installed() -> list[Adapter]:
    """The adapters of this installation, by name."""
    return sorted((Adapter(entry.name, entry.module) for entry in importlib.metadata.entry_points(group=GROUP)),
                  key=lambda adapter: adapter.name)  # fmt: skip


class Supervisor:
    """Starts the chosen adapters and keeps them running."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.restarts: dict[str, int] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> list[str]:
        """Start; returns the names. A chosen adapter that is not installed is logged."""
        found = {adapter.name: adapter for adapter in installed()}
        chosen = list(found) if self.config.adapters is None else list(self.config.adapters)
        for name in [name for name in chosen if name not in found]:
            log.error("adapter '%s' is not installed", name)
        started = [found[name] for name in chosen if name in found]
        self._tasks = [asyncio.get_running_loop().create_task(self._keep(adapter)) for adapter in started]
        return [adapter.name for adapter in started]

    async def stop(self) -> None:
        """End them all and wait."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, adapter: Adapter) -> None:
        delay = FIRST_DELAY
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            code = await self._run(adapter)
            delay = FIRST_DELAY if loop.time() - began > STEADY else min(delay * 2, LAST_DELAY)
            self.restarts[adapter.name] = self.restarts.get(adapter.name, 0) + 1
            log.warning("adapter %s ended with %d; it starts again in %.1f s", adapter.name, code, delay)
            await asyncio.sleep(delay)

    async def _run(self, adapter: Adapter) -> int:
        arguments = [sys.executable, "-m", adapter.module, "--socket", str(self.config.socket),
                     "--monitor-socket", str(self.config.monitor_socket)]  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            *arguments, stdin=asyncio.subprocess.DEVNULL, env=self._environment()
        )
        try:
            return await process.wait()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(5):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
            raise

    def _environment(self) -> dict[str, str]:
        kept = ("PATH", "HOME", "LANG", "DBUS_SYSTEM_BUS_ADDRESS", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR")
        return {name: os.environ[name] for name in kept if name in os.environ}
