"""Golden pairs: a document, the definition that it becomes, and the command line of its start."""

from __future__ import annotations

from typing import Any

import pytest

from frontinus.domain.complete import complete
from frontinus.domain.definition import format_guest, parse_guest
from frontinus.domain.prepare import prepare
from frontinus.qemu.plan import launch_plan
from support.guests import GUESTS, host, qemu72

NAMES = sorted(path.stem for path in GUESTS.glob("*.xml") if not path.stem.endswith(".defined"))


def lines(argv: tuple[str, ...]) -> str:
    """The command line with an option and its value on a line of their own."""
    text = argv[0]
    for word in argv[1:]:
        text += f"\n{word}" if word.startswith("-") and word != "-" else f" {word}"
    return text + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_guest(name: str, golden: Any) -> None:
    facts, caps = host(), qemu72()
    defined = complete(parse_guest((GUESTS / f"{name}.xml").read_bytes()), caps, facts)
    golden(f"guests/{name}.defined.xml", format_guest(defined))
    live = prepare(defined, caps, facts, guest_id=1)
    golden(f"guests/{name}.argv", lines(launch_plan(live, caps, facts).argv))


@pytest.mark.parametrize("name", NAMES)
def test_a_definition_is_its_own_canonical_form(name: str) -> None:
    text = (GUESTS / f"{name}.defined.xml").read_text()
    again = complete(parse_guest(text), qemu72(), host())
    assert format_guest(again) == text


def test_there_are_pairs() -> None:
    assert len(NAMES) >= 6
