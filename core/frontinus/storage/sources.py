"""Sources of pools that were found, as a document."""

from __future__ import annotations

from collections.abc import Sequence

from frontinus.storage.pools.base import FoundSource
from frontinus.xml import Model, format_document, many


class Sources(Model, tag="sources"):
    sources: list[FoundSource] = many("source", FoundSource)


def format_sources(found: Sequence[FoundSource]) -> str:
    return format_document(Sources(sources=list(found)))
