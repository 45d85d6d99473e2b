"""Guests that name the secret of a volume are told when another one opens it."""

from __future__ import annotations

import logging
from contextlib import nullcontext

from frontinus.api.errors import FrontinusError
from frontinus.domain.guest import Guest
from frontinus.domain.plan import Use
from frontinus.domain.usedsecrets import name_secret
from frontinus.engine.halves import Halves
from frontinus.engine.record import Record
from frontinus.engine.world import World
from frontinus.storage.imaging import Key

log = logging.getLogger(__name__)


async def carry(world: World, places: set[tuple[str, ...]], old: Key, secret: str, held: Record | None) -> None:
    """Have every guest that names the old secret for a volume name the new one, running or not. `held`: the caller has it.

    The volume opens by both meanwhile. One that cannot be changed is left as it is, and the log has why.
    """

    def is_old(use: Use) -> bool:
        try:
            return world.secrets.named(*use).uuid == world.secrets.named("volume", old.uuid, old.usage).uuid
        except FrontinusError:
            return False

    def named(guest: Guest | None) -> bool:
        return guest is not None and name_secret(guest, places, is_old, secret)

    async def change(record: Record) -> None:
        halves = Halves.of(record, live=record.running is not None, config=record.definition is not None)
        halves.live = halves.live if named(halves.live) else None
        halves.definition = halves.definition if named(halves.definition) else None
        if any(halves):
            await halves.commit(world)

    for record in list(world.guests):
        try:
            async with nullcontext() if record is held else record.lock.hold("name another secret"):
                await change(record)
        except FrontinusError as error:
            log.error("guest %s still names the old secret of a disk: %s", record.name, error)
