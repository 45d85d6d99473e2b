"""org.libvirt.Domain: one guest."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import cast

from dbus_fast import Variant

from frontinus.api.engine import Descriptor, Engine, MetadataKind, ShutdownMode, XmlFlag
from frontinus.api.errors import InvalidValue, NoSuchDevice, NoSuchGuest, Unsupported, WrongState
from frontinus.api.options import StartFlag
from frontinus.api.views import REASONS, STATES, GuestView, JobView, StatsGroup
from frontinus_dbus.faults import Flags
from frontinus_dbus.libvirt import figures
from frontinus_dbus.libvirt.connect import KIB, NONE, resume_state
from frontinus_dbus.raw import Ready, ready
from frontinus_dbus.service import Call, Getter, Handler, Setter

START = Flags({"paused": 1, "bypass-cache": 4, "force-boot": 8, "validate": 16})
SAVE = Flags({"bypass-cache": 1, "running": 2, "paused": 4})
UNDEFINE = Flags({"managed-save": 1, "snapshots": 2, "nvram": 4, "keep-nvram": 8, "checkpoints": 16, "keep-tpm": 64})
DESTROY = Flags({"graceful": 1})
XML = Flags({"secure": 1, "inactive": 2, "update-cpu": 4, "migratable": 8})
XML_NAMES: tuple[XmlFlag, ...] = ("inactive", "secure", "migratable")
IMPACT = Flags({"live": 1, "config": 2})
CHANGE = Flags({"live": 1, "config": 2, "force": 4})
COUNT = Flags({"live": 1, "config": 2, "maximum": 4})
RESIZE = Flags({"bytes": 1})
MODES: Mapping[int, ShutdownMode | None] = {0: None, 1: "acpi", 2: "agent", 3: None}
MOST_KEPT = 65536
"""Bytes of a definition that is kept to be read again."""
METADATA: tuple[MetadataKind, ...] = ("description", "title", "element")
CODESETS = ("linux", "xt", "atset1", "atset2", "atset3", "os_x", "xt_kbd", "usb", "win32", "qnum")
JOB_KINDS = {"running": 2, "completed": 3, "failed": 4, "cancelled": 5}
"""libvirt's numbers of job types; 2 is work of unknown end, which becomes 1 when the total is known."""


def guest(call: Call) -> GuestView:
    """The guest that is called. Raises NoSuchGuest."""
    view = call.model.guests.get(call.key)
    if view is None:
        raise NoSuchGuest(f"no domain with matching uuid '{call.key}'") if call.key else (
            InvalidValue("Invalid UUID", field="uuid"))  # fmt: skip
    return view


async def engine(call: Call) -> tuple[Engine, str]:
    return await call.engine(), guest(call).uuid


def plain(act: Callable[[Engine, str], Awaitable[object]], doc: str) -> Handler:
    """A method that takes no flag that matters, and gives nothing."""

    async def handler(call: Call, given: int = 0) -> None:
        NONE.read(given)
        await act(*await engine(call))

    handler.__doc__ = doc
    return handler


# Life


async def create(call: Call, flags: int) -> None:
    """Start it, or restore it from its managed save."""
    given = START.read(flags)
    target, uuid = await engine(call)
    await target.start(uuid, paused="paused" in given, force_boot="force-boot" in given)


async def create_with_files(call: Call, files: Sequence[Descriptor], flags: int) -> None:
    """The same, with descriptors for the first process inside a container."""
    given = START.read(flags)
    target, uuid = await engine(call)
    chosen: dict[StartFlag, bool] = {"paused": "paused" in given, "force-boot": "force-boot" in given}
    await target.start_with_files(uuid, files, [name for name, on in chosen.items() if on])


async def destroy(call: Call, flags: int) -> None:
    """End it now."""
    given = DESTROY.read(flags)
    target, uuid = await engine(call)
    await target.destroy(uuid, graceful="graceful" in given)


def mode(flags: int) -> ShutdownMode | None:
    """The way that the flags of Shutdown and Reboot choose."""
    if flags not in MODES:
        raise Unsupported("a guest can be asked by ACPI (1) or by its agent (2) alone")
    return MODES[flags]


async def shutdown(call: Call, flags: int) -> None:
    """Ask the guest to stop."""
    target, uuid = await engine(call)
    await target.shutdown(uuid, mode(flags))


async def reboot(call: Call, flags: int) -> None:
    """Ask the guest to reboot."""
    target, uuid = await engine(call)
    await target.reboot(uuid, mode(flags))


async def undefine(call: Call, flags: int) -> None:
    """Forget the definition; a running guest becomes transient."""
    given = UNDEFINE.read(flags)
    if {"nvram", "keep-nvram"} <= given:
        raise InvalidValue("the variable store cannot be both removed and kept", field="flags")
    nvram = True if "nvram" in given else False if "keep-nvram" in given else None
    target, uuid = await engine(call)
    await target.undefine(uuid, "managed-save" in given, nvram)


async def rename(call: Call, name: str, flags: int) -> None:
    """Rename it while it is off."""
    NONE.read(flags)
    target, uuid = await engine(call)
    await target.rename(uuid, name)


def state(call: Call, flags: int) -> list[int]:
    """State and reason, as libvirt numbers them."""
    NONE.read(flags)
    view = guest(call)
    return [STATES.index(view.state), REASONS[view.state].index(view.reason)]


# Definition


def xml(call: Call, flags: int) -> Ready | Awaitable[Ready]:
    """The definition."""
    given = XML.read(flags)
    kept = not call.world.filtered and "secure" not in given
    shelf = call.picture.made(guest(call).uuid) if kept else {}
    return shelf.get(("xml", flags)) or _ask_xml(call, given, shelf, ("xml", flags))


async def _ask_xml(call: Call, given: frozenset[str], shelf: dict[object, Ready], slot: tuple[str, int]) -> Ready:
    target, uuid = await engine(call)
    text = await target.guest_xml(uuid, [name for name in XML_NAMES if name in given])
    made = ready("s", [text])
    if len(made.body) <= MOST_KEPT:
        shelf[slot] = made
    return made


def kind(number: int) -> MetadataKind:
    if not 0 <= number < len(METADATA):
        raise InvalidValue(f"unknown type of metadata {number}", field="type")
    return METADATA[number]


async def metadata(call: Call, number: int, uri: str, flags: int) -> str:
    """Description (0), title (1) or the element of a namespace (2)."""
    given = IMPACT.read(flags)
    target, uuid = await engine(call)
    return await target.metadata(uuid, kind(number), uri or None, inactive="config" in given)


async def set_metadata(call: Call, number: int, value: str, key: str, uri: str, flags: int) -> None:
    """Set metadata; an empty text removes it."""
    given = IMPACT.read(flags)
    target, uuid = await engine(call)
    await target.set_metadata(
        uuid, kind(number), value or None, key or None, uri or None, "live" in given, "config" in given
    )


async def set_autostart(call: Call, on: object) -> None:
    target, uuid = await engine(call)
    await target.set_autostart(uuid, bool(on))


# Devices


def device(name: str, doc: str) -> Handler:
    """A method on the XML of a device."""

    async def handler(call: Call, text: str, flags: int) -> None:
        given = CHANGE.read(flags)
        target, uuid = await engine(call)
        await getattr(target, name)(uuid, text, live="live" in given, config="config" in given)

    handler.__doc__ = doc
    return handler


async def resize(call: Call, disk: str, size: int, flags: int) -> None:
    """Give a disk another size: in KiB, or in bytes by flag."""
    given = RESIZE.read(flags)
    target, uuid = await engine(call)
    await target.block_resize(uuid, disk, size if "bytes" in given else size * KIB)


async def set_memory(call: Call, size: int, flags: int) -> None:
    """Set memory, or by flag its maximum, in KiB."""
    given = COUNT.read(flags)
    target, uuid = await engine(call)
    await target.set_memory(uuid, size * KIB, "maximum" in given, "live" in given, "config" in given)


async def set_vcpus(call: Call, count: int, flags: int) -> None:
    """Set the number of vCPUs, or by flag its maximum."""
    given = COUNT.read(flags)
    target, uuid = await engine(call)
    await target.set_vcpus(uuid, count, "maximum" in given, "live" in given, "config" in given)


async def vcpus(call: Call, flags: int) -> int:
    """The number of vCPUs, or by flag its maximum."""
    given = COUNT.read(flags)
    view = guest(call)
    if {"live", "config"} <= given:
        raise InvalidValue("live and config exclude each other", field="flags")
    if "live" in given and not view.active:
        raise WrongState("domain is not running", state=view.state)
    if view.active and "config" in given:
        return await _defined_vcpus(call, maximum="maximum" in given)
    return view.max_vcpus if "maximum" in given else view.vcpus


async def _defined_vcpus(call: Call, *, maximum: bool) -> int:
    from lxml import etree

    target, uuid = await engine(call)
    node = etree.fromstring(await target.guest_xml(uuid, ["inactive"])).find("vcpu")
    if node is None:
        return 1
    return int((None if maximum else node.get("current")) or node.text or 1)


# Saved state


async def managed_save(call: Call, flags: int) -> None:
    """Save its state and stop it; the next start goes on from there."""
    paused = resume_state(SAVE.read(flags))
    target, uuid = await engine(call)
    await target.managed_save(uuid, paused)


def has_managed_save(call: Call, flags: int) -> bool:
    """Whether the next start restores."""
    NONE.read(flags)
    return guest(call).managed_save


async def save(call: Call, file: str, text: str, flags: int) -> None:
    """Save its state to a file and stop it."""
    paused = resume_state(SAVE.read(flags))
    target, uuid = await engine(call)
    await target.save(uuid, file, text or None, paused)


# The running guest


async def send_key(call: Call, codeset: int, hold: int, keys: list[int], flags: int) -> None:
    """Press keys together for some milliseconds."""
    NONE.read(flags)
    if codeset >= len(CODESETS):
        raise InvalidValue(f"unknown code set {codeset}", field="codeset")
    target, uuid = await engine(call)
    await target.send_keys(uuid, keys, CODESETS[codeset], hold)


async def stats(call: Call, bits: int, flags: int) -> dict[str, Variant]:
    """Figures by name."""
    groups = figures.groups(bits, enforce=bool(flags & 1 << 31))
    target, uuid = await engine(call)
    (found,) = await target.stats([uuid], cast("list[StatsGroup]", groups))
    return figures.parameters(found, groups)


async def memory_stats(call: Call, flags: int) -> dict[int, int]:
    """Memory figures by libvirt's tags."""
    NONE.read(flags)
    view = guest(call)
    if not view.active:
        raise WrongState("domain is not running", state=view.state)
    target, uuid = await engine(call)
    (found,) = await target.stats([uuid], ["balloon"])
    if found.memory is None:
        raise NoSuchDevice("the guest has no memory figures")
    return figures.tags(found.memory)


# Jobs


async def _jobs(call: Call) -> list[JobView]:
    target, uuid = await engine(call)
    return await target.jobs(uuid)


async def abort_job(call: Call) -> None:
    """Abort the job under way."""
    running = [job for job in await _jobs(call) if job.state == "running"]
    if not running:
        raise WrongState("no job is active on the domain")
    await (await call.engine()).abort_job(running[-1].id)


async def job_info(call: Call) -> list[int]:
    """The job under way: type, then times in ms and amounts in bytes; all 0 without one."""
    running = [job for job in await _jobs(call) if job.state == "running"]
    return _numbers(running[-1]) if running else [0] * 12


def _numbers(job: JobView) -> list[int]:
    total, done = job.total or 0, job.processed or 0
    left = max(total - done, 0)
    return [1 if total else 2, _elapsed(job), 0, total, done, left, total, done, left, 0, 0, 0]


def _elapsed(job: JobView) -> int:
    return int(((job.ended or time.time()) - job.started) * 1000)


async def job_stats(call: Call, flags: int) -> list[object]:
    """The job under way, or by flag the last that ended: its type and what is known of it."""
    completed = "completed" in Flags({"completed": 1, "keep": 2}).read(flags)
    jobs = [job for job in await _jobs(call) if (job.state != "running") == completed]
    if not jobs:
        return [0, {}]
    job = jobs[-1]
    values = {"time_elapsed": _elapsed(job), "data_total": job.total, "data_processed": job.processed}
    shown = {name: figures.double(Variant("t", value)) for name, value in values.items() if value is not None}
    return [1 if job.state == "running" and job.total else JOB_KINDS.get(job.state, 2), shown]


METHODS: Mapping[str, Handler] = {
    "AbortJob": abort_job,
    "AttachDevice": device("attach_device", "Plug a device in."),
    "BlockResize": resize,
    "Create": create,
    "CreateWithFiles": create_with_files,
    "Destroy": destroy,
    "DetachDevice": device("detach_device", "Unplug a device."),
    "GetJobInfo": job_info,
    "GetJobStats": job_stats,
    "GetMetadata": metadata,
    "GetState": state,
    "GetStats": stats,
    "GetVcpus": vcpus,
    "GetXMLDesc": xml,
    "HasManagedSaveImage": has_managed_save,
    "InjectNMI": plain(lambda e, g: e.inject_nmi(g), "Inject a non-maskable interrupt."),
    "ManagedSave": managed_save,
    "ManagedSaveRemove": plain(lambda e, g: e.managed_save_remove(g), "Forget the managed save."),
    "MemoryStats": memory_stats,
    "PMWakeup": plain(lambda e, g: e.pm_wakeup(g), "Wake it from its sleep."),
    "Reboot": reboot,
    "Rename": rename,
    "Reset": plain(lambda e, g: e.reset(g), "Reset it as its button does."),
    "Resume": plain(lambda e, g: e.resume(g), "Let it run on."),
    "Save": save,
    "SendKey": send_key,
    "SetMemory": set_memory,
    "SetMetadata": set_metadata,
    "SetVcpus": set_vcpus,
    "Shutdown": shutdown,
    "Suspend": plain(lambda e, g: e.suspend(g), "Pause it."),
    "Undefine": undefine,
    "UpdateDevice": device("update_device", "Change a device in place."),
}
GETTERS: Mapping[str, Getter] = {
    "Active": lambda call: guest(call).active,
    "Autostart": lambda call: guest(call).autostart,
    "Id": lambda call: guest(call).id or 0,
    "Name": lambda call: guest(call).name,
    "OSType": lambda call: guest(call).os_type,
    "Persistent": lambda call: guest(call).persistent,
    "Updated": lambda call: guest(call).updated,
    "UUID": lambda call: guest(call).uuid,
}
SETTERS: Mapping[str, Setter] = {"Autostart": set_autostart}
