"""What bitmaps recorded outlives whatever happens to layers and checkpoints: increments restore the disk, or are refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import WrongState
from support.bitmap_rows import HAPPENINGS, begun, row
from support.disks import content
from support.snapshot_rows import all_rows
from trial import Daemon


@pytest.fixture
async def engine(daemon: Daemon) -> AsyncIterator[Engine]:
    async with daemon.engine() as engine:
        yield engine


async def test_increments_restore_the_disk(engine: Engine, place: Path) -> None:
    await all_rows((happens.__name__, partial(row, engine, place, happens)) for happens in HAPPENINGS)


async def test_what_cannot_be_known_is_refused(engine: Engine, place: Path) -> None:
    """A change that no bitmap has seen makes increments refused, not wrong."""
    guest = await begun(engine, place, "inside")
    await engine.destroy("inside")
    await engine.create_snapshot("inside", "<domainsnapshot><name>s</name></domainsnapshot>")
    await engine.start("inside")
    await guest.mark(2048)
    await engine.revert_snapshot("inside", "s", ["running"])
    with pytest.raises(WrongState, match="no layer has a bitmap"):
        await guest.save("more", since="c1")
    await guest.save("again", mark="c9")
    await guest.mark(2048)
    now = await guest.now()
    assert content(await guest.save("more", since="c9"), base=guest.path("again")) == now
    await engine.destroy("inside")

    guest = await begun(engine, place, "raw")
    await guest.copy("copy", kind="raw")
    with pytest.raises(WrongState, match="keeps no bitmaps; delete the checkpoints first that have c1, c2"):
        await engine.abort_block_job("raw", "vda", ["pivot"])
    for name in ("c1", "c2"):
        await engine.delete_checkpoint("raw", name)
    await engine.abort_block_job("raw", "vda", ["pivot"])
    assert "type='raw'" in await engine.guest_xml("raw")
