"""Requests of all kinds, and changes to their octets: packets that nobody should send."""

from __future__ import annotations

import random

from frontinus_snmp import ber, pdu
from frontinus_snmp.objects.vm import VM_MIB

NAMES = [
    (1, 3),
    (1, 3, 6, 1, 2, 1, 1, 1, 0),
    (*VM_MIB, 1, 2, 0),
    (1, 3, 6, 1, 2, 1, 1, 9, 1, 2, 1),
    (2, 39, *[2**32 - 1] * 100),
    (0, 0),
]
VALUES = [b"\x05\x00", b"\x02\x01\x05", b"\x02\x05\x01\0\0\0\0", b"\x04\x03abc", b"\x06\x02\x2b\x06", b"\x40\x04\x7f\0\0\1",
          b"\x41\x05\0\xff\xff\xff\xff", b"\x41\x05\1\xff\xff\xff\xff", b"\x43\x01\x05", b"\x46\x09\0" + b"\xff" * 8, b"\x44\x01x",
          b"\x80\x00", b"\x82\x00", b"\x30\x00", b"\x47\x01\x05", b"\x04\x82\x00\x03abc"]  # fmt: skip
ODD = [2**31 - 1, -(2**31), 2**31, 2**63, -(2**40), -1]


def names(chance: random.Random) -> bytes:
    """Variable bindings: mostly few, and without values."""
    count = chance.choice((0, 1, 1, 1, 2, 2, 5)) if chance.random() < 0.95 else chance.choice((60, 256, 257))
    found = b""
    for name in chance.choices(NAMES, (9, 9, 9, 9, 1, 3), k=count):
        found += ber.varbind(ber.encode_oid(name), chance.choice(VALUES) if chance.random() < 0.2 else VALUES[0])
    return found


def number(chance: random.Random) -> int:
    """Mostly what managers send."""
    return chance.choice(ODD) if chance.random() < 0.05 else chance.choice((0, 0, 1, 3, 10, 50))


def body(chance: random.Random) -> bytes:
    """A PDU, often a sound one."""
    kinds = (pdu.GET, pdu.GET_NEXT, pdu.GET_BULK, pdu.SET)
    kind = chance.choice(range(0xA0, 0xA9)) if chance.random() < 0.1 else chance.choice(kinds)
    return pdu.write_pdu(kind, chance.randrange(2**31), number(chance), number(chance), names(chance))


def mutated(data: bytes, chance: random.Random) -> bytes:
    """None to four changes: octets flipped, lost, doubled, inserted; lengths falsified."""
    changed = bytearray(data)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 4))):
        if not changed:
            break
        place = chance.randrange(len(changed))
        match chance.randrange(6):
            case 0:
                changed[place] ^= 1 << chance.randrange(8)
            case 1:
                changed[place] = chance.choice((0, 1, 0x7F, 0x80, 0x81, 0x82, 0x84, 0x88, 0xFF))
            case 2:
                del changed[place : place + chance.randint(1, 20)]
            case 3:
                changed[place:place] = chance.randbytes(chance.randint(1, 20))
            case 4:
                changed[place:place] = changed[place : place + 30]
            case _:
                del changed[place:]
    return bytes(changed)
