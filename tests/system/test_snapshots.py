"""Snapshots of real guests: made, gone back to and deleted, of every kind, under load, and what each leaves in the images."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from lxml import etree

from frontinus.api.engine import Engine
from frontinus.api.errors import AgentUnavailable, InvalidXML, NoSuchSnapshot, StorageFailed, WrongState
from guest_image import GuestImage
from support.disks import MIB, backing_of, bare_xml, content, disk, fill, guest_xml, image, writing, written_out
from support.real_console import boot, expect
from system.test_guest_life import Watcher
from trial import Daemon

NAMED = "<domainsnapshot><name>{}</name></domainsnapshot>"


@pytest.fixture
async def engine(daemon: Daemon) -> AsyncIterator[Engine]:
    async with daemon.engine() as engine:
        yield engine


def named(name: str, inside: str = "") -> str:
    return f"<domainsnapshot><name>{name}</name>{inside}</domainsnapshot>"


async def sources(engine: Engine, guest: str, *, inactive: bool = False) -> list[str]:
    root = etree.fromstring(await engine.guest_xml(guest, ["inactive"] if inactive else []))
    found = root.find("devices/disk")
    return [str(s.get("file")) for s in found.iter("source")] if found is not None else []


def write(path: Path, byte: int) -> None:
    """Another content for the first MiB, while nobody has the image."""
    fill(path, byte)


async def test_inside_an_image_that_nobody_uses(engine: Engine, place: Path) -> None:
    path = image(place / "a.qcow2")
    write(path, 1)
    one = content(path)
    await engine.define(bare_xml(disk(path)))
    view = await engine.create_snapshot("bare", named("s1"))
    assert (view.state, view.memory, view.disks, view.current, view.parent) == ("shutoff", "no", "internal", True, None)
    write(path, 2)
    two = content(path)
    assert (await engine.create_snapshot("bare", named("s2"))).parent == "s1"
    await engine.revert_snapshot("bare", "s1")
    assert content(path) == one and (await engine.current_snapshot("bare")).name == "s1"
    await engine.revert_snapshot("bare", "s2", ["paused"])
    assert (await engine.guest("bare")).state == "paused"
    await engine.destroy("bare")
    assert content(path) == two
    await engine.delete_snapshot("bare", "s1")
    assert [(s.name, s.parent) for s in await engine.snapshots("bare")] == [("s2", None)]
    await engine.delete_snapshot("bare", "s2")
    listed = subprocess.run(["qemu-img", "snapshot", "-l", str(path)], capture_output=True, check=True, text=True)
    assert listed.stdout.strip() == ""
    with pytest.raises(NoSuchSnapshot):
        await engine.snapshot("bare", "s1")


async def test_memory_inside(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    """What the guest kept in memory alone is there again, and the disk as it was with it."""
    path = image(place / "a.qcow2", 8 * MIB)
    await engine.define(guest_xml(place, guest_image, disk(path)))
    await engine.start("real")
    await boot(engine, "real")
    await expect(engine, "real", "kept:in-memory", "word=in-memory; echo ke''pt:$word\n")
    view = await engine.create_snapshot("real", named("s1"))
    assert (view.state, view.memory, view.disks) == ("running", "internal", "internal")
    assert (await engine.guest("real")).state == "running"
    await expect(engine, "real", "now:other", "word=other; echo no''w:$word; dd if=/dev/urandom of=/dev/vda count=9\n")
    await engine.revert_snapshot("real", "s1")
    assert [(g.state, g.reason) for g in await engine.guests()] == [("running", "from snapshot")]
    await expect(engine, "real", "again:in-memory", "echo aga''in:$word\n")
    await engine.delete_snapshot("real", "s1")
    assert await engine.snapshots("real") == []


async def test_outside_under_load(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    """A guest that writes gets layer over layer; each lower one stays what it was; deleting merges, nothing is lost."""
    path = image(place / "a.qcow2", 8 * MIB)
    await engine.define(guest_xml(place, guest_image, disk(path), "write"))
    await engine.start("real")
    await writing(engine, "real")
    for name in ("s1", "s2"):
        view = await engine.create_snapshot("real", named(name), ["disk-only"])
        assert (view.state, view.disks, view.memory) == ("disk-snapshot", "external", "no")
        await writing(engine, "real")
    layers = [str(place / "a.s2"), str(place / "a.s1"), str(path)]
    assert await sources(engine, "real") == await sources(engine, "real", inactive=True) == layers
    first = content(path)
    await engine.suspend("real")
    now = content(place / "a.s2")
    await engine.delete_snapshot("real", "s1")
    assert await sources(engine, "real") == [layers[0], layers[2]] and not (place / "a.s1").exists()
    assert content(place / "a.s2") == now and content(path) != first
    assert etree.fromstring(await engine.snapshot_xml("real", "s2")).find("domain/devices/disk/source").get(
        "file"
    ) == str(path)
    await engine.resume("real")
    await writing(engine, "real")
    await engine.delete_snapshot("real", "s2")
    assert await sources(engine, "real") == await sources(engine, "real", inactive=True) == [str(path)]
    assert not (place / "a.s2").exists()
    await writing(engine, "real")
    await engine.destroy("real")
    await engine.start("real")


async def test_going_back_outside(engine: Engine, place: Path) -> None:
    path = image(place / "a.qcow2")
    write(path, 1)
    one = content(path)
    await engine.define(bare_xml(disk(path)))
    await engine.create_snapshot("bare", named("s1", "<disks><disk name='vda' snapshot='external'/></disks>"))
    top = place / "a.s1"
    assert await sources(engine, "bare") == [str(top), str(path)] and backing_of(top) == str(path)
    write(top, 2)
    assert content(path) == one and content(top) != one
    await engine.revert_snapshot("bare", "s1", ["running"])
    now = await sources(engine, "bare")
    assert now[1:] == [str(path)] and now[0] not in (str(top), str(path)) and not top.exists()
    await engine.destroy("bare")
    assert content(Path(now[0])) == content(path) == one
    write(Path(now[0]), 3)
    three = content(Path(now[0]))
    await engine.delete_snapshot("bare", "s1")
    assert await sources(engine, "bare") == [str(path)] and content(path) == three
    assert [g.active for g in await engine.guests()] == [False]
    await engine.start("bare")


async def test_a_tree_with_branches(engine: Engine, place: Path) -> None:
    """An image that two branches stand on is not merged: both stay whole."""
    path = image(place / "a.qcow2")
    await engine.define(bare_xml(disk(path)))
    external = "<disks><disk name='vda' snapshot='external'/></disks>"
    await engine.create_snapshot("bare", named("root", external))
    write(place / "a.root", 2)
    await engine.create_snapshot("bare", named("left", external))
    left = content(place / "a.root")
    await engine.revert_snapshot("bare", "root")
    branch = Path((await sources(engine, "bare"))[0])
    write(branch, 3)
    await engine.create_snapshot("bare", named("right", external))
    right = content(branch)
    assert [(s.name, s.parent, s.children) for s in await engine.snapshots("bare")] == [
        ("root", None, 2), ("left", "root", 0), ("right", "root", 0)]  # fmt: skip
    await engine.delete_snapshot("bare", "root")
    assert path.exists() and content(place / "a.root") == left and content(branch) == right
    await engine.revert_snapshot("bare", "left")
    assert content(Path((await sources(engine, "bare"))[0])) == left
    await engine.revert_snapshot("bare", "right")
    assert content(Path((await sources(engine, "bare"))[0])) == right
    await engine.delete_snapshot("bare", "left")
    assert not (place / "a.root").exists(), "nobody needs the left branch any more"
    await engine.delete_snapshot("bare", "right")
    assert content(Path((await sources(engine, "bare"))[0])) == right


@pytest.mark.parametrize("live", [False, True])
async def test_memory_outside(engine: Engine, place: Path, guest_image: GuestImage, live: bool) -> None:
    path, memory = image(place / "a.qcow2", 8 * MIB), place / "memory"
    await engine.define(guest_xml(place, guest_image, disk(path)))
    await engine.start("real")
    await boot(engine, "real")
    await expect(engine, "real", "kept:in-memory", "word=in-memory; echo ke''pt:$word\n")
    view = await engine.create_snapshot("real", named("s1", f"<memory file='{memory}'/>"), ["live"] if live else [])
    assert (view.state, view.memory, view.disks) == ("running", "external", "external")
    assert (await engine.guest("real")).state == "running" and memory.stat().st_size > MIB
    await expect(engine, "real", "now:other", "word=other; echo no''w:$word; dd if=/dev/urandom of=/dev/vda count=9\n")
    was = content(path)
    await engine.revert_snapshot("real", "s1")
    await expect(engine, "real", "again:in-memory", "echo aga''in:$word\n")
    assert content(path) == was
    await engine.destroy("real")
    await engine.delete_snapshot("real", "s1")
    assert not memory.exists() and await sources(engine, "real") == [str(path)]


async def test_raw_images_and_halt(engine: Engine, place: Path) -> None:
    path = image(place / "a.img", kind="raw")
    await engine.define(bare_xml(disk(path, kind="raw")))
    await engine.start("bare")
    with pytest.raises(InvalidXML, match="external"):
        await engine.create_snapshot("bare", named("s1"))
    assert await engine.snapshots("bare") == []
    await engine.create_snapshot("bare", named("s1"), ["disk-only", "halt"])
    assert [(g.state, g.reason) for g in await engine.guests()] == [("shutoff", "from snapshot")]
    assert await sources(engine, "bare") == [str(place / "a.s1"), str(path)]
    await engine.start("bare")
    await engine.delete_snapshot("bare", "s1")
    assert await sources(engine, "bare") == [str(path)]


async def test_all_disks_or_none(engine: Engine, place: Path) -> None:
    """The second overlay cannot be made: the first is taken back, and the guest runs on as it was."""
    one, two = image(place / "a.qcow2"), image(place / "b.qcow2")
    (place / "b.s1").write_text("precious")
    await engine.define(bare_xml(disk(one) + disk(two, "vdb")))
    await engine.start("bare")
    with pytest.raises(StorageFailed):
        await engine.create_snapshot("bare", named("s1"), ["disk-only", "atomic"])
    (place / "b.s1").unlink()
    odd = named("s1", f"<disks><disk name='vdb'><source file='{place}/none/x'/></disk></disks>")
    with pytest.raises(StorageFailed):
        await engine.create_snapshot("bare", odd, ["disk-only"])
    assert not (place / "a.s1").exists() and await sources(engine, "bare", inactive=True) == [str(one), str(two)][:1]
    with pytest.raises(AgentUnavailable):
        await engine.create_snapshot("bare", named("s1"), ["disk-only", "quiesce"])
    assert not (place / "a.s1").exists() and await engine.snapshots("bare") == []
    view = await engine.create_snapshot("bare", named("s1"), ["disk-only", "no-metadata"])
    assert view.name == "s1" and await engine.snapshots("bare") == []
    assert await sources(engine, "bare") == [str(place / "a.s1"), str(one)]


async def test_reused_overlay(engine: Engine, place: Path) -> None:
    path = image(place / "a.qcow2")
    image(place / "mine.qcow2", backing=path)
    await engine.define(bare_xml(disk(path)))
    await engine.start("bare")
    xml = named("s1", f"<disks><disk name='vda'><source file='{place}/mine.qcow2'/></disk></disks>")
    await engine.create_snapshot("bare", xml, ["disk-only", "reuse-external"])
    assert await sources(engine, "bare") == [str(place / "mine.qcow2"), str(path)]
    image(place / "small.qcow2", MIB)
    xml = named("s2", f"<disks><disk name='vda'><source file='{place}/small.qcow2'/></disk></disks>")
    with pytest.raises(StorageFailed, match="has 1048576 bytes, disk 'vda' has"):  # the guest's disk would shrink
        await engine.create_snapshot("bare", xml, ["disk-only", "reuse-external"])
    assert [one.name for one in await engine.snapshots("bare")] == ["s1"] and (place / "small.qcow2").exists()


async def test_quiesced_by_the_agent(engine: Engine, place: Path, agent_image: GuestImage) -> None:
    path = image(place / "a.qcow2", 8 * MIB)
    channel = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
    watcher = await Watcher(engine).ready()
    await engine.define(guest_xml(place, agent_image, disk(path), more=channel))
    await engine.start("real")
    await watcher.until("AgentEvent")
    watcher.close()
    await engine.set_agent_timeout("real", 60)
    await engine.create_snapshot("real", named("s1"), ["disk-only", "quiesce"])
    await engine.create_checkpoint("real", "<domaincheckpoint><name>c1</name></domaincheckpoint>", ["quiesce"])
    assert '"thawed"' in await engine.agent_command("real", '{"execute": "guest-fsfreeze-status"}', 60)


async def test_redefine_and_metadata(engine: Engine, place: Path) -> None:
    path = image(place / "a.qcow2")
    await engine.define(bare_xml(disk(path)))
    await engine.create_snapshot("bare", named("s1", "<description>old</description>"))
    xml = await engine.snapshot_xml("bare", "s1")
    await engine.create_snapshot("bare", xml.replace("old", "new"), ["redefine"])
    assert (await engine.snapshot("bare", "s1")).description == "new"
    with pytest.raises(WrongState):
        await engine.undefine("bare")
    await engine.delete_snapshot("bare", "s1", ["metadata-only"])
    await engine.create_snapshot("bare", xml, ["redefine", "current"])
    assert (await engine.current_snapshot("bare")).name == "s1"
    await engine.revert_snapshot("bare", "s1")
    await engine.delete_snapshot("bare", "s1")
    await engine.undefine("bare")


async def test_written_out_is_seen(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    """The snapshot of a running guest holds all that the guest had written by then."""
    path = image(place / "a.qcow2", 8 * MIB)
    await engine.define(guest_xml(place, guest_image, disk(path), "write"))
    await engine.start("real")
    await writing(engine, "real")
    await engine.suspend("real")
    now = content(path)
    await engine.create_snapshot("real", named("s1"), ["disk-only"])
    await engine.resume("real")
    await writing(engine, "real")
    await written_out(engine, "real")
    assert content(path) == now
    await engine.revert_snapshot("real", "s1", ["paused"])
    assert content(Path((await sources(engine, "real"))[0])) == now
