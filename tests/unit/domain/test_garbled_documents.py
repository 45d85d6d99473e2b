"""Documents with parts that are missing, doubled, moved, renamed or beyond all bounds: refused clearly, or a sound guest."""

from __future__ import annotations

import random
from copy import deepcopy

import pytest
from lxml import etree

from frontinus.api.errors import FrontinusError, InvalidXML
from frontinus.domain.complete import complete
from frontinus.domain.definition import format_guest, parse_guest
from frontinus.domain.prepare import prepare
from frontinus.qemu.plan import launch_plan
from support.guests import GUESTS, qemu72
from support.whole_guest import HOST, WHOLE

TEXTS = [WHOLE.encode(), *(path.read_bytes() for path in sorted(GUESTS.glob("*.xml")))]
VALUES = ("", "-1", "0", "4294967296", "18446744073709551616", "9" * 30, "x" * 5000, "\u00e9", "a b", ",", "0x", "yes",
          "0xffffffffffffffffff", f"-{'9' * 30}", "on", "1.5", "/", "..", "%s", "\n", "1e9", "2147483648")  # fmt: skip
SEEDS, EACH = range(8), 40


def garbled(dice: random.Random) -> bytes:
    """A document with one to three parts changed without sense."""
    root = etree.fromstring(dice.choice(TEXTS))
    for _ in range(dice.randint(1, 3)):
        elements = [element for element in root.iter(etree.Element)]
        element, other = dice.choice(elements), dice.choice(elements)
        parent, names = element.getparent(), [str(name) for name in element.attrib]
        match dice.randrange(7):
            case 0 if parent is not None:
                parent.remove(element)
            case 1 if parent is not None:
                element.addnext(deepcopy(element))
            case 2 if names:
                element.set(dice.choice(names), dice.choice(VALUES))
            case 3 if names:
                del element.attrib[dice.choice(names)]
            case 4:
                element.text = dice.choice(VALUES)
            case 5:
                other.append(deepcopy(element))
            case 6:
                element.tag = other.tag
    return etree.tostring(root)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_document_is_refused_by_name_or_made_a_guest(seed: int) -> None:
    dice, caps = random.Random(seed), qemu72()
    for _ in range(EACH):
        text = garbled(dice)
        try:
            guest = complete(parse_guest(text), caps, HOST)
            assert parse_guest(format_guest(guest, secrets=True)).uuid == guest.uuid
            launch_plan(prepare(guest, caps, HOST, guest_id=3), caps, HOST)
        except FrontinusError as error:
            named = "<" in error.message or error.details.get("element")
            assert named or "this host" in error.message, error.message


@pytest.mark.parametrize("depth", [200, 300, 50_000])
def test_a_document_of_any_depth_costs_little(depth: int) -> None:
    text = f"<domain type='kvm'><name>x</name>{'<a>' * depth}{'</a>' * depth}</domain>"
    with pytest.raises(InvalidXML):
        complete(parse_guest(text), qemu72(), HOST)
