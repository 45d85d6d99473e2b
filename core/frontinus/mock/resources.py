"""Host resources in memory: remembers what is set up, so that a test can ask what is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from frontinus.api.errors import HostFailed
from frontinus.domain.plan import Resource, Tap
from frontinus.mock.firewall import MemoryFirewall
from frontinus.ports import Credentials, Journal, Prepared


class MemoryResources:
    """`held` lists the undo records of all that is set up now."""

    def __init__(self, firewall: MemoryFirewall | None = None) -> None:
        self._firewall = firewall
        self.held: list[Mapping[str, object]] = []
        self._taps = 0

    async def credentials(self, guest_uuid: str) -> Credentials | None:
        return None

    async def set_up(self, resources: Sequence[Resource], who: Credentials | None, journal: Journal) -> Prepared:
        undo: list[dict[str, object]] = [{"kind": type(r).__name__, "what": repr(r)} for r in resources]
        await journal(undo)
        names = {}
        for resource in resources:
            if isinstance(resource, Tap) and resource.alias:
                names[resource.alias] = resource.name or f"vnet{self._taps}"
                self._taps += 1
                undo += await self._filter(resource, names[resource.alias])
        self.held += undo
        return Prepared(undo=undo, names=names)

    async def _filter(self, tap: Tap, link: str) -> list[dict[str, object]]:
        if tap.filter is None:
            return []
        if tap.filtered is None or self._firewall is None:
            raise HostFailed("this engine can put no filter in force", what="filter")
        await self._firewall.put({link: tap.filtered})
        return [{"kind": "filter", "name": link, "alias": tap.alias}]

    async def adjust(self, tap: Tap, journal: Journal) -> list[dict[str, object]]:
        return []

    async def tear_down(self, undo: Sequence[Mapping[str, object]]) -> None:
        for record in undo:
            if record.get("kind") == "filter" and self._firewall is not None:
                await self._firewall.drop([str(record["name"])])
            if record in self.held:
                self.held.remove(record)

    async def sweep(self, living: Sequence[str]) -> None:
        return None

    def close(self) -> None:
        return None
