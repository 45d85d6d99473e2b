"""What a guest leaves behind when it is forgotten: snapshots, checkpoints, and disks that are volumes of a pool."""

from __future__ import annotations

from collections.abc import Sequence

from lxml import etree

from frontinus.api.engine import Engine
from frontinus.api.errors import InvalidValue, NoSuchVolume
from frontinus.api.storage import VolumeView
from frontinus.client.commands.base import Output


async def forget_snapshots(engine: Engine, guest: str) -> None:
    """Children before their parents."""
    for snapshot in reversed(await engine.snapshots(guest)):
        await engine.delete_snapshot(guest, snapshot.name, ["metadata-only"])


async def forget_checkpoints(engine: Engine, guest: str) -> None:
    for checkpoint in reversed(await engine.checkpoints(guest)):
        await engine.delete_checkpoint(guest, checkpoint.name, ["metadata-only"])


async def volumes(
    engine: Engine, guest: str, wanted: Sequence[str] | None, out: Output
) -> list[tuple[str, VolumeView]]:
    """Target and volume of the disks that are meant: by target or path, or None for all that only this guest writes.

    Raises InvalidValue where one that was named is not a disk of the guest.
    """
    found: list[tuple[str, VolumeView]] = []
    missing = set(wanted or ())
    for disk in etree.fromstring(await engine.guest_xml(guest, ["inactive"])).findall("devices/disk"):
        target, source = _target(disk), disk.find("source")
        place = (source.get("file") or source.get("dev") or source.get("volume") if source is not None else None) or ""
        if source is None or not (_own(disk) if wanted is None else {target, place} & set(wanted)):
            continue
        missing -= {target, place}
        try:
            found.append((target, await _volume(engine, source, place)))
        except NoSuchVolume:
            out.line(f"Storage volume '{target}'({place}) is not managed by Frontinus. Remove it manually.")
    if missing:
        raise InvalidValue(f"the guest has no disk {', '.join(sorted(missing))}", field="storage")
    return found


def _own(disk: etree._Element) -> bool:
    """Whether nobody else is expected to need it: neither media nor what is shared or only read."""
    return disk.get("device", "disk") == "disk" and disk.find("readonly") is None and disk.find("shareable") is None


def _target(disk: etree._Element) -> str:
    target = disk.find("target")
    return (target.get("dev") if target is not None else None) or ""


async def _volume(engine: Engine, source: etree._Element, place: str) -> VolumeView:
    pool = source.get("pool")
    return await (engine.volume(pool, place) if pool else engine.volume_by_path(place))


async def remove(engine: Engine, found: Sequence[tuple[str, VolumeView]], wipe: bool, out: Output) -> None:
    for target, volume in found:
        if wipe:
            await engine.wipe_volume(volume.pool, volume.name)
        await engine.delete_volume(volume.pool, volume.name)
        out.done(f"Volume '{target}'({volume.path}) removed.")
