"""What guests' users can reach: owners that change and come back, lists that let one more in, obstacles that are named."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from frontinus.api.errors import HostFailed
from frontinus.domain.host import Paths
from frontinus.domain.plan import CopyOnce, EmptyFile, Folder, Label, Listener, Resource, SecretFile
from frontinus.linux import acl
from frontinus.linux.asuser import obstacle
from frontinus.linux.labels import REMEMBERED
from frontinus.linux.resources import LinuxResources
from frontinus.ports.resources import Credentials, Prepared

RANGE = (70000, 70009)
ONE, TWO = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"


def engine(place: Path) -> LinuxResources:
    return LinuxResources(Paths(state=f"{place}/state", run=f"{place}/run", nvram=f"{place}/nvram"), RANGE)


@pytest.fixture
def host(place: Path) -> Iterator[LinuxResources]:
    with closing(engine(place)) as host:
        yield host


@pytest.fixture
def after(place: Path) -> Iterator[LinuxResources]:
    """What a later engine has: it knows only what is on disk."""
    with closing(engine(place)) as after:
        yield after


async def no_journal(undo: Sequence[dict[str, object]]) -> None:
    pass


async def start(host: LinuxResources, guest: str, *resources: Resource) -> tuple[Credentials, Prepared]:
    who = await host.credentials(guest)
    assert who is not None
    return who, await host.set_up(resources, who, no_journal)


def image(place: Path, name: str = "disk.img", mode: int = 0o600) -> Path:
    path = place / name
    path.write_bytes(b"data")
    os.chown(path, 1001, 1002)
    path.chmod(mode)
    return path


def owner(path: Path) -> tuple[int, int]:
    return path.stat().st_uid, path.stat().st_gid


def can_open(path: Path, who: Credentials, flags: int) -> bool:
    """Whether a process of that user really opens a file."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups(who.groups)
            os.setgid(who.gid)
            os.setuid(who.uid)
            os.close(os.open(path, flags))
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


async def test_an_image_is_the_guests_while_it_runs(host: LinuxResources, place: Path) -> None:
    disk = image(place)
    who, prepared = await start(host, ONE, Label(str(disk)))
    assert owner(disk) == (who.uid, who.gid) and can_open(disk, who, os.O_RDWR)
    assert prepared.undo == [{"kind": "owner", "path": str(disk), "uid": 1001, "gid": 1002, "to": who.uid}]
    await host.tear_down(prepared.undo)
    assert owner(disk) == (1001, 1002) and REMEMBERED not in os.listxattr(disk)
    os.chown(disk, 5, 5)
    await host.tear_down(prepared.undo)
    assert owner(disk) == (5, 5), "what somebody else did meanwhile stays"


async def test_a_link_to_an_image_labels_the_image(host: LinuxResources, place: Path) -> None:
    disk = image(place)
    (place / "link").symlink_to(disk)
    who, prepared = await start(host, ONE, Label(f"{place}/link"))
    assert owner(disk) == (who.uid, who.gid) and (place / "link").lstat().st_uid == 0
    await host.tear_down(prepared.undo)
    assert owner(disk) == (1001, 1002)


@pytest.mark.parametrize("resource", [Label, partial(Label, readonly=True)])
async def test_what_a_user_puts_in_the_place_of_an_image_is_left_alone(
    host: LinuxResources, place: Path, resource: Callable[[str], Label]
) -> None:
    """The folder is the user's: between our look and our change, and before we give back, a link may be there."""
    path, victim = image(place), place / "shadow"
    victim.write_text("root's")
    victim.chmod(0o600)

    async def swap(undo: Sequence[dict[str, object]]) -> None:
        path.rename(place / "aside")
        path.symlink_to(victim)

    who = await host.credentials(ONE)
    with pytest.raises(HostFailed, match="symbolic links"):
        await host.set_up([resource(str(path))], who, swap)
    assert owner(victim) == (0, 0) and not acl.users(str(victim))
    path.unlink()
    (place / "aside").rename(path)
    who, prepared = await start(host, ONE, resource(str(path)))
    os.chown(victim, who.uid, who.gid)
    await swap([])
    await host.tear_down(prepared.undo)
    assert owner(victim) == (who.uid, who.gid)


async def test_two_guests_cannot_have_one_image(host: LinuxResources, place: Path) -> None:
    disk = image(place)
    who, prepared = await start(host, ONE, Label(str(disk)))
    with pytest.raises(HostFailed, match=f"in use by the guest {ONE}"):
        await start(host, TWO, Label(str(disk)))
    assert owner(disk) == (who.uid, who.gid)
    await host.tear_down(prepared.undo)
    assert owner(disk) == (1001, 1002)


async def test_two_guests_that_start_at_once_cannot_either(host: LinuxResources, place: Path) -> None:
    disk = image(place)
    both_looked = asyncio.Barrier(2)

    async def start_together(guest: str) -> Prepared:
        async def journal(undo: Sequence[dict[str, object]]) -> None:
            await both_looked.wait()

        who = await host.credentials(guest)
        return await host.set_up([Label(str(disk))], who, journal)

    results = await asyncio.gather(start_together(ONE), start_together(TWO), return_exceptions=True)
    (won,) = [result for result in results if isinstance(result, Prepared)]
    (lost,) = [result for result in results if isinstance(result, HostFailed)]
    assert "in use by the guest" in lost.message and owner(disk)[0] == won.undo[0]["to"]
    await host.tear_down(won.undo)
    assert owner(disk) == (1001, 1002) and os.listxattr(disk) == []


async def test_what_is_shared_or_read_only_keeps_its_owner(host: LinuxResources, place: Path) -> None:
    disk, cdrom, public = image(place), image(place, "cd.iso"), image(place, "public.iso", 0o644)
    plan = (Label(str(disk), shared=True), Label(str(cdrom), readonly=True), Label(str(public), readonly=True))
    one, first = await start(host, ONE, *plan)
    two, second = await start(host, TWO, *plan)
    for who in (one, two):
        assert (
            can_open(disk, who, os.O_RDWR) and can_open(cdrom, who, os.O_RDONLY) and can_open(public, who, os.O_RDONLY)
        )
        assert not can_open(cdrom, who, os.O_RDWR)
    assert not can_open(disk, Credentials(70009, 70009), os.O_RDONLY)
    assert {owner(path) for path in (disk, cdrom, public)} == {(1001, 1002)}
    assert [record["kind"] for record in first.undo] == ["grant", "grant"]
    await host.tear_down(first.undo)
    assert not can_open(disk, one, os.O_RDONLY) and can_open(disk, two, os.O_RDWR)
    await host.tear_down(second.undo)
    await host.tear_down(second.undo)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (disk, cdrom)] == [0o600, 0o600]
    assert acl.ATTRIBUTE not in os.listxattr(disk)


async def test_memory_that_guests_share_is_made_once_and_outlasts_each(host: LinuxResources, place: Path) -> None:
    path = place / "shm"
    plan = (EmptyFile(str(path)), Label(str(path), shared=True, linked=False))
    one, first = await start(host, ONE, *plan)
    two, second = await start(host, TWO, *plan)
    assert all(can_open(path, who, os.O_RDWR) for who in (one, two)) and owner(path) == (0, 0)
    await host.tear_down(first.undo)
    assert not can_open(path, one, os.O_RDONLY) and can_open(path, two, os.O_RDWR)
    one, first = await start(host, ONE, *plan)
    assert can_open(path, one, os.O_RDWR), "a guest comes back to it"
    await host.tear_down(second.undo)
    await host.tear_down(first.undo)
    assert path.exists() and acl.ATTRIBUTE not in os.listxattr(path)


async def test_a_link_where_anybody_can_put_one_is_not_followed(host: LinuxResources, place: Path) -> None:
    disk = image(place)
    (place / "shm").symlink_to(disk)
    with pytest.raises(HostFailed, match="is a link"):
        await start(host, ONE, EmptyFile(f"{place}/shm"), Label(f"{place}/shm", shared=True, linked=False))
    assert owner(disk) == (1001, 1002) and acl.ATTRIBUTE not in os.listxattr(disk)


async def test_a_folder_that_is_shared_can_be_passed(host: LinuxResources, place: Path) -> None:
    folder = place / "share"
    folder.mkdir(mode=0o700)
    (folder / "file").write_bytes(b"data")
    who, prepared = await start(host, ONE, Label(str(folder), shared=True))
    assert can_open(folder / "file", who, os.O_RDONLY), "to read a file one passes its folder"
    await host.tear_down(prepared.undo)
    assert not can_open(folder / "file", who, os.O_RDONLY)


async def test_a_folder_on_the_way_that_is_closed_is_named(host: LinuxResources, place: Path) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    disk = image(closed)
    for label in (Label(str(disk)), Label(str(disk), readonly=True), Label(str(disk), shared=True)):
        with pytest.raises(HostFailed, match=f"cannot reach {disk}: {closed}: Permission denied"):
            await start(host, ONE, label)
        assert owner(disk) == (1001, 1002) and os.listxattr(disk) == []
    os.chown(closed, 0, 4)
    closed.chmod(0o710)
    assert obstacle(str(disk), Credentials(70009, 70009, (4,)), write=False) == f"{disk}: Permission denied"
    assert obstacle(str(disk), Credentials(1001, 70009, (4,)), write=True) is None


async def test_a_failed_start_gives_everything_back(host: LinuxResources, place: Path) -> None:
    disk, other = image(place), image(place, "other.img")
    with pytest.raises(HostFailed, match="No such file"):
        await start(host, ONE, Label(str(disk)), Label(str(other), shared=True), Label(f"{place}/missing"))
    assert owner(disk) == (1001, 1002) and os.listxattr(disk) == os.listxattr(other) == []


async def test_a_variable_store_is_made_and_given(host: LinuxResources, place: Path) -> None:
    template, store = image(place, "template", 0o644), place / "nvram/a.fd"
    plan = (CopyOnce(str(template), str(store)), Label(str(store)))
    who, prepared = await start(host, ONE, *plan)
    assert owner(store) == (who.uid, who.gid) and store.read_bytes() == b"data"
    assert can_open(store, who, os.O_RDWR)
    await host.tear_down(prepared.undo)
    assert owner(store) == (0, 0) and store.exists()


async def test_the_owner_is_remembered_though_the_run_state_is_lost(
    host: LinuxResources, after: LinuxResources, place: Path
) -> None:
    disk = image(place)
    first, _ = await start(host, ONE, Label(str(disk)))
    await after.sweep([])  # the host crashed: /run is empty, the file is still the guest's
    who, prepared = await start(after, TWO, Label(str(disk)))
    assert owner(disk)[0] == who.uid
    await after.tear_down(prepared.undo)
    assert owner(disk) == (1001, 1002)
    os.setxattr(disk, REMEMBERED, f"7:7:{first.uid}".encode())
    who, prepared = await start(after, TWO, Label(str(disk)))
    await after.tear_down(prepared.undo)
    assert owner(disk) == (1001, 1002), "a memory of other times is not believed"


async def test_a_home_is_closed_to_other_guests(host: LinuxResources, place: Path) -> None:
    homes, users = [], []
    for number, guest in enumerate((ONE, TWO)):
        home = f"{place}/state/domain-{number}-x"
        who, prepared = await start(host, guest, Folder(home), SecretFile(f"{home}/key"), Listener(f"{home}/s", 3))
        os.close(prepared.fds[3])
        homes.append(Path(home))
        users.append(who)
    assert users[0].uid != users[1].uid
    for path in ("key", "s"):
        assert owner(homes[0] / path) == (users[0].uid, users[0].gid)
        assert obstacle(str(homes[0] / path), users[0], write=False) is None
        assert obstacle(str(homes[0] / path), users[1], write=False) == f"{homes[0]}: Permission denied"
    assert not can_open(homes[0] / "key", users[0], os.O_RDWR), "QEMU cannot change its own key"


async def test_users_come_back_after_a_restart(host: LinuxResources, after: LinuxResources, place: Path) -> None:
    home = f"{place}/state/domain-1-x"
    who, prepared = await start(host, ONE, Folder(home))
    await after.sweep([home])
    assert await after.credentials(ONE) == who
    other = await after.credentials(TWO)
    assert other is not None and other.uid != who.uid
    await after.tear_down(prepared.undo)
    assert not Path(home).exists()
    given = {(await after.credentials(str(n))).uid for n in range(9)}  # type: ignore[union-attr]
    assert who.uid in given, "its user is free again"


def test_a_list_lets_nobody_else_in(place: Path) -> None:
    path = str(image(place, mode=0o640))
    acl.grant(path, 70000, 4)
    acl.grant(path, 70001, 6)
    assert acl.users(path) == {70000: 4, 70001: 6}
    group = Credentials(70005, 1002)
    assert can_open(Path(path), group, os.O_RDONLY) and not can_open(Path(path), group, os.O_RDWR)
    acl.revoke(path, 70001)
    assert can_open(Path(path), group, os.O_RDONLY) and not can_open(Path(path), Credentials(70001, 70001), os.O_RDONLY)
    acl.revoke(path, 70000)
    acl.revoke(path, 70000)
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o640 and acl.ATTRIBUTE not in os.listxattr(path)


@pytest.mark.needs("setfacl", "getfacl")
@pytest.mark.may_skip("the package acl is an oracle here, not a need")
def test_lists_are_what_other_tools_read(place: Path) -> None:
    path = str(image(place, mode=0o640))
    subprocess.run(["setfacl", "-m", "u:1234:rw", path], check=True)
    acl.grant(path, 70000, 4)
    shown = subprocess.run(["getfacl", "-cn", path], capture_output=True, text=True, check=True).stdout.split()
    assert shown == ["user::rw-", "user:1234:rw-", "user:70000:r--", "group::r--", "mask::rw-", "other::---"]
    acl.revoke(path, 70000)
    shown = subprocess.run(["getfacl", "-cn", path], capture_output=True, text=True, check=True).stdout.split()
    assert shown == ["user::rw-", "user:1234:rw-", "group::r--", "mask::rw-", "other::---"]


def test_a_narrow_mask_is_not_widened_for_others(place: Path) -> None:
    path = str(image(place))
    acl.grant(path, 1234, 6)
    entries = acl._read(path)
    entries[(acl._MASK, acl._ANYBODY)] = 4
    acl._write(path, entries)
    acl.grant(path, 70000, 4)
    with pytest.raises(PermissionError, match="let others in"):
        acl.grant(path, 70001, 6)
    acl.revoke(path, 70000)
    assert not can_open(Path(path), Credentials(1234, 1234), os.O_RDWR)
