"""The realm of org.frontinus1: handlers of its tables."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import cast

from dbus_fast import Variant

from frontinus.api.engine import Descriptor, Engine
from frontinus.api.errors import InvalidValue, NoSuchGuest
from frontinus.api.views import GuestStats, GuestView, JobView, StatsGroup
from frontinus_dbus import api_native, faults, names, table
from frontinus_dbus.faults import Told
from frontinus_dbus.picture import Picture
from frontinus_dbus.raw import Entries, entry
from frontinus_dbus.service import Call, Found, Getter, Handler, Part, Setter, get_all
from frontinus_dbus.world import World

ROOT = "/org/frontinus1"


def path_of(uuid: str) -> str:
    return f"{ROOT}/guest/{names.of_uuid(uuid)}"


def guest(call: Call) -> GuestView:
    view = call.model.guests.get(call.key)
    if view is None:
        raise NoSuchGuest(f"there is no guest at {call.path}")
    return view


def asks(act: Callable[..., Awaitable[object]]) -> Handler:
    """A handler that passes its arguments to the engine: act(engine, *arguments)."""

    async def handler(call: Call, *given: object) -> object:
        return await act(await call.engine(), *given)

    return handler


def does(act: Callable[..., Awaitable[object]]) -> Handler:
    """The same for a guest: act(engine, uuid, *arguments)."""

    async def handler(call: Call, *given: object) -> object:
        uuid = guest(call).uuid
        return await act(await call.engine(), uuid, *given)

    return handler


async def _path(view: Awaitable[GuestView]) -> str:
    return path_of((await view).uuid)


def flat(stats: GuestStats, groups: Sequence[str]) -> dict[str, Variant]:
    """Figures by name, in the names that domstats gives them."""
    from frontinus.api.views import STATS_GROUPS
    from frontinus_dbus.figures import typed_rows

    return dict(typed_rows(stats, groups or STATS_GROUPS))


async def stats_of_all(engine: Engine, groups: Sequence[str], max_age: float) -> dict[str, dict[str, Variant]]:
    found = await engine.stats(None, cast("list[StatsGroup]", groups) or None, max_age)
    return {path_of(one.uuid): flat(one, groups) for one in found}


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


MANAGER: Mapping[str, Handler] = {
    "Find": asks(lambda e, key: _path(e.guest(key))),
    "Define": asks(lambda e, xml, validate: _path(e.define(xml, validate))),
    "Create": asks(lambda e, xml, paused, validate: _path(e.create(xml, paused, validate))),
    "Restore": asks(lambda e, path, xml: _path(e.restore(path, xml or None))),
    "SavedXml": asks(lambda e, path: e.saved_xml(path)),
    "Capabilities": asks(lambda e: e.capabilities()),
    "DomainCapabilities": asks(lambda e, *given: e.domain_capabilities(*[text or None for text in given])),
    "CommandLine": asks(lambda e, xml: e.argv(xml)),
    "DownloadVolume": asks(lambda e, pool, volume, offset, length: e.download_volume(pool, volume, offset, length)),
    "UploadVolume": asks(lambda e, pool, volume, offset, length: e.upload_volume(pool, volume, offset, length)),
    "Stats": asks(stats_of_all),
}
GUEST: Mapping[str, Handler] = {
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
}


async def set_autostart(call: Call, on: object) -> None:
    uuid = guest(call).uuid
    await (await call.engine()).set_autostart(uuid, bool(on))


def _host(name: str) -> Getter:
    return lambda call: getattr(call.world.host, name)


def _release(call: Call) -> str:
    version = call.world.version
    return ".".join(map(str, version.hypervisor_version)) if version else ""


ABOUT: Mapping[str, Getter] = {
    "Version": lambda call: call.world.version.frontinus if call.world.version else "",
    "Hypervisor": lambda call: call.world.driver,
    "HypervisorVersion": _release,
    "Hostname": _host("hostname"), "HostUuid": _host("uuid"), "Architecture": _host("arch"), "CpuModel": _host("cpu_model"),
    "Cpus": _host("cpus"), "Memory": _host("memory"), "Kvm": _host("kvm"),
}  # fmt: skip
SHOWN: Mapping[str, Callable[[GuestView], object]] = {
    "Uuid": lambda g: g.uuid, "Name": lambda g: g.name, "State": lambda g: g.state, "Reason": lambda g: g.reason,
    "Since": lambda g: g.since, "Id": lambda g: -1 if g.id is None else g.id, "Active": lambda g: g.active,
    "Persistent": lambda g: g.persistent, "Autostart": lambda g: g.autostart, "HasManagedSave": lambda g: g.managed_save,
    "Updated": lambda g: g.updated, "Title": lambda g: g.title or "", "Description": lambda g: g.description or "",
    "Vcpus": lambda g: g.vcpus, "MaxVcpus": lambda g: g.max_vcpus, "Memory": lambda g: g.memory,
    "MaxMemory": lambda g: g.max_memory, "Architecture": lambda g: g.arch, "Machine": lambda g: g.machine,
    "Type": lambda g: g.virt_type, "OsType": lambda g: g.os_type, "Tainted": lambda g: list(g.tainted),
    "Job": lambda g: g.job or "",
}  # fmt: skip
"""The properties of a guest, from its view."""


def variants(view: GuestView) -> dict[str, Variant]:
    """All properties of a guest."""
    return {p.name: Variant(p.signature, SHOWN[p.name](view)) for p in api_native.GUEST.properties}


def _shown(name: str) -> Getter:
    return lambda call: SHOWN[name](guest(call))


async def _job(call: Call) -> JobView:
    for job in await (await call.engine()).jobs():
        if job.id == call.key:
            return job
    raise InvalidValue(f"there is no job {call.key}", field="job")


async def progress(call: Call) -> tuple[float, int, int]:
    job = await _job(call)
    return -1.0 if job.progress is None else job.progress, job.processed or 0, job.total or 0


async def cancel(call: Call) -> None:
    await (await call.engine()).abort_job(call.key)


JOB: Mapping[str, Handler] = {"Cancel": cancel, "Progress": progress}


SETTERS: Mapping[str, Setter] = {"Autostart": set_autostart}
GUEST_PART = Part(api_native.GUEST, GUEST, {name: _shown(name) for name in SHOWN}, SETTERS)
MANAGER_PART = Part(api_native.MANAGER, MANAGER, ABOUT)


class Native:
    """`/org/frontinus1`, its guests and its running jobs."""

    told: Told = staticmethod(faults.as_native)
    root = ROOT

    def __init__(self, world: World) -> None:
        self.world = world
        self._made: dict[str, tuple[GuestView, bytes]] = {}
        objects = Part(table.OBJECT_MANAGER, {"GetManagedObjects": self.everything})
        self._top = (MANAGER_PART, objects)
        self._job = Part(api_native.JOB, JOB, {"Kind": lambda call: call.picture.jobs[call.key][0],
                                               "Guest": lambda call: path_of(call.picture.jobs[call.key][1])})  # fmt: skip

    def find(self, path: str, picture: Picture) -> Found | None:
        kind, _, name = path[len(ROOT) + 1 :].partition("/")
        if path == ROOT:
            return Found(self._top, children=["guest", "job"])
        if kind == "guest" and not name:
            return Found((), children=[names.of_uuid(uuid) for uuid in picture.model.guests])
        if kind == "job" and not name:
            return Found((), children=list(picture.jobs))
        if kind == "guest" and (names.to_uuid(name) or "") in picture.model.guests:
            return Found((GUEST_PART,), kind="domain", key=names.to_uuid(name) or "")
        return Found((self._job,), key=name) if kind == "job" and name in picture.jobs else None

    @staticmethod
    def job_variants(picture: Picture, job: str) -> dict[str, Variant]:
        kind, uuid = picture.jobs[job]
        return {"Kind": Variant("s", kind), "Guest": Variant("o", path_of(uuid))}

    def _job_entry(self, picture: Picture, job: str) -> bytes:
        return entry(f"{ROOT}/job/{job}", {api_native.JOB.name: self.job_variants(picture, job)})

    def everything(self, call: Call) -> Entries:
        """Every object with its properties. A guest's part is made anew when its view is another."""
        guests = call.model.guests
        for uuid, view in guests.items():
            if (made := self._made.get(uuid)) is None or made[0] is not view:
                self._made[uuid] = (view, entry(path_of(uuid), {api_native.GUEST.name: variants(view)}))
        if len(self._made) > len(self.world.model.guests) + len(guests):
            self._made = {uuid: made for uuid, made in self._made.items() if uuid in guests}
        top = entry(ROOT, {api_native.MANAGER.name: cast("dict[str, Variant]", get_all(MANAGER_PART, call))})
        jobs = [
            entry(f"{ROOT}/job/{job}", {api_native.JOB.name: self.job_variants(call.picture, job)})
            for job in call.picture.jobs
        ]
        return Entries([top, *(self._made[uuid][1] for uuid in guests), *jobs])
