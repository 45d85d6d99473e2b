"""Whom guests run as: a user of their own each, so that one guest's QEMU cannot touch another's files or processes."""

from __future__ import annotations

import contextlib
import grp
import itertools
import os
import pwd
import stat
import threading
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from frontinus.api.errors import HostFailed
from frontinus.linux.failing import failing
from frontinus.ports.resources import Credentials

GROUP = "frontinus-qemu"
"""All guests' users are in this group if the host has it: who owns an image may open it to all guests."""
KVM = "/dev/kvm"


class Users:
    """Gives each guest a user id from a range; or all of them one named user; or none, when the engine is not root.

    Who has which id is kept as symbolic links, id -> UUID, in a folder that is lost at boot: made and read in one step.
    """

    def __init__(self, folder: Path, uid_range: tuple[int, int] | None, user: str | None = None,
                 passwd: Path = Path("/etc/passwd")) -> None:  # fmt: skip
        self._folder = folder
        self._range = uid_range
        self._user = user
        self._passwd = passwd
        self._uids: dict[str, int] = {}
        self._held: set[int] = set()
        self._next = 0
        self._lock = threading.Lock()

    def claim(self, guest: str) -> Credentials | None:
        """The user of a guest, the same until it is released. Raises HostFailed when there is none left."""
        if os.geteuid() != 0 or (self._range is None and self._user is None):
            return None
        if self._range is None:
            return self._named()
        with self._lock:
            if guest not in self._uids:
                self._uids[guest] = self._free(guest)
            uid = self._uids[guest]
        return Credentials(uid, uid if self._gid is None else self._gid, _groups())

    def release(self, uid: int) -> None:
        """The guest is gone and so is all that it owned."""
        with self._lock:
            self._held.discard(uid)
            self._uids = {guest: owner for guest, owner in self._uids.items() if owner != uid}
            with contextlib.suppress(OSError):
                (self._folder / str(uid)).unlink()

    def recover(self, living: Iterable[int]) -> None:
        """After a restart: keep who lives, forget who does not. `living` are the ids in use."""
        with self._lock:
            self._held = set(living)
            self._uids = {}
            for entry in self._folder.iterdir() if self._folder.is_dir() else ():
                if entry.name.isdecimal() and int(entry.name) in self._held:
                    with contextlib.suppress(OSError):
                        self._uids[str(entry.readlink())] = int(entry.name)
                else:
                    entry.unlink(missing_ok=True)

    def of(self, uid: int) -> str | None:
        """The guest that has a user id now, if any."""
        with self._lock:
            return next((guest for guest, owner in self._uids.items() if owner == uid), None)

    @cached_property
    def _gid(self) -> int | None:
        try:
            return grp.getgrnam(GROUP).gr_gid
        except KeyError:
            return None

    def _named(self) -> Credentials:
        assert self._user is not None
        try:
            entry = pwd.getpwnam(self._user)
        except KeyError:
            raise HostFailed(f"there is no user '{self._user}' for guests on this host", what=self._user) from None
        return Credentials(entry.pw_uid, entry.pw_gid, _groups())

    def _free(self, guest: str) -> int:
        """The next id that nobody has; not the one given back last, whose guest may have left something behind."""
        assert self._range is not None
        first, last = self._range
        taken = self._held | set(self._uids.values()) | self._accounts()
        with failing("keep user ids in", str(self._folder)):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for number in itertools.islice(itertools.count(self._next), last - first + 1):
                uid = first + number % (last - first + 1)
                if uid not in taken and _link(self._folder / str(uid), guest):
                    self._next = number + 1
                    return uid
        raise HostFailed(f"all user ids from {first} to {last} are in use by guests", what="uid")

    def _accounts(self) -> set[int]:
        """Ids that people or services of this host have; asked at each start, for accounts come and go."""
        try:
            lines = self._passwd.read_text(errors="replace").splitlines()
        except OSError:
            return set()
        fields = (line.split(":") for line in lines)
        return {int(parts[2]) for parts in fields if len(parts) > 2 and parts[2].isdecimal()}


def _link(path: Path, guest: str) -> bool:
    try:
        path.symlink_to(guest)
    except FileExistsError:
        return False
    return True


def _groups() -> tuple[int, ...]:
    """The group that may open /dev/kvm, where that is a group and not root or everybody."""
    try:
        status = Path(KVM).stat()
    except OSError:
        return ()
    open_to_group = status.st_mode & (stat.S_IRGRP | stat.S_IWGRP) == stat.S_IRGRP | stat.S_IWGRP
    return (status.st_gid,) if open_to_group and status.st_gid != 0 else ()
