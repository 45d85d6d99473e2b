"""A host where no guest can be limited or placed: what an engine has that was given no better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from frontinus.api.errors import Unsupported
from frontinus.api.views import GroupStats
from frontinus.domain.resctrl import Share
from frontinus.ports.limits import Controller, Setting, Shape, Threads


class Unlimited:
    """`ports.Limits` that refuses."""

    def cpus(self) -> tuple[int, ...]:
        return (0,)

    def controllers(self) -> frozenset[Controller]:
        return frozenset()

    def enter(self, group: str, pid: int) -> None:
        return None

    async def apply(self, group: str, settings: Sequence[Setting], threads: Threads) -> None:
        if settings:
            raise Unsupported(f"this host cannot limit '{settings[0].key}' of guests")

    async def allocate(self, group: str, shares: Sequence[Share], threads: Threads) -> None:
        raise Unsupported(f"<{shares[0].element}>: this host has no means for it", element=shares[0].element)

    def measured(self, group: str, vcpus: Sequence[int], what: str) -> Mapping[int, float]:
        return {}

    async def pin(self, threads: Sequence[int], cpus: Sequence[int]) -> None:
        raise Unsupported("this host cannot place guests on CPUs")

    async def schedule(self, threads: Sequence[int], policy: str, priority: int) -> None:
        raise Unsupported("this host cannot schedule the threads of guests")

    async def emulator(self, threads: Threads) -> Sequence[int]:
        return [threads.process]

    async def shape(self, link: str, inbound: Shape | None, outbound: Shape | None) -> None:
        raise Unsupported("this host cannot limit the traffic of guests")

    def figures(self, group: str) -> GroupStats | None:
        return None

    async def remove(self, group: str) -> None:
        return None

    async def sweep(self, living: Sequence[str]) -> None:
        return None
