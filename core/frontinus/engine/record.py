"""The engine's record of one guest: its definition, its running half, and the view of both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from frontinus import procfs
from frontinus.api.errors import Busy, Unresponsive, WrongState
from frontinus.api.views import REASONS, GuestView, State
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.cpu.model import Cpu
from frontinus.domain.guest import Guest
from frontinus.engine.block.works import BackupState, Works
from frontinus.engine.guest.fdgroups import FdGroups
from frontinus.engine.jobs import JobLock
from frontinus.engine.snapshot.books import Books
from frontinus.ports import RunningGuest


@dataclass
class Running:
    """What exists only while a guest runs. `undo` takes back what the start set up."""

    guest: Guest
    process: RunningGuest
    capabilities: Capabilities
    undo: list[dict[str, object]] = field(default_factory=list)
    tainted: tuple[str, ...] = ()
    news: asyncio.Task[None] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    ending: str | None = None
    """Why we are ending it ourselves: the reason that "shutoff" gets."""
    held: bool = False
    """It was stopped for a moment for work on its images, and is to run on."""
    _quiet: bool = False
    _quiet_until: int = 0
    rebooting: bool = False
    """The next shutdown of the guest is half of a reboot."""
    agent_connected: bool = False
    agent_timeout: float | None = None
    """Seconds that its agent has for an answer, where somebody chose them."""
    redefined: bool = False
    """The definition changed since the start."""
    asked_cpu: Cpu | None = None
    """The CPU that was asked for, where the one that the guest got is another."""
    hidden: bool = False
    """It is there only for work on the images of a guest that is off: nobody is told of it."""
    works: Works = field(default_factory=Works)
    backup: BackupState | None = None
    saving: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while its run state is written down."""
    forgotten: bool = False
    """It has ended, and its run state is gone."""
    started: float = 0.0
    """When its process started, Unix time."""

    def __post_init__(self) -> None:
        ticks = self.process.record.started
        self.started = procfs.unix_time(ticks) if ticks else time.time()

    @property
    def as_asked(self) -> Guest:
        """The guest with the CPU that was asked for: to be compared with definitions, and to be shown as one."""
        return self.guest.clone(cpu=self.asked_cpu.clone()) if self.asked_cpu is not None else self.guest

    @property
    def quiet(self) -> bool:
        """Stops and resumes are ours for the moment (a save, say), not to be told."""
        return self._quiet

    @quiet.setter
    def quiet(self, value: bool) -> None:
        """When it ends, what the hypervisor has told by then may still wait to be heard: it is ours all the same."""
        self._quiet = value
        self._quiet_until = self.process.told

    @contextmanager
    def hushed(self) -> Iterator[None]:
        """Stops and resumes in the body are ours, not to be told."""
        self.quiet = True
        try:
            yield
        finally:
            self.quiet = False

    def is_ours(self, number: int) -> bool:
        """Whether the stop or resume that was the guest's news of this number is our own doing."""
        return self._quiet or number <= self._quiet_until


@dataclass
class Record:
    """One guest. `definition` is None for a transient one, `running` None for an inactive one."""

    uuid: str
    name: str
    definition: Guest | None = None
    starting: Guest | None = None
    """A transient guest until its process is there."""
    running: Running | None = None
    autostart: bool = False
    managed_save: bool = False
    state: State = "shutoff"
    reason: str = "unknown"
    since: float = field(default_factory=time.time)
    ends_with_caller: bool = False
    """It ends when the connection does that started it."""
    unreachable: str | None = None
    """The private folder of a guest whose process lives but does not answer a new engine."""
    lock: JobLock = field(default_factory=JobLock)
    job: str | None = None
    books: Books = field(default_factory=Books)
    fdgroups: FdGroups = field(default_factory=FdGroups)

    def become(self, state: State, reason: str) -> None:
        """Enter a state; the reason must be one of those that the state has."""
        assert reason in REASONS[state], f"{reason!r} is no reason of {state}"
        self.state, self.reason, self.since = state, reason, time.time()

    @property
    def guest(self) -> Guest:
        """The live guest while there is one, else the definition."""
        guest = self.running.guest if self.running else self.definition or self.starting
        assert guest is not None
        return guest

    def need_running(self) -> Running:
        """The running half. Raises WrongState for an inactive guest."""
        self._need_answers()
        if self.running is None:
            raise WrongState(f"guest '{self.name}' is not running", state=self.state)
        return self.running

    def refuse_with_jobs(self, disk: str | None = None) -> None:
        """Raises Busy while a block job is at work on a disk of the running guest, or on any."""
        for work in self.running.works if self.running is not None else ():
            if disk in (None, work.disk):
                raise Busy(f"disk '{work.disk}' has a job: {work.kind}", job=work.kind)

    def need_inactive(self) -> Guest:
        """The definition of an inactive guest. Raises WrongState for a running one."""
        self._need_answers()
        if self.running is not None or self.definition is None:
            raise WrongState(f"guest '{self.name}' is running", state=self.state)
        return self.definition

    def _need_answers(self) -> None:
        if self.unreachable is not None:
            raise Unresponsive(f"guest '{self.name}' runs, but does not answer since the engine started")

    def need_definition(self) -> Guest:
        """The persistent definition. Raises WrongState for a transient guest."""
        if self.definition is None:
            raise WrongState(f"guest '{self.name}' is transient: it has no persistent definition", state=self.state)
        return self.definition

    def view(self) -> GuestView:
        """What the facade shows."""
        guest = self.guest
        return GuestView(
            uuid=self.uuid, name=self.name, state=self.state, reason=self.reason,
            id=guest.id if self.running else None,
            active=(self.running is not None and not self.running.hidden) or self.unreachable is not None,
            persistent=self.definition is not None, autostart=self.autostart, managed_save=self.managed_save,
            updated=self.running is not None and self.definition is not None and self.running.redefined,
            title=guest.title, description=guest.description, vcpus=current_vcpus(guest), max_vcpus=guest.vcpus or 1,
            memory=guest.current_memory or guest.memory or 0, max_memory=guest.memory or 0,
            arch=guest.arch or "", machine=guest.machine or "", virt_type=guest.type, os_type=guest.os_type or "hvm",
            tainted=self.running.tainted if self.running else (), since=self.since, job=self.job,
        )  # fmt: skip


def current_vcpus(guest: Guest) -> int:
    """The vCPUs that are plugged at start."""
    return guest.vcpu_current or guest.vcpus or 1
