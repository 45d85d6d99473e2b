"""The mark of what starts with the engine: guests, networks, pools."""

from __future__ import annotations

from typing import Protocol

from frontinus.engine.jobs import JobLock
from frontinus.ports.state import StateStore


class Startable(Protocol):
    """The record of something that may start by itself, if it has a definition."""

    uuid: str
    autostart: bool
    lock: JobLock

    def need_definition(self) -> object:
        """Raises WrongState for what is transient."""


async def mark(store: StateStore, kind: str, record: Startable, on: bool) -> None:
    """Say durably, among the documents of a kind, whether this starts with the engine. Raises WrongState."""
    async with record.lock.hold("set autostart"):
        record.need_definition()
        if on:
            await store.save(kind, record.uuid, "")
        else:
            await store.delete(kind, record.uuid)
        record.autostart = on
