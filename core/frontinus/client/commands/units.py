"""Sizes as virsh prints them."""

from __future__ import annotations

UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def pretty(size: int | None) -> str:
    """Two decimals in the largest unit that leaves a digit before them."""
    if size is None:
        return "-"
    value, unit = float(size), 0
    while value >= 1024 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.2f} {UNITS[unit]}"
