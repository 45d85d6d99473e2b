"""Whoever starts a guest has its disks opened for it: that takes the right to the secrets that the guest uses."""

from __future__ import annotations

from collections.abc import Mapping

from frontinus.api.errors import FrontinusError
from frontinus.api.permissions import PERMISSIONS, Permission
from frontinus.domain.definition import parse_guest
from frontinus.domain.plugging import parse_device
from frontinus.domain.usedsecrets import used_secrets
from frontinus.engine import apart
from frontinus.engine.storagedetails import secret_details
from frontinus.engine.world import World
from frontinus.xml import Model

READ = PERMISSIONS["secret_value"]


async def secret_rights(
    world: World, call: str, given: Mapping[str, object]
) -> list[tuple[Permission, Mapping[str, str]]]:
    """What a call needs for secrets, each with the secret's own details."""
    try:
        part = await _part(world, call, given)
        uses = used_secrets(part) if part is not None else ()
        return [(READ, secret_details(world.secrets.named(*use).secret)) for use in uses]
    except FrontinusError:
        return []  # the call itself says what is wrong with its arguments, or that a secret is not there


async def _part(world: World, call: str, given: Mapping[str, object]) -> Model | None:
    """What would be started or plugged."""
    if call in ("start", "start_with", "start_with_files"):
        return world.guests.find(str(given.get("guest"))).definition
    if call in ("create", "create_with", "create_with_files"):
        return await apart.reading(given.get("xml"), lambda: parse_guest(str(given.get("xml"))))
    if call == "attach_device":
        return await apart.reading(given.get("xml"), lambda: parse_device(str(given.get("xml"))))
    return None
