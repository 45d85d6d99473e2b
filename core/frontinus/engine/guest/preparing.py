"""What a change of a running guest needs on the host: set up before it, kept with what the start set up, or given back."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from frontinus.domain.guest import Guest
from frontinus.domain.plan import DevicePlan, Folder, Label
from frontinus.engine import runstate
from frontinus.engine.filter import filtering
from frontinus.engine.guest import handing
from frontinus.engine.network import netports
from frontinus.engine.record import Record, Running
from frontinus.engine.world import World
from frontinus.ports import Prepared


async def prepare(world: World, record: Record, running: Running, plan: DevicePlan, guest: Guest) -> Prepared:
    """Set up a plan's resources, of the guest as it will be; their undo records join its own before anything is made."""
    who = await world.resources.credentials(record.uuid)
    known = len(running.undo)
    there = {kind: {one.get("path") for one in running.undo if one.get("kind") == kind} for kind in ("folder", "owner")}
    resources = await filtering.with_filters(world, record, netports.with_floors(world, guest, plan.resources))
    wanted = [one for one in resources if not (
        (isinstance(one, Folder) and one.path in there["folder"])
        or (isinstance(one, Label) and one.path in there["owner"]))]  # fmt: skip

    async def journal(undo: Sequence[dict[str, object]]) -> None:
        running.undo[known:] = [{**one, "alias": plan.alias} for one in undo]
        await runstate.save_running(world.store, record)

    prepared = await handing.set_up(world, record, wanted, who, journal)
    prepared.undo = [{**one, "alias": plan.alias} for one in prepared.undo]
    running.undo[known:] = prepared.undo
    return prepared


async def give_back(world: World, running: Running, undo: Sequence[dict[str, object]]) -> None:
    await world.resources.tear_down(undo)
    running.undo = [one for one in running.undo if one not in undo]


def close(fds: Mapping[int, int]) -> None:
    """The hypervisor has them now."""
    for fd in fds.values():
        os.close(fd)


@asynccontextmanager
async def prepared(
    world: World, record: Record, running: Running, plan: DevicePlan, guest: Guest
) -> AsyncIterator[Prepared]:
    """A plan's resources, given back if what they are for fails."""
    made = await prepare(world, record, running, plan, guest)
    try:
        yield made
    except BaseException:
        await give_back(world, running, made.undo)
        raise
    finally:
        close(made.fds)


async def carry_out(world: World, record: Record, running: Running, plan: DevicePlan) -> None:
    """Set up what a plan of block work needs, and take its steps. Wholly or not at all."""
    async with prepared(world, record, running, plan, running.guest) as made:
        await running.process.update(plan, made.fds)
