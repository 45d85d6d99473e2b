"""From text to a guest and back: the one way in for a definition."""

from __future__ import annotations

from frontinus.api.errors import InvalidXML
from frontinus.domain.cpu.model import Cpu
from frontinus.domain.guest import Guest
from frontinus.xml import DocumentError, MappingError, View, format_document, parse_document


def parse_guest(text: str | bytes, *, validate: bool = False) -> Guest:
    """Parse domain XML. Raises InvalidXML with element, line and reason; `validate` refuses what the model does not know."""
    try:
        guest = parse_document(Guest, text)
    except MappingError as error:
        raise InvalidXML(str(error), element=error.element, line=str(error.line)) from None
    except DocumentError as error:
        raise InvalidXML(str(error), line=str(error.line or 0)) from None
    if validate:
        for unknown in guest.unknown():
            kind = "attribute" if unknown.is_attribute else "element"
            raise InvalidXML(f"line {unknown.line}: unknown {kind} '{unknown.name}'", element=unknown.name,
                             line=str(unknown.line))  # fmt: skip
    return guest


def format_guest(guest: Guest, *, active: bool = False, secrets: bool = False) -> str:
    """Canonical domain XML of one view."""
    return format_document(guest, View.ACTIVE if active else View.INACTIVE, secrets=secrets)


def parse_cpu(text: str) -> Cpu | None:
    """A <cpu> by itself; None for no text. Raises InvalidXML."""
    if not text:
        return None
    try:
        return parse_document(Cpu, text)
    except (MappingError, DocumentError) as error:
        raise InvalidXML(str(error), element="cpu") from None


def format_cpu(cpu: Cpu | None) -> str:
    """A <cpu> by itself; no text for None."""
    return format_document(cpu) if cpu is not None else ""
