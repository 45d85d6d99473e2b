"""Partition tables, read from bytes: DOS with its chain of logical partitions, and GPT. Sizes in bytes.

Sources: the UEFI specification, chapter 5; for DOS tables the layout that every system has agreed on since.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

SECTOR = 512
ALIGNMENT = 1 << 20
"""New partitions begin at a multiple of this, as fdisk and parted have it."""
EXTENDED = frozenset({0x05, 0x0F, 0x85})
PROTECTIVE = 0xEE
MAX_LOGICAL = 60
MAX_ENTRIES = 1024
TABLE = 34 * SECTOR
"""Bytes that hold a GPT of the usual size, with the DOS table before it."""


@dataclass(frozen=True)
class Partition:
    """`kind`: primary, extended or logical; of a GPT always primary."""

    number: int
    start: int
    size: int
    kind: str = "primary"

    @property
    def end(self) -> int:
        return self.start + self.size


@dataclass(frozen=True)
class Table:
    """`label`: dos or gpt. `first` and `last`: where partitions may be; `chain`: the next sector to read for more."""

    label: str
    partitions: tuple[Partition, ...]
    first: int
    last: int


def parse(head: bytes, size: int) -> Table | None:
    """The table in the first TABLE bytes of a device; None where there is none. Raises ValueError for a broken one."""
    if len(head) < SECTOR or head[510:512] != b"\x55\xaa":
        return None
    entries = list(_dos_entries(head))
    if any(kind == PROTECTIVE for kind, _, _ in entries):
        return _gpt(head, size)
    if head[0x52:0x57] == b"FAT32" or head[0x36:0x39] == b"FAT" or head[3:7] == b"NTFS":
        return None  # a file system's boot sector bears the same mark
    found = [
        Partition(number, start * SECTOR, length * SECTOR, "extended" if kind in EXTENDED else "primary")
        for number, (kind, start, length) in enumerate(entries, 1)
        if kind and length
    ]
    return Table("dos", tuple(found), ALIGNMENT, min(size, 2**32 * SECTOR))


def _dos_entries(sector: bytes) -> Iterator[tuple[int, int, int]]:
    for number in range(4):
        kind, start, length = struct.unpack_from("<4xB3xII", sector, 446 + 16 * number)
        yield kind, start, length


def next_logical(sector: bytes, base: int, here: int, number: int) -> tuple[Partition | None, int | None]:
    """The logical partition that an extended boot record at byte `here` tells of, and where the next record is.

    `base`: where the extended partition begins.
    """
    if len(sector) < SECTOR or sector[510:512] != b"\x55\xaa":
        return None, None
    (kind, start, length), (more, link, _), *_ = _dos_entries(sector)
    found = Partition(number, here + start * SECTOR, length * SECTOR, "logical") if kind and length else None
    following = base + link * SECTOR if more in EXTENDED and link else None
    return found, following if following is None or following > here else None  # a chain only goes on, never round


def _gpt(head: bytes, size: int) -> Table:
    header = head[SECTOR : 2 * SECTOR]
    if not header.startswith(b"EFI PART"):
        raise ValueError("the protective partition has no GPT behind it")
    (length, checksum) = struct.unpack_from("<II", header, 12)
    if not 92 <= length <= SECTOR or zlib.crc32(header[:16] + bytes(4) + header[20:length]) != checksum:
        raise ValueError("the checksum of the GPT is wrong")
    first, last = struct.unpack_from("<QQ", header, 40)
    at, count, width = struct.unpack_from("<QII", header, 72)
    if not 128 <= width <= 4096 or count > MAX_ENTRIES:
        raise ValueError("the GPT has entries of an impossible size or number")
    found = []
    for number in range(count):
        entry = head[at * SECTOR + number * width : at * SECTOR + (number + 1) * width]
        if len(entry) < 128:
            break
        start, end = struct.unpack_from("<QQ", entry, 32)
        if any(entry[:16]) and start <= end < 2**54:
            found.append(Partition(number + 1, start * SECTOR, (end - start + 1) * SECTOR))
    return Table("gpt", tuple(found), max(first * SECTOR, ALIGNMENT), min((last + 1) * SECTOR, size))


def free(table: Table) -> list[tuple[int, int]]:
    """The free spans (start, end) between the primary partitions, aligned, in order."""
    spans, at = [], table.first
    for partition in sorted((p for p in table.partitions if p.kind != "logical"), key=lambda p: p.start):
        if _down(partition.start) > at:
            spans.append((at, _down(partition.start)))
        at = max(at, _up(partition.end))
    if _down(table.last) > at:
        spans.append((at, _down(table.last)))
    return spans


def place(table: Table, size: int) -> tuple[int, int, int] | None:
    """Number, start and size of a new partition: the smallest free span that is large enough; None where none is."""
    size = _up(size)
    fitting = [(end - start, start) for start, end in free(table) if end - start >= size]
    number = next_number(table.label, [p.number for p in table.partitions])
    if not fitting or number is None:
        return None
    return number, min(fitting)[1], size


def next_number(label: str, taken: Sequence[int]) -> int | None:
    """The first free number; a DOS table has four."""
    return next((n for n in range(1, 5 if label == "dos" else 129) if n not in taken), None)


def _up(value: int) -> int:
    return -(-value // ALIGNMENT) * ALIGNMENT


def _down(value: int) -> int:
    return value // ALIGNMENT * ALIGNMENT
