"""Laws of the mapping, for every model class of the product: parse(format(x)) == x, and format is a fixed point."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

import frontinus.domain
import frontinus.filter
import frontinus.network
from frontinus.domain.devices.disk import Verbatim
from frontinus.domain.scaled import Scaled
from frontinus.xml import Flag, Kinds, Model, Raw, Size, Variants, View, format_document, parse_document
from frontinus.xml.mapping import Spec

GUESSES = ("a1", "1", "0", "yes", "on", "0x1", "52:54:00:12:34:56", "c7a5fdbd-edaf-9455-926a-d65c16db1809", "1.2",
           "1000Base", "/a/b", "0-3", "4.0", "256:256", "192.0.2.1", "2001:db8::1", "SYN,ACK/SYN")  # fmt: skip
CHARACTERS = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn"), exclude_characters="\ufffe\uffff")


def classes(root: type[Model] = Model) -> Iterator[type[Model]]:
    for tree in (frontinus.domain, frontinus.filter, frontinus.network):
        for package in pkgutil.walk_packages(tree.__path__, f"{tree.__name__}."):
            importlib.import_module(package.name)
    pending = [root]
    while pending:
        current = pending.pop()
        pending += current.__subclasses__()
        if current.tag and current.__module__.startswith("frontinus."):
            yield current


CLASSES = sorted(set(classes()), key=lambda c: (c.__module__, c.__qualname__))


def texts_of(codec: Any) -> list[str]:
    """Texts that a codec accepts: those that it lists, or those of our guesses."""
    found = []
    for text in (*codec.words, *GUESSES):
        try:
            codec.parse(text)
        except ValueError:
            continue
        found.append(text)
    return found


def value_of(spec: Spec, depth: int) -> st.SearchStrategy[Any]:
    if spec.model is not None:
        models = list(spec.model.models.values()) if isinstance(spec.model, Variants | Kinds) else [spec.model]
        return st.sampled_from(models).flatmap(lambda model: instance(model, depth - 1, spec.model))
    if spec.codec is Flag:
        return st.just(True)
    if isinstance(spec.codec, Size | Scaled):
        return st.integers(1, 2**30).map(lambda n: n * 2**20)
    if isinstance(spec.codec, Verbatim):
        return st.text(CHARACTERS, min_size=1, max_size=8)
    if spec.codec is Raw:
        return st.just(f"<{spec.path}><x>1</x></{spec.path}>")
    known = texts_of(spec.codec)
    if spec.codec.parse is str:
        return st.text(CHARACTERS, min_size=1, max_size=8).map(str.strip).filter(bool)
    return st.sampled_from(known).map(spec.codec.parse) if known else st.nothing()


@st.composite
def instance(draw: st.DrawFn, model: type[Model], depth: int = 2, chooser: Any = None) -> Model:
    """A model object with some of its fields set."""
    values: dict[str, Any] = {}
    for name, spec in model._specs.items():
        wanted = spec.required or draw(st.booleans())
        if not wanted or (spec.model is not None and depth <= 0):
            continue
        strategy = value_of(spec, depth)
        if strategy.is_empty:
            continue
        values[name] = draw(st.lists(strategy, max_size=2) if spec.many else strategy)
    for name in list(needed(model, values)):
        values[name] = draw(value_of(model._specs[name], depth))
    if isinstance(chooser, Variants):
        values |= chosen(model, chooser)
    return model(**values)


def needed(model: type[Model], values: dict[str, Any]) -> Iterator[str]:
    """Attributes without which the elements that these values make are refused."""
    for name, spec in model._specs.items():
        element = spec.path.partition("@")[0]
        if spec.needed and name not in values and any(model._specs[n].path.startswith(element) for n in values):
            yield name


def chosen(model: type[Model], chooser: Variants) -> dict[str, str]:
    """The attribute by which the reader finds this class again."""
    word = next(word for word, candidate in chooser.models.items() if candidate is model)
    field = next((n for n, spec in model._specs.items() if spec.path == f"@{chooser.attribute}"), None)
    return {field: word} if field else {}


@pytest.mark.parametrize("model", CLASSES, ids=lambda model: model.__qualname__)
def test_parse_undoes_format(model: type[Model]) -> None:
    @settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(instance(model))
    def law(value: Model) -> None:
        text = format_document(value, View.ACTIVE, secrets=True)
        again = parse_document(model, text)
        assert again == value
        assert not list(again.unknown())
        assert format_document(again, View.ACTIVE, secrets=True) == text
        assert value.clone() == value

    law()


def test_every_model_is_under_the_law() -> None:
    assert len(CLASSES) > 150


def test_every_field_is_under_the_law() -> None:
    """A field that no value can be made for would be left out without a word."""
    empty = [
        f"{m.__qualname__}.{name}" for m in CLASSES for name, spec in m._specs.items() if value_of(spec, 1).is_empty
    ]
    assert not empty


FOREIGN = etree.fromstring("<future kind='x'>a <b c='1'>d</b> e</future>")


AS_IT_IS = ("metadata", "cookie", "x")
"""Elements whose content is nobody's business: kept as text, with whatever is in them."""


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(CLASSES).flatmap(instance), st.data())
def test_what_nobody_knows_is_kept_in_its_place(value: Model, data: st.DataObject) -> None:
    """An element from the future in a document as it is stored: what is written is what was read."""
    root = etree.fromstring(format_document(value, View.ACTIVE, secrets=True))
    places = [element for element in root.iter() if len(element) and element.tag not in AS_IT_IS]
    if not places:
        return
    place = data.draw(st.sampled_from(places))
    place.insert(data.draw(st.integers(0, len(place))), deepcopy(FOREIGN))
    document = etree.tostring(root, encoding="unicode")
    read = parse_document(type(value), document)
    written = format_document(read, View.ACTIVE, secrets=True)
    assert [unknown.name for unknown in read.unknown()] == ["future"]
    assert bare(written) == bare(document)
    again = parse_document(type(value), written)
    assert again == read and format_document(again, View.ACTIVE, secrets=True) == written


def bare(document: str) -> str:
    """A document without the spaces between elements that is not ours to keep, in canonical form."""
    root = etree.fromstring(document)
    for element in root.iter():
        if len(element) and element.tag != "future" and not (element.text or "").strip():
            element.text = None
        if not (element.tail or "").strip() and not any(up.tag == "future" for up in element.iterancestors()):
            element.tail = None
    return etree.tostring(root, method="c14n").decode()
