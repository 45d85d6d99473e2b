"""One reading: a call for the figures of all guests, and what becomes of them for collectd. No import of collectd."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from frontinus.api.agent import GuestFilesystem
from frontinus.api.engine import Engine
from frontinus.api.errors import FrontinusError
from frontinus.api.views import GuestStats, JobView, State
from frontinus_collectd.facts import Facts, learn, names, too_long
from frontinus_collectd.link import Link
from frontinus_collectd.settings import Settings
from frontinus_collectd.table import Reading, Sample, groups, samples

SEVERITY: Mapping[State, str] = {
    "nostate": "okay", "running": "okay", "blocked": "warning", "paused": "warning", "shutdown": "okay",
    "shutoff": "okay", "crashed": "failure", "pmsuspended": "warning",
}  # fmt: skip

SHARE = 0.8
"""Of the interval that a reading may take."""

USUAL, SHORTEST, LONGEST = 10.0, 0.5, 600.0
"""Seconds between two readings: what collectd does by itself, and what is believed."""

GONE = ("shutoff", "unknown")
"""State of a guest that the engine no longer knows."""

ENDED = ("completed", "failed", "cancelled")


@dataclass(frozen=True)
class Message:
    """A notification. `severity`: okay, warning or failure."""

    type: str
    severity: str
    text: str
    meta: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True)
class Output:
    """What a reading has to say about one guest."""

    host: str
    instance: str
    samples: Sequence[Sample] = ()
    messages: Sequence[Message] = ()


@dataclass(frozen=True)
class Seen:
    """A guest at the last reading."""

    host: str
    instance: str
    state: tuple[State, str]


class Reader:
    """Remembers what the next reading needs of the last."""

    def __init__(self, settings: Settings, say: Callable[[str, str], None]) -> None:
        self.settings = settings
        self._say = say
        self._link = Link(settings.socket, say)
        self._last: dict[str, GuestStats] = {}
        self._facts: dict[str, Facts] = {}
        self._seen: dict[str, Seen] | None = None
        self._told: dict[str, float] = {}
        """When file systems were told, monotonic, by guest."""
        self._cpus = 0
        self._complained: set[str] = set()
        self._began = 0.0

    def read(self) -> list[Output]:
        """One reading; nothing while the engine cannot be reached, which is logged once."""
        settings, interval = self.settings, self._interval()
        self._link.begin(min(settings.timeout, SHARE * interval))
        max_age = interval / 2 if settings.max_age is None else settings.max_age
        try:
            if not self._cpus:
                self._cpus = self._link.call(Engine.host).cpus
            figures = self._link.call(Engine.stats, groups=groups(settings), max_age=max_age)
            ended = self._ended_jobs()
            shown = [guest for guest in figures if guest.name in settings.domains]
            return list(self._outputs(shown, ended))
        except FrontinusError as error:
            self._link.failed(error)
            return []

    def close(self) -> None:
        self._link.close()

    def _interval(self) -> float:
        """Seconds between two readings. collectd does not tell: without the option it is what passed since the last."""
        now = time.monotonic()
        passed, self._began = now - self._began if self._began else USUAL, now
        return self.settings.interval or min(max(passed, SHORTEST), LONGEST)

    def _outputs(self, guests: Sequence[GuestStats], ended: Mapping[str, list[JobView]]) -> Iterator[Output]:
        now = time.monotonic()
        seen: dict[str, Seen] = {}
        for guest in guests:
            facts = self._facts_of(guest, now)
            host, instance = names(self.settings, guest, facts)
            self._complain_of(host, instance)
            reading = Reading(guest, self.settings, self._last.get(guest.uuid), self._cpus, facts.pins,
                              ended.get(guest.uuid) or _by_age(guest.jobs))  # fmt: skip
            seen[guest.uuid] = Seen(host, instance, (guest.state, guest.reason))
            messages = [*self._state(guest.uuid, seen[guest.uuid]), *self._file_systems(guest, now)]
            yield Output(host, instance, list(samples(reading)), messages)
            if reading.fresh:
                self._last[guest.uuid] = guest
        yield from self._gone(seen)
        self._forget(seen)

    def _ended_jobs(self) -> dict[str, list[JobView]]:
        """By guest, if ExtraStats asks for them: those under way come with the figures."""
        if "job_stats_completed" not in self.settings.extra:
            return {}
        found: dict[str, list[JobView]] = {}
        for job in _by_age(self._link.call(Engine.jobs)):
            if job.guest is not None and job.state in ENDED:
                found.setdefault(job.guest, []).append(job)
        return found

    def _facts_of(self, guest: GuestStats, now: float) -> Facts:
        facts = self._facts.get(guest.uuid)
        refresh = self.settings.refresh
        if facts is None or (refresh and now - facts.read >= refresh):
            facts = self._facts[guest.uuid] = learn(self._link, self.settings, guest, self._cpus, now)
        return facts

    def _state(self, uuid: str, now: Seen) -> Iterator[Message]:
        """A change since the last reading; at the first reading nothing is known to have changed."""
        if "domain_state" not in self.settings.extra:
            return
        before = self._seen.get(uuid) if self._seen is not None else now
        if self.settings.persistent_notification or before is None or before.state != now.state:
            yield _changed(*now.state)

    def _gone(self, seen: Mapping[str, Seen]) -> Iterator[Output]:
        """Guests that were on at the last reading and that the engine has forgotten since."""
        if "domain_state" not in self.settings.extra:
            return
        for uuid, before in (self._seen or {}).items():
            if uuid not in seen and before.state[0] != "shutoff":
                yield Output(before.host, before.instance, messages=[_changed("shutoff", GONE[1])])

    def _forget(self, seen: dict[str, Seen]) -> None:
        self._seen = seen
        for kept in (self._last, self._facts, self._told):
            for uuid in [uuid for uuid in kept if uuid not in seen]:
                del kept[uuid]

    def _file_systems(self, guest: GuestStats, now: float) -> list[Message]:
        """What the guest's agent told last, at most once in RefreshInterval."""
        if "fs_info" not in self.settings.extra or guest.agent is None:
            return []
        told = self._told.get(guest.uuid)
        if told is not None and (not self.settings.refresh or now - told < self.settings.refresh):
            return []
        self._told[guest.uuid] = now
        return [file_system(one) for one in guest.agent.filesystems]

    def _complain_of(self, *shown: str) -> None:
        for name in shown:
            if too_long(name):
                self._once(f"collectd will cut the name '{name}' short; choose another format")

    def _once(self, remark: str) -> None:
        if remark not in self._complained:
            self._complained.add(remark)
            self._say("warning", remark)


def _changed(state: State, reason: str) -> Message:
    return Message("domain_state", SEVERITY[state], f"Domain state: {state}. Reason: {reason}")


def _by_age(jobs: Sequence[JobView]) -> list[JobView]:
    return sorted(jobs, key=lambda job: job.started)


def file_system(one: GuestFilesystem) -> Message:
    """A notification of one file system, by virt's names; `devAlias` are the targets of the disks under it."""
    meta: dict[str, str | int] = {
        "mountpoint": one.mountpoint, "name": one.name, "fstype": one.type, "ndevAlias": len(one.disks),
    }  # fmt: skip
    if one.disks:
        meta["devAlias"] = " ".join(one.disks)
    return Message("file_system", "okay", "File system information", meta)
