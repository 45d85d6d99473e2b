"""Objects of every model class, as hypothesis draws them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

from frontinus.domain.devices.block.disk import Verbatim
from frontinus.domain.scaled import Scaled
from frontinus.xml import Flag, Kinds, Model, Raw, Size, Variants
from frontinus.xml.mapping import Spec

GUESSES = ("a1", "1", "0", "yes", "on", "0x1", "52:54:00:12:34:56", "c7a5fdbd-edaf-9455-926a-d65c16db1809", "1.2",
           "1000Base", "/a/b", "0-3", "4.0", "256:256", "192.0.2.1", "2001:db8::1", "SYN,ACK/SYN")  # fmt: skip


CHARACTERS = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn"), exclude_characters="\ufffe\uffff")


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


def below(spec: Spec) -> list[type[Model]]:
    """The classes of the objects that a field holds."""
    if spec.model is None:
        return []
    return list(spec.model.models.values()) if isinstance(spec.model, Variants | Kinds) else [spec.model]


def alone(spec: Spec, value: object, draw: Callable[..., object]) -> object:
    """Another value of a field; what holds objects comes or goes as a whole."""
    if spec.model is not None or spec.many:
        if value:
            return [] if spec.many else None
        made = draw(instance(below(spec)[0], 1, spec.model)) if spec.model is not None else "x"
        return [made] if spec.many else made
    return draw(value_of(spec, 1))
