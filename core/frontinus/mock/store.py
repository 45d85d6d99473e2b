"""A state store in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from frontinus.ports import Stored


class MemoryStore:
    """Documents by kind and key; `aside` holds what was set aside, with the reason."""

    def __init__(self) -> None:
        self.documents: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self.aside: dict[str, tuple[str, str]] = {}

    async def load(self, kind: str) -> Iterable[Stored]:
        return [Stored(key, text) for key, text in self.documents[kind].items()]

    async def save(self, kind: str, key: str, text: str) -> None:
        self.documents[kind][key] = text

    async def delete(self, kind: str, key: str) -> None:
        self.documents[kind].pop(key, None)

    async def set_aside(self, kind: str, key: str, reason: str) -> str:
        place = f"{kind}/{key}.broken"
        self.aside[place] = (self.documents[kind].pop(key), reason)
        return place

    async def close(self) -> None:
        return None
