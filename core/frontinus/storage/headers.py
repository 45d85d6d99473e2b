"""What an image's first bytes say: its format, its size, what it refers to. Pure, bounded, and believed only so far.

A guest can write any header into a raw volume, so a header never decides how a volume is opened: see `trusted`. Sources:
QEMU's docs/interop/qcow2.txt, the LUKS1 on-disk format, the VHDX and VMDK specifications, ECMA-119.
"""

from __future__ import annotations

import re
import struct
from functools import lru_cache

import msgspec

HEAD = 512
"""Bytes that tell the format of all but a few."""
FAR = ((0x8001, b"CD001", "iso"),)
"""Formats whose mark is further in: offset, mark, format."""
MAX_NAME = 1023
"""Bytes of a backing file's name (qcow2.txt)."""

MARKS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"QFI\xfb", "qcow2"), (0, b"LUKS\xba\xbe", "luks"), (0, b"QED\0", "qed"), (0, b"KDMV", "vmdk"), (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"), (0, b"vhdxfile", "vhdx"), (0, b"conectix", "vpc"), (0x40, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"WithoutFreeSpace", "ploop"), (0, b"WithouFreSpacExt", "ploop"), (0, b"Bochs Virtual HD Image", "bochs"),
    (0, b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop", "cloop"), (0, b"OOOM", "cow"),
)  # fmt: skip
"""Offset and mark of each format that has one at its start."""
MARK = re.compile(b"|".join(b"(.{%d}%b)" % (at, re.escape(mark)) for at, mark, _ in MARKS), re.DOTALL)
"""The same; a group each."""
QCOW2, QCOW2_FEATURES = struct.Struct(">4xI12xIQI"), struct.Struct(">QQ12xI")
"""Version, cluster bits, size, encryption; at offset 72, from version 3: incompatible and compatible features, header's length."""

DATA_FILE, CORRUPT = 1 << 2, 1 << 1
EXTENDED_L2 = 1 << 4
LAZY_REFCOUNTS = 1 << 0
BACKING_FORMAT, DATA_FILE_NAME = 0xE2792ACA, 0x44415441
BY_MORE = frozenset({"luks"})
"""Formats of which other bytes, or the size of the file, tell something too."""
CRYPT = {1: "qcow", 2: "luks"}


class Header(msgspec.Struct, frozen=True, gc=False):
    """`capacity` in bytes, None where the header does not tell. `refers`: what it says lies elsewhere, if anything."""

    format: str = "raw"
    capacity: int | None = None
    backing: str | None = None
    backing_format: str | None = None
    refers: str | None = None
    encryption: str | None = None
    compat: str | None = None
    cluster_size: int | None = None
    lazy_refcounts: bool = False
    extended_l2: bool = False

    def trusted(self, declared: str | None) -> str:
        """The format to show and use: the declared one; else the header's, which refers to nothing else or is not used."""
        return declared or self.format

    def refusal(self, declared: str | None) -> str | None:
        """Why an image must not be opened by what its header says; None where it may."""
        if declared is not None or self.refers is None:
            return None
        return f"nobody declared its format, and its header says {self.format} with {self.refers}"


def marked(head: bytes) -> str | None:
    """The format whose mark the first bytes have, None for no mark."""
    found = MARK.match(head)
    return MARKS[found.lastindex - 1][2] if found and found.lastindex else None


def name_span(head: bytes) -> tuple[int, int] | None:
    """Offset and length of the backing file's name, to be read as well; None for an image without."""
    if len(head) < 20 or not head.startswith(b"QFI\xfb"):
        return None
    offset, length = struct.unpack_from(">QI", head, 8)
    return (offset, length) if offset and 0 < length <= MAX_NAME else None


def parse(head: bytes, name: bytes = b"", far: bytes = b"") -> Header:
    """What `head` (the first HEAD bytes or more), the backing file's name and the bytes at FAR say. Never raises."""
    found = marked(head)
    if found is None and far and far.startswith(FAR[0][1]):
        found = FAR[0][2]
    try:
        return PARSERS.get(found or "raw", _plain)(found or "raw", head, name)
    except struct.error:  # shorter than its format demands: whatever it is, it is no image of that format
        return Header()


@lru_cache(maxsize=256)
def by_head(head: bytes) -> Header | None:
    """What the first bytes alone say, None where more must be read. Images made alike begin alike: one answer does for all."""
    found = marked(head)
    return None if found in BY_MORE or name_span(head) else parse(head)


def _plain(kind: str, head: bytes, name: bytes) -> Header:
    return Header(kind)


def _qcow(kind: str, head: bytes, name: bytes) -> Header:
    version, bits, capacity, crypt = QCOW2.unpack_from(head)
    backing = name.split(b"\0")[0].decode(errors="replace") or None
    if version == 1:
        capacity = struct.unpack_from(">Q", head, 24)[0]
        crypt = struct.unpack_from(">I", head, 36)[0]
        return Header("qcow", capacity, backing, refers=_names(backing), encryption="qcow" if crypt else None)
    features, compatible, start = QCOW2_FEATURES.unpack_from(head, 72) if version >= 3 else (0, 0, 72)
    backing_format = _extensions(head, start).get(BACKING_FORMAT, b"").decode(errors="replace") or None
    refers = "its data in another file" if features & DATA_FILE else _names(backing)
    return Header(
        "qcow2", capacity, backing, backing_format, refers, CRYPT.get(crypt), "1.1" if version >= 3 else "0.10",
        1 << bits if 9 <= bits <= 21 else None, bool(compatible & LAZY_REFCOUNTS), bool(features & EXTENDED_L2),
    )  # fmt: skip


def _names(backing: str | None) -> str | None:
    return f"the backing file '{backing[:200]}'" if backing else None


def _extensions(head: bytes, at: int) -> dict[int, bytes]:
    """The header extensions that are in what was read."""
    found = {}
    while at + 8 <= len(head):
        kind, length = struct.unpack_from(">II", head, at)
        if kind == 0 or length > len(head):
            break
        found[kind] = head[at + 8 : at + 8 + length]
        at += 8 + (length + 7) // 8 * 8
    return found


def _luks(kind: str, head: bytes, name: bytes) -> Header:
    """LUKS1 tells where its payload begins; the caller takes that off the file's size."""
    return Header("luks", encryption="luks")


def luks_payload(head: bytes) -> int:
    """Offset in bytes of the payload of a LUKS1 image, 0 for another version."""
    if len(head) < 108 or not head.startswith(b"LUKS\xba\xbe\0\1"):
        return 0
    sectors: int = struct.unpack_from(">I", head, 104)[0]
    return sectors * 512


def _qed(kind: str, head: bytes, name: bytes) -> Header:
    features, capacity = struct.unpack_from("<Q", head, 16)[0], struct.unpack_from("<Q", head, 48)[0]
    return Header("qed", capacity, refers="a backing file" if features & 1 else None)


def _vmdk(kind: str, head: bytes, name: bytes) -> Header:
    capacity = struct.unpack_from("<Q", head, 12)[0] * 512 if head.startswith(b"KDMV") else None
    return Header("vmdk", capacity, refers="extents that may be other files")


def _vpc(kind: str, head: bytes, name: bytes) -> Header:
    return Header("vpc", struct.unpack_from(">Q", head, 48)[0])


def _vdi(kind: str, head: bytes, name: bytes) -> Header:
    return Header("vdi", struct.unpack_from("<Q", head, 0x170)[0])


PARSERS = {"qcow2": _qcow, "luks": _luks, "qed": _qed, "vmdk": _vmdk, "vpc": _vpc, "vdi": _vdi}
