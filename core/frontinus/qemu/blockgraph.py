"""The block graph of a running QEMU: what there is, and the jobs at work on it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import msgspec

from frontinus.api.errors import Busy, HypervisorFailed
from frontinus.domain.plan import DevicePlan
from frontinus.ports.blocks import BitmapFacts, GraphFacts, JobCommand, JobFacts
from frontinus.qemu.blocks import layer_of
from frontinus.qemu.monitor.client import Command, Monitor
from frontinus.qemu.news import device_of

log = logging.getLogger(__name__)

COMMANDS: Mapping[JobCommand, tuple[str, str, Mapping[str, object]]] = {
    "cancel": ("job-cancel", "id", {}),
    "finish": ("block-job-cancel", "device", {"force": False}),
    "complete": ("job-complete", "id", {}),
    "finalize": ("job-finalize", "id", {}),
    "dismiss": ("job-dismiss", "id", {}),
}
"""What a command is in QMP: its name, the argument that names the job, further ones."""


class _Job(msgspec.Struct, rename="kebab"):
    id: str
    type: str
    status: str
    current_progress: int = 0
    total_progress: int = 0
    error: str = ""


class _BlockJob(msgspec.Struct):
    device: str
    speed: int = 0


class _Bitmap(msgspec.Struct):
    name: str = ""
    count: int = 0
    granularity: int = 65536
    recording: bool = True
    persistent: bool = False
    inconsistent: bool = False


class _Image(msgspec.Struct, rename="kebab"):
    virtual_size: int = 0


class _Node(msgspec.Struct, rename="kebab"):
    node_name: str = ""
    dirty_bitmaps: list[_Bitmap] = []
    image: _Image = msgspec.field(default_factory=_Image)


class _Block(msgspec.Struct):
    device: str = ""
    qdev: str = ""
    inserted: _Node | None = None


async def jobs(monitor: Monitor) -> list[JobFacts]:
    """All jobs, those too that have ended and were not dismissed."""
    all_jobs, block_jobs = await monitor.execute_many([Command("query-jobs"), Command("query-block-jobs")])
    speeds = {job.device: job.speed for job in block_jobs.value(list[_BlockJob])}
    return [
        JobFacts(
            job.id, job.type, job.status, job.current_progress, job.total_progress, speeds.get(job.id, 0), job.error
        )
        for job in all_jobs.value(list[_Job])
    ]


async def steer(monitor: Monitor, job: str, command: JobCommand) -> None:
    name, argument, more = COMMANDS[command]
    await monitor.execute(name, {argument: job, **more})


async def graph(monitor: Monitor) -> GraphFacts:
    """Layers of ours alone: what QEMU opened by itself has no index.

    Raises Busy while a pull has ended and was not dismissed: QEMU 7.2 crashes when it is asked for its nodes then.
    """
    if any(job.kind == "stream" and job.status == "concluded" for job in await jobs(monitor)):
        raise Busy("a pull has ended this moment: try again", job="pull")
    blocks, nodes = await monitor.execute_many(
        [Command("query-block"), Command("query-named-block-nodes", {"flat": True})]
    )
    tops: dict[str, int] = {}
    for block in blocks.value(list[_Block]):
        layer = layer_of(block.inserted.node_name) if block.inserted is not None else None
        if layer is not None:
            tops[device_of(block.qdev) or block.device] = layer
    bitmaps: dict[int, dict[str, BitmapFacts]] = {}
    sizes: dict[int, int] = {}
    named = nodes.value(list[_Node])
    for node in named:
        index = layer_of(node.node_name)
        if index is None or not node.node_name.endswith("-format"):
            continue
        sizes[index] = node.image.virtual_size
        bitmaps[index] = {
            one.name: BitmapFacts(
                one.name, one.count, one.granularity, one.recording, one.persistent, not one.inconsistent
            )
            for one in node.dirty_bitmaps
        }
    there = frozenset(index for node in named if (index := layer_of(node.node_name)) is not None)
    return GraphFacts(tops, bitmaps, sizes, there)


async def attempt(monitor: Monitor, plans: Iterable[DevicePlan]) -> None:
    """Take the steps of plans that may have been taken: a refusal is no failure."""
    for plan in plans:
        for step in plan.steps:
            try:
                await monitor.execute(step.command, step.arguments)
            except HypervisorFailed as error:
                if error.details.get("class") == "Disconnected":
                    raise
                log.debug("%s %s: %s", step.command, dict(step.arguments), error.message)
