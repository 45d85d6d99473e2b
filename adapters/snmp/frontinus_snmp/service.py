"""The agent as a service: what is configured is opened, and opened anew when the configuration or the users change."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from frontinus.client.places import Places
from frontinus.client.private import BadState
from frontinus.client.toml import BadConfig
from frontinus_snmp import settings as configuration
from frontinus_snmp import store
from frontinus_snmp.agent import Agent
from frontinus_snmp.control import Control
from frontinus_snmp.link import Link
from frontinus_snmp.manage import Manage
from frontinus_snmp.notify import Notifier
from frontinus_snmp.objects import below_master, modules
from frontinus_snmp.rows import State
from frontinus_snmp.settings import Settings
from frontinus_snmp.subagent import Subagent
from frontinus_snmp.usm import Authority, User

log = logging.getLogger(__name__)
LOOK_AGAIN = 2.0
"""Seconds between looks at the configuration and the users' file; a change of either is taken over."""


class Service:
    """One agent after another, as the configuration changes; the engine's boot is counted once."""

    def __init__(self, options: argparse.Namespace, where: Places) -> None:
        self._where = where
        self._socket: Path = options.monitor_socket
        self._watched: Sequence[Path] = ()
        self._told = False
        self._manage: Path | None = options.socket
        self._lock: int | None = None
        self._numbers: store.Numbers | None = None
        self._authority: Authority | None = None
        self._counters: Counter[str] = Counter()
        self._state = State(counters=self._counters)

    def _stamp(self) -> tuple[object, ...]:
        """What changes when something that we read is replaced."""
        found: list[object] = []
        for path in (self._where.config, self._where.state / store.USERS, *self._watched):
            try:
                status = path.stat()
                found.append((status.st_ino, status.st_mtime_ns, status.st_size))
            except OSError as error:
                found.append(error.errno)
        return tuple(found)

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            stamp = self._stamp()
            async with contextlib.AsyncExitStack() as stack:
                following = None
                try:
                    following = await self._open(stack)
                except (BadConfig, BadState, OSError) as error:
                    log.error("no port is open: %s", error)
                while self._stamp() == stamp:
                    if following is not None and following.done():
                        following.result()  # what must not happen ends the process, which is then started anew
                    await asyncio.sleep(LOOK_AGAIN)
            log.info("the configuration or the users changed")

    async def _open(self, stack: contextlib.AsyncExitStack) -> asyncio.Task[None] | None:
        """Open the ports if somebody may use them, or join the master agent; the task that keeps the tree."""
        settings = configuration.load(self._where.config)
        self._watched = [settings.folder] if settings.folder else []
        known = store.read_users(self._where.state)
        if not known and settings.v2c is None and not settings.agentx:
            log.info("no user is configured, so no port is open; add one with: frontinus-snmp adduser NAME")
            return None
        authority = self._boot(settings)
        authority.users, authority.max_size = known, settings.max_size
        configure(self._state, settings, known)
        served = below_master(settings.root) if settings.agentx else modules(settings.root, host=settings.host)
        peers = store.read_peers(self._where.state)
        notifier = await stack.enter_async_context(
            Notifier(authority, self._state, settings, self._counters, served, peers)
        )
        assert self._numbers is not None
        link = Link(self._socket, self._state, self._numbers, max_age=settings.max_age, tell=notifier.tell, modules=served,
                    pool_full=settings.pool_full)  # fmt: skip
        writes = settings.agentx_write if settings.agentx else any(user.write for user in known.values())
        manage = Manage(self._manage if writes else None)
        stack.callback(manage.close)
        control = Control(link.tree, self._counters, manage, link.shows)
        following = asyncio.create_task(link.run())
        stack.push_async_callback(ended, following)
        if settings.agentx:
            self._join(settings, link, control, notifier, stack)
        else:
            await self._listen(Agent(link, authority, settings, self._counters, control, notifier.stranger), stack)
            self._started(notifier)
        return following

    def _join(self, settings: Settings, link: Link, control: Control, notifier: Notifier,
              stack: contextlib.AsyncExitStack) -> None:  # fmt: skip
        """Become a subagent."""
        subtrees = [(module.root, module.name) for module in below_master(settings.root)]
        view = settings.view(settings.agentx_write)
        notifier.master = Subagent(settings.agentx, link, control, view, self._state, self._counters, subtrees)
        stack.push_async_callback(ended, asyncio.create_task(notifier.master.run()))

    async def _listen(self, agent: Agent, stack: contextlib.AsyncExitStack) -> None:
        """Open the ports. Raises OSError."""
        stack.push_async_callback(agent.close)
        settings, users = agent.settings, len(agent.authority.users)
        for (host, _), port in zip(settings.listen, await agent.listen(settings.listen), strict=True):
            log.info("listening on %s port %d: %d users%s", host, port, users, ", v2c" if settings.v2c else "")

    def _started(self, notifier: Notifier) -> None:
        """Tell once that the agent started, however often the configuration changes."""
        if not self._told:
            self._told = True
            notifier.cold_start()

    def _boot(self, settings: Settings) -> Authority:
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


def configure(state: State, settings: Settings, users: Mapping[bytes, User]) -> None:
    """What objects show of the configuration, and the switches as they are after a start."""
    state.contact, state.location, state.max_size = settings.contact, settings.location, settings.max_size
    state.root, state.definitions = settings.root, settings.definitions
    state.per_vm, state.bulk, state.own = settings.per_vm, settings.bulk, settings.own
    state.tell_strangers = settings.strangers
    state.users, state.settings = list(users.values()), settings


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
