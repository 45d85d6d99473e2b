"""The passes of each way to wipe a volume: a repeated pattern of bytes, or random bytes (None).

Sources: NNSA policy letter NAP-14.1-C, DoD 5220.22-M section 8-306, the BSI's VS-ITR, Gutmann's and Schneier's papers,
scrub(1), whose names these are.
"""

from __future__ import annotations

from collections.abc import Mapping

from frontinus.api.errors import InvalidValue

ZERO, ONES = b"\x00", b"\xff"
_THIRDS = (b"\x92\x49\x24", b"\x49\x24\x92", b"\x24\x92\x49")
_GUTMANN = (b"\x55", b"\xaa", *_THIRDS, *(bytes([n * 0x11]) for n in range(16)), *_THIRDS,
            b"\x6d\xb6\xdb", b"\xb6\xdb\x6d", b"\xdb\x6d\xb6")  # fmt: skip

PASSES: Mapping[str, tuple[bytes | None, ...]] = {
    "zero": (ZERO,),
    "nnsa": (None, None, ZERO),
    "dod": (None, ZERO, ONES),
    "bsi": (ONES, b"\xfe", b"\xfd", b"\xfb", b"\xf7", b"\xef", b"\xdf", b"\xbf", b"\x7f"),
    "gutmann": (None,) * 4 + _GUTMANN + (None,) * 4,
    "schneier": (ZERO, ONES) + (None,) * 5,
    "pfitzner7": (None,) * 7,
    "pfitzner33": (None,) * 33,
    "random": (None,),
    "trim": (),
}
"""What is written, pass by pass; trim writes nothing and has the storage forget."""


def passes(algorithm: str) -> tuple[bytes | None, ...]:
    """Raises InvalidValue."""
    if algorithm not in PASSES:
        raise InvalidValue(f"unknown algorithm '{algorithm}': use one of {', '.join(PASSES)}", field="algorithm")
    return PASSES[algorithm]
