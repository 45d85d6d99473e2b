"""The networks port on Linux: bridges, dnsmasq and nftables, and news of what happens to them."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from frontinus.api.errors import FrontinusError, HostFailed
from frontinus.domain.host import Paths
from frontinus.linux import hooks, inotify
from frontinus.linux.inotify import Inotify
from frontinus.linux.network import bridges, dnsmasq
from frontinus.linux.network.forwarding import Forwarding
from frontinus.linux.network.nftables import Nftables, Watch
from frontinus.network.dnsmasq import file_name
from frontinus.network.firewall import table_name
from frontinus.network.plan import NetworkPlan
from frontinus.ports.networks import HostRoute, Lease, NetworkNews, PoolDevice

log = logging.getLogger(__name__)

SETTLED = 0.1
"""Seconds after the last write to a lease file after which it is taken to be whole."""

T = TypeVar("T")


class LinuxNetworks:
    """`ports.HostNetworks` of this host. `refused`: why this engine has no networks, if so."""

    def __init__(self, paths: Paths, refused: str | None = None) -> None:
        self._paths, self._refused = paths, refused
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="networks")
        self._forwarding = Forwarding(Path(paths.run, "forwarding"))
        self._nftables: Nftables | None = None
        self._rules: Watch | None = None
        self._tables = {(family, table_name(paths)) for family in ("ip", "ip6")}
        self._news: asyncio.Queue[NetworkNews] = asyncio.Queue()
        self._servers: dict[str, int] = {}
        """Descriptors of the processes that serve, by network."""
        self._files: dict[str, str] = {}
        """Networks by the name of their lease file."""
        self._settling: dict[str, asyncio.TimerHandle] = {}
        self._inotify: Inotify | None = None
        self._told: set[str] = set()

    def refusal(self) -> str | None:
        return self._refused

    async def routes(self) -> Sequence[HostRoute]:
        return await self._run(bridges.routes)

    async def links(self) -> frozenset[str]:
        return await self._run(bridges.links)

    async def neighbours(self) -> Mapping[str, Sequence[str]]:
        return await self._run(bridges.neighbours)

    async def pool(self, device: str) -> Sequence[PoolDevice]:
        return await self._run(lambda: bridges.pool(device))

    async def hook(self, network: str, operation: str, stage: str, xml: str) -> None:
        folder = Path(self._paths.config, "hooks")
        await self._run(lambda: hooks.run(folder, "network", network, operation, stage, xml))

    # Set-up

    async def set_up(self, plan: NetworkPlan, taps: Sequence[str] = ()) -> None:
        pid = await self._run(lambda: self._set_up(plan, taps))
        self._watch_server(plan, pid)

    def _set_up(self, plan: NetworkPlan, taps: Sequence[str]) -> int | None:
        self._forwarding.need(file_name(plan.name), plan.forwards)
        if plan.bridge is not None:
            bridges.set_up(plan.bridge, taps)
        if plan.dnsmasq is not None:
            again = plan.name not in self._told
            self._told.add(plan.name)
            return dnsmasq.set_up(plan.dnsmasq, again=again)
        dnsmasq.end_all(f"{self._paths.state}/dnsmasq/{file_name(plan.name)}.conf")
        return None

    async def join(self, tap: str, bridge: str) -> None:
        await self._run(lambda: bridges.join(tap, bridge))

    async def tear_down(self, plan: NetworkPlan) -> None:
        self._forget_server(plan.name)
        await self._run(lambda: self._tear_down(plan))

    def _tear_down(self, plan: NetworkPlan) -> None:
        steps: list[Callable[[], None]] = []
        if plan.dnsmasq is not None:
            server = plan.dnsmasq
            steps += [lambda: dnsmasq.tear_down(server), lambda: dnsmasq.clean(server)]
        if plan.bridge is not None:
            bridge = plan.bridge
            steps.append(lambda: bridges.remove(bridge))
        steps.append(lambda: self._forwarding.release(file_name(plan.name)))
        for step in steps:
            try:
                step()
            except (FrontinusError, OSError) as error:
                log.error("network %s: %s", plan.name, error)

    async def forget(self, plan: NetworkPlan) -> None:
        if plan.dnsmasq is not None:
            server = plan.dnsmasq
            await self._run(lambda: dnsmasq.forget(server))

    async def sweep(self, living: Sequence[NetworkPlan]) -> None:
        names = [file_name(plan.name) for plan in living]
        await self._run(lambda: self._forwarding.keep(names))
        kept = [plan.dnsmasq for plan in living if plan.dnsmasq is not None]
        for pid in await self._run(lambda: dnsmasq.sweep(f"{self._paths.state}/dnsmasq", kept)):
            log.warning("ended the dnsmasq %d of a network that is no more", pid)

    async def guard(self, commands: Sequence[Mapping[str, Any]]) -> None:
        await self._run(lambda: self._guard(commands))

    def _guard(self, commands: Sequence[Mapping[str, Any]]) -> None:
        if self._nftables is None:
            try:
                self._nftables = Nftables()
            except HostFailed:
                if all("table" in next(iter(command.values())) for command in commands):
                    return  # what could have made no rules has none to remove
                raise
        self._nftables.apply(commands)

    async def leases(self, plan: NetworkPlan) -> Sequence[Lease]:
        if plan.dnsmasq is None:
            return []
        server = plan.dnsmasq
        return await self._run(lambda: dnsmasq.leases(server))

    # News

    async def news(self) -> AsyncIterator[NetworkNews]:
        loop = asyncio.get_running_loop()
        self._rules = Watch()
        loop.add_reader(self._rules.fileno(), self._rules_changed)
        folder = Path(self._paths.state, "dnsmasq")
        await self._run(lambda: folder.mkdir(parents=True, exist_ok=True, mode=dnsmasq.FOLDER_MODE))
        try:
            self._inotify = Inotify()
            self._inotify.watch(folder, inotify.MODIFY)
            loop.add_reader(self._inotify, self._file_changed, self._inotify)
        except OSError as error:
            log.error("new leases are not heard of: %s", error)
        while True:
            yield await self._news.get()

    def _rules_changed(self) -> None:
        """Somebody changed rules; only ours concern us, and not what we took away ourselves."""
        assert self._rules is not None
        changes = self._rules.read()
        own = self._nftables
        if changes is None or any(
            change.lost & self._tables and not (own is not None and own.is_own(change)) for change in changes
        ):
            self._news.put_nowait(NetworkNews("rules"))

    def _file_changed(self, watched: Inotify) -> None:
        """A file in dnsmasq's folder was written to: if it is a lease file, it is looked at when that has settled."""
        for change in watched.read():
            for name in self._files if change.mask & inotify.OVERFLOW else (change.name,):
                if (network := self._files.get(name)) is not None:
                    self._settle(network)

    def _settle(self, network: str) -> None:
        """Tell of a network's leases when nothing was written for a while."""
        if (timer := self._settling.pop(network, None)) is not None:
            timer.cancel()
        tell = NetworkNews("leases", network)
        self._settling[network] = asyncio.get_running_loop().call_later(SETTLED, self._news.put_nowait, tell)

    def _watch_server(self, plan: NetworkPlan, pid: int | None) -> None:
        """Know when a server ends."""
        self._forget_server(plan.name)
        if pid is None or plan.dnsmasq is None:
            return
        self._files[Path(plan.dnsmasq.leases).name] = plan.name
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._news.put_nowait(NetworkNews("dnsmasq", plan.name))
            return
        self._servers[plan.name] = fd
        asyncio.get_running_loop().add_reader(fd, self._server_ended, plan.name)

    def _server_ended(self, name: str) -> None:
        self._forget_server(name)
        self._news.put_nowait(NetworkNews("dnsmasq", name))

    def _forget_server(self, name: str) -> None:
        fd = self._servers.pop(name, None)
        if fd is not None:
            asyncio.get_running_loop().remove_reader(fd)
            os.close(fd)

    async def close(self) -> None:
        """Let go; networks stay."""
        loop = asyncio.get_running_loop()
        for name in list(self._servers):
            self._forget_server(name)
        for timer in self._settling.values():
            timer.cancel()
        if self._rules is not None:
            loop.remove_reader(self._rules.fileno())
            self._rules.close()
            self._rules = None
        if self._inotify is not None:
            loop.remove_reader(self._inotify)
            self._inotify.close()
            self._inotify = None
        self._thread.shutdown()
        if self._nftables is not None:
            self._nftables.close()
            self._nftables = None

    async def _run(self, work: Callable[[], T]) -> T:
        """In the one thread, in order, to its end: a caller that is cancelled does not stop it."""
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work))
