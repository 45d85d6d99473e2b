"""What every hypervisor does alike with the block graph of a running guest, seen through its port alone."""

from __future__ import annotations

import asyncio
from typing import Protocol

import pytest

from contract.hypervisor_contract import SECONDS, News
from frontinus.api.errors import HypervisorFailed
from frontinus.domain.devices.block.disk import Disk, Mirror
from frontinus.domain.devices.block.source import Source
from frontinus.domain.snapshots.chain import Chain, overlay
from frontinus.ports import RunningGuest
from frontinus.ports.blocks import BlockPlanner, CopyOptions, JobFacts, Marks, Overlaid


class BlocksRig(Protocol):
    """Guests with one disk, whose only layer has the index 1."""

    disk: Disk

    async def launch(self) -> RunningGuest: ...
    def planner(self) -> BlockPlanner: ...
    def image(self, name: str) -> str:
        """The path of a new, empty qcow2 of the disk's size, that the guest's user can write."""


async def status(guest: RunningGuest, job: str) -> JobFacts | None:
    return next((facts for facts in await guest.block_jobs() if facts.id == job), None)


async def until(guest: RunningGuest, job: str, *wanted: str) -> JobFacts:
    """Wait for one of some states of a job."""
    async with asyncio.timeout(SECONDS):
        while (facts := await status(guest, job)) is None or facts.status not in wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return facts


class BlocksContract:
    """Subclasses are collected by pytest and define a fixture `rig`."""

    def _over(self, rig: BlocksRig, name: str, index: int, on: Disk) -> Disk:
        layer = overlay(rig.image(name), block=False, format="qcow2", index=index)
        return Chain.of(on).with_top(layer).on(on)

    async def _overlaid(self, rig: BlocksRig, guest: RunningGuest) -> Disk:
        new = self._over(rig, "over", 2, rig.disk)
        await guest.update(rig.planner().overlay([Overlaid(rig.disk, new, ("marks",))], [], "s"), {})
        return new

    async def test_the_graph(self, rig: BlocksRig) -> None:
        graph = await (await rig.launch()).graph()
        assert graph.tops == {rig.disk.alias: 1} and graph.sizes[1] > 0

    async def test_a_new_layer_records(self, rig: BlocksRig) -> None:
        guest = await rig.launch()
        await self._overlaid(rig, guest)
        graph = await guest.graph()
        assert graph.tops == {rig.disk.alias: 2}
        assert graph.bitmaps[2]["marks"].recording and graph.bitmaps[2]["marks"].sound
        await guest.update(rig.planner().mark(Marks(add=((2, "more"),), remove=((2, "marks"),))), {})
        assert set((await guest.graph()).bitmaps[2]) == {"more"}

    async def test_a_copy_is_gone_over_to(self, rig: BlocksRig) -> None:
        guest = await rig.launch()
        news = News(guest)
        mirror = Mirror(type="file", job="copy", format="qcow2", source=Source(file=rig.image("copy"), index=5))
        await guest.update(rig.planner().copy("copy-x", rig.disk, mirror, CopyOptions(bandwidth=2**30)), {})
        facts = await until(guest, "copy-x", "ready")
        assert facts.speed == 2**30 and facts.current == facts.total
        await guest.set_job_speed("copy-x", 2**31)
        assert (await until(guest, "copy-x", "ready")).speed == 2**31
        await guest.steer_job("copy-x", "complete")
        assert (await until(guest, "copy-x", "concluded")).error == ""
        assert (await guest.graph()).tops == {rig.disk.alias: 5}
        await guest.steer_job("copy-x", "dismiss")
        assert await status(guest, "copy-x") is None
        while (await news.until("job")).data.get("status") != "concluded":
            pass

    async def test_a_copy_that_is_ended_changes_nothing(self, rig: BlocksRig) -> None:
        guest = await rig.launch()
        for number, command in enumerate(("finish", "cancel")):
            source = Source(file=rig.image(command), index=6 + number)
            mirror = Mirror(type="file", job="copy", format="qcow2", source=source)
            await guest.update(rig.planner().copy(command, rig.disk, mirror, CopyOptions()), {})
            await until(guest, command, "ready")
            await guest.steer_job(command, command)  # type: ignore[arg-type]
            facts = await until(guest, command, "concluded")
            assert bool(facts.error) is (command == "cancel")
            await guest.steer_job(command, "dismiss")
        assert (await guest.graph()).tops == {rig.disk.alias: 1}

    async def test_an_active_commit(self, rig: BlocksRig) -> None:
        guest = await rig.launch()
        disk = await self._overlaid(rig, guest)
        top, base = Chain.of(disk).layers
        await guest.update(rig.planner().commit("commit-x", disk, top, base, 0, None), {})
        await until(guest, "commit-x", "ready")
        await guest.steer_job("commit-x", "complete")
        await until(guest, "commit-x", "concluded")
        await guest.steer_job("commit-x", "dismiss")
        assert (await guest.graph()).tops == {rig.disk.alias: 1}
        await guest.attempt([*rig.planner().close([top]), *rig.planner().close([top])])  # once more is no harm

    async def test_a_pull_waits_to_be_finalized_or_is_done(self, rig: BlocksRig) -> None:
        guest = await rig.launch()
        disk = await self._overlaid(rig, guest)
        await guest.update(rig.planner().pull("pull-x", disk, None, 0, None), {})
        if (await until(guest, "pull-x", "pending", "concluded")).status == "pending":
            await guest.steer_job("pull-x", "finalize")
        assert (await until(guest, "pull-x", "concluded")).error == ""
        await guest.steer_job("pull-x", "dismiss")
        assert (await guest.graph()).tops == {rig.disk.alias: 2}

    async def test_jobs_that_are_not_there(self, rig: BlocksRig) -> None:
        guest = await rig.launch()
        with pytest.raises(HypervisorFailed):
            await guest.steer_job("nobody", "cancel")
        with pytest.raises(HypervisorFailed):
            await guest.set_job_speed("nobody", 1)
