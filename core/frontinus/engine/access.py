"""Who may do what: the policies that a session asks, and what they are told of the object that a call is about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

import msgspec

from frontinus.api.errors import FrontinusError
from frontinus.api.events import (
    FilterEvent,
    GuestEvent,
    LeaseEvent,
    NetworkEvent,
    PoolEvent,
    SecretEvent,
    VolumeEvent,
)
from frontinus.api.filters import FilterView
from frontinus.api.identity import Identity
from frontinus.api.networks import NetworkView
from frontinus.api.options import MonitorEvent
from frontinus.api.permissions import Permission
from frontinus.api.secrets import SecretView
from frontinus.api.storage import PoolView, VolumeView
from frontinus.api.views import GuestStats, GuestView, JobView, Snapshot
from frontinus.engine.storagedetails import NAMED_BY

T = TypeVar("T")
Details = Mapping[str, str]
"""Facts of an object, in the names that polkit rules for libvirt's access driver know."""


class Policy(Protocol):
    """Decides what identities may do. The object's details come with the question."""

    name: str

    async def allows(self, who: Identity, permission: Permission, details: Details) -> bool: ...
    def filters(self, who: Identity) -> bool:
        """Whether this caller may see less than all: lists and news are then looked through for it."""

    def when_changed(self, tell: Callable[[], None]) -> None:
        """Call back whenever earlier answers may be wrong."""


class ByRole:
    """The policy without polkit: whoever came through the manage socket may write, the monitor socket reads."""

    name = "role"

    async def allows(self, who: Identity, permission: Permission, details: Details) -> bool:
        return not (permission.write and who.readonly)

    def filters(self, who: Identity) -> bool:
        return False

    def when_changed(self, tell: Callable[[], None]) -> None:
        return None


GUEST, NETWORK = Permission("domain", "getattr"), Permission("network", "getattr")
FILTER, POOL = Permission("nwfilter", "getattr"), Permission("storage-pool", "getattr")
VOLUME, SECRET = Permission("storage-vol", "getattr"), Permission("secret", "getattr")


def guest_details(uuid: str, name: str) -> Details:
    return {"domain_name": name, "domain_uuid": uuid}


def secret_details(view: SecretView) -> Details:
    usage = NAMED_BY.get(view.usage_type)
    return {"secret_uuid": view.uuid, **({usage: view.usage} if usage else {})}


Row = Callable[..., tuple[Permission, Details]]
SUBJECTS: Mapping[type, Row] = {
    GuestView: lambda v: (GUEST, guest_details(v.uuid, v.name)),
    GuestStats: lambda v: (GUEST, guest_details(v.uuid, v.name)),
    NetworkView: lambda v: (NETWORK, {"network_name": v.name, "network_uuid": v.uuid}),
    FilterView: lambda v: (FILTER, {"nwfilter_name": v.name, "nwfilter_uuid": v.uuid}),
    PoolView: lambda v: (POOL, {"pool_name": v.name, "pool_uuid": v.uuid}),
    VolumeView: lambda v: (VOLUME, {"pool_name": v.pool, "vol_name": v.name, "vol_key": v.key}),
    SecretView: lambda v: (SECRET, secret_details(v)),
    MonitorEvent: lambda e: (GUEST, guest_details(e.uuid, e.name)),
    NetworkEvent: lambda e: (NETWORK, {"network_name": e.name, "network_uuid": e.uuid}),
    LeaseEvent: lambda e: (NETWORK, {"network_name": e.network}),
    FilterEvent: lambda e: (FILTER, {"nwfilter_name": e.name, "nwfilter_uuid": e.uuid}),
    PoolEvent: lambda e: (POOL, {"pool_name": e.name, "pool_uuid": e.uuid}),
    VolumeEvent: lambda e: (POOL, {"pool_uuid": e.pool}),
    SecretEvent: lambda e: (SECRET, {"secret_uuid": e.uuid}),
}
"""The permission to see each thing, and the facts of it."""


class Sight:
    """What one caller may see. `names`: the name of a guest by its UUID, for jobs, which know no more."""

    def __init__(self, policy: Policy, who: Identity, driver: str, names: Callable[[str], str | None]) -> None:
        self._policy, self._who, self._driver, self._names = policy, who, driver, names

    async def items(self, found: Iterable[T]) -> list[T]:
        """Those of a list that the caller may see."""
        every = list(found)
        seen = await asyncio.gather(*(self.sees(item) for item in every))
        return [item for item, visible in zip(every, seen, strict=True) if visible]

    async def snapshot(self, whole: Snapshot) -> Snapshot:
        """The part of a snapshot that the caller may see."""
        parts = {name: tuple(await self.items(getattr(whole, name)))
                 for name in ("guests", "networks", "filters", "pools", "secrets")}  # fmt: skip
        return msgspec.structs.replace(whole, **parts)

    async def sees(self, item: object) -> bool:
        row = self._row(item)
        if row is None:
            return True
        permission, details = row
        return await self._policy.allows(self._who, permission, {"connect_driver": self._driver, **details})

    def _row(self, item: object) -> tuple[Permission, Details] | None:
        if isinstance(item, GuestEvent):
            return GUEST, guest_details(item.uuid, item.name)
        if isinstance(item, JobView):
            return (GUEST, guest_details(item.guest, self._names(item.guest) or "")) if item.guest else None
        make = SUBJECTS.get(type(item))
        return make(item) if make is not None else None


LONGEST = 255
"""Characters of a name that is passed on before anybody checked it."""


def described(xml: object, kind: str) -> Details:
    """Name and UUID that a definition gives its object, for a decision before it exists."""
    from frontinus.xml import DocumentError, document

    if not isinstance(xml, str):
        return {}
    try:
        root = document(xml)
    except (DocumentError, FrontinusError):
        return {}
    found = {f"{kind}_name": root.findtext("name") or root.get("name"), f"{kind}_uuid": root.findtext("uuid")}
    known = {name: value.strip() for name, value in found.items() if value}
    return {name: value for name, value in known.items() if value.isprintable() and len(value) <= LONGEST}
