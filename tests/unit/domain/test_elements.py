"""Every element and attribute that is documented is one that the model knows: none is kept without being understood."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from frontinus.domain.guest import Guest
from frontinus.domain.scaled import Scaled
from frontinus.xml import Kinds, Model, Size, Variants
from support.elements import DOCUMENTED

FIELDS = dict[str, set[str]]


def documented() -> Iterator[tuple[str, str]]:
    """Element and word of each entry; a word is an attribute with @, or an element with its own attributes behind it."""
    element = ""
    for line in DOCUMENTED.strip().splitlines():
        if not line.startswith("  "):
            element, _, line = line.partition(": ")
        for word in line.split():
            yield "" if element == "." else element, word


def paths(element: str, word: str) -> Iterator[str]:
    name, *attributes = word.split("@")
    place = "/".join(part for part in (element, name) if part)
    yield from (f"{place}/@{attribute}" if place else f"@{attribute}" for attribute in attributes)
    if name:
        yield place


def known(model: type[Model] = Guest, place: str = "", above: tuple[type[Model], ...] = ()) -> Iterator[str]:
    """The paths of all that a model reads, and of the elements on the way."""
    if above.count(model) > 1:
        return
    for spec in model._specs.values():
        path = "/".join(part for part in (place, spec.path.replace("qemu:", "")) if part)
        yield path
        steps = path.split("/")
        yield from ("/".join(steps[:count]) for count in range(1, len(steps)))
        if isinstance(spec.codec, Size | Scaled):
            yield from (f"{path}/@{name}" for name in spec.codec.attributes or ())
        if spec.model is not None:
            kinds = spec.model.models.values() if isinstance(spec.model, Variants | Kinds) else [spec.model]
            for kind in set(kinds):
                yield from known(kind, path, (*above, model))


@pytest.fixture(scope="module")
def understood() -> frozenset[str]:
    return frozenset(known())


def test_all_that_is_documented_is_understood(understood: frozenset[str]) -> None:
    asked = [path for element, word in documented() for path in paths(element, word)]
    assert len(asked) > 900
    assert [path for path in asked if path not in understood] == []


def test_what_nobody_knows_is_noticed(understood: frozenset[str]) -> None:
    assert not set(paths("devices/disk", "driver@nonsense")) <= understood
