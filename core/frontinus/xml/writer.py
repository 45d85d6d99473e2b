"""Writing: a model object as canonical XML, what was unknown put back in its place."""

from __future__ import annotations

from enum import Enum

from lxml import etree

from frontinus.xml.mapping import NAMESPACES, Element, ElementCodec, Model, Spec, Unknown, parser, qualified, specs


class View(Enum):
    """What is written: INACTIVE leaves out what lives only while the guest runs."""

    INACTIVE = "inactive"
    ACTIVE = "active"


def format_document(model: Model, view: View = View.INACTIVE, *, secrets: bool = False) -> str:
    """The model as an indented document."""
    element = to_element(model, view, secrets=secrets)
    etree.indent(element, "  ")
    return etree.tostring(element, encoding="unicode") + "\n"


def to_element(model: Model, view: View = View.INACTIVE, *, secrets: bool = False, tag: str = "") -> Element:
    """The model as an element."""
    root = etree.Element(tag or type(model).tag, nsmap=_namespaces(model))
    for name, spec in specs(type(model)).items():
        value = getattr(model, name)
        if value is None or (spec.secret and not secrets) or (view is View.INACTIVE and _is_live(spec, value)):
            continue
        _write(root, spec, value, view, secrets)
    _put_back(root, model.kept)
    return root


def _namespaces(model: Model) -> dict[str | None, str]:
    used = {spec.path.split(":")[0] for name, spec in specs(type(model)).items()
            if ":" in spec.path and getattr(model, name) not in (None, [], False)}  # fmt: skip
    return {prefix: NAMESPACES[prefix] for prefix in used}


def _is_live(spec: Spec, value: object) -> bool:
    return spec.live(value) if callable(spec.live) else spec.live


def _write(root: Element, spec: Spec, value: object, view: View, secrets: bool) -> None:
    steps = [step for step in spec.path.split("/") if step]
    attribute = steps.pop()[1:] if steps[-1].startswith("@") else None
    if isinstance(value, list):
        if value:
            parent = _descend(root, steps[:-1])
            for item in value:
                _append(parent, steps[-1], item, spec, attribute, view, secrets)
    elif isinstance(value, Model):
        child = to_element(value, view, secrets=secrets, tag=qualified(steps[-1]))
        _descend(root, steps[:-1]).append(child)
    elif attribute is not None:
        _descend(root, steps).set(qualified(attribute), spec.codec.format(value))
    elif isinstance(spec.codec, ElementCodec):
        if value is not False:
            spec.codec.write(_descend(root, steps), value)
    else:
        _descend(root, steps).text = spec.codec.format(value)


def _append(parent: Element, step: str, item: object, spec: Spec, attribute: str | None, view: View,
            secrets: bool) -> None:  # fmt: skip
    if isinstance(item, Model):
        parent.append(to_element(item, view, secrets=secrets, tag=qualified(step)))
        return
    child = etree.SubElement(parent, qualified(step))
    if attribute is None:
        child.text = spec.codec.format(item)
    else:
        child.set(qualified(attribute), spec.codec.format(item))


def _descend(root: Element, steps: list[str]) -> Element:
    """The element at a path, made where it is missing."""
    return _descend_tags(root, tuple(qualified(step) for step in steps))


def _put_back(root: Element, kept: list[Unknown]) -> None:
    """Insert what was kept, in its order, each behind the sibling that it stood behind."""
    last: dict[tuple[tuple[str, ...], tuple[str, int] | None], Element] = {}
    for unknown in kept:
        parent = _descend_tags(root, unknown.path)
        if unknown.is_attribute:
            parent.set(unknown.name, unknown.value)
            continue
        child = etree.fromstring(unknown.value, parser())
        anchor = last.get((unknown.path, unknown.after))
        if anchor is None and unknown.after is not None:
            siblings = parent.findall(unknown.after[0])
            anchor = siblings[min(unknown.after[1], len(siblings) - 1)] if siblings else None
        parent.insert(0 if anchor is None else parent.index(anchor) + 1, child)
        last[unknown.path, unknown.after] = child


def _descend_tags(root: Element, path: tuple[str, ...]) -> Element:
    for tag in path:
        found = root.find(tag)
        root = etree.SubElement(root, tag) if found is None else found
    return root
