"""The two halves of a guest: what runs, and what is stored. A change is made on copies and counts once it is durable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from frontinus.domain.guest import Guest
from frontinus.engine import apart, runstate
from frontinus.engine.guest.logs import follow_logs
from frontinus.engine.record import Record
from frontinus.engine.world import World

KIND = "definitions"


@dataclass
class Halves:
    """Copies of the halves that a change applies to; None for one that it leaves alone."""

    record: Record
    live: Guest | None
    definition: Guest | None

    @classmethod
    def of(cls, record: Record, *, live: bool, config: bool) -> Halves:
        """The halves asked for; with neither, whichever is current. Raises WrongState for one that is not there."""
        if not live and not config:
            live, config = record.running is not None, record.running is None
        return cls(
            record,
            record.need_running().guest.clone() if live else None,
            record.need_definition().clone() if config else None,
        )

    def __iter__(self) -> Iterator[Guest]:
        return (half for half in (self.live, self.definition) if half is not None)

    async def commit(self, world: World) -> None:
        """Store the changed copies, then let them stand for the guest. Raises StorageFailed; nothing has changed then."""
        record = self.record
        if self.definition is not None:
            await world.store.save(KIND, record.uuid, await apart.document(self.definition, secrets=True))
            record.definition = self.definition
        if record.running is not None:
            if self.live is not None:
                self.live.current_memory = record.running.guest.current_memory  # the balloon tells it at any time
                record.running.guest = self.live
                follow_logs(world, record)
            record.running.redefined |= self.definition is not None and self.live is None
            await runstate.save_running(world.store, record)
        world.changed(record)
