"""What every use case shares: the ports, the guests, the bus, the jobs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field

from frontinus.api.events import ChangedEvent, HostJobEvent, JobEvent, Lifecycle, LifecycleEvent
from frontinus.api.node import SecurityModel
from frontinus.api.views import HostView, Snapshot
from frontinus.domain.host import HostFacts
from frontinus.engine.bus import EventBus
from frontinus.engine.filter.filterbook import FilterBook
from frontinus.engine.filter.unfiltered import Unfiltered
from frontinus.engine.guest.displays import DisplayPorts
from frontinus.engine.guest.overhearing import Overhearing
from frontinus.engine.guest.unrotated import Unrotated
from frontinus.engine.jobs import Job, Jobs
from frontinus.engine.network.netrecord import NetworkRegistry
from frontinus.engine.record import Record
from frontinus.engine.registry import Registry
from frontinus.engine.secret.secretbook import SecretBook
from frontinus.engine.snapshot.books import Books
from frontinus.engine.storage.poolbook import PoolBook
from frontinus.engine.tuning.unlimited import Unlimited
from frontinus.ports import AuditTrail, Firewall, Hypervisor, Images, Keeper, Resources, StateStore, StorageHost
from frontinus.ports.limits import Limits
from frontinus.ports.logs import Logs
from frontinus.ports.networks import HostNetworks
from frontinus.ports.node import Node

log = logging.getLogger(__name__)


@dataclass
class World:
    """The engine's insides, made once by the composition root."""

    hypervisor: Hypervisor
    resources: Resources
    store: StateStore
    host: HostFacts
    host_view: Callable[[], HostView]
    audit: AuditTrail
    node: Node
    storage: StorageHost
    keeper: Keeper
    images: Images
    limits: Limits = field(default_factory=Unlimited)
    logs: Logs = field(default_factory=Unrotated)
    firewall: Firewall = field(default_factory=Unfiltered)
    security_model: SecurityModel = SecurityModel(model="", doi="")
    guests: Registry = field(default_factory=Registry)
    host_networks: HostNetworks | None = None
    networks: NetworkRegistry = field(default_factory=NetworkRegistry)
    default_network: bool = False
    """Whether the first start makes one."""

    def __post_init__(self) -> None:
        self.bus = EventBus(self.picture)
        self.jobs = Jobs(self._job_changed)
        self.overhearing = Overhearing()
        self.ports = DisplayPorts()
        self.pools = PoolBook()
        self.secrets = SecretBook(self.keeper)
        self.filters = FilterBook()
        self.books: dict[str, Books] = {}
        """Of guests that are not known yet, by UUID."""
        self.restarts: Mapping[str, int] = {}
        """Of adapters by name; the supervisor's own count."""
        self.guarding = asyncio.Lock()
        """Held while the rules of all networks are put in place."""
        self._tasks: set[asyncio.Task[None]] = set()

    def picture(self) -> Snapshot:
        """All that there is now, as a reader of the stream first gets it."""
        return Snapshot(
            generation=self.bus.generation,
            guests=self.guests.views(),
            networks=self.networks.views(),
            filters=self.filters.views(),
            pools=self.pools.views(),
            secrets=self.secrets.views(),
        )

    def books_of(self, uuid: str) -> Books:
        """What is kept of a guest's snapshots, as it was loaded."""
        return self.books.pop(uuid, None) or Books()

    def spawn(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        """Run in the background, kept alive; a failure is logged."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def keep(self, task: asyncio.Task[None]) -> None:
        """Keep a task alive whose result somebody may wait for; a failure is theirs."""
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def end_tasks(self) -> None:
        """Cancel what runs in the background, and wait until it has cleaned up."""
        while tasks := list(self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._tasks.difference_update(tasks)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("%s failed", task.get_name(), exc_info=task.exception())

    def lifecycle(self, record: Record, kind: Lifecycle, detail: str, *, gone: bool = False) -> None:
        """Publish a lifecycle event of a guest."""
        view = None if gone else record.view()
        self.bus.publish(LifecycleEvent(uuid=record.uuid, name=record.name, kind=kind, detail=detail, guest=view))

    def changed(self, record: Record) -> None:
        """Publish that a guest's view changed."""
        self.bus.publish(ChangedEvent(uuid=record.uuid, name=record.name, guest=record.view()))

    def _job_changed(self, job: Job) -> None:
        record = self.guests.get(job.guest) if job.guest else None
        if record is not None:
            record.job = job.kind if job.state == "running" else None
            self.bus.publish(JobEvent(uuid=record.uuid, name=record.name, job=job.id, kind=job.kind, state=job.state))
            self.changed(record)
        elif job.guest is None:
            self.bus.publish(HostJobEvent(job=job.id, kind=job.kind, state=job.state))
