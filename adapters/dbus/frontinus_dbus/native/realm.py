"""The realm of org.frontinus1: the manager, and objects by kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from dbus_fast import Variant

from frontinus.api.engine import Engine
from frontinus.api.errors import InvalidValue
from frontinus.api.views import JobView, StatsGroup
from frontinus_dbus import faults, names, table
from frontinus_dbus.faults import Told
from frontinus_dbus.native import api_guests
from frontinus_dbus.native.guests import GUEST, flat
from frontinus_dbus.native.kinds import ROOT, HasUuid, Kind, asks, listed, object_of
from frontinus_dbus.native.things import FILTER, NETWORK, POOL, SECRET
from frontinus_dbus.picture import Picture
from frontinus_dbus.raw import OBJECTS, Entries, Ready, entry
from frontinus_dbus.service import Call, Found, Getter, Handler, Part, get_all
from frontinus_dbus.world import World

KINDS = (GUEST, NETWORK, POOL, SECRET, FILTER)
BY_FOLDER: Mapping[str, Kind] = {kind.folder: kind for kind in KINDS}
BY_MODEL: Mapping[str, Kind] = {kind.model: kind for kind in KINDS}


async def stats_of_all(engine: Engine, groups: Sequence[str], max_age: float) -> dict[str, dict[str, Variant]]:
    found = await engine.stats(None, cast("list[StatsGroup]", groups) or None, max_age)
    return {GUEST.path(one.uuid): flat(one, groups) for one in found}


MANAGER: Mapping[str, Handler] = {
    "Find": asks(lambda e, key: object_of("guest", e.guest(key))),
    "Define": asks(lambda e, xml, validate: object_of("guest", e.define(xml, validate))),
    "Create": asks(lambda e, xml, paused, validate: object_of("guest", e.create(xml, paused, validate))),
    "Restore": asks(lambda e, path, xml: object_of("guest", e.restore(path, xml or None))),
    "SavedXml": asks(lambda e, path: e.saved_xml(path)),
    "FindNetwork": asks(lambda e, key: object_of("network", e.network(key))),
    "DefineNetwork": asks(lambda e, xml, validate: object_of("network", e.define_network(xml, validate))),
    "CreateNetwork": asks(lambda e, xml, validate: object_of("network", e.create_network(xml, validate))),
    "FindPool": asks(lambda e, key: object_of("pool", e.pool(key))),
    "DefinePool": asks(lambda e, xml, validate: object_of("pool", e.define_pool(xml, validate))),
    "CreatePool": asks(lambda e, xml: object_of("pool", e.create_pool(xml))),
    "FindPoolSources": asks(lambda e, kind, xml: e.find_pool_sources(kind, xml or None)),
    "PoolCapabilities": asks(lambda e: e.pool_capabilities()),
    "FindSecret": asks(lambda e, kind, usage: object_of("secret", e.secret_by_usage(kind, usage))),
    "DefineSecret": asks(lambda e, xml, validate: object_of("secret", e.define_secret(xml, validate))),
    "FindFilter": asks(lambda e, key: object_of("filter", e.filter(key))),
    "DefineFilter": asks(lambda e, xml, validate: object_of("filter", e.define_filter(xml, validate))),
    "FilterBindings": asks(lambda e: listed(e.filter_bindings())),
    "Capabilities": asks(lambda e: e.capabilities()),
    "DomainCapabilities": asks(lambda e, *given: e.domain_capabilities(*[text or None for text in given])),
    "CommandLine": asks(lambda e, xml: e.argv(xml)),
    "DownloadVolume": asks(lambda e, pool, volume, offset, length: e.download_volume(pool, volume, offset, length)),
    "UploadVolume": asks(lambda e, pool, volume, offset, length: e.upload_volume(pool, volume, offset, length)),
    "Stats": asks(stats_of_all),
}


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


MANAGER_PART = Part(api_guests.MANAGER, MANAGER, ABOUT)
JOB_PART = Part(api_guests.JOB, {"Cancel": cancel, "Progress": progress}, {
    "Kind": lambda call: call.picture.jobs[call.key][0],
    "Guest": lambda call: GUEST.path(call.picture.jobs[call.key][1]),
})  # fmt: skip


def job_path(job: str) -> str:
    return f"{ROOT}/job/{job}"


def job_variants(picture: Picture, job: str) -> dict[str, Variant]:
    kind, uuid = picture.jobs[job]
    return {"Kind": Variant("s", kind), "Guest": Variant("o", GUEST.path(uuid))}


class Native:
    """`/org/frontinus1`, the objects of each kind, and the running jobs."""

    told: Told = staticmethod(faults.as_native)
    root = ROOT

    def __init__(self, world: World) -> None:
        self.world = world
        objects = Part(table.OBJECT_MANAGER, {"GetManagedObjects": self.everything})
        self._top = (MANAGER_PART, objects)
        self._parts = {kind.folder: (kind.part,) for kind in KINDS}

    def find(self, path: str, picture: Picture) -> Found | None:
        folder, _, name = path[len(ROOT) + 1 :].partition("/")
        if path == ROOT:
            return Found(self._top, children=[*BY_FOLDER, "job"])
        if folder == "job":
            return self._find_job(name, picture)
        kind = BY_FOLDER.get(folder)
        if kind is None:
            return None
        if not name:
            return Found((), children=[names.of_uuid(uuid) for uuid in picture.model.all(kind.model)])
        uuid = names.to_uuid(name) or ""
        there = picture.model.find(kind.model, uuid) is not None
        return Found(self._parts[folder], kind=kind.model, key=uuid) if there else None

    @staticmethod
    def _find_job(name: str, picture: Picture) -> Found | None:
        if not name:
            return Found((), children=list(picture.jobs))
        return Found((JOB_PART,), key=name) if name in picture.jobs else None

    def everything(self, call: Call) -> Entries:
        """Every object with its properties."""
        picture = call.picture
        top = entry(ROOT, {api_guests.MANAGER.name: cast("dict[str, Variant]", get_all(MANAGER_PART, call))})
        things = [_entry(picture, kind, view) for kind in KINDS for view in picture.model.all(kind.model).values()]
        jobs = [entry(job_path(job), {api_guests.JOB.name: job_variants(picture, job)}) for job in picture.jobs]
        return Entries([top, *things, *jobs])


def _entry(picture: Picture, kind: Kind, view: HasUuid) -> bytes:
    """An object's part of the world, made anew once something has become of it."""
    shelf, slot = picture.made(view.uuid), (kind.folder, "entry")
    known = shelf.get(slot)
    if known is None:
        body = entry(kind.path(view.uuid), {kind.interface.name: kind.variants(view)})
        known = shelf[slot] = Ready(OBJECTS, body)
    return known.body
