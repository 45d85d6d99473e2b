"""Backups."""

from __future__ import annotations

from frontinus.engine.record import Record, Running
from frontinus.engine.world import World


async def resume_backup(world: World, record: Record, running: Running) -> None:
    """After a restart."""
