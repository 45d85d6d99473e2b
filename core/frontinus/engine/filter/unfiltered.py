"""A host where no NIC can be filtered: what an engine has that was given no better."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from frontinus.api.errors import Unsupported
from frontinus.filter.instance import Filtered
from frontinus.ports.firewall import Heard


class Unfiltered:
    """`ports.Firewall` that refuses."""

    def listen(self, heard: Heard) -> None:
        return None

    async def put(self, nics: Mapping[str, Filtered]) -> None:
        if nics:
            raise Unsupported("this host cannot filter what guests send")

    async def drop(self, links: Iterable[str]) -> None:
        return None

    async def restore(self, nics: Mapping[str, Filtered], keep: Iterable[str] = ()) -> None:
        await self.put(nics)

    async def close(self) -> None:
        return None
