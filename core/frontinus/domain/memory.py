"""How the guest's memory is backed: the <memoryBacking> element."""

from __future__ import annotations

from frontinus.domain.scaled import Scaled
from frontinus.xml import Flag, Model, many, one, xml
from frontinus.xml.codecs import CpuSet, integer, one_of


class HugePage(Model, tag="page"):
    """A page size (bytes) for all memory, or for the guest nodes in `nodes`."""

    size: int = xml("", Scaled("size"))
    nodes: tuple[int, ...] | None = xml("@nodeset", CpuSet)


class HugePages(Model, tag="hugepages"):
    """Huge pages wanted; without sizes, the host's default."""

    pages: list[HugePage] = many("page", HugePage)

    def size_for(self, node: int | None) -> int | None:
        """The page size of one guest node (None: of the guest without nodes), None where no <page> says it."""
        for page in self.pages:
            if page.nodes is not None and node in page.nodes:
                return page.size
        general = [page.size for page in self.pages if not page.nodes]
        return general[0] if general else None

    def names(self, node: int | None) -> bool:
        """Whether a <page> names this node itself."""
        return any(node in (page.nodes or ()) for page in self.pages)

    def applies_to(self, node: int | None) -> bool:
        """Whether this node's memory is in huge pages at all."""
        return not self.pages or self.size_for(node) is not None


class MemoryBacking(Model, tag="memoryBacking"):
    """Pages, locking, sharing and allocation of guest memory."""

    hugepages: HugePages | None = one("hugepages", HugePages)
    no_share_pages: bool = xml("nosharepages", Flag)
    locked: bool = xml("locked", Flag)
    source: str | None = xml("source/@type", one_of("file", "anonymous", "memfd"))
    access: str | None = xml("access/@mode", one_of("shared", "private"))
    allocation: str | None = xml("allocation/@mode", one_of("immediate", "ondemand"))
    allocation_threads: int | None = xml("allocation/@threads", integer(1, 2**31 - 1))
    discard: bool = xml("discard", Flag)
