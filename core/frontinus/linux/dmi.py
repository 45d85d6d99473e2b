"""What the machine's own firmware says of it (DMI), for guests that show their host's, and for its UUID."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path

from frontinus.domain.sysinfo import Entry, Sysinfo, Table
from frontinus.linux.topology import read

FOLDER = "sys/class/dmi/id"
BIOS = {"vendor": "bios_vendor", "version": "bios_version", "date": "bios_date", "release": "bios_release"}
SYSTEM = {
    "manufacturer": "sys_vendor", "product": "product_name", "version": "product_version", "serial": "product_serial",
    "uuid": "product_uuid", "sku": "product_sku", "family": "product_family",
}  # fmt: skip
BOARD = {"manufacturer": "board_vendor", "product": "board_name", "version": "board_version", "serial": "board_serial",
         "asset": "board_asset_tag"}  # fmt: skip
CHASSIS = {"manufacturer": "chassis_vendor", "version": "chassis_version", "serial": "chassis_serial",
           "asset": "chassis_asset_tag"}  # fmt: skip
"""Our names and the kernel's (drivers/firmware/dmi-id.c)."""

UNSET = {uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)}
"""What vendors leave in machines that they gave no UUID."""


def read_sysinfo(root: Path) -> Sysinfo | None:
    """The machine's tables; None where it has none."""
    folder = root / FOLDER
    if not folder.is_dir():
        return None
    board, chassis = _table(folder, BOARD), _table(folder, CHASSIS)
    return Sysinfo(type="smbios", bios=_table(folder, BIOS), system=_table(folder, SYSTEM),
                   boards=[board] if board else [], chassis=chassis)  # fmt: skip


def read_uuid(root: Path) -> str:
    """The machine's UUID, else the installation's (machine-id(5)), else zeroes."""
    for file in (root / FOLDER / "product_uuid", root / "etc/machine-id"):
        try:
            found = uuid.UUID(read(file) or "")
        except ValueError:
            continue
        if found not in UNSET:
            return str(found)
    return str(uuid.UUID(int=0))


def _table(folder: Path, names: Mapping[str, str]) -> Table | None:
    values = {name: read(folder / file) for name, file in names.items()}
    entries = [Entry(name=name, value=value) for name, value in values.items() if value]
    return Table(entries=entries) if entries else None
