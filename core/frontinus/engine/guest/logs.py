"""Which files a running guest's logs are."""

from __future__ import annotations

from collections.abc import Iterator

from frontinus.domain.devices.chardev import CharSource
from frontinus.engine.record import Record
from frontinus.engine.world import World
from frontinus.xml import Model


def follow_logs(world: World, record: Record) -> None:
    """Have the host keep them small; again whenever devices came or went."""
    running = record.running
    if running is not None:
        files = {running.process.record.log, *_logged(running.guest.devices)}
        world.logs.follow(record.uuid, sorted(file for file in files if file))


def _logged(part: Model) -> Iterator[str]:
    """The <log> of every character device, wherever in the document."""
    if isinstance(part, CharSource) and part.log_file:
        yield part.log_file
    for below in part.models():
        yield from _logged(below)
