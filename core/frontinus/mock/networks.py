"""Virtual networks in memory: remembers what is up, so that a test can ask, and tells what a test makes happen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from frontinus.api.errors import HostFailed
from frontinus.network.plan import NetworkPlan
from frontinus.ports.networks import HostRoute, Lease, NetworkNews, PoolDevice


class MemoryNetworks:
    """`up`: plans of what is set up, by name. `failing`: operations that are to fail, once each."""

    def __init__(self, refused: str | None = None) -> None:
        self.refused = refused
        self.up: dict[str, NetworkPlan] = {}
        self.taps: dict[str, Sequence[str]] = {}
        self.joined: dict[str, str] = {}
        self.rules: Sequence[Mapping[str, Any]] = ()
        self.known_routes: list[HostRoute] = []
        self.given: dict[str, list[Lease]] = {}
        self.macs: dict[str, list[str]] = {}
        self.pools: dict[str, list[PoolDevice]] = {}
        self.hooks: list[tuple[str, str, str]] = []
        self.failing: set[str] = set()
        self._news: asyncio.Queue[NetworkNews] = asyncio.Queue()

    def happen(self, news: NetworkNews) -> None:
        """Make something happen."""
        self._news.put_nowait(news)

    def _may_fail(self, operation: str) -> None:
        if operation in self.failing:
            self.failing.discard(operation)
            raise HostFailed(f"the mock was told to fail at {operation}", what=operation)

    def refusal(self) -> str | None:
        return self.refused

    async def routes(self) -> Sequence[HostRoute]:
        return list(self.known_routes)

    async def links(self) -> frozenset[str]:
        return frozenset(plan.bridge.name for plan in self.up.values() if plan.bridge)

    async def set_up(self, plan: NetworkPlan, taps: Sequence[str] = ()) -> None:
        self._may_fail("set_up")
        self.up[plan.name] = plan
        self.taps[plan.name] = taps

    async def join(self, tap: str, bridge: str) -> None:
        self._may_fail("join")
        self.joined[tap] = bridge

    async def tear_down(self, plan: NetworkPlan) -> None:
        self.up.pop(plan.name, None)
        self.taps.pop(plan.name, None)

    async def forget(self, plan: NetworkPlan) -> None:
        self.given.pop(plan.name, None)

    async def guard(self, commands: Sequence[Mapping[str, Any]]) -> None:
        self._may_fail("guard")
        self.rules = commands

    async def sweep(self, living: Sequence[NetworkPlan]) -> None:
        names = {plan.name for plan in living}
        self.up = {name: plan for name, plan in self.up.items() if name in names}

    async def leases(self, plan: NetworkPlan) -> Sequence[Lease]:
        return list(self.given.get(plan.name, ()))

    async def neighbours(self) -> Mapping[str, Sequence[str]]:
        return self.macs

    async def pool(self, device: str) -> Sequence[PoolDevice]:
        return self.pools.get(device, [])

    async def hook(self, network: str, operation: str, stage: str, xml: str) -> None:
        self._may_fail(f"hook {operation}")
        self.hooks.append((network, operation, stage))

    async def news(self) -> AsyncIterator[NetworkNews]:
        while True:
            yield await self._news.get()

    async def close(self) -> None:
        return None
