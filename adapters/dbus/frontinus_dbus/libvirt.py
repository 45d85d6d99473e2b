"""The realm of org.libvirt: its ten interfaces on the tables of handlers."""

from __future__ import annotations

from collections.abc import Mapping

from frontinus_dbus import api_guests, api_objects, connect, domain, faults, names
from frontinus_dbus.faults import NotSupported, Told
from frontinus_dbus.missing import lacking
from frontinus_dbus.service import Call, Found, Getter, Handler, Part, Setter
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


def _part(interface: Interface, methods: Mapping[str, Handler], getters: Mapping[str, Getter],
          setters: Mapping[str, Setter]) -> Part:  # fmt: skip
    """An interface with a handler for every member: who has none refuses."""
    return Part(
        interface,
        {m: methods.get(m) or _refuse(interface.name, m) for m in interface.method},
        {p: getters.get(p) or _refuse(interface.name, p) for p in interface.property},
        {p.name: setters.get(p.name) or _refuse(interface.name, p.name) for p in interface.properties if p.write},
        double=True,
    )


CONNECT = _part(api_guests.CONNECT, connect.METHODS, connect.GETTERS, {})
DOMAIN = _part(api_guests.DOMAIN, domain.METHODS, domain.GETTERS, domain.SETTERS)
OTHERS = {i.name.rpartition(".")[2]: _part(i, {}, {}, {}) for i in INTERFACES[2:]}
PARTS = {"Connect": CONNECT, "Domain": DOMAIN, **OTHERS}


class Libvirt:
    """`/org/libvirt/QEMU` or `/org/libvirt/Test`, and what is below."""

    told: Told = staticmethod(faults.as_libvirt)

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def root(self) -> str:
        return f"/org/libvirt/{self.world.driver}"

    def find(self, path: str) -> Found | None:
        if path == self.root:
            return Found((CONNECT,), children=sorted(names.KINDS))
        kind, _, name = path[len(self.root) + 1 :].partition("/")
        if kind not in names.KINDS or "/" in name:
            return None
        if not name:
            guests = self.world.model.guests if kind == "domain" else ()
            return Found((), children=[names.of_uuid(uuid) for uuid in guests])
        return Found((PARTS[names.KINDS[kind]],), key=names.to_uuid(name) or "")

    def path(self, uuid: str) -> str:
        return f"{self.root}/domain/{names.of_uuid(uuid)}"
