"""Figures as libvirt's typed parameters: its names, its types, and the variants in variants that clients expect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dbus_fast import Variant

from frontinus.api.errors import InvalidValue
from frontinus.api.views import GuestStats, MemoryStats

BITS = {1: "state", 2: "cpu", 4: "balloon", 8: "vcpu", 16: "interface", 32: "block", 128: "iothread",
        256: "memory"}  # fmt: skip
UNKNOWN = 64 | 512 | 1024
"""Groups that the engine has no figures of: perf events, dirty rate, QEMU's own counters."""

TYPES = {"state": "i", "reason": "i", "halted": "b", "count": "u", "id": "u", "poll-grow": "u", "poll-shrink": "u"}
"""By the last word of a name; all other numbers are of type t."""

TAGS = ("swap_in", "swap_out", "major_faults", "minor_faults", "unused", "available", "current", "rss", "usable",
        "last_update", "disk_caches", "hugetlb_pgalloc", "hugetlb_pgfail")  # fmt: skip
"""Members of MemoryStats; the index is libvirt's tag."""
COUNTED = frozenset({"major_faults", "minor_faults", "last_update", "hugetlb_pgalloc", "hugetlb_pgfail"})
"""Those that are no sizes; sizes are shown in KiB."""


def groups(bits: int, *, enforce: bool) -> list[str]:
    """The engine's groups; 0 is all. Raises InvalidValue for those that it has not when the caller insists."""
    unknown = bits & ~sum(BITS)
    if unknown & ~UNKNOWN or (unknown and enforce):
        raise InvalidValue(f"unsupported stats 0x{unknown:x}", field="stats")
    return [name for bit, name in BITS.items() if bits in (0, bits | bit)]


def typed_rows(stats: GuestStats, wanted: Sequence[str]) -> Iterator[tuple[str, Variant]]:
    """Name and value of each figure."""
    from frontinus.client.commands.figures import rows

    for name, value in rows(stats, set(wanted)):
        if value is not None:
            yield name, _typed(name, value)


def parameters(stats: GuestStats, wanted: Sequence[str]) -> dict[str, Variant]:
    """Figures as typed parameters."""
    return {name: double(value) for name, value in typed_rows(stats, wanted)}


def double(value: Variant) -> Variant:
    """A variant in a variant, as libvirt-dbus has it."""
    return Variant("v", value)


def _typed(name: str, value: object) -> Variant:
    last = name.rpartition(".")[2]
    if isinstance(value, str) and last != "halted":
        return Variant("s", value)
    if isinstance(value, float):
        return Variant("d", value)
    if name in ("vcpu.current", "vcpu.maximum"):
        return Variant("u", value)
    return Variant(TYPES.get(last, "t"), value == "yes" if last == "halted" else value)


def tags(memory: MemoryStats) -> dict[int, int]:
    """Memory figures by libvirt's tags."""
    shown = {}
    for tag, name in enumerate(TAGS):
        value = getattr(memory, name)
        if value is not None:
            shown[tag] = value if name in COUNTED else value // 1024
    return shown
