"""Filters in memory: what is in force on which link, and addresses that a test lets be learned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from frontinus.filter.instance import Filtered
from frontinus.filter.ruleset import Abilities, Ruleset, compile_rules
from frontinus.ports.firewall import Heard


class MemoryFirewall:
    """`in_force` and `rules` by link; `kept`: links whose rules stayed as they were at the last restart."""

    def __init__(self) -> None:
        self.in_force: dict[str, Filtered] = {}
        self.rules: dict[str, Ruleset] = {}
        self.kept: set[str] = set()
        self._heard: Heard = lambda link, addresses: None

    def listen(self, heard: Heard) -> None:
        self._heard = heard

    async def put(self, nics: Mapping[str, Filtered]) -> None:
        made = {link: compile_rules(filtered.instance, link, Abilities()) for link, filtered in nics.items()}
        self.rules |= made
        self.in_force |= nics

    async def drop(self, links: Iterable[str]) -> None:
        for link in links:
            self.in_force.pop(link, None)
            self.rules.pop(link, None)

    async def restore(self, nics: Mapping[str, Filtered], keep: Iterable[str] = ()) -> None:
        self.kept = set(keep)
        await self.drop([link for link in list(self.in_force) if link not in self.kept])
        await self.put(nics)

    async def close(self) -> None:
        return None

    def learn(self, link: str, addresses: Mapping[str, float | None]) -> None:
        """As if the guest had shown these addresses."""
        self._heard(link, addresses)
