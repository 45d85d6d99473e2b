"""Guests of org.frontinus1: what their table calls."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import cast

from dbus_fast import Variant

from frontinus.api.engine import Descriptor, Engine
from frontinus.api.errors import InvalidValue
from frontinus.api.networks import AddressSource
from frontinus.api.views import GuestStats, StatsGroup
from frontinus_dbus.native import api_guests
from frontinus_dbus.native.kinds import Kind, Show, by_name, does, name_of, sets
from frontinus_dbus.service import Handler


def flat(stats: GuestStats, groups: Sequence[str]) -> dict[str, Variant]:
    """Figures by name, in the names that domstats gives them."""
    from frontinus.api.views import STATS_GROUPS
    from frontinus_dbus.libvirt.figures import typed_rows

    return dict(typed_rows(stats, groups or STATS_GROUPS))


async def stats_of_one(engine: Engine, uuid: str, groups: Sequence[str], max_age: float) -> dict[str, Variant]:
    (found,) = await engine.stats([uuid], cast("list[StatsGroup]", groups) or None, max_age)
    return flat(found, groups)


NVRAM: Mapping[str, bool | None] = {"": None, "keep": False, "remove": True}


async def undefine(engine: Engine, uuid: str, managed_save: bool, nvram: str) -> None:
    if nvram not in NVRAM:
        raise InvalidValue("nvram is keep, remove or empty", field="nvram")
    await engine.undefine(uuid, managed_save, NVRAM[nvram])


async def screenshot(engine: Engine, uuid: str, screen: int) -> tuple[str, Descriptor]:
    picture = await engine.screenshot(uuid, screen)
    fd = os.memfd_create("screenshot")
    os.write(fd, picture.data)
    os.lseek(fd, 0, os.SEEK_SET)
    return picture.mime, Descriptor(fd)


async def addresses(engine: Engine, uuid: str, source: str) -> list[tuple[str, str, list[str]]]:
    found = await engine.guest_addresses(uuid, cast("AddressSource", source or "lease"))
    return [(one.name, one.mac or "", [f"{a.address}/{a.prefix}" for a in one.addresses]) for one in found]


METHODS: Mapping[str, Handler] = {
    "Start": does(lambda e, g, paused, force: e.start(g, paused, force)),
    "Shutdown": does(lambda e, g, mode: e.shutdown(g, mode or None)),
    "Reboot": does(lambda e, g, mode: e.reboot(g, mode or None)),
    "Reset": does(lambda e, g: e.reset(g)),
    "Destroy": does(lambda e, g, graceful: e.destroy(g, graceful)),
    "Suspend": does(lambda e, g: e.suspend(g)),
    "Resume": does(lambda e, g: e.resume(g)),
    "Sleep": does(lambda e, g, target, duration: e.pm_suspend(g, target, duration)),
    "Wake": does(lambda e, g: e.pm_wakeup(g)),
    "Undefine": does(undefine),
    "Rename": does(lambda e, g, name: e.rename(g, name)),
    "ManagedSave": does(lambda e, g: e.managed_save(g)),
    "RemoveManagedSave": does(lambda e, g: e.managed_save_remove(g)),
    "Save": does(lambda e, g, path: e.save(g, path)),
    "Xml": does(lambda e, g, flags: e.guest_xml(g, flags)),
    "Metadata": does(lambda e, g, kind, uri: e.metadata(g, kind, uri or None)),
    "SetMetadata": does(lambda e, g, kind, *texts: e.set_metadata(g, kind, *[text or None for text in texts])),
    "AttachDevice": does(lambda e, g, xml, live, config: e.attach_device(g, xml, live, config)),
    "DetachDevice": does(lambda e, g, xml, live, config: e.detach_device(g, xml, live, config)),
    "DetachAlias": does(lambda e, g, alias, live, config: e.detach_alias(g, alias, live, config)),
    "UpdateDevice": does(lambda e, g, xml, live, config: e.update_device(g, xml, live, config)),
    "SetVcpus": does(lambda e, g, *given: e.set_vcpus(g, *given)),
    "SetMemory": does(lambda e, g, *given: e.set_memory(g, *given)),
    "ResizeDisk": does(lambda e, g, disk, size: e.block_resize(g, disk, size)),
    "Stats": does(stats_of_one),
    "SendKeys": does(lambda e, g, keys, codeset, hold: e.send_keys(g, keys, codeset or "linux", hold)),
    "InjectNmi": does(lambda e, g: e.inject_nmi(g)),
    "Screenshot": does(screenshot),
    "OpenConsole": does(lambda e, g, device, force: e.open_console(g, device or None, force)),
    "OpenGraphics": does(lambda e, g, index: e.open_graphics(g, index)),
    "CoreDump": does(lambda e, g, path, memory, kind: e.core_dump(g, path, memory, kind or "raw")),
    "AgentCommand": does(lambda e, g, command, deadline: e.agent_command(g, command, deadline)),
    "MonitorCommand": does(lambda e, g, command, hmp: e.monitor_command(g, command, hmp)),
    "Addresses": does(addresses),
}
SNAPSHOTS: Mapping[str, Handler] = {
    "Snapshots": does(lambda e, g: by_name(e.snapshots(g))),
    "SnapshotXml": does(lambda e, g, name, secure: e.snapshot_xml(g, name, secure)),
    "CreateSnapshot": does(lambda e, g, xml, flags: name_of(e.create_snapshot(g, xml, flags))),
    "RevertSnapshot": does(lambda e, g, name, flags: e.revert_snapshot(g, name, flags)),
    "DeleteSnapshot": does(lambda e, g, name, flags: e.delete_snapshot(g, name, flags)),
    "Checkpoints": does(lambda e, g: by_name(e.checkpoints(g))),
    "CheckpointXml": does(lambda e, g, name, sizes: e.checkpoint_xml(g, name, sizes)),
    "CreateCheckpoint": does(lambda e, g, xml, flags: name_of(e.create_checkpoint(g, xml, flags))),
    "DeleteCheckpoint": does(lambda e, g, name, flags: e.delete_checkpoint(g, name, flags)),
    "BeginBackup": does(lambda e, g, xml, checkpoint: e.begin_backup(g, xml, checkpoint or None)),
    "BackupXml": does(lambda e, g: e.backup_xml(g)),
}
BLOCK_JOBS: Mapping[str, Handler] = {
    "BlockJobs": does(lambda e, g: by_name(e.block_jobs(g), "disk")),
    "BlockCopy": does(lambda e, g, disk, xml, speed, flags: e.block_copy(g, disk, xml, speed, flags=flags)),
    "BlockCommit": does(lambda e, g, disk, base, top, *more: e.block_commit(g, disk, base or None, top or None, *more)),
    "BlockPull": does(lambda e, g, disk, base, speed: e.block_pull(g, disk, base or None, speed)),
    "AbortBlockJob": does(lambda e, g, disk, flags: e.abort_block_job(g, disk, flags)),
    "SetBlockJobSpeed": does(lambda e, g, disk, speed: e.set_block_job_speed(g, disk, speed)),
    "SetBlockThreshold": does(lambda e, g, device, threshold: e.set_block_threshold(g, device, threshold)),
}


SHOWN: Mapping[str, Show] = {
    "Uuid": lambda g: g.uuid, "Name": lambda g: g.name, "State": lambda g: g.state, "Reason": lambda g: g.reason,
    "Since": lambda g: g.since, "Id": lambda g: -1 if g.id is None else g.id, "Active": lambda g: g.active,
    "Persistent": lambda g: g.persistent, "Autostart": lambda g: g.autostart, "HasManagedSave": lambda g: g.managed_save,
    "Updated": lambda g: g.updated, "Title": lambda g: g.title or "", "Description": lambda g: g.description or "",
    "Vcpus": lambda g: g.vcpus, "MaxVcpus": lambda g: g.max_vcpus, "Memory": lambda g: g.memory,
    "MaxMemory": lambda g: g.max_memory, "Architecture": lambda g: g.arch, "Machine": lambda g: g.machine,
    "Type": lambda g: g.virt_type, "OsType": lambda g: g.os_type, "Tainted": lambda g: list(g.tainted),
    "Job": lambda g: g.job or "",
}  # fmt: skip
GUEST = Kind("guest", "domain", api_guests.GUEST, SHOWN, {**METHODS, **SNAPSHOTS, **BLOCK_JOBS},
             {"Autostart": sets(lambda e, g, on: e.set_autostart(g, on))})  # fmt: skip
