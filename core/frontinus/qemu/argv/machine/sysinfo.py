"""What identifies the guest to itself: -uuid, SMBIOS tables, blobs of fw_cfg, the generation id, dump notes."""

from __future__ import annotations

from frontinus.api.errors import Unsupported
from frontinus.domain.sysinfo import Sysinfo, Table
from frontinus.qemu.argv.context import Context, escape

SYSTEM = ("manufacturer", "product", "version", "serial", "uuid", "sku", "family")
STRUCTURES = {
    0: ("bios", ("vendor", "version", "date", "release")),
    1: ("system", SYSTEM),
    2: ("boards", ("manufacturer", "product", "version", "serial", "asset", "location")),
    3: ("chassis", ("manufacturer", "version", "serial", "asset", "sku")),
}
"""SMBIOS structure type to the field of Sysinfo and the entries that QEMU takes, which have the users' names."""


def build(ctx: Context) -> None:
    """Emit identity."""
    guest = ctx.guest
    if guest.uuid:
        ctx.text("uuid", guest.hardware_uuid or guest.uuid)
    _smbios(ctx)
    for sysinfo in guest.sysinfos:
        for blob in sysinfo.blobs if sysinfo.type == "fwcfg" else ():
            content = {"string": blob.value} if blob.value is not None else {"file": blob.file}
            ctx.props("fw_cfg", {"name": blob.name, **content})
    if guest.genid:
        ctx.props("device", {"driver": "vmgenid", "guid": guest.genid, "id": "vmgenid0"})
    if guest.features and guest.features.vmcoreinfo and guest.features.vmcoreinfo.state:
        ctx.props("device", {"driver": "vmcoreinfo"})


def _smbios(ctx: Context) -> None:
    guest = ctx.guest
    if guest.os.smbios in (None, "emulate"):
        return
    if guest.os.smbios == "host":
        source = ctx.host.sysinfo
        if source is None:
            raise Unsupported("<smbios mode='host'>: this host has no SMBIOS data that could be passed on")
    else:
        source = next((info for info in guest.sysinfos if info.type == "smbios"), None)
        if source is None:
            raise Unsupported("<smbios mode='sysinfo'>: the guest has no <sysinfo type='smbios'>")
    _tables(ctx, source, skip={"uuid"} if guest.os.smbios == "host" else set())


def _tables(ctx: Context, source: Sysinfo, skip: set[str]) -> None:
    if len(source.boards) > 1:
        raise Unsupported("<sysinfo>: QEMU takes one <baseBoard>")
    for number, (field, names) in STRUCTURES.items():
        found: Table | list[Table] | None = getattr(source, field)
        for table in found if isinstance(found, list) else [found] if found else []:
            entries = [(name, table.get(name)) for name in names if name not in skip]
            words = [f"{name}={escape(value)}" for name, value in entries if value is not None]
            if words or number != 1:
                ctx.text("smbios", ",".join([f"type={number}", *words]))
    if source.oem_strings:
        ctx.text("smbios", ",".join(["type=11", *(f"value={escape(text)}" for text in source.oem_strings)]))
