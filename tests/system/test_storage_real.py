"""The storage contract on this host, and the kinds of pools that it can have: dir, fs and disk on files behind loop devices."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from contextlib import aclosing
from pathlib import Path

import pytest

from contract.storage_contract import MIB, NamesContract, StorageContract, put, take, volume
from frontinus.api.errors import (
    AlreadyExists,
    Cancelled,
    InvalidValue,
    InvalidXML,
    StorageFailed,
    Unsupported,
    WrongState,
)
from frontinus.api.events import HostJobEvent
from frontinus.linux.storage.host import LinuxStorage
from frontinus.mock.engine import ROOT
from frontinus.storage import imaging
from frontinus.storage.steps import Image
from support.mounts import unmount
from support.storage import LinuxRig, linux_engine, pool
from support.storage import rig as rig

pytestmark = [pytest.mark.needs("root", "qemu-img")]


class TestLinux(NamesContract, StorageContract):
    @pytest.fixture
    async def rig(self, rig: LinuxRig) -> LinuxRig:
        return rig


def info(path: Path, kind: str = "qcow2") -> str:
    return subprocess.run(["qemu-img", "info", "-f", kind, path], capture_output=True, text=True, check=True).stdout


async def test_options_of_qcow2_reach_the_image(rig: LinuxRig) -> None:
    rest = ("<compat>1.1</compat><clusterSize unit='KiB'>128</clusterSize><features><lazy_refcounts/><extended_l2/></features>"
            "<permissions><mode>0640</mode><owner>64055</owner><group>6</group></permissions>")  # fmt: skip
    made = await rig.session.create_volume("p", volume("a", "qcow2", rest=rest))
    text = info(rig.folder / "a")
    for said in ("cluster_size: 131072", "compat: 1.1", "lazy refcounts: true", "extended l2: true"):
        assert said in text
    status = (rig.folder / "a").stat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o640, 64055, 6)
    document = await rig.session.volume_xml("p", "a")
    for said in (
        "<clusterSize unit='B'>131072</clusterSize>",
        "<lazy_refcounts/>",
        "<extended_l2/>",
        "<mode>0640</mode>",
    ):
        assert said in document
    below = f"<backingStore><path>{made.path}</path><format type='qcow2'/></backingStore>"
    top = await rig.session.create_volume("p", volume("b", "qcow2").replace("</target>", f"</target>{below}"))
    assert (top.backing, top.capacity) == (made.path, MIB)


async def test_a_raw_volume_stays_raw_whatever_a_guest_writes_into_it(rig: LinuxRig, tmp_path: Path) -> None:
    """The old attack: a guest writes a qcow2 header with a backing file, and the host is to open it for the guest."""
    prey = tmp_path / "prey"
    prey.write_bytes(b"the host's own" * 1000)
    forged = tmp_path / "forged"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", prey, "-F", "raw", forged], check=True)
    await rig.session.create_volume("p", volume("guest.img", size=MIB))
    with (rig.folder / "guest.img").open("r+b") as image:
        image.write(forged.read_bytes())
    await rig.session.refresh_pool("p")
    seen = await rig.session.volume("p", "guest.img")
    assert (seen.format, seen.backing, seen.capacity) == ("raw", None, MIB)
    await rig.session.clone_volume("p", volume("copy.img"), "p", "guest.img")
    assert b"the host's own" not in (rig.folder / "copy.img").read_bytes()


async def test_an_image_that_nobody_declared_and_that_refers_elsewhere_is_not_opened(
    rig: LinuxRig, tmp_path: Path
) -> None:
    prey = tmp_path / "prey"
    prey.write_bytes(b"x" * 65536)
    foreign = rig.folder / "foreign"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", prey, "-F", "raw", foreign], check=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", rig.folder / "plain", "1M"], check=True)
    await rig.session.refresh_pool("p")
    with pytest.raises(StorageFailed, match="nobody declared its format"):
        await rig.session.clone_volume("p", volume("copy"), "p", "foreign")
    assert (await rig.session.clone_volume("p", volume("copy"), "p", "plain")).capacity == MIB
    os.setxattr(foreign, "trusted.frontinus.format", b"qcow2")
    with pytest.raises(StorageFailed, match="nobody declared its format"):
        await rig.session.clone_volume("p", volume("copy2"), "p", "foreign")
    os.setxattr(prey, "trusted.frontinus.format", b"raw")
    assert (await rig.session.clone_volume("p", volume("copy2"), "p", "foreign")).name == "copy2"


@pytest.mark.parametrize("how", ["backing", "data_file", "nested"])
async def test_a_hostile_image_reads_nothing_even_if_its_header_is_believed(tmp_path: Path, how: str) -> None:
    """Past our own reader: qemu-img itself is told to open it, and it cannot open what the header names."""
    prey, evil, out = tmp_path / "shadow", tmp_path / "evil", tmp_path / "out"
    prey.write_bytes(b"root:$6$".ljust(65536, b"!"))
    make = ["qemu-img", "create", "-q", "-f", "qcow2"]
    if how == "data_file":
        subprocess.run([*make, "-o", f"data_file={prey},data_file_raw=on", evil, "64k"], check=True)
        prey.write_bytes(b"root:$6$".ljust(65536, b"!"))
    else:
        between = tmp_path / "between" if how == "nested" else evil
        subprocess.run([*make, "-b", prey, "-F", "raw", between], check=True)
        if how == "nested":
            subprocess.run([*make, "-u", "-b", between, "-F", "qcow2", evil, "64k"], check=True)
    below = (str(tmp_path / "between"),) if how == "nested" else ()
    argv = ("convert", "-f", "qcow2", "-O", "raw", str(evil), str(out))
    storage = LinuxStorage(tmp_path)
    with pytest.raises(StorageFailed, match="Permission denied"):
        await storage.perform(Image(argv, reads=(str(evil), *below), writes=(str(out),)), {})
    assert b"root:" not in out.read_bytes()
    await storage.perform(Image(argv, reads=(str(evil), *below, str(prey)), writes=(str(out), str(prey))), {})
    assert b"root:" in out.read_bytes()  # so it was only the view that kept it away
    storage.close()


async def test_what_a_header_names_must_be_a_volume_or_declared(rig: LinuxRig, tmp_path: Path) -> None:
    """A QEMU that a guest has taken over writes another backing file into the header of an image that we made."""
    prey, inside = tmp_path / "prey", rig.folder / "base"
    for file in (prey, inside):
        file.write_bytes(b"x" * 65536)
    top = volume("top", "qcow2", 65536).replace(
        "</target>", f"</target><backingStore><path>{inside}</path><format type='raw'/></backingStore>"
    )
    await rig.session.refresh_pool("p")
    await rig.session.create_volume("p", top)
    await rig.session.clone_volume("p", volume("copy"), "p", "top")
    assert (rig.folder / "copy").read_bytes()[:4] == b"xxxx"
    subprocess.run(["qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", prey, rig.folder / "top"], check=True)
    for call in (
        rig.session.clone_volume("p", volume("leak"), "p", "top"),
        rig.session.resize_volume("p", "top", 2 * MIB),
    ):
        with pytest.raises(StorageFailed, match="no volume of an active pool, and nobody declared"):
            await call
    os.setxattr(prey, "trusted.frontinus.format", b"raw")
    await rig.session.resize_volume("p", "top", 2 * MIB)


async def test_a_job_that_is_aborted_leaves_nothing(rig: LinuxRig) -> None:
    await rig.session.create_volume("p", volume("big", size=256 * MIB, allocation=0))
    with (rig.folder / "big").open("r+b") as image:
        for n in range(64):
            image.seek(n * 4 * MIB)
            image.write(os.urandom(MIB))
    while not await _aborted(rig):  # a clone that was done by then is begun anew
        await rig.session.delete_volume("p", "copy")
    assert rig.names() == ["big"]
    assert [job.state for job in await rig.session.jobs() if job.kind == "clone"].count("cancelled") == 1
    assert not await asyncio.to_thread(_children_of_qemu_img, rig.folder)


async def _aborted(rig: LinuxRig) -> bool:
    """Begin a clone and abort it as soon as it runs; False if it was quicker."""
    async with aclosing(rig.session.watch()) as news:
        await anext(news)
        cloning = asyncio.create_task(rig.session.clone_volume("p", volume("copy", "qcow2"), "p", "big"))
        started = await asyncio.wait_for(anext(news), 60)
    assert isinstance(started, HostJobEvent) and started.kind == "clone"
    try:
        await rig.session.abort_job(started.job)
    except WrongState:
        await cloning
        return False
    with pytest.raises(Cancelled):
        await cloning
    return True


def _children_of_qemu_img(folder: Path) -> list[str]:
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if line.startswith(("qemu-img", "/usr/bin/qemu-img")) and str(folder) in line]


async def test_holes_stay_holes(rig: LinuxRig) -> None:
    await rig.session.create_volume("p", volume("a", size=64 * MIB, allocation=0))
    data = b"x" * 4096 + bytes(8 * MIB)
    assert await put(await rig.session.upload_volume("p", "a", sparse=True), data) == b"\0"
    assert (await rig.session.volume("p", "a")).allocation < 2 * MIB
    await rig.session.clone_volume("p", volume("b", allocation=0), "p", "a")
    assert (rig.folder / "b").stat().st_blocks * 512 < 2 * MIB


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
async def test_room_is_reserved_or_written_when_told(rig: LinuxRig, kind: str) -> None:
    size = 8 * MIB
    for flags, allocated in (([], False), (["prealloc-falloc"], True), (["prealloc-full"], True)):
        name = "".join(flags) or "none"
        made = await rig.session.create_volume("p", volume(name, kind, size), flags)  # type: ignore[arg-type]
        assert (made.allocation >= size) is allocated
        assert made.capacity == size
    for name, how, unwritten in (("prealloc-falloc", "reserved", True), ("prealloc-full", "written", False)):
        command = ["filefrag", "-v", str(rig.folder / name)]
        if shutil.which("filefrag"):
            shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            assert ("unwritten" in shown) is unwritten, how
    with pytest.raises(InvalidValue, match="one can be chosen"):
        await rig.session.create_volume("p", volume("x", kind), ["prealloc-full", "prealloc-falloc"])
    with pytest.raises(InvalidXML, match="format 'vdi'"):
        await rig.session.create_volume("p", volume("x", "vdi"), ["prealloc-falloc"])


# --- fs and disk, on files


@pytest.mark.needs("mkfs.xfs", "mkfs.btrfs", "losetup")
@pytest.mark.parametrize(("kind", "size"), [("xfs", 320 * MIB), ("btrfs", 128 * MIB)])
async def test_a_clone_can_share_the_blocks_of_its_original(
    rig: LinuxRig, tmp_path: Path, kind: str, size: int
) -> None:
    device, session, place = tmp_path / "disk.img", rig.session, tmp_path / "mnt"
    with device.open("wb") as file:
        file.truncate(size)
    await session.define_pool(pool(place, "f", "fs", f"<device path='{device}'/><format type='{kind}'/>"))
    try:
        await session.start_pool("f", build=["overwrite"])
        for name, form in (("a", "raw"), ("q", "qcow2")):
            await session.create_volume("f", volume(name, form, 16 * MIB))
        with (place / "a").open("r+b") as file:
            file.write(os.urandom(12 * MIB))
        os.sync()
        free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
        made = await session.clone_volume("f", volume("b", "raw", 32 * MIB), "f", "a", ["reflink"])
        os.sync()
        assert free - os.statvfs(place).f_bavail * os.statvfs(place).f_frsize < 4 * MIB
        assert made.capacity == 32 * MIB
        with (place / "b").open("r+b") as copy, (place / "a").open("rb") as original:
            assert copy.read(16 * MIB) == original.read()
            copy.seek(0)
            copy.write(b"changed")
        assert (place / "a").read_bytes()[:7] != b"changed"
        assert (
            await session.clone_volume("f", volume("r", "qcow2", 32 * MIB), "f", "q", ["reflink"])
        ).capacity == 32 * MIB
        subprocess.run(["qemu-img", "check", "-q", "-f", "qcow2", place / "r"], check=True)
        with pytest.raises(Unsupported, match="of format raw, not qcow2"):
            await session.clone_volume("f", volume("x", "qcow2"), "f", "a", ["reflink"])
    finally:
        await session.destroy_pool("f")


async def test_a_clone_that_cannot_share_is_refused_and_leaves_nothing(rig: LinuxRig, tmp_path: Path) -> None:
    """Between two file systems there is nothing to share."""
    await rig.session.create_volume("p", volume("a"))
    await rig.session.define_pool(pool(Path("/dev/shm") / tmp_path.name, "s"))
    await rig.session.start_pool("s", build=[])
    try:
        with pytest.raises(Unsupported, match="cannot share blocks"):
            await rig.session.clone_volume("s", volume("b"), "p", "a", ["reflink"])
        assert await rig.session.volumes("s") == []
    finally:
        await rig.session.destroy_pool("s")
        await rig.session.delete_pool("s")


@pytest.mark.needs("mkfs.ext4", "losetup")
async def test_a_pool_of_type_fs(rig: LinuxRig, tmp_path: Path) -> None:
    device = tmp_path / "disk.img"
    with device.open("wb") as file:
        file.truncate(64 * MIB)
    session, place = rig.session, tmp_path / "mnt"
    source = f"<device path='{device}'/><format type='ext4'/>"
    await session.define_pool(pool(place, "f", "fs", source))
    with pytest.raises(StorageFailed):
        await session.start_pool("f")  # there is no file system yet
    await session.build_pool("f", ["no-overwrite"])
    with pytest.raises(StorageFailed, match="an ext file system"):
        await session.build_pool("f", ["no-overwrite"])
    try:
        started = await session.start_pool("f")
        assert 0 < started.capacity < 64 * MIB
        assert "nosuid" in Path("/proc/self/mountinfo").read_text().split(f" {place} ")[1].split("\n")[0]
        await session.create_volume("f", volume("v", "qcow2"))
        assert [one.name for one in await session.volumes("f")] == ["v"]  # not lost+found
    finally:
        await session.destroy_pool("f")
    assert not os.path.ismount(place)
    assert not list(place.iterdir())
    await session.start_pool("f")
    assert (await session.volume("f", "v")).format == "qcow2"
    await session.destroy_pool("f")


@pytest.mark.needs("sfdisk", "losetup")
@pytest.mark.parametrize("label", ["gpt", "dos"])
async def test_a_pool_of_type_disk(rig: LinuxRig, tmp_path: Path, label: str) -> None:
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    done = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True, check=True)
    device, session = done.stdout.strip(), rig.session
    try:
        await session.define_pool(pool(Path("/dev"), "d", "disk", f"<device path='{device}'/><format type='{label}'/>"))
        await session.build_pool("d")
        with pytest.raises(StorageFailed, match=f"a {label.upper()} partition table"):
            await session.build_pool("d")
        await session.start_pool("d")
        made = [await session.create_volume("d", volume("any", "none", n * MIB)) for n in (8, 4)]
        names = [f"{device.rpartition('/')[2]}p{n}" for n in (1, 2)]
        assert [one.name for one in made] == names
        assert [one.capacity for one in made] == [8 * MIB, 4 * MIB]
        assert await put(await session.upload_volume("d", names[1]), b"second") == b"\0"
        assert (await take(await session.download_volume("d", names[1], 0, 6))) == b"second"
        with image.open("rb") as file:
            assert b"second" in file.read()[9 * MIB :][: 5 * MIB]
        with pytest.raises(AlreadyExists):
            await session.create_pool(pool(Path("/dev"), "e", "disk", f"<device path='{device}'/>"))
        with pytest.raises(StorageFailed, match="no free part"):
            await session.create_volume("d", volume("x", "none", size=60 * MIB))
        await session.delete_volume("d", names[0])
        again = await session.create_volume("d", f"<volume><name>any</name><capacity>{MIB}</capacity></volume>")
        assert again.name == names[0]
        listed = subprocess.run(["sfdisk", "--dump", device], capture_output=True, text=True, check=True).stdout
        assert listed.count("start=") == 2 and f"label: {label}" in listed
        await session.destroy_pool("d")
        standing = subprocess.run(
            ["losetup", "-O", "BACK-FILE", "--noheadings"], capture_output=True, text=True, check=True
        )
        assert device not in standing.stdout.split()
        await session.delete_pool("d")
        with pytest.raises(StorageFailed, match="no partition table"):
            await session.start_pool("d")
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@pytest.mark.needs("cryptsetup")
async def test_an_encrypted_volume_gets_another_secret(rig: LinuxRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """All keys are quick ones, as it takes seconds to derive an honest one."""
    monkeypatch.setattr(imaging, "DERIVING_MS", 10)
    session, path = rig.session, rig.folder / "v"
    with path.open("wb") as file:
        file.truncate(4 * MIB)
    quick = ["luksFormat", "--batch-mode", "--type", "luks1", "--pbkdf-force-iterations", "1000", "--key-file", "-"]
    subprocess.run(["cryptsetup", *quick, path], input=b"first-key", check=True)
    size = (await session.refresh_pool("p")) and (await session.volume("p", "v")).capacity
    uuids = []
    for name, value in ((str(path), b"first-key"), ("other", b"second key")):
        secret = await session.define_secret(f"<secret><usage type='volume'><volume>{name}</volume></usage></secret>")
        await session.set_secret_value(secret.uuid, value)
        uuids.append(secret.uuid)
    assert (await session.volume("p", "v")).encrypted
    await session.resize_volume("p", "v", size + MIB)  # by the secret that is for a volume at this place
    assert (await session.volume("p", "v")).capacity == size + MIB
    await session.set_volume_secret("p", "v", uuids[1])
    assert opens(str(path), b"second key") and not opens(str(path), b"first-key")
    assert uuids[1] in await session.volume_xml("p", "v")


def opens(path: str, key: bytes) -> bool:
    command = ["cryptsetup", "open", "--test-passphrase", "--type", "luks1", "--key-file", "-", path]
    return subprocess.run(command, input=key, check=False, capture_output=True).returncode == 0


async def test_a_sender_that_goes_away_changes_nothing(rig: LinuxRig) -> None:
    await rig.session.create_volume("p", volume("a", size=MIB))
    assert await put(await rig.session.upload_volume("p", "a"), b"before") == b"\0"
    async with aclosing(rig.session.watch()) as news:
        await anext(news)
        descriptor = await rig.session.upload_volume("p", "a")
        await asyncio.to_thread(os.write, descriptor, b"after")
        os.close(descriptor)
        async with asyncio.timeout(60):
            async for event in news:
                if isinstance(event, HostJobEvent) and event.state == "failed":
                    break
    assert (rig.folder / "a").read_bytes()[:6] == b"before"
    assert rig.names() == ["a"]


async def test_two_engines_on_one_folder_lose_nothing(rig: LinuxRig, tmp_path: Path) -> None:
    """Whoever is first has the name, the other is told; of two uploads the later one stays, whole."""
    (tmp_path / "other").mkdir()
    engine = await linux_engine(tmp_path / "other")
    try:
        other = engine.session(ROOT)
        await other.define_pool(pool(rig.folder))
        await other.start_pool("p")
        data = os.urandom(4 * MIB)
        await rig.session.create_volume("p", volume("from", size=len(data)))
        await other.refresh_pool("p")
        assert await put(await rig.session.upload_volume("p", "from"), data) == b"\0"
        made = await asyncio.gather(*(one.clone_volume("p", volume("a", "qcow2"), "p", "from") for one in (rig.session, other)),
                                    return_exceptions=True)  # fmt: skip
        assert sorted(type(one).__name__ for one in made) == ["AlreadyExists", "VolumeView"]
        assert rig.names() == ["a", "from"]
        subprocess.run(
            ["qemu-img", "compare", "-f", "qcow2", "-F", "raw", rig.folder / "a", rig.folder / "from"], check=True
        )
        ours, theirs = b"1" * len(data), b"2" * len(data)
        into = [await one.upload_volume("p", "from") for one in (rig.session, other)]
        assert await asyncio.gather(put(into[0], ours), put(into[1], theirs)) == [b"\0", b"\0"]
        assert (rig.folder / "from").read_bytes() in (ours, theirs) and rig.names() == ["a", "from"]
        await other.delete_volume("p", "from")
        with pytest.raises(StorageFailed):
            await rig.session.clone_volume("p", volume("b"), "p", "from")
        await rig.session.refresh_pool("p")
        assert [one.name for one in await rig.session.volumes("p")] == ["a"] and rig.names() == ["a"]
    finally:
        await engine.stop()


async def test_what_a_link_leads_to_is_not_overwritten_through_it(rig: LinuxRig, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"theirs" + bytes(MIB))
    (rig.folder / "link").symlink_to(elsewhere)
    await rig.session.refresh_pool("p")
    assert await put(await rig.session.upload_volume("p", "link"), b"ours") == b""
    assert any(job.error and "is a link to" in job.error for job in await rig.session.jobs())
    with pytest.raises(StorageFailed):
        await rig.session.wipe_volume("p", "link")
    assert elsewhere.read_bytes()[:6] == b"theirs"
    assert (rig.folder / "link").is_symlink() and rig.names() == ["link"]


async def test_a_volume_that_has_gone_is_not_downloaded_as_an_empty_one(rig: LinuxRig) -> None:
    await rig.session.create_volume("p", volume("a", size=MIB))
    (rig.folder / "a").unlink()
    for call in (rig.session.download_volume, rig.session.download_pieces):
        with pytest.raises(StorageFailed, match="No such file"):
            await call("p", "a")


async def test_a_full_disk_leaves_nothing_half(rig: LinuxRig, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", small], check=True)
    try:
        await rig.session.create_pool(pool(small, "small"))
        await rig.session.create_volume("p", volume("big", size=16 * MIB))
        (rig.folder / "big").write_bytes(os.urandom(16 * MIB))
        with pytest.raises(StorageFailed, match="[Nn]o space"):
            await rig.session.create_volume("small", volume("a", size=16 * MIB, allocation=16 * MIB))
        with pytest.raises(StorageFailed, match="[Nn]o space"):
            await rig.session.clone_volume("small", volume("b", "qcow2", size=16 * MIB), "p", "big")
        with pytest.raises(StorageFailed, match="No space left on device$") as refused:
            await rig.session.create_volume("small", volume("c", "qcow2", size=16 * MIB), ["prealloc-full"])
        assert "deleting" not in refused.value.message  # which is not qemu-img's to do
        assert not list(small.iterdir())
        async with asyncio.timeout(60):  # the kernel gives the room back when the last program is quite gone
            while os.statvfs(small).f_bavail * 4096 < 2 * MIB:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert (await rig.session.create_volume("small", volume("c", size=MIB, allocation=MIB))).capacity == MIB
        await rig.session.destroy_pool("small")
    finally:
        unmount(small)
