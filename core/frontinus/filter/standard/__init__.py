"""The filters that are there from the start, one document each, by the names that users know."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from functools import cache
from importlib import resources

from frontinus.filter.model import Filter, parse_filter

NAMESPACE = uuid.UUID("6f4bd3c5-7a0e-5d3b-9d6c-2a8f1f0c7e11")
"""Of the UUIDs of these filters: they are the same on every host."""


@cache
def standard_filters() -> Mapping[str, Filter]:
    """The standard filters by name, in the order of their names. Nobody may change them."""
    files = sorted(file.name for file in resources.files(__package__).iterdir() if file.name.endswith(".xml"))
    return {filter.name: filter for filter in map(_load, files)}


def _load(file: str) -> Filter:
    filter = parse_filter(resources.files(__package__).joinpath(file).read_bytes())
    filter.uuid = str(uuid.uuid5(NAMESPACE, filter.name))
    return filter
