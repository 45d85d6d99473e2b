"""What the three documents share: how they are read, and the guest that they are of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar

from frontinus.api.errors import InvalidXML
from frontinus.domain.guest import TYPES, Guest
from frontinus.xml import DocumentError, MappingError, Model, Unknown, Variants, parse_document, xml
from frontinus.xml.codecs import Codec, Uuid

M = TypeVar("M", bound=Model)


class GuestReference(Model, tag="domain"):
    """A guest by its UUID alone: all that is known of a snapshot from before guests were kept in it."""

    uuid: str = xml("uuid", Uuid, required=True)


GUEST = Variants("type", {"": GuestReference, **dict.fromkeys(TYPES, Guest)}, default="")
"""A <domain> with a type is a whole definition."""


def _name(text: str) -> str:
    if not text or "/" in text or "\n" in text or text.startswith(".") or len(text) > 255:
        raise ValueError(f"'{text[:60]}' is no name: 1 to 255 characters, none of them '/', the first not '.'")
    return text


def _plain_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,254}", text):
        raise ValueError(f"'{text[:60]}' is no name: letters, digits and _-. are, the first not '.'")
    return text


def _absolute(text: str) -> str:
    if not text.startswith("/") or "\0" in text:
        raise ValueError(f"'{text[:60]}' is not an absolute path")
    return text


Name: Codec[str] = Codec(_name, str, ("snapshot",))
"""The name of a snapshot."""
PlainName: Codec[str] = Codec(_plain_name, str, ("checkpoint",))
"""The name of a checkpoint, which names bitmaps too."""
Absolute: Codec[str] = Codec(_absolute, str, ("/file",))


def parse(model: type[M], text: str | bytes) -> M:
    """A document of one kind. Raises InvalidXML."""
    try:
        return parse_document(model, text)
    except MappingError as error:
        raise InvalidXML(str(error), element=error.element, line=str(error.line)) from None
    except DocumentError as error:
        raise InvalidXML(str(error), line=str(error.line or 0)) from None


def refuse_unknown(document: Model) -> None:
    """Raises InvalidXML for the first thing that the model does not know."""
    for unknown in document.unknown():
        _refuse(unknown)


def _refuse(unknown: Unknown) -> None:
    kind = "attribute" if unknown.is_attribute else "element"
    raise InvalidXML(f"line {unknown.line}: unknown {kind} '{unknown.name}'", element=unknown.name,
                     line=str(unknown.line))  # fmt: skip


def refuse_doubles(names: Iterable[str], what: str) -> None:
    """Raises InvalidXML when a disk is named twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidXML(f"<disk>: '{name}' is named twice in the {what}", element="disk")
        seen.add(name)
