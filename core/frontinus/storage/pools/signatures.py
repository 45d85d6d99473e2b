"""Whether a device holds something already: file systems, partition tables, volume groups, by their marks.

Sources: the file systems' own on-disk documents; offsets as libblkid documents them.
"""

from __future__ import annotations

LVM = "a physical volume of LVM"
MARKS: tuple[tuple[int, bytes, str], ...] = (
    (0x438, b"\x53\xef", "an ext file system"),
    (0, b"XFSB", "an xfs file system"),
    (0x10040, b"_BHRfS_M", "a btrfs file system"),
    (0, b"LUKS\xba\xbe", "a LUKS volume"),
    (0x200, b"LABELONE", LVM),
    (0x18, b"LVM2 001", LVM),
    (0x218, b"LVM2 001", LVM),
    (0x200, b"EFI PART", "a GPT partition table"),
    (0x36, b"FAT1", "a FAT file system"),
    (0x52, b"FAT32", "a FAT file system"),
    (3, b"NTFS", "an NTFS file system"),
    (0x8001, b"CD001", "an ISO 9660 file system"),
    (0xFF6, b"SWAPSPACE2", "swap space"),
    (0x400, b"H+", "an HFS+ file system"),
    (0x1FE, b"\x55\xaa", "a DOS partition table"),
)
"""Offset, mark and what it is a mark of; the vague ones last."""


def signature(head: bytes) -> str | None:
    """What a device's first bytes are marked as; None for nothing known."""
    return next((what for at, mark, what in MARKS if head[at : at + len(mark)] == mark), None)
