"""org.libvirt.Connect: the engine, its host, and finding and making guests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from dbus_fast import Variant

from frontinus.api.engine import Descriptor
from frontinus.api.errors import InvalidValue, NoSuchGuest
from frontinus.api.options import CreateFlag
from frontinus.api.views import GuestView, HostView, StatsGroup
from frontinus_dbus import names
from frontinus_dbus.faults import Flags
from frontinus_dbus.libvirt import figures
from frontinus_dbus.raw import Ready, ready
from frontinus_dbus.service import Call, Getter, Handler

LIBRARY = 9_000_000
"""The version of libvirt whose API this is: 9.0.0."""
KIB = 1024
START = Flags({"paused": 1, "bypass-cache": 4, "force-boot": 8, "validate": 16})
RESTORE = Flags({"bypass-cache": 1, "running": 2, "paused": 4})
NONE = Flags({})
LIST = Flags({
    "active": 1, "inactive": 2, "persistent": 4, "transient": 8, "running": 16, "paused": 32, "shutoff": 64, "other": 128,
    "save": 256, "no-save": 512, "autostart": 1024, "no-autostart": 2048, "snapshot": 4096, "no-snapshot": 8192,
    "checkpoint": 1 << 14, "no-checkpoint": 1 << 15,
})  # fmt: skip
STATS_LIST = Flags({**LIST.known, "nowait": 1 << 29, "backing": 1 << 30, "enforce": 1 << 31})


def filters(guest: GuestView) -> Mapping[str, bool]:
    """What a list can be narrowed to."""
    return {
        "active": guest.active, "inactive": not guest.active,
        "persistent": guest.persistent, "transient": not guest.persistent,
        "running": guest.state == "running", "paused": guest.state == "paused", "shutoff": guest.state == "shutoff",
        "other": guest.state not in ("running", "paused", "shutoff"),
        "save": guest.managed_save, "no-save": not guest.managed_save,
        "autostart": guest.autostart, "no-autostart": not guest.autostart,
        "snapshot": False, "no-snapshot": True, "checkpoint": False, "no-checkpoint": True,
    }  # fmt: skip


GROUPS = (
    ("active", "inactive"), ("persistent", "transient"), ("running", "paused", "shutoff", "other"), ("save", "no-save"),
    ("autostart", "no-autostart"), ("snapshot", "no-snapshot"), ("checkpoint", "no-checkpoint"),
)  # fmt: skip
"""Within a group any may hold, and every group that is asked for has to."""


def chosen(guests: Iterable[GuestView], wanted: frozenset[str]) -> list[GuestView]:
    groups = [set(group) & wanted for group in GROUPS]
    asked = [group for group in groups if group]
    if not asked:
        return list(guests)
    return [g for g in guests if all(any(filters(g)[name] for name in group) for group in asked)]


def root(call: Call) -> str:
    """Where the connection is."""
    return f"/org/libvirt/{call.world.driver}"


def object_path(call: Call, kind: str, uuid: str) -> str:
    """Where an object with a UUID is."""
    return f"{root(call)}/{kind}/{names.of_uuid(uuid)}"


def to_uuid(text: str) -> str:
    """A UUID as users write it, with or without hyphens. Raises InvalidValue."""
    canonical = names.to_uuid(names.of_uuid(text)) or names.to_uuid(_grouped(text))
    if canonical is None:
        raise InvalidValue("Invalid UUID", field="uuid")
    return canonical


def path(call: Call, guest: GuestView) -> str:
    """Where a guest is."""
    return object_path(call, "domain", guest.uuid)


def _found(call: Call, guest: GuestView | None, how: str) -> str:
    if guest is None:
        raise NoSuchGuest(f"no domain with matching {how}")
    return path(call, guest)


def list_domains(call: Call, flags: int) -> Ready:
    """The guests, or those that the flags choose."""
    shelf = call.picture.made()
    known = shelf.get(flags)
    if known is None:
        found = [path(call, guest) for guest in chosen(call.model.guests.values(), LIST.read(flags))]
        known = shelf[flags] = ready("ao", [found])
    return known


def lookup_id(call: Call, number: int) -> str:
    """The running guest of an id."""
    return _found(call, call.model.numbered(number), f"id {number}")


def lookup_name(call: Call, name: str) -> str:
    """The guest of a name."""
    return _found(call, call.model.named(name), f"name '{name}'")


def lookup_uuid(call: Call, uuid: str) -> str:
    """The guest of a UUID."""
    canonical = to_uuid(uuid)
    return _found(call, call.model.guests.get(canonical), f"uuid '{canonical}'")


def _grouped(digits: str) -> str:
    return "_" + "_".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


async def define(call: Call, xml: str) -> str:
    """Store a definition, new or replaced."""
    return path(call, await (await call.engine()).define(xml))


async def create(call: Call, xml: str, flags: int) -> str:
    """Start a transient guest."""
    given = START.read(flags)
    engine = await call.engine()
    return path(call, await engine.create(xml, paused="paused" in given, validate="validate" in given))


async def create_with_files(call: Call, xml: str, files: Sequence[Descriptor], flags: int) -> str:
    """The same, with descriptors for the first process inside a container."""
    given = START.read(flags)
    engine = await call.engine()
    chosen: dict[CreateFlag, bool] = {"paused": "paused" in given, "validate": "validate" in given}
    return path(call, await engine.create_with_files(xml, files, [name for name, on in chosen.items() if on]))


def resume_state(given: frozenset[str]) -> bool | None:
    """Whether a saved guest comes back paused; None: as it was."""
    if {"running", "paused"} <= given:
        raise InvalidValue("running and paused exclude each other", field="flags")
    return True if "paused" in given else False if "running" in given else None


async def restore(call: Call, file: str, xml: str, flags: int) -> None:
    """Start a guest from a file of its saved state."""
    await (await call.engine()).restore(file, xml or None, resume_state(RESTORE.read(flags)))


async def saved_xml(call: Call, file: str, flags: int) -> str:
    """The definition inside a saved state."""
    Flags({"secure": 1}).read(flags)
    return await (await call.engine()).saved_xml(file)


async def define_saved(call: Call, file: str, xml: str, flags: int) -> None:
    """Change the definition inside a saved state, and by flag how it comes back."""
    given = Flags({"running": 2, "paused": 4}).read(flags)
    await (await call.engine()).redefine_saved(file, xml, resume_state(given))


async def capabilities(call: Call) -> str:
    """What the host can do, as XML."""
    return await (await call.engine()).capabilities()


async def domain_capabilities(call: Call, emulator: str, arch: str, machine: str, virt_type: str, flags: int) -> str:
    """What guests of a kind can have, as XML; empty texts stand for the default."""
    NONE.read(flags)
    engine = await call.engine()
    return await engine.domain_capabilities(emulator or None, arch or None, machine or None, virt_type or None)


async def all_stats(call: Call, stats: int, flags: int) -> list[tuple[str, dict[str, Variant]]]:
    """Figures of all guests, or of those that the flags choose."""
    guests = chosen(call.model.guests.values(), STATS_LIST.read(flags) & LIST.known.keys())
    groups = figures.groups(stats, enforce=bool(flags & 1 << 31))
    every = len(guests) == len(call.model.guests)
    engine = await call.engine()
    found = await engine.stats(None if every else [g.uuid for g in guests], cast("list[StatsGroup]", groups))
    return [[one.name, figures.parameters(one, groups)] for one in found]  # type: ignore[misc]


async def free_memory(call: Call) -> int:
    """Memory of the host that is free, in bytes."""
    return (await (await call.engine()).host()).memory_free


def _host(call: Call) -> HostView:
    assert call.world.host is not None
    return call.world.host


def _version(call: Call) -> int:
    assert call.world.version is not None
    major, minor, micro = call.world.version.hypervisor_version
    return major * 1_000_000 + minor * 1000 + micro


METHODS: Mapping[str, Handler] = {
    "DomainCreateXML": create, "DomainCreateXMLWithFiles": create_with_files,
    "DomainDefineXML": define, "DomainLookupByID": lookup_id,
    "DomainLookupByName": lookup_name, "DomainLookupByUUID": lookup_uuid, "DomainRestore": restore,
    "DomainSaveImageDefineXML": define_saved, "DomainSaveImageGetXMLDesc": saved_xml, "GetAllDomainStats": all_stats,
    "GetCapabilities": capabilities, "GetDomainCapabilities": domain_capabilities, "ListDomains": list_domains,
    "NodeGetFreeMemory": free_memory,
}  # fmt: skip
GETTERS: Mapping[str, Getter] = {
    "Encrypted": lambda call: False,
    "Hostname": lambda call: _host(call).hostname,
    "LibVersion": lambda call: LIBRARY,
    "Secure": lambda call: True,
    "Version": _version,
}
