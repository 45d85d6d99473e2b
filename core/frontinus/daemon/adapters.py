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
import pwd
import re
import shutil
import signal
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

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
    """The adapters of this installation whose extra was installed too, by name."""
    found = {entry.name: Adapter(entry.name, entry.module) for entry in importlib.metadata.entry_points(group=GROUP)}
    return [adapter for name, adapter in sorted(found.items()) if not missing(name)]


def missing(extra: str) -> list[str]:
    """The distributions of an extra of ours that are not installed."""
    rows = importlib.metadata.requires("frontinus") or []
    marked = [row.split(";")[0] for row in rows if re.search(rf"""extra == ["']{re.escape(extra)}["']""", row)]
    names = [re.split(r"[^A-Za-z0-9._-]", row.strip())[0] for row in marked]
    return [name for name in names if not _present(name)]


def _present(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


SPEAKERS = ("dbus", "cim")
"""Adapters that pass their callers' identities on; each needs a user of its own, frontinus-NAME, to be trusted with that."""


def speakers() -> frozenset[int]:
    """The users that may speak for others: a hole in another adapter then gains nothing."""
    return frozenset(user.pw_uid for name in SPEAKERS if (user := find_user(f"frontinus-{name}")))


def confinement(config: Config, name: str = "") -> list[str]:
    """The words before an adapter's command: it dies with us, and as root's child it is an ordinary user without
    capabilities. Where the interpreter cannot be reached by such a user, it stays root, and that is said."""
    tool = shutil.which("setpriv")
    if tool is None:
        log.warning("setpriv (util-linux) is missing: adapters have the engine's own rights")
        return []
    words = [tool, "--pdeathsig", "TERM", "--no-new-privs"]
    if os.getuid() != 0:
        return words
    candidates = (f"frontinus-{name}", config.adapter_user, "nobody")
    user = next((entry for candidate in candidates if (entry := find_user(candidate))), None)
    if user is None or not _reachable(sys.executable):
        log.warning("adapters run as root: there is no user for them, or none may run %s", sys.executable)
        return words
    return [*words, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups", "--inh-caps=-all",
            "--bounding-set=-all"]  # fmt: skip


def find_user(name: str) -> pwd.struct_passwd | None:
    """A user of this host, if there is one by that name."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _reachable(program: str) -> bool:
    """Whether any user may run a program: it, what it links to, and the folders on the way."""
    real = Path(program).resolve()
    on_the_way = {*Path(program).absolute().parents, *real.parents, *Path(__file__).resolve().parents}
    return all(path.stat().st_mode & stat.S_IXOTH for path in (*on_the_way, real))


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

    def command(self, adapter: Adapter) -> list[str]:
        """What an adapter's process is started with."""
        return [*confinement(self.config, adapter.name), sys.executable, "-m", adapter.module, "--socket", str(self.config.socket),
                "--monitor-socket", str(self.config.monitor_socket),
                *self.config.adapter_arguments.get(adapter.name, ())]  # fmt: skip

    async def _keep(self, adapter: Adapter) -> None:
        delay = FIRST_DELAY
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            how = await self._run(adapter)
            delay = FIRST_DELAY if loop.time() - began > STEADY else min(delay * 2, LAST_DELAY)
            self.restarts[adapter.name] = self.restarts.get(adapter.name, 0) + 1
            log.warning("adapter %s %s; it starts again in %.1f s", adapter.name, how, delay)
            await asyncio.sleep(delay)

    async def _run(self, adapter: Adapter) -> str:
        """Run it to its end; how that came."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self.command(adapter),
                stdin=asyncio.subprocess.DEVNULL,
                env=self._environment(),
                start_new_session=True,
            )
        except OSError as error:
            return f"could not be started: {error}"
        try:
            return f"ended with {await process.wait()}"
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
