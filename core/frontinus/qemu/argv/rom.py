"""The option ROM of a PCI device."""

from __future__ import annotations

from frontinus.domain.devices.base import Rom


def rom_props(rom: Rom | None) -> dict[str, object]:
    """rombar and romfile; an empty file name is QEMU's word for no ROM."""
    if rom is None:
        return {}
    if rom.enabled is False:
        return {"romfile": ""}
    return {"rombar": None if rom.bar is None else int(rom.bar), "romfile": rom.file}
