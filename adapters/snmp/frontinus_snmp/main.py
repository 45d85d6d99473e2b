"""frontinus-snmp: the process. It holds no privilege; without a user or a community it opens no port and waits calmly."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from frontinus import __version__
from frontinus_snmp import settings as configuration
from frontinus_snmp import store, users
from frontinus_snmp.agent import Agent
from frontinus_snmp.control import Control
from frontinus_snmp.link import Link
from frontinus_snmp.manage import Manage
from frontinus_snmp.notify import Notifier
from frontinus_snmp.objects import modules
from frontinus_snmp.reader import BadConfig
from frontinus_snmp.rows import State
from frontinus_snmp.settings import Places
from frontinus_snmp.store import BadState
from frontinus_snmp.usm import Authority, User

log = logging.getLogger(__name__)
LOOK_AGAIN = 2.0
"""Seconds between looks at the configuration and the users' file; a change of either is taken over."""


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="frontinus-snmp", description="Serve the engine's guests over SNMP (VM-MIB).")
    parser.add_argument("--socket", type=Path, help="the manage socket, used only where a user has a write view")
    parser.add_argument("--monitor-socket", type=Path, default=Path("/run/frontinus/frontinus-ro.sock"))
    parser.add_argument("--config", type=Path, help="default: /etc/frontinus-snmp.toml for the system's engine")
    parser.add_argument("--state", type=Path, help="default: /var/lib/frontinus/snmp for the system's engine")
    parser.add_argument("--version", action="version", version=__version__)
    users.add_commands(parser)
    return parser.parse_args(given)


def places(options: argparse.Namespace) -> Places:
    found = configuration.places(options.monitor_socket)
    return Places(options.config or found.config, options.state or found.state)


def _stamp(where: Places, also: Sequence[Path] = ()) -> tuple[object, ...]:
    """What changes when a file that we read is replaced."""
    found: list[object] = []
    for path in (where.config, where.state / store.USERS, *also):
        try:
            status = path.stat()
            found.append((status.st_ino, status.st_mtime_ns, status.st_size))
        except OSError as error:
            found.append(error.errno)
    return tuple(found)


class Service:
    """One agent after another, as the configuration changes; the engine's boot is counted once."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._where = places(options)
        self._socket: Path = options.monitor_socket
        self._manage: Path | None = options.socket
        self._booted: tuple[bytes, int] | None = None
        self._lock: int | None = None
        self._numbers: store.Numbers | None = None
        self._authority: Authority | None = None
        self._counters: Counter[str] = Counter()
        self._state = State(counters=self._counters)

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            stamp = _stamp(self._where)
            async with contextlib.AsyncExitStack() as stack:
                following = None
                try:
                    following = await self._open(stack)
                except (BadConfig, BadState, OSError) as error:
                    log.error("no port is open: %s", error)
                while _stamp(self._where) == stamp:
                    if following is not None and following.done():
                        following.result()  # what must not happen ends the process, which is then started anew
                    await asyncio.sleep(LOOK_AGAIN)
            log.info("the configuration or the users changed")

    async def _open(self, stack: contextlib.AsyncExitStack) -> asyncio.Task[None] | None:
        """Open the ports if somebody may use them; the task that keeps the tree."""
        settings = configuration.load(self._where.config)
        known = store.read_users(self._where.state)
        if not known and settings.v2c is None:
            log.info("no user is configured, so no port is open; add one with: frontinus-snmp adduser NAME")
            return None
        authority = self._boot(settings)
        authority.users, authority.max_size = known, settings.max_size
        configure(self._state, settings, known)
        served = modules(settings.root, host=settings.host)
        notifier = Notifier(
            authority, self._state, settings, self._counters, served, store.read_peers(self._where.state)
        )
        await stack.enter_async_context(notifier)
        assert self._numbers is not None
        link = Link(self._socket, self._state, self._numbers, max_age=settings.max_age, tell=notifier.tell, modules=served,
                    pool_full=settings.pool_full)  # fmt: skip
        manage = Manage(self._manage if any(user.write for user in known.values()) else None)
        stack.callback(manage.close)
        control = Control(link.tree, self._counters, manage, link.shows)
        agent = Agent(link, authority, settings, self._counters, control, notifier.stranger)
        stack.push_async_callback(agent.close)
        ports = await agent.listen(settings.listen)
        following = asyncio.create_task(link.run())
        stack.push_async_callback(_ended, following)
        for (host, _), port in zip(settings.listen, ports, strict=True):
            log.info("listening on %s port %d: %d users%s", host, port, len(known), ", v2c" if settings.v2c else "")
        return following

    def _boot(self, settings: configuration.Settings) -> Authority:
        """The engine, whose boot is on disk before the first packet. Raises BadState, OSError."""
        if self._authority is None:
            self._where.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._lock is None:
                self._lock = store.lock(self._where.state)  # held until the process ends
            self._numbers = store.Numbers(self._where.state)
            engine_id, boots = store.boot(self._where.state)
            self._authority = Authority(engine_id, boots, {}, self._counters, settings.max_size)
            self._state.engine_id, self._state.boots = engine_id, boots
            self._state.started = self._authority.started
        return self._authority


def configure(state: State, settings: configuration.Settings, users: Mapping[bytes, User]) -> None:
    """What objects show of the configuration, and the switches as they are after a start."""
    state.contact, state.location, state.max_size = settings.contact, settings.location, settings.max_size
    state.root, state.definitions = settings.root, settings.definitions
    state.per_vm, state.bulk, state.own = settings.per_vm, settings.bulk, settings.own
    state.tell_strangers = settings.strangers
    state.users, state.settings = list(users.values()), settings


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def serve(options: argparse.Namespace) -> None:
    """Serve until told to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    running = asyncio.create_task(Service(options).run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if running.done():
        running.result()
    await _ended(running)


def main(given: Sequence[str] | None = None) -> int:
    """Run; the exit code."""
    options = arguments(given)
    if options.command is not None:
        return users.run(options, places(options).state)
    logging.basicConfig(level=logging.INFO, format="frontinus-snmp: %(message)s")
    asyncio.run(serve(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
