"""Trees of named documents that know their parent: snapshots of a guest, or checkpoints. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Named(Protocol):
    """A document of a tree."""

    name: str | None
    parent: str | None


N = TypeVar("N", bound=Named)


class Tree(Generic[N]):
    """Documents by name, and which is the current one. A parent that is not there makes a root."""

    def __init__(self) -> None:
        self._nodes: dict[str, N] = {}
        self.current: str | None = None

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[N]:
        """Parents before their children, otherwise in the order in which they came."""
        return iter([node for root in self.roots() for node in self.branch(root)])

    def get(self, name: str) -> N | None:
        return self._nodes.get(name)

    def add(self, node: N) -> None:
        """Put in a document, in the place of one with the same name."""
        assert node.name
        self._nodes[node.name] = node

    def roots(self) -> list[N]:
        return [node for node in self._nodes.values() if node.parent not in self._nodes]

    def children(self, name: str) -> list[N]:
        return [node for node in self._nodes.values() if node.parent == name]

    def branch(self, node: N) -> list[N]:
        """A document and all that come of it. A ring, which no one can make by our means, ends where it began."""
        found: list[N] = []
        seen: set[str] = set()
        waiting = [node]
        while waiting:
            one = waiting.pop(0)
            if one.name in seen:
                continue
            seen.add(one.name or "")
            found.append(one)
            waiting = self.children(one.name or "") + waiting
        return found

    def is_below(self, name: str, other: str) -> bool:
        """Whether a document comes of another, or is it."""
        node = self.get(other)
        return node is not None and any(one.name == name for one in self.branch(node))

    def remove(self, name: str) -> None:
        """Take one out: its children become its parent's, which is the current one if it was."""
        node = self._nodes.pop(name)
        for child in [one for one in self._nodes.values() if one.parent == name]:
            child.parent = node.parent
        if self.current == name:
            self.current = node.parent if node.parent in self._nodes else None
