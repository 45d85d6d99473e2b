"""How far the long pieces of work on guests are, for those who poll: a hypervisor that hangs holds nobody up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from frontinus.api.errors import FrontinusError
from frontinus.api.views import JobView
from frontinus.engine.block.works import Work
from frontinus.engine.record import Record, Running
from frontinus.engine.world import World
from frontinus.ports.blocks import JobFacts

PATIENCE = 0.1
"""Seconds that a poll waits for how far they are; what comes later is for the next one."""

Told = Mapping[str, JobFacts]


class Progress:
    """Asks hypervisors about block jobs while there are any, and the engine's own jobs to measure themselves."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._told: dict[str, Told] = {}
        """The last answers, by the guests' UUIDs."""

    async def under_way(self, records: Sequence[Record]) -> Mapping[str, tuple[JobView, ...]]:
        """The jobs of guests, the engine's own and block jobs, by UUID."""
        working = {record.uuid: record.running for record in records if record.running and _works(record.running)}
        asked = [self._asked(uuid, running) for uuid, running in working.items()]
        await self._world.jobs.measure(None, within=PATIENCE)
        if asked:
            await asyncio.wait(asked, timeout=PATIENCE)
        self._told = {uuid: told for uuid, told in self._told.items() if uuid in working}
        found = dict(self._world.jobs.under_way())
        for uuid, running in working.items():
            views = [_view(uuid, work, self._told.get(uuid, {}).get(work.job)) for work in _works(running)]
            found[uuid] = (*found.get(uuid, ()), *views)
        return found

    def _asked(self, uuid: str, running: Running) -> asyncio.Task[None]:
        """The question to a guest's hypervisor that is under way, or begins now."""
        if uuid not in self._asking:
            task = self._asking[uuid] = asyncio.get_running_loop().create_task(self._ask(uuid, running))
            task.add_done_callback(lambda _: self._asking.pop(uuid, None))
        return self._asking[uuid]

    async def _ask(self, uuid: str, running: Running) -> None:
        try:
            self._told[uuid] = {facts.id: facts for facts in await running.process.block_jobs()}
        except FrontinusError:
            self._told.pop(uuid, None)


def _works(running: Running) -> Iterable[Work]:
    """The block jobs that are no part of one of the engine's own jobs."""
    return [work for work in running.works if work.kind != "backup"]


def _view(uuid: str, work: Work, facts: JobFacts | None) -> JobView:
    view = JobView(id=work.job, kind=work.kind, state="running", started=work.began, guest=uuid)
    if facts is None or not facts.total:
        return view
    return replace(view, progress=facts.current / facts.total, processed=facts.current, total=facts.total)
