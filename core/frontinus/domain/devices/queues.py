"""Which I/O thread serves which queues of a device: <iothreads> in <driver>."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.reasons import Lacking
from frontinus.xml import Model, many, xml
from frontinus.xml.codecs import UInt32, integer

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest

PROPERTY = "iothread-vq-mapping"


class Queue(Model, tag="queue"):
    """A queue by its number, from 0."""

    id: int = xml("@id", UInt32, required=True)


class ThreadOfQueues(Model, tag="iothread"):
    """An I/O thread and its queues; without any, the threads share all queues evenly."""

    id: int = xml("@id", integer(1, 2**32 - 1), required=True)
    queues: list[Queue] = many("queue", Queue)


def check_threads(threads: list[ThreadOfQueues], queues: int | None, guest: Guest, caps: Capabilities,
                  driver: str) -> Iterator[str]:  # fmt: skip
    """Reasons why queues cannot be served so. `driver`: QEMU's device, as it is probed."""
    if not threads:
        return
    if driver in caps.properties and not caps.has_property(driver, PROPERTY):
        yield Lacking("<driver>: <iothreads> are not supported by this QEMU")
    known = {thread.id for thread in guest.all_iothreads()}
    for number, count in Counter(thread.id for thread in threads).items():
        if number not in known:
            yield f"<driver>: there is no iothread {number}"
        if count > 1:
            yield f"<iothreads>: iothread {number} is named twice"
    named = sorted(queue.id for thread in threads for queue in thread.queues)
    if named and not all(thread.queues for thread in threads):
        yield "<iothreads>: either all threads name their queues, or none does"
    elif named and named != list(range(queues or 0)):
        yield f"<iothreads>: each of the {queues or 0} queues of <driver queues=> has one thread"


def mapping(threads: list[ThreadOfQueues]) -> list[dict[str, object]] | None:
    """The value of QEMU's property; None without threads."""
    named = [({"iothread": f"iothread{t.id}"}, [queue.id for queue in t.queues]) for t in threads]
    return [{**thread, "vqs": queues} if queues else {**thread} for thread, queues in named] or None
