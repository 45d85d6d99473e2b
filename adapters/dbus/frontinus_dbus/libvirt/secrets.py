"""org.libvirt.Secret, and what org.libvirt.Connect has of secrets. A value is in no property and no signal."""

from __future__ import annotations

import typing
from collections.abc import Mapping

from frontinus.api.errors import InvalidValue, NoSuchSecret
from frontinus.api.secrets import SecretView, UsageType
from frontinus_dbus.faults import Flags
from frontinus_dbus.libvirt.connect import NONE, object_path, to_uuid
from frontinus_dbus.libvirt.listing import Listing
from frontinus_dbus.service import Call, Getter, Handler

LIST: Listing[SecretView] = Listing((
    (("ephemeral", 1, lambda s: s.ephemeral), ("no-ephemeral", 2, lambda s: not s.ephemeral)),
    (("private", 4, lambda s: s.private), ("no-private", 8, lambda s: not s.private)),
))  # fmt: skip
DEFINE = Flags({"validate": 1})
USAGES: tuple[UsageType, ...] = typing.get_args(UsageType)
"""libvirt's numbers: the index of each name."""


def all_of(call: Call) -> list[SecretView]:
    return [thing for thing in call.model.things["secret"].values() if isinstance(thing, SecretView)]


def secret(call: Call) -> SecretView:
    """The secret that is called. Raises NoSuchSecret."""
    found = call.model.find("secret", call.key)
    if not isinstance(found, SecretView):
        raise NoSuchSecret(f"no secret with matching uuid '{call.key}'")
    return found


def path(call: Call, found: SecretView | None, how: str = "") -> str:
    if found is None:
        raise NoSuchSecret(f"no secret with matching {how}")
    return object_path(call, "secret", found.uuid)


def list_secrets(call: Call, flags: int) -> list[str]:
    """The secrets, or those that the flags choose."""
    return [path(call, found) for found in LIST.choose(all_of(call), flags)]


def lookup_uuid(call: Call, uuid: str) -> str:
    """The secret of a UUID."""
    wanted = to_uuid(uuid)
    return path(call, next((s for s in all_of(call) if s.uuid == wanted), None), f"uuid '{wanted}'")


def lookup_usage(call: Call, kind: int, usage: str) -> str:
    """The secret of a use: volume (1), ceph (2), iscsi (3), tls (4), vtpm (5), and its name there."""
    if not 0 <= kind < len(USAGES):
        raise InvalidValue(f"unknown type of usage {kind}", field="usageType")
    found = next((s for s in all_of(call) if (s.usage_type, s.usage) == (USAGES[kind], usage)), None)
    return path(call, found, f"usage '{usage}'")


async def define(call: Call, xml: str, flags: int) -> str:
    """Store a secret's definition, new or replaced."""
    given = DEFINE.read(flags)
    return path(call, await (await call.engine()).define_secret(xml, "validate" in given))


async def xml(call: Call, flags: int) -> str:
    """The definition, which never holds the value."""
    NONE.read(flags)
    return await (await call.engine()).secret_xml(secret(call).uuid)


async def undefine(call: Call) -> None:
    """Forget the secret and its value."""
    await (await call.engine()).undefine_secret(secret(call).uuid)


async def value(call: Call, flags: int) -> bytes:
    """The value, unless the secret is private."""
    NONE.read(flags)
    return await (await call.engine()).secret_value(secret(call).uuid)


async def set_value(call: Call, given: bytes | list[int], flags: int) -> None:
    """Set the value."""
    NONE.read(flags)
    await (await call.engine()).set_secret_value(secret(call).uuid, bytes(given))


CONNECT: Mapping[str, Handler] = {
    "ListSecrets": list_secrets, "SecretDefineXML": define, "SecretLookupByUUID": lookup_uuid,
    "SecretLookupByUsage": lookup_usage,
}  # fmt: skip
METHODS: Mapping[str, Handler] = {"GetValue": value, "GetXMLDesc": xml, "SetValue": set_value, "Undefine": undefine}
GETTERS: Mapping[str, Getter] = {
    "UUID": lambda call: secret(call).uuid, "UsageID": lambda call: secret(call).usage,
    "UsageType": lambda call: USAGES.index(secret(call).usage_type),
}  # fmt: skip
