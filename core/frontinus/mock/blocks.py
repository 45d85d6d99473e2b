"""The mock's block graph: layers, jobs and bitmaps in memory. Its plans are words that `MockGraph` obeys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from frontinus.api.errors import HypervisorFailed
from frontinus.domain.devices.block.disk import BackingStore, Disk, Mirror
from frontinus.domain.guest import Guest
from frontinus.domain.plan import DevicePlan, Step
from frontinus.ports.blocks import (
    BitmapFacts,
    CopyOptions,
    GraphFacts,
    JobCommand,
    JobFacts,
    KeyChange,
    Mark,
    Marks,
    Overlaid,
    Saved,
    Service,
    StateVerb,
)

SIZE = 2**33
Tell = Callable[..., None]


def _plan(command: str, **arguments: object) -> DevicePlan:
    return DevicePlan("", (), (Step(command, arguments),))


def _top(disk: Disk) -> int:
    return (disk.source.index if disk.source else None) or 0


class MockBlocks:
    """BlockPlanner of the mock."""

    def overlay(self, disks: Sequence[Overlaid], internal: Sequence[Disk], name: str) -> DevicePlan:
        tops = {one.new.alias: _top(one.new) for one in disks}
        return _plan("overlay", tops=tops, bitmaps={_top(one.new): one.bitmaps for one in disks})

    def copy(self, job: str, disk: Disk, mirror: Mirror, options: CopyOptions) -> DevicePlan:
        to = mirror.source.index if mirror.source else 0
        return _plan("job", id=job, kind="mirror", alias=disk.alias, to=to, status="ready", speed=options.bandwidth)

    def commit(self, job: str, disk: Disk, top: BackingStore, base: BackingStore, bandwidth: int,
               backing_name: str | None) -> DevicePlan:  # fmt: skip
        active = top.index == _top(disk)
        return _plan("job", id=job, kind="commit", alias=disk.alias, to=base.index, speed=bandwidth,
                     status="ready" if active else "concluded")  # fmt: skip

    def pull(self, job: str, disk: Disk, base: BackingStore | None, bandwidth: int,
             backing_name: str | None) -> DevicePlan:  # fmt: skip
        return _plan("job", id=job, kind="stream", alias=disk.alias, to=None, speed=bandwidth, status="concluded")

    def mark(self, marks: Marks) -> DevicePlan:
        joined = tuple(one.mark for one in marks.joined if one.new)
        return _plan("mark", add=(*joined, *marks.add), remove=marks.remove)

    def measure(self, disk: Disk, name: str, since: Sequence[Mark]) -> tuple[DevicePlan, str]:
        return _plan("mark", add=((_top(disk), f"measure-{name}"),), remove=()), f"measure-{name}"

    def backup(self, disks: Sequence[Saved], marks: Marks, service: Service | None) -> DevicePlan:
        status = "running" if service is not None else "concluded"
        jobs = [Step("job", {"id": one.job, "kind": "backup", "alias": one.disk.alias, "to": None, "status": status,
                             "speed": 0}) for one in disks]  # fmt: skip
        return DevicePlan("", (), (*self.mark(marks).steps, *jobs))

    def stop_serving(self, disks: Sequence[Saved], service: Service | None) -> Sequence[DevicePlan]:
        return ()

    def end_backup(self, disks: Sequence[Saved]) -> Sequence[DevicePlan]:
        return ()

    def state(self, verb: StateVerb, job: str, name: str, disks: Sequence[Disk]) -> DevicePlan:
        return _plan("job", id=job, kind=f"snapshot-{verb}", alias=None, to=None, status="concluded", speed=0)

    def change_key(self, job: str, disk: Disk, change: KeyChange) -> DevicePlan:
        return _plan("job", id=job, kind="amend", alias=disk.alias, to=None, status="concluded", speed=0)

    def open_by(self, disk: Disk, change: KeyChange) -> DevicePlan:
        return _plan("nothing")

    def end_keys(self) -> Sequence[DevicePlan]:
        return ()

    def close(self, layers: Sequence[BackingStore]) -> Sequence[DevicePlan]:
        return ()


class MockGraph:
    """The graph of one guest. `tell` puts news into its stream; `stuck`: jobs never get anywhere by themselves."""

    def __init__(self, guest: Guest, tell: Tell) -> None:
        self.tops = {disk.alias or "": _top(disk) for disk in guest.devices.disks if not disk.is_empty}
        self.bitmaps: dict[int, dict[str, BitmapFacts]] = {}
        self.jobs: dict[str, JobFacts] = {}
        self.stuck = False
        self._aims: dict[str, tuple[str, int | None]] = {}
        self._tell = tell

    def facts(self) -> GraphFacts:
        return GraphFacts(dict(self.tops), {n: dict(b) for n, b in self.bitmaps.items()},
                          dict.fromkeys(self.tops.values(), SIZE))  # fmt: skip

    def obey(self, plan: DevicePlan) -> None:
        """Do what a plan says."""
        deeds: Mapping[str, Callable[..., None]] = {"overlay": self._overlay, "job": self._job, "mark": self._mark}
        for step in plan.steps:
            if (deed := deeds.get(step.command)) is not None:
                deed(**step.arguments)

    def _overlay(self, tops: Mapping[str, int], bitmaps: Mapping[int, Sequence[str]]) -> None:
        self.tops |= tops
        for layer, names in bitmaps.items():
            self._mark([(layer, name) for name in names], [])

    def _mark(self, add: Sequence[tuple[int, str]], remove: Sequence[tuple[int, str]]) -> None:
        for layer, name in add:
            self.bitmaps.setdefault(layer, {})[name] = BitmapFacts(name)
        for layer, name in remove:
            self.bitmaps.get(layer, {}).pop(name, None)

    def _job(self, id: str, kind: str, alias: str, to: int | None, status: str, speed: int) -> None:
        if id in self.jobs:
            raise HypervisorFailed(f"there is a job '{id}' already")
        self._aims[id] = alias, to
        self.set(id, "running" if self.stuck else status, kind=kind, speed=speed)

    def set(self, job: str, status: str, **more: Any) -> None:
        """Bring a job into a state, and tell."""
        old = self.jobs.get(job, JobFacts(job, "", ""))
        done = SIZE if status in ("ready", "concluded") else 0
        fields = {"kind": old.kind, "speed": old.speed, "error": old.error, **more}
        self.jobs[job] = JobFacts(id=job, status=status, current=done, total=SIZE, **fields)
        self._tell("job", id=job, status=status)

    def steer(self, job: str, command: JobCommand) -> None:
        known = self.jobs.get(job)
        if known is None:
            raise HypervisorFailed(f"there is no job '{job}'")
        if command == "dismiss":
            del self.jobs[job]
        elif command == "complete":
            if known.status != "ready":
                raise HypervisorFailed(f"job '{job}' in state '{known.status}' cannot accept command verb 'complete'")
            alias, to = self._aims[job]
            self.tops[alias] = to or 0
            self.set(job, "concluded")
        else:
            self.set(job, "concluded", error="" if command == "finish" else "Operation canceled")

    def set_speed(self, job: str, bandwidth: int) -> None:
        known = self.jobs.get(job)
        if known is None:
            raise HypervisorFailed(f"there is no job '{job}'")
        self.set(job, known.status, speed=bandwidth)
