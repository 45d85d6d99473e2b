"""The realm of org.libvirt: its ten interfaces on the tables of handlers."""

from __future__ import annotations

from frontinus_dbus import faults, names
from frontinus_dbus.faults import NotSupported, Told
from frontinus_dbus.libvirt import api_guests, api_objects
from frontinus_dbus.libvirt.missing import lacking
from frontinus_dbus.libvirt.served import NOTHING, SERVED
from frontinus_dbus.picture import Picture
from frontinus_dbus.service import Call, Found, Handler, Part
from frontinus_dbus.table import Interface
from frontinus_dbus.world import World

INTERFACES: tuple[Interface, ...] = (
    api_guests.CONNECT, api_guests.DOMAIN, api_objects.DOMAINSNAPSHOT, api_objects.INTERFACE, api_objects.NWFILTER,
    api_objects.NETWORK, api_objects.NODEDEVICE, api_objects.SECRET, api_objects.STORAGEPOOL, api_objects.STORAGEVOL,
)  # fmt: skip


def _refuse(interface: str, member: str) -> Handler:
    lack = lacking(interface, member)
    assert lack is not None, f"{interface}.{member} is neither served nor listed as missing"

    def handler(call: Call, *arguments: object) -> object:
        raise NotSupported(f"{interface}.{member} ({lack})")

    return handler


def _part(interface: Interface) -> Part:
    """An interface with a handler for every member: who has none refuses."""
    served = SERVED.get(interface.name, NOTHING)
    return Part(
        interface,
        {m: served.methods.get(m) or _refuse(interface.name, m) for m in interface.method},
        {p: served.getters.get(p) or _refuse(interface.name, p) for p in interface.property},
        {
            p.name: served.setters.get(p.name) or _refuse(interface.name, p.name)
            for p in interface.properties
            if p.write
        },
        double=True,
    )


PARTS = {interface.name.rpartition(".")[2]: _part(interface) for interface in INTERFACES}


NAMED = frozenset({"domainsnapshot", "interface", "nodedev", "storagevol"})
"""Kinds whose objects are found by a name or key; the others by UUID."""


class Libvirt:
    """`/org/libvirt/QEMU` or `/org/libvirt/Test`, and what is below."""

    told: Told = staticmethod(faults.as_libvirt)

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def root(self) -> str:
        return f"/org/libvirt/{self.world.driver}"

    def find(self, path: str, picture: Picture) -> Found | None:
        if path == self.root:
            return Found((PARTS["Connect"],), children=sorted(names.KINDS))
        kind, _, name = path[len(self.root) + 1 :].partition("/")
        if kind not in names.KINDS or "/" in name:
            return None
        if not name:
            model = picture.model
            found = model.guests if kind == "domain" else model.things.get(kind, {})
            return Found((), children=[names.of_uuid(uuid) for uuid in found])
        key = names.to_text(name) if kind in NAMED else names.to_uuid(name) or ""
        return Found((PARTS[names.KINDS[kind]],), kind=kind, key=key)

    def path(self, uuid: str, kind: str = "domain") -> str:
        return f"{self.root}/{kind}/{names.of_uuid(uuid)}"
