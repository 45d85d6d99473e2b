"""Who guests run as: a user each, kept over a restart, given back, never another's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from frontinus.api.errors import HostFailed
from frontinus.linux import users
from frontinus.linux.users import Users


@pytest.fixture(autouse=True)
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def make(folder: Path, first: int = 70000, last: int = 70004, accounts: str = "") -> Users:
    passwd = folder / "passwd"
    passwd.write_text(accounts)
    return Users(folder / "users", (first, last), passwd=passwd)


def uid(of: Users, guest: str) -> int:
    who = of.claim(guest)
    assert who is not None
    return who.uid


def test_every_guest_has_its_own_and_keeps_it(tmp_path: Path) -> None:
    given = make(tmp_path)
    assert [uid(given, name) for name in "abcab"] == [70000, 70001, 70002, 70000, 70001]
    assert given.of(70001) == "b" and given.of(70004) is None


def test_a_user_that_was_given_back_is_not_the_next_one(tmp_path: Path) -> None:
    given = make(tmp_path)
    given.release(uid(given, "a"))
    assert [uid(given, name) for name in "bcdea"] == [70001, 70002, 70003, 70004, 70000]


def test_the_range_can_be_exhausted(tmp_path: Path) -> None:
    given = make(tmp_path)
    for name in "abcde":
        given.claim(name)
    with pytest.raises(HostFailed, match="all user ids from 70000 to 70004"):
        given.claim("f")
    given.release(70002)
    assert uid(given, "f") == 70002


def test_accounts_of_people_are_left_to_them(tmp_path: Path) -> None:
    given = make(tmp_path, accounts="root:x:0:0::/:\nann:x:70000:70000::/:\nbob:x:70002:1::/:\n+nis\n")
    assert [uid(given, name) for name in "ab"] == [70001, 70003]


def test_two_engines_on_one_folder_never_give_the_same(tmp_path: Path) -> None:
    ours, theirs = make(tmp_path), make(tmp_path)
    assert [uid(ours, "a"), uid(theirs, "b"), uid(ours, "c")] == [70000, 70001, 70002]


def test_after_a_restart_the_living_keep_theirs(tmp_path: Path) -> None:
    before = make(tmp_path)
    for name in "abc":
        before.claim(name)
    after = make(tmp_path)
    after.recover([70001, 70004])  # of b, and of one that has no record
    assert uid(after, "b") == 70001
    assert [uid(after, name) for name in "xyz"] == [70000, 70002, 70003]
    with pytest.raises(HostFailed):
        after.claim("w")
    assert after.of(70000) == "x"


def test_a_restart_of_a_host_begins_anew(tmp_path: Path) -> None:
    make(tmp_path).claim("a")
    after = make(tmp_path)
    after.recover([])
    assert list((tmp_path / "users").iterdir()) == []


def test_the_group_of_all_guests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "GROUP", "no-such-group-here")
    alone = make(tmp_path).claim("a")
    monkeypatch.setattr(users, "GROUP", "daemon")
    together = make(tmp_path).claim("b")
    assert alone is not None and together is not None
    assert (alone.gid, together.gid) == (alone.uid, 1)


@pytest.mark.parametrize(("mode", "found"), [(0o660, True), (0o666, True), (0o600, False)])
def test_the_group_that_may_use_kvm(mode: int, found: bool, tmp_path: Path,
                                    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    kvm = tmp_path / "kvm"
    kvm.touch()
    kvm.chmod(mode)
    monkeypatch.setattr(users, "KVM", str(kvm))
    who = make(tmp_path).claim("a")
    gid = kvm.stat().st_gid
    assert who is not None
    assert who.groups == ((gid,) if found and gid != 0 else ())


def test_one_user_for_all_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Users(tmp_path, None, "nobody").claim("a")
    assert one is not None and one.uid == 65534
    with pytest.raises(HostFailed, match="no user 'nosuch'"):
        Users(tmp_path, None, "nosuch").claim("a")
    assert Users(tmp_path, None).claim("a") is None
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert make(tmp_path).claim("a") is None
