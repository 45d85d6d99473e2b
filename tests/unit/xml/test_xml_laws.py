"""Laws of the mapping, for every model class of the product: parse(format(x)) == x, and format is a fixed point."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from copy import deepcopy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

import frontinus.domain
import frontinus.filter
import frontinus.network
from frontinus.xml import Model, View, format_document, parse_document
from support.models import instance, value_of


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
