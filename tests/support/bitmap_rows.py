"""Rows of what happens to layers, checkpoints and processes while bitmaps record: increments must restore the disk.

Each row has a guest of its own. Its disk is saved whole at checkpoint c1 and by an increment at c2; then something happens to
it; then one increment since c1 and one since c2 must each give the disk as it is then.
"""

from __future__ import annotations

import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

from frontinus.api.engine import Engine
from support.disks import MIB, content, job_gone, job_ready
from support.marked import Marked
from support.waiting import eventually

SIZE = 8 * MIB


class Guest(Marked):
    """One row's guest: written to, saved, and asked what its disk is now."""

    byte = 0

    async def mark(self, at: int) -> None:
        """Write 256 KiB at a place in KiB, each time something else."""
        self.byte += 1
        await self.write(self.byte, at, 256)

    async def save(self, target: str, since: str = "", mark: str = "") -> Path:
        """Save the disk, whole or what changed since a checkpoint."""
        start = f"<incremental>{since}</incremental>" if since else ""
        xml = (f"<domainbackup>{start}<disks><disk name='vda' type='file'><target file='{self.path(target)}'/>"
               "</disk></disks></domainbackup>")  # fmt: skip
        checkpoint = f"<domaincheckpoint><name>{mark}</name></domaincheckpoint>" if mark else None
        await self.engine.begin_backup(self.name, xml, checkpoint)

        async def ended() -> str:
            newest = max((j for j in await self.engine.jobs(self.name) if j.kind == "backup"), key=lambda j: int(j.id))
            return newest.state if newest.state != "running" else ""

        assert await eventually(ended, "the backup does not end") == "completed"
        return self.path(target)

    async def checkpoint(self, name: str) -> None:
        await self.engine.create_checkpoint(self.name, f"<domaincheckpoint><name>{name}</name></domaincheckpoint>")

    async def snapshot(self, name: str) -> None:
        xml = (
            f"<domainsnapshot><name>{name}</name><disks><disk name='vda' snapshot='external'/></disks></domainsnapshot>"
        )
        live = (await self.engine.guest(self.name)).active
        await self.engine.create_snapshot(self.name, xml, ["disk-only"] if live else [])

    async def copy(self, target: str, *flags: str, kind: str = "qcow2") -> None:
        xml = f"<disk type='file'><driver type='{kind}'/><source file='{self.path(target)}'/></disk>"
        await self.engine.block_copy(self.name, "vda", xml, flags=flags)  # type: ignore[arg-type]
        await job_ready(self.engine, self.name)

    async def now(self) -> str:
        """The checksum of the disk; the guest is stopped for a moment, so that all is in the images."""
        await self.engine.suspend(self.name)
        found = content(await self.top())
        await self.engine.resume(self.name)
        return found


async def nothing(guest: Guest) -> None:
    return None


async def older_checkpoints_go(guest: Guest) -> None:
    await guest.checkpoint("c3")
    await guest.mark(3072)
    await guest.checkpoint("c4")
    await guest.engine.delete_checkpoint(guest.name, "c3")


async def bitmaps_of_others(guest: Guest) -> None:
    """Other managers have one bitmap record at a time: the checkpoint in the middle goes, its parent needs what it has."""
    await guest.qmp("block-dirty-bitmap-disable", node="frontinus-1-format", name="c1")
    await guest.checkpoint("c3")
    await guest.qmp("block-dirty-bitmap-disable", node="frontinus-1-format", name="c2")
    await guest.mark(3072)
    await guest.checkpoint("c4")
    await guest.qmp("block-dirty-bitmap-disable", node="frontinus-1-format", name="c3")
    await guest.mark(3584)
    await guest.engine.delete_checkpoint(guest.name, "c3")


async def a_snapshot_is_merged(guest: Guest) -> None:
    await guest.snapshot("s")
    await guest.mark(2048)
    await guest.checkpoint("c3")
    await guest.mark(3072)
    await guest.engine.delete_snapshot(guest.name, "s")
    assert "size='262144'" in await guest.engine.checkpoint_xml(guest.name, "c3", sizes=True)


async def a_middle_snapshot_is_merged(guest: Guest) -> None:
    await guest.snapshot("s")
    await guest.mark(2048)
    await guest.snapshot("t")
    await guest.mark(3072)
    await guest.engine.delete_snapshot(guest.name, "s")


async def layers_are_pulled(guest: Guest) -> None:
    await guest.snapshot("s")
    await guest.mark(2048)
    await guest.snapshot("t")
    await guest.mark(3072)
    await guest.engine.block_pull(guest.name, "vda")
    await job_gone(guest.engine, guest.name)


async def the_disk_is_copied(guest: Guest) -> None:
    await guest.copy("copy")
    await guest.mark(2048)
    await guest.engine.abort_block_job(guest.name, "vda", ["pivot"])


async def the_top_is_copied(guest: Guest) -> None:
    await guest.snapshot("s")
    await guest.mark(2048)
    await guest.copy("copy", "shallow")
    await guest.engine.abort_block_job(guest.name, "vda", ["pivot"])


async def it_is_destroyed(guest: Guest) -> None:
    await guest.mark(2048)
    await guest.engine.destroy(guest.name)
    await guest.engine.start(guest.name)


async def it_is_overlaid_while_off(guest: Guest) -> None:
    await guest.engine.destroy(guest.name)
    await guest.snapshot("s")
    await guest.engine.start(guest.name)


async def it_goes_back_outside(guest: Guest) -> None:
    await guest.mark(2048)
    await guest.snapshot("s")
    await guest.mark(3072)
    await guest.engine.revert_snapshot(guest.name, "s", ["running"])


HAPPENINGS: tuple[Callable[[Guest], Awaitable[None]], ...] = (
    nothing, older_checkpoints_go, bitmaps_of_others, a_snapshot_is_merged, a_middle_snapshot_is_merged, layers_are_pulled,
    the_disk_is_copied, the_top_is_copied, it_is_destroyed, it_is_overlaid_while_off, it_goes_back_outside,
)  # fmt: skip


async def begun(engine: Engine, place: Path, name: str, emulator: str = "") -> Guest:
    """A guest with a whole backup at c1, and an increment at c2."""
    guest = await Guest.defined(engine, name, place, SIZE, emulator)
    await engine.start(name)
    await guest.mark(0)
    await guest.save("full", mark="c1")
    await guest.mark(512)
    await guest.save("one", since="c1", mark="c2")
    await guest.mark(1024)
    return guest


async def one_row(guest: Guest, happens: Callable[[Guest], Awaitable[None]]) -> None:
    await happens(guest)
    await guest.mark(4096)
    now = await guest.now()
    since_first = await guest.save("since-first", since="c1")
    assert content(since_first, base=guest.path("full")) == now, "the increment since c1 does not restore the disk"
    size = since_first.stat().st_size
    assert size < SIZE // 2, f"the increment since c1 has {size} bytes: that is all, not what changed"
    second = await guest.save("since-second", since="c2")
    rebase = ["qemu-img", "rebase", "-u", "-F", "qcow2", "-b", str(guest.path("full")), str(guest.path("one"))]
    subprocess.run(rebase, check=True)
    assert content(second, base=guest.path("one")) == now, "the increment since c2 does not restore the disk"


async def row(
    engine: Engine, place: Path, happens: Callable[[Guest], Awaitable[None]], name: str, emulator: str = ""
) -> None:
    """One row from beginning to end."""
    await one_row(await begun(engine, place, name, emulator), happens)
    await engine.destroy(name)
