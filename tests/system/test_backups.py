"""Checkpoints and backups of real guests that write meanwhile: what was saved is the disk of one moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from lxml import etree

from frontinus.api.engine import Engine
from frontinus.api.errors import Busy, InvalidValue, InvalidXML, NoSuchCheckpoint, WrongState
from frontinus.engine.guest.ending import CLOSING
from guest_image import GuestImage
from support import traces
from support.disks import MIB, bare_xml, content, disk, eventually, fill, guest_xml, image, writing, written_out
from support.mounts import unmount
from support.ports import free_port
from trial import Daemon


@pytest.fixture
async def engine(daemon: Daemon) -> AsyncIterator[Engine]:
    async with daemon.engine() as engine:
        yield engine


def checkpoint(name: str) -> str:
    return f"<domaincheckpoint><name>{name}</name></domaincheckpoint>"


def push(target: Path, since: str = "", kind: str = "qcow2") -> str:
    start = f"<incremental>{since}</incremental>" if since else ""
    return f"""<domainbackup mode='push'>{start}<disks><disk name='vda' type='file'><target file='{target}'/>
        <driver type='{kind}'/></disk></disks></domainbackup>"""


async def done(engine: Engine, guest: str) -> str:
    """The state of the newest backup once it has ended."""

    async def ended() -> str:
        jobs = [job for job in await engine.jobs(guest) if job.kind == "backup"]
        newest = max(jobs, key=lambda job: int(job.id))
        return newest.state if newest.state != "running" else ""

    return str(await eventually(ended, "the backup does not end"))


async def at_a_moment(engine: Engine, path: Path, xml: str, mark: str | None, *, top: Path | None = None) -> str:
    """Begin a backup while the guest is stopped, to know what it must hold, and let the guest write on at once."""
    await engine.suspend("real")
    now = content(top or path)
    await engine.begin_backup("real", xml, checkpoint(mark) if mark else None)
    await engine.resume("real")
    return now


async def test_pushed_full_and_incremental_under_load(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    path = image(place / "a.qcow2", 8 * MIB)
    await engine.define(guest_xml(place, guest_image, disk(path), "write"))
    await engine.start("real")
    await writing(engine, "real")
    full, one, two = (place / name for name in ("full.qcow2", "one.qcow2", "two.qcow2"))
    first = await at_a_moment(engine, path, push(full), "c1")
    assert await done(engine, "real") == "completed"
    await writing(engine, "real", MIB // 2)
    second = await at_a_moment(engine, path, push(one, "c1"), "c2")
    assert await done(engine, "real") == "completed"
    await writing(engine, "real", MIB // 4)
    size = etree.fromstring(await engine.checkpoint_xml("real", "c2", sizes=True)).find("disks/disk").get("size")
    assert 0 < int(str(size)) <= 8 * MIB
    await engine.create_snapshot("real", "<domainsnapshot><name>s</name></domainsnapshot>", ["disk-only"])
    await writing(engine, "real", MIB // 2)
    third = await at_a_moment(engine, path, push(two, "c2"), None, top=place / "a.s")
    assert await done(engine, "real") == "completed"
    assert len({first, second, third}) == 3
    assert content(full) == first and one.stat().st_size < 8 * MIB + MIB
    assert content(one, base=full) == second, "the first increment does not restore the disk"
    subprocess.run(["qemu-img", "rebase", "-u", "-F", "qcow2", "-b", str(full), str(one)], check=True)
    assert content(two, base=one) == third, "what was recorded before the snapshot is lost"
    # the restored image boots: it is the disk
    await engine.destroy("real")


async def test_checkpoints(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    path = image(place / "a.qcow2", 8 * MIB)
    await engine.define(guest_xml(place, guest_image, disk(path), "write"))
    with pytest.raises(WrongState):
        await engine.create_checkpoint("real", checkpoint("c1"))
    await engine.start("real")
    for name in ("c1", "c2", "c3"):
        await engine.create_checkpoint("real", checkpoint(name))
    await writing(engine, "real")
    assert [(c.name, c.parent, c.current) for c in await engine.checkpoints("real")] == [
        ("c1", None, False), ("c2", "c1", False), ("c3", "c2", True)]  # fmt: skip
    await engine.delete_checkpoint("real", "c2")
    assert [(c.name, c.parent) for c in await engine.checkpoints("real")] == [("c1", None), ("c3", "c1")]
    with pytest.raises(NoSuchCheckpoint):
        await engine.begin_backup("real", push(place / "x", "c2"))
    await written_out(engine, "real")
    await engine.destroy("real", graceful=True)
    assert bitmaps(path) == {"c1", "c3"}, "what was recorded does not outlive the guest's process"
    await engine.delete_checkpoint("real", "c1")
    assert bitmaps(path) == {"c3"} and not (await engine.guest("real")).active
    xml = await engine.checkpoint_xml("real", "c3")
    await engine.delete_checkpoint("real", "c3", ["metadata-only"])
    await engine.create_checkpoint("real", xml, ["redefine"])
    await engine.delete_checkpoint("real", "c3")
    assert bitmaps(path) == set()


async def test_what_is_defined_anew_may_have_to_be_there(engine: Engine, place: Path) -> None:
    path = image(place / "a.qcow2", 8 * MIB)
    await engine.define(bare_xml(disk(path)))
    await engine.start("bare")
    await engine.create_checkpoint("bare", checkpoint("c1"))
    xml = await engine.checkpoint_xml("bare", "c1")
    await engine.delete_checkpoint("bare", "c1", ["metadata-only"])
    other = xml.replace("bitmap='c1'", "bitmap='c9'")
    with pytest.raises(InvalidXML, match="no bitmap 'c9'"):
        await engine.create_checkpoint("bare", other, ["redefine", "redefine-validate"])
    with pytest.raises(InvalidValue):
        await engine.create_checkpoint("bare", checkpoint("c2"), ["redefine-validate"])
    await engine.create_checkpoint("bare", xml, ["redefine", "redefine-validate"])
    assert [one.name for one in await engine.checkpoints("bare")] == ["c1"]


def bitmaps(path: Path) -> set[str]:
    done = subprocess.run(["qemu-img", "info", "-U", "--output=json", str(path)], check=True, capture_output=True)
    return {one["name"] for one in json.loads(done.stdout)["format-specific"]["data"].get("bitmaps", [])}


async def test_a_guest_that_does_not_write_its_bitmaps_out_in_time_is_killed(engine: Engine, place: Path) -> None:
    """QEMU hangs (it is stopped), so that it hears no SIGTERM; the guest beside it, without bitmaps, has no time to wait for."""
    path, other = image(place / "a.qcow2"), image(place / "b.qcow2")
    for name, where in (("bare", path), ("plain", other)):
        await engine.define(bare_xml(disk(where), name))
        await engine.start(name)
    await engine.create_checkpoint("bare", checkpoint("c1"))
    hanging = {name: process_of(where) for name, where in (("bare", path), ("plain", other))}
    for process in hanging.values():
        os.kill(process, signal.SIGSTOP)
    taken = {}
    for name in hanging:
        begun = time.monotonic()
        await engine.destroy(name)
        taken[name] = time.monotonic() - begun
    assert taken["bare"] >= CLOSING, "who has bitmaps gets no time for them"
    assert taken["bare"] - taken["plain"] > CLOSING / 2, "who has no bitmaps is waited for as long as who has"
    for name, process in hanging.items():
        assert not Path(f"/proc/{process}").exists() and not (await engine.guest(name)).active
    await engine.start("bare")
    with pytest.raises(WrongState, match="c1"):  # it was killed with its bitmap unwritten
        await engine.begin_backup("bare", push(place / "x", "c1"))


def process_of(path: Path) -> int:
    """The QEMU whose command line names an image."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"qemu-system" in words[0] and any(bytes(path) in word for word in words):
                return int(folder.name)
    raise AssertionError(f"no QEMU has {path}")


async def test_raw_disks_keep_no_bitmaps(engine: Engine, place: Path) -> None:
    path = image(place / "a.img", kind="raw")
    await engine.define(bare_xml(disk(path, kind="raw")))
    await engine.start("bare")
    with pytest.raises(InvalidXML, match="keeps no bitmaps"):
        await engine.create_checkpoint("bare", checkpoint("c"))
    await engine.begin_backup("bare", push(place / "b.img", kind="raw"))
    assert await done(engine, "bare") == "completed" and content(place / "b.img", "raw") == content(path, "raw")


def pull(server: str, scratch: Path, since: str = "") -> str:
    start = f"<incremental>{since}</incremental>" if since else ""
    return f"""<domainbackup mode='pull'>{start}<server {server}/><disks><disk name='vda' type='file'>
        <scratch file='{scratch}'/></disk></disks></domainbackup>"""


def pulled(place: Path, graph: dict[str, object], *objects: str) -> str:
    """The checksum of an export."""
    raw = place / "pulled.raw"
    extra = [word for one in objects for word in ("--object", one)]
    subprocess.run(["qemu-img", "convert", *extra, "-O", "raw", "json:" + json.dumps(graph), str(raw)], check=True)
    try:
        return content(raw, "raw")
    finally:
        raw.unlink()


async def test_pulled_by_nbd_under_load(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    path, sock, scratch = image(place / "a.qcow2", 8 * MIB), place / "nbd.sock", place / "scratch.qcow2"
    await engine.define(guest_xml(place, guest_image, disk(path), "write"))
    await engine.start("real")
    await engine.create_checkpoint("real", checkpoint("c1"))
    await writing(engine, "real", MIB // 2)
    now = await at_a_moment(engine, path, pull(f"transport='unix' socket='{sock}'", scratch, "c1"), "c2")
    await writing(engine, "real", 2 * MIB)
    server = {"type": "unix", "path": str(sock)}
    export: dict[str, object] = {"driver": "nbd", "server": server, "export": "vda"}
    assert pulled(place, {"driver": "raw", "file": export}) == now, "the export follows the guest"
    dirty = {"driver": "raw", "file": {**export, "x-dirty-bitmap": "qemu:dirty-bitmap:backup-vda"}}
    mapped = subprocess.run(
        ["qemu-img", "map", "--output=json", "json:" + json.dumps(dirty)], check=True, capture_output=True
    )
    changed = [one for one in json.loads(mapped.stdout) if not one["data"]]
    assert changed and sum(one["length"] for one in changed) < 8 * MIB
    assert "exportname='vda'" in await engine.backup_xml("real")
    await abort(engine, "real")
    with pytest.raises(WrongState):
        await engine.backup_xml("real")
    assert not sock.exists() and not scratch.exists() and await engine.block_jobs("real") == []
    await engine.begin_backup("real", pull(f"transport='unix' socket='{sock}'", scratch))
    await abort(engine, "real")


async def abort(engine: Engine, guest: str) -> None:
    (job,) = [job for job in await engine.jobs(guest) if job.kind == "backup" and job.state == "running"]
    await engine.abort_job(job.id)
    assert await done(engine, guest) in ("completed", "cancelled")


@pytest.mark.needs("certtool")
async def test_pulled_over_tcp_and_with_tls(engine: Engine, daemon: Daemon, place: Path) -> None:
    """With TLS, only who shows a certificate of the same authority gets the disk."""
    ours, others = place / "state/pki/backup", place / "others/pki"
    certificates(ours)
    certificates(others)
    await daemon.stop()
    await daemon.start()
    async with daemon.engine() as engine:
        path, scratch, port = image(place / "a.qcow2"), place / "scratch.qcow2", free_port()
        fill(path, 7)
        was = content(path)
        await engine.define(bare_xml(disk(path)))
        await engine.start("bare")
        here = f"transport='tcp' name='127.0.0.1' port='{port}'"
        server = {"type": "inet", "host": "127.0.0.1", "port": str(port)}
        bare: dict[str, object] = {"driver": "nbd", "server": server, "export": "vda"}
        await engine.begin_backup("bare", pull(here, scratch))
        assert pulled(place, {"driver": "raw", "file": bare}) == was
        await abort(engine, "bare")
        await engine.begin_backup("bare", pull(f"{here} tls='yes'", scratch))
        graph = {"driver": "raw", "file": {**bare, "tls-creds": "tls0", "tls-hostname": "localhost"}}
        assert pulled(place, graph, client(ours)) == was
        alone = place / "alone"
        alone.mkdir()
        (alone / "ca-cert.pem").write_bytes((ours / "ca-cert.pem").read_bytes())
        mixed = place / "mixed"
        mixed.mkdir()
        for name, source in (("ca-cert", ours), ("client-cert", others), ("client-key", others)):
            (mixed / f"{name}.pem").write_bytes((source / f"{name}.pem").read_bytes())
        for asked, *creds in (({"driver": "raw", "file": bare},), (graph, client(alone)), (graph, client(mixed))):
            with pytest.raises(subprocess.CalledProcessError):
                pulled(place, asked, *creds)
        assert pulled(place, graph, client(ours)) == was, "the server is gone after a client that was refused"
        await abort(engine, "bare")
        await engine.destroy("bare")


def client(folder: Path) -> str:
    return f"tls-creds-x509,id=tls0,dir={folder},endpoint=client,verify-peer=yes"


def certificates(folder: Path) -> None:
    """An authority, a server and a client, in one folder."""
    folder.mkdir(parents=True)
    folder.parent.chmod(0o755)

    def run(*words: str) -> None:
        subprocess.run(["certtool", "--sec-param", "low", *words], check=True, capture_output=True, cwd=folder)

    for name in ("ca", "server", "client"):
        run("--generate-privkey", "--outfile", f"{name}-key.pem")
    (folder / "ca.info").write_text("cn = ca\nca\ncert_signing_key\n")
    run("--generate-self-signed", "--load-privkey", "ca-key.pem", "--template", "ca.info", "--outfile", "ca-cert.pem")
    for name, use in (("server", "tls_www_server"), ("client", "tls_www_client")):
        (folder / f"{name}.info").write_text(
            f"cn = localhost\ndns_name = localhost\n{use}\nencryption_key\nsigning_key\n"
        )
        run("--generate-certificate", "--load-privkey", f"{name}-key.pem", "--load-ca-certificate", "ca-cert.pem",
            "--load-ca-privkey", "ca-key.pem", "--template", f"{name}.info", "--outfile", f"{name}-cert.pem")  # fmt: skip


@contextmanager
def slow(path: Path, sock: Path) -> Iterator[str]:
    """A disk that gives a megabyte a second, served by NBD."""
    group = "throttle-group,id=slow,x-bps-read=1000000"
    graph = f"driver=throttle,throttle-group=slow,file.driver=raw,file.file.driver=file,file.file.filename={path}"
    server = subprocess.Popen(
        ["qemu-nbd", "--persistent", f"--socket={sock}", "--object", group, "--image-opts", graph]
    )
    try:
        while not traces.listens(sock):
            time.sleep(0.02)
            assert server.poll() is None
        sock.chmod(0o777)
        yield (f"<disk type='network'><driver type='raw'/><source protocol='nbd'><host transport='unix' socket='{sock}'/>"
               "</source><target dev='vda' bus='virtio'/></disk>")  # fmt: skip
    finally:
        server.kill()
        server.wait()


async def test_aborted_push_leaves_nothing(engine: Engine, place: Path) -> None:
    path, target = place / "a.img", place / "b.qcow2"
    path.write_bytes(b"5" * (64 * MIB))
    with slow(path, place / "slow.sock") as source:
        await engine.define(bare_xml(source))
        await engine.start("bare")
        await engine.begin_backup("bare", push(target))
        with pytest.raises(Busy):
            await engine.begin_backup("bare", push(place / "c.qcow2"))
        with pytest.raises(Busy):
            await engine.block_pull("bare", "vda")
        (view,) = await engine.block_jobs("bare")
        assert (view.disk, view.kind) == ("vda", "backup")
        await abort(engine, "bare")
        assert not target.exists() and await engine.block_jobs("bare") == []
        assert (await engine.guest("bare")).state == "running"
        await engine.destroy("bare")


@pytest.mark.needs("mount")
async def test_a_push_to_a_full_disk_fails(engine: Engine, place: Path) -> None:
    small = place / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=0755", "none", str(small)], check=True)
    try:
        path = image(place / "a.qcow2", 8 * MIB)
        subprocess.run(
            ["qemu-io", "-f", "qcow2", "-c", "write -P 5 0 8M", str(path)], check=True, stdout=subprocess.DEVNULL
        )
        was = content(path)
        await engine.define(bare_xml(disk(path)))
        await engine.start("bare")
        await engine.begin_backup("bare", push(small / "b.qcow2"), checkpoint("c1"))
        assert await done(engine, "bare") == "failed"
        assert not (small / "b.qcow2").exists() and content(path) == was
        assert (await engine.guest("bare")).state == "running"
        await engine.begin_backup("bare", push(place / "b.qcow2", "c1"))
        assert await done(engine, "bare") == "completed"
        await engine.destroy("bare")
    finally:
        unmount(small)
