"""The resources port as a user's own engine has it: what is set up, journalled, taken back; nothing here needs root."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from frontinus.api.errors import HostFailed
from frontinus.domain.host import Paths
from frontinus.domain.plan import (
    CopyOnce,
    EmptyFile,
    Folder,
    Helper,
    Label,
    Listener,
    OpenFile,
    Resource,
    SecretFile,
    Tap,
)
from frontinus.linux import files
from frontinus.linux.resources import LinuxResources
from frontinus.ports.resources import Credentials, Prepared


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(*(str(tmp_path / name) for name in ("config", "state", "run", "log", "cache", "nvram", "ram")))


@pytest.fixture
def host(paths: Paths) -> Iterator[LinuxResources]:
    host = LinuxResources(paths)
    yield host
    host.close()


async def no_journal(undo: Sequence[dict[str, object]]) -> None:
    pass


async def set_up(host: LinuxResources, *resources: Resource) -> Prepared:
    return await host.set_up(resources, None, no_journal)


def home(paths: Paths) -> str:
    return f"{paths.state}/domain-1-x"


def files_below(paths: Paths) -> set[str]:
    root = Path(paths.state).parent
    return {
        str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir() or path.name.startswith("domain-")
    }


def mode(path: str | Path) -> int:
    return stat.S_IMODE(Path(path).lstat().st_mode)


def close(prepared: Prepared) -> None:
    for fd in prepared.fds.values():
        os.close(fd)


def open_files() -> set[str]:
    """What this process has open, but for the very listing."""
    gc.collect()
    return {f"{fd.name} {os.readlink(fd)}" for fd in Path("/proc/self/fd").iterdir() if os.path.lexists(fd)}  # noqa: PTH115


async def test_a_private_folder_with_a_secret_and_a_socket(host: LinuxResources, paths: Paths) -> None:
    folder = home(paths)
    plan = (
        Folder(folder),
        SecretFile(f"{folder}/key"),
        SecretFile(f"{folder}/pw", b"pass"),
        Listener(f"{folder}/m.sock", 7),
    )
    prepared = await set_up(host, *plan)
    assert (mode(folder), mode(f"{folder}/key"), mode(f"{folder}/m.sock")) == (0o700, 0o400, 0o600)
    assert len(Path(folder, "key").read_bytes()) == 32
    assert Path(folder, "pw").read_bytes() == b"pass"
    with socket.socket(socket.AF_UNIX) as client, socket.socket(fileno=prepared.fds.pop(7)) as listener:
        client.connect(f"{folder}/m.sock")
        accepted, _ = listener.accept()
        accepted.close()
    assert [record["kind"] for record in prepared.undo] == ["folder"], "what is inside goes with it"
    await host.tear_down(prepared.undo)
    assert not Path(folder).exists()
    await host.tear_down(prepared.undo)


async def test_two_guests_never_get_the_same_key(host: LinuxResources, paths: Paths) -> None:
    keys = []
    for number in (1, 2):
        folder = f"{paths.state}/domain-{number}-x"
        await set_up(host, Folder(folder), SecretFile(f"{folder}/key"))
        keys.append(Path(folder, "key").read_bytes())
    assert keys[0] != keys[1]


async def test_a_socket_path_may_be_longer_than_the_kernel_takes(host: LinuxResources, paths: Paths) -> None:
    folder = Path(paths.state, "channel", "x" * 120)
    path = str(folder / "org.qemu.guest_agent.0")
    prepared = await set_up(host, Listener(path, 3))
    assert mode(path) == 0o600
    fd = os.open(folder, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"/proc/self/fd/{fd}/org.qemu.guest_agent.0")
    os.close(fd)
    assert prepared.undo == [{"kind": "socket", "path": path}]
    close(prepared)
    await host.tear_down(prepared.undo)
    assert not os.path.lexists(path)


async def test_a_socket_makes_room_only_when_nobody_listens(host: LinuxResources, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(HostFailed, match="in use"):
            await set_up(host, Listener(str(path), 3))
    prepared = await set_up(host, Listener(str(path), 3))
    close(prepared)
    await host.tear_down(prepared.undo)
    path.write_text("no socket")
    with pytest.raises(HostFailed, match="in use"):
        await set_up(host, Listener(str(path), 3))
    assert path.read_text() == "no socket"


async def test_a_socket_in_a_folder_that_is_not_there_is_refused(host: LinuxResources, tmp_path: Path) -> None:
    with pytest.raises(HostFailed, match="nowhere/s: No such file"):
        await set_up(host, Listener(f"{tmp_path}/nowhere/s", 3))


async def test_files_are_opened_as_the_guest_writes_them(host: LinuxResources, paths: Paths, tmp_path: Path) -> None:
    log, fresh = f"{paths.log}/guest.log", tmp_path / "fresh"
    fresh.write_text("old")
    plan = (
        OpenFile(log, 3),
        OpenFile(str(fresh), 4, append=False),
        OpenFile("/dev/null", 6, append=False),
    )
    prepared = await set_up(host, *plan)
    modes = {number: os.get_blocking(fd) and _access_mode(fd) for number, fd in prepared.fds.items()}
    assert modes == {3: os.O_WRONLY | os.O_APPEND, 4: os.O_WRONLY, 6: os.O_RDWR}
    assert (mode(log), fresh.read_text()) == (0o600, "")
    assert not any(os.get_inheritable(fd) for fd in prepared.fds.values())
    assert prepared.undo == []
    close(prepared)


async def test_nothing_is_written_through_a_link(host: LinuxResources, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("data")
    (tmp_path / "serial.log").symlink_to(tmp_path / "victim")
    for append in (True, False):
        with pytest.raises(HostFailed, match="symbolic links"):
            await set_up(host, OpenFile(str(tmp_path / "serial.log"), 3, append=append))
    assert (tmp_path / "victim").read_text() == "data"


async def test_dots_do_not_lead_out_of_our_folders(host: LinuxResources, paths: Paths, tmp_path: Path) -> None:
    closed = Path(paths.log).parent / "closed"
    closed.mkdir(mode=0o700, parents=True)
    Path(paths.log).mkdir(exist_ok=True)
    who = Credentials(os.getuid(), os.getgid())
    close(await host.set_up([OpenFile(f"{paths.log}/../closed/serial.log", 3)], who, no_journal))
    assert mode(str(closed)) == 0o700


async def test_a_copy_is_not_written_into_what_another_left(tmp_path: Path) -> None:
    template, target, left = tmp_path / "template", tmp_path / "store", tmp_path / ".store.new"
    template.write_text("variables")
    left.write_text("")
    (tmp_path / "second name").hardlink_to(left)
    files.copy(template, target)
    assert (target.read_text(), (tmp_path / "second name").read_text()) == ("variables", "")


def _access_mode(fd: int) -> int:
    text = Path(f"/proc/self/fdinfo/{fd}").read_text()
    flags = int(next(line.split()[1] for line in text.splitlines() if line.startswith("flags:")), 8)
    return flags & (os.O_ACCMODE | os.O_APPEND)


async def test_a_pipe_that_nobody_reads_is_refused_at_once(host: LinuxResources, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    async with asyncio.timeout(60):
        with pytest.raises(HostFailed, match="pipe: No such device"):
            await set_up(host, OpenFile(str(tmp_path / "pipe"), 3))


async def test_a_device_that_the_kernel_lacks_is_not_made(host: LinuxResources, tmp_path: Path) -> None:
    missing, there = tmp_path / "vhost-vsock", tmp_path / "cancel"
    with pytest.raises(HostFailed, match="vhost-vsock: No such file"):
        await set_up(host, OpenFile(str(missing), 3, device=True))
    assert not missing.exists()
    there.write_text("kept")
    prepared = await set_up(host, OpenFile(str(there), 3, device=True), OpenFile("/dev/null", 4, device=True))
    assert [_access_mode(fd) for fd in prepared.fds.values()] == [os.O_WRONLY, os.O_RDWR]
    assert there.read_text() == "kept"
    close(prepared)


async def test_a_variable_store_is_copied_once(host: LinuxResources, paths: Paths, tmp_path: Path) -> None:
    template, target = tmp_path / "VARS.fd", Path(paths.nvram, "a.fd")
    template.write_bytes(os.urandom(540_672))
    copy = CopyOnce(str(template), str(target))
    prepared = await set_up(host, copy)
    assert target.read_bytes() == template.read_bytes()
    assert mode(target) == 0o600
    target.write_bytes(b"the guest's own")
    await set_up(host, copy)
    await host.tear_down(prepared.undo)
    assert target.read_bytes() == b"the guest's own"
    assert [entry.name for entry in target.parent.iterdir()] == ["a.fd"]
    with pytest.raises(HostFailed, match=r"no template .*nothing\.fd"):
        await set_up(host, CopyOnce(f"{tmp_path}/nothing.fd", f"{paths.nvram}/b.fd"))


async def test_a_file_that_qemu_fills_is_made_once(host: LinuxResources, paths: Paths) -> None:
    file = Path(paths.state, "pstore/a.raw")
    prepared = await set_up(host, EmptyFile(str(file)))
    assert (file.read_bytes(), mode(file)) == (b"", 0o600)
    file.write_bytes(b"the guest's last words")
    await set_up(host, EmptyFile(str(file)))
    await host.tear_down(prepared.undo)
    assert file.read_bytes() == b"the guest's last words"


async def test_a_copy_that_broke_off_is_taken_back(host: LinuxResources, paths: Paths, tmp_path: Path) -> None:
    """As a start that was killed leaves it: its journal knows, and a copy that is whole stays."""
    template, target = tmp_path / "VARS.fd", Path(paths.nvram, "a.fd")
    template.write_bytes(b"x" * 5000)
    prepared = await set_up(host, CopyOnce(str(template), str(target)))
    torn = target.with_name(".a.fd.new")
    torn.write_bytes(b"x" * 100)
    await host.tear_down(prepared.undo)
    assert not torn.exists() and target.read_bytes() == b"x" * 5000


@pytest.mark.needs("qemu-img")
async def test_a_variable_store_of_another_format_is_converted(
    host: LinuxResources, paths: Paths, tmp_path: Path
) -> None:
    template, target = tmp_path / "VARS.fd", Path(paths.nvram, "a.qcow2")
    template.write_bytes(os.urandom(65536))
    await set_up(host, CopyOnce(str(template), str(target), "qcow2", "raw"))
    assert target.read_bytes()[:4] == b"QFI\xfb" and mode(target) == 0o600
    assert [entry.name for entry in target.parent.iterdir()] == ["a.qcow2"]
    with pytest.raises(HostFailed, match="cannot make"):
        await set_up(host, CopyOnce(str(template), f"{paths.nvram}/b.fd", "raw", "qcow2"))
    assert not Path(paths.nvram, "b.fd").exists()


async def test_a_copy_that_fails_leaves_nothing(
    host: LinuxResources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = tmp_path / "VARS.fd"
    template.write_bytes(b"x")

    def broken(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", broken)
    with pytest.raises(HostFailed, match="No space left"):
        await set_up(host, CopyOnce(str(template), str(tmp_path / "a.fd")))
    assert [entry.name for entry in tmp_path.iterdir()] == ["VARS.fd"]


async def test_everything_is_journalled_before_anything_is_made(
    host: LinuxResources, paths: Paths, tmp_path: Path
) -> None:
    folder = home(paths)
    seen: list[Mapping[str, object]] = []

    async def journal(undo: Sequence[dict[str, object]]) -> None:
        assert not files_below(paths)
        seen.extend(undo)

    plan = (Folder(folder), Listener(f"{tmp_path}/s", 3), Helper("napper", ("sleep", "9"), f"{folder}/none"))
    with pytest.raises(HostFailed, match="napper"):
        await host.set_up(plan[:2] + (Helper("napper", ("/bin/false",), f"{folder}/none"),), None, journal)
    assert [record["kind"] for record in seen] == ["folder", "socket", "helper"]
    assert not files_below(paths)
    await host.tear_down(seen)  # what a later engine does that finds the journal of a start that came to nothing


async def test_a_failure_takes_everything_back(host: LinuxResources, paths: Paths, tmp_path: Path) -> None:
    before = open_files()
    folder = home(paths)
    plan = (
        Folder(folder),
        SecretFile(f"{tmp_path}/key"),
        Listener(f"{tmp_path}/s", 3),
        OpenFile(f"{tmp_path}/nowhere/log", 4),
    )
    with pytest.raises(HostFailed, match="nowhere"):
        await set_up(host, *plan)
    assert not files_below(paths)
    assert open_files() == before


async def test_a_cancelled_set_up_leaves_nothing(
    host: LinuxResources, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    token_bytes = files.secrets.token_bytes

    def slow(count: int) -> bytes:
        begun.set()
        go_on.wait(300)
        return token_bytes(count)

    monkeypatch.setattr(files.secrets, "token_bytes", slow)
    plan = (Folder(home(paths)), SecretFile(f"{home(paths)}/key"), Listener(f"{tmp_path}/s", 3))
    task = asyncio.create_task(set_up(host, *plan))
    await asyncio.to_thread(begun.wait, 60)
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not files_below(paths)


async def test_a_folder_is_one_guests_alone(host: LinuxResources, paths: Paths) -> None:
    folder = home(paths)
    prepared = await set_up(host, Folder(folder))
    Path(folder, "mine").touch()
    with pytest.raises(HostFailed, match="in use by another guest"):
        await set_up(host, Folder(folder))
    assert Path(folder, "mine").exists()
    await host.tear_down(prepared.undo)
    await set_up(host, Folder(folder))


async def test_a_guest_does_not_find_what_a_dead_one_left(host: LinuxResources, paths: Paths) -> None:
    folder = Path(home(paths))
    folder.mkdir(parents=True)
    (folder / "monitor.sock").touch()
    (folder / "deep").mkdir()
    await set_up(host, Folder(str(folder)))
    assert list(folder.iterdir()) == []


async def test_removing_a_folder_follows_no_link(host: LinuxResources, paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").touch()
    prepared = await set_up(host, Folder(home(paths)))
    Path(home(paths), "link").symlink_to(tmp_path / "precious")
    await host.tear_down(prepared.undo)
    assert (tmp_path / "precious/file").exists()


async def test_one_undo_that_fails_does_not_stop_the_others(
    host: LinuxResources, paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    prepared = await set_up(host, Folder(home(paths)))
    await host.tear_down([*prepared.undo, {"kind": "mystery"}, {"kind": "socket"}])
    assert not Path(home(paths)).exists()
    assert "mystery" in caplog.text and "lacks 'path'" in caplog.text


async def test_an_image_that_cannot_be_reached_is_named(host: LinuxResources, tmp_path: Path) -> None:
    with pytest.raises(HostFailed, match="no-image: No such file"):
        await set_up(host, Label(f"{tmp_path}/no-image"))
    assert (await set_up(host, Label(f"{tmp_path}/no-image", optional=True))).undo == []
    (tmp_path / "image").touch()
    assert (await set_up(host, Label(f"{tmp_path}/image"))).undo == []


async def test_a_network_without_a_bridge_is_refused(host: LinuxResources) -> None:
    with pytest.raises(HostFailed, match="network 'default'"):
        await set_up(host, Tap("52:54:00:00:00:01", (3,), network="default"))
    with pytest.raises(HostFailed, match="no tap 'mine'"):
        await set_up(host, Tap("52:54:00:00:00:01", (3,), name="mine", managed=False))


async def test_the_sweep_removes_homes_of_guests_that_do_not_live(host: LinuxResources, paths: Paths) -> None:
    for name in ("domain-1-alive", "domain-2-dead", "save", "domain"):
        Path(paths.state, name).mkdir(parents=True)
    living = f"{paths.state}/domain-1-alive"
    await host.sweep([living])
    assert {entry.name for entry in Path(paths.state).iterdir()} == {"domain-1-alive", "save", "domain"}
    with pytest.raises(HostFailed, match="in use by another guest"):
        await set_up(host, Folder(living))
