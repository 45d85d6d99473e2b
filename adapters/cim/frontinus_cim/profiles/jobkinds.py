"""Jobs as instances, and what can be done with them (DSP1103's CIM_ConcreteJob)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from frontinus_cim.host.guest import Guest
from frontinus_cim.host.jobs import COMPLETED, EXCEPTION, KEPT, RUNNING, TERMINATED, Job
from frontinus_cim.host.world import World
from frontinus_cim.instances import services, systems
from frontinus_cim.instances.kinds import Kind, Link, Node
from frontinus_cim.methods.calls import MethodCall, Refused, Result, method
from frontinus_cim.wire import values
from frontinus_cim.wire.model import GUEST, Path
from frontinus_cim.wire.writer import Columns

WORDS = {RUNNING: "running", COMPLETED: "completed", TERMINATED: "terminated", EXCEPTION: "failed"}
STATUS = {RUNNING: [2], COMPLETED: [17, 2], TERMINATED: [10], EXCEPTION: [6]}
"""OperationalStatus by JobState."""
TERMINATE, KILL = 4, 5


def _columns(words: str) -> Columns[Job]:
    return {
        "InstanceID": lambda j: j.id,
        "Name": lambda j: j.name,
        "ElementName": lambda j: j.name,
        "Caption": words,
        "Owner": lambda j: j.owner,
        "JobState": lambda j: j.state,
        "JobStatus": lambda j: WORDS[j.state],
        "OperationalStatus": lambda j: STATUS[j.state],
        "StatusDescriptions": lambda j: [WORDS[j.state]] * len(STATUS[j.state]),
        "HealthState": lambda j: 25 if j.state == EXCEPTION else 5,
        "PercentComplete": lambda j: j.percent,
        "StartTime": lambda j: values.moment(j.started),
        "TimeSubmitted": lambda j: values.moment(j.started),
        "TimeOfLastStateChange": lambda j: values.moment(j.ended or j.started),
        "ElapsedTime": lambda j: j.elapsed,
        "DeleteOnCompletion": True,
        "TimeBeforeRemoval": timedelta(seconds=KEPT),
        "ErrorCode": lambda j: int(j.error.status) if j.error else 0,
        "ErrorDescription": lambda j: j.error.message if j.error else None,
    }


def _migrates(job: Job) -> bool:
    return "migrat" in job.name.lower()


def _kind(cls: str, words: str, migration: bool) -> Kind[Job]:
    def every(world: World) -> Iterable[Job]:
        return (job for job in world.jobs.all() if _migrates(job) is migration)

    def find(world: World, path: Path) -> Job | None:
        job = world.jobs.find(str(path.key("InstanceID")))
        return job if job is not None and _migrates(job) is migration else None

    return Kind(cls, _columns(words), every, find)


JOBS = _kind("KVM_ConcreteJob", "Work on guests", migration=False)
MIGRATIONS = _kind("KVM_MigrationJob", "A guest on its way to another host", migration=True)
KINDS = (JOBS, MIGRATIONS)
CLASSES = tuple(kind.cls for kind in KINDS)


def node(job: Job) -> Node:
    return Node(MIGRATIONS if _migrates(job) else JOBS, job)


@method("CIM_ConcreteJob", "RequestStateChange")
async def request_state_change(call: MethodCall) -> Result:
    job: Job = call.node.subject
    if call.arguments.get("RequestedState") not in (TERMINATE, KILL):
        raise Refused(5, "a job can be terminated, nothing else")
    if job.state != RUNNING:
        raise Refused(4097, "the job has ended")
    if job.engine_job is not None:
        await call.engine.abort_job(job.engine_job)
    elif job.task is not None:
        job.task.cancel()
    return Result(0)


@method("CIM_ConcreteJob", "GetErrors", reads=True)
async def get_errors(call: MethodCall) -> Result:
    return Result(0, {"Errors": call.node.subject.errors()})


def _affected(world: World, found: Node) -> Iterable[Node]:
    guest = world.named.get(found.subject.guest or "")
    return [Node(systems.GUESTS, guest)] if guest else []


def _jobs_of_guest(world: World, found: Node) -> Iterable[Node]:
    guest: Guest = found.subject
    return (node(job) for job in world.jobs.all() if job.guest == guest.name)


def _owner(world: World, found: Node) -> Iterable[Node]:
    kind = services.KINDS.get(found.subject.service)
    return [Node(kind, world)] if kind else []


def _owned(world: World, found: Node) -> Iterable[Node]:
    return (node(job) for job in world.jobs.all() if job.service == found.kind.cls)


LINKS = (
    Link(
        "KVM_AffectedJobElement",
        ("AffectedElement", [GUEST]),
        ("AffectingElement", CLASSES),
        _jobs_of_guest,
        _affected,
    ),
    Link("KVM_OwningJobElement", ("OwningElement", list(services.KINDS)), ("OwnedElement", CLASSES), _owned, _owner),
)
