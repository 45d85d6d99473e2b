"""What is read from the bytes of volumes and disks: headers of images, tables of partitions. No bytes break the readers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontinus.storage import headers, partitions

GIB = 2**30


def dos(*entries: tuple[int, int, int], boot: bytes = b"") -> bytes:
    table = b"".join(bytes([0, 0, 0, 0, kind, 0, 0, 0]) + start.to_bytes(4, "little") + size.to_bytes(4, "little")
                     for kind, start, size in entries)  # fmt: skip
    return boot.ljust(446, b"\0") + table.ljust(64, b"\0") + b"\x55\xaa"


def test_a_table_of_partitions() -> None:
    table = partitions.parse(dos((0x83, 2048, 4096), (0x05, 8192, 8192)), GIB)
    assert table is not None
    assert [(p.number, p.start, p.size, p.kind) for p in table.partitions] == [
        (1, 2048 * 512, 4096 * 512, "primary"), (2, 8192 * 512, 8192 * 512, "extended")]  # fmt: skip
    assert partitions.place(table, 2**20) == (3, 3 * 2**20, 2**20)
    assert partitions.place(table, 2 * GIB) is None
    assert partitions.parse(bytes(512), GIB) is None
    assert partitions.parse(dos(boot=b"\0" * 0x52 + b"FAT32"), GIB) is None
    with pytest.raises(ValueError, match="no GPT"):
        partitions.parse(dos((0xEE, 1, 100)).ljust(partitions.TABLE, b"\0"), GIB)


def test_a_chain_of_logical_partitions_never_goes_back() -> None:
    base = 8192 * 512
    record = dos((0x83, 63, 100), (0x05, 0, 1))
    assert partitions.next_logical(record, base, base, 5) == (
        partitions.Partition(5, base + 63 * 512, 100 * 512, "logical"),
        None,
    )
    assert partitions.next_logical(bytes(512), base, base, 5) == (None, None)


@settings(max_examples=200)
@given(st.binary(max_size=1200), st.binary(max_size=40), st.sampled_from([mark for _, mark, _ in headers.MARKS]))
def test_no_header_breaks_the_reader(noise: bytes, name: bytes, mark: bytes) -> None:
    for head in (noise, mark + noise, noise[:510].ljust(510, b"\0") + b"\x55\xaa" + noise):
        headers.parse(head, name, noise[:8])
        headers.name_span(head)
        headers.luks_payload(head)
        try:
            table = partitions.parse(head, GIB)
        except ValueError:
            continue
        assert table is None or all(span[0] < span[1] for span in partitions.free(table))


def test_headers() -> None:
    head = bytearray(b"QFI\xfb" + (3).to_bytes(4, "big") + bytes(100))
    head[20:24], head[24:32] = (17).to_bytes(4, "big"), GIB.to_bytes(8, "big")
    head[72:80] = (1 << 2 | 1 << 4).to_bytes(8, "big")
    found = headers.parse(bytes(head))
    assert (found.format, found.capacity, found.cluster_size, found.extended_l2) == ("qcow2", GIB, 1 << 17, True)
    assert found.refusal(None) is not None and found.refusal("qcow2") is None
    assert headers.parse(b"KDMV" + bytes(600)).refusal(None) is not None
    assert headers.parse(b"anything").format == "raw" and headers.parse(b"").refusal(None) is None
    assert headers.parse(bytes(512), far=b"CD001\1\0\0").format == "iso"
    assert (headers.parse(bytes(head)).trusted("raw"), headers.parse(bytes(head)).trusted(None)) == ("raw", "qcow2")


def test_the_first_bytes_alone_tell_all_or_it_is_said_that_they_do_not() -> None:
    plain = bytearray(b"QFI\xfb" + (3).to_bytes(4, "big") + bytes(100))
    plain[24:32] = GIB.to_bytes(8, "big")
    over = bytearray(plain)
    over[8:16], over[16:20] = (512).to_bytes(8, "big"), (4).to_bytes(4, "big")
    for head in (bytes(plain), b"KDMV" + bytes(600), b"anything", b""):
        assert headers.by_head(head) == headers.parse(head)
    assert headers.by_head(bytes(over)) is None and headers.by_head(b"LUKS\xba\xbe\0\1" + bytes(600)) is None
