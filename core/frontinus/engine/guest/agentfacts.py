"""What guests' agents tell, kept for those who poll: nobody waits for a guest, and no guest is asked more than now and then."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Sequence
from typing import TypeVar

import msgspec

from frontinus.api.agent import GuestFilesystem, GuestOs
from frontinus.api.errors import FrontinusError
from frontinus.api.views import AgentStats
from frontinus.engine.guest.agent import AgentDesk
from frontinus.engine.record import Record

T = TypeVar("T")
V = TypeVar("V", GuestFilesystem, GuestOs)
log = logging.getLogger(__name__)
AGE = 30.0
"""Seconds before a guest is asked again."""
FIRST = 0.5
"""Seconds that the first who asks waits for guests that were never asked."""


MOST, LONGEST = 256, 512
"""File systems and characters of a text that are kept of a guest, which could tell of millions."""


class AgentFacts:
    """Keeps the last word of each agent that is connected, and asks anew in the background."""

    def __init__(self, desk: AgentDesk) -> None:
        self._desk = desk
        self.known: dict[str, AgentStats] = {}
        """By the guests' UUIDs."""
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def refresh(self, records: Sequence[Record]) -> None:
        """Begin to ask those whose word is old; wait a moment for those that never gave one."""
        began = [self._ask(record) for record in records if self._due(record)]
        new = [task for record, task in began if record.uuid not in self.known]
        if new:
            await asyncio.wait(new, timeout=FIRST)

    def of(self, record: Record) -> AgentStats | None:
        """The last word of a guest's agent while it is connected."""
        if record.running is None or not record.running.agent_connected:
            self.known.pop(record.uuid, None)
            return None
        return self.known.get(record.uuid)

    def _due(self, record: Record) -> bool:
        if record.running is None or not record.running.agent_connected or record.uuid in self._asking:
            return False
        known = self.known.get(record.uuid)
        return known is None or time.time() - known.taken > AGE

    def _ask(self, record: Record) -> tuple[Record, asyncio.Task[None]]:
        task = self._asking[record.uuid] = asyncio.get_running_loop().create_task(self._take(record.uuid))
        task.add_done_callback(lambda _: self._asking.pop(record.uuid, None))
        return record, task

    async def _take(self, uuid: str) -> None:
        """Whatever of it the agent can tell."""
        desk, now = self._desk, time.time()
        users, hostname = await _told(desk.guest_users(uuid)), await _told(desk.guest_hostname(uuid))
        os, filesystems = await _told(desk.guest_os(uuid)), await _told(desk.guest_filesystems(uuid)) or []
        self.known[uuid] = AgentStats(
            taken=now, hostname=hostname and hostname[:LONGEST], os=os and _short(os),
            users=None if users is None else len(users), filesystems=tuple(map(_short, filesystems[:MOST])),
        )  # fmt: skip


def _short(view: V) -> V:
    """The same with its texts cut."""
    texts = {name: value for name, value in msgspec.structs.asdict(view).items() if isinstance(value, str)}
    return msgspec.structs.replace(view, **{name: value[:LONGEST] for name, value in texts.items()})


async def _told(asked: Awaitable[T]) -> T | None:
    try:
        return await asked
    except FrontinusError as error:
        log.debug("a guest's agent: %s", error)
        return None
