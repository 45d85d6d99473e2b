"""Ownership of what a guest must reach on the host: its disks become its own while it runs, the rest is opened to it.

An image that is the guest's alone changes its owner, and is given back to the one before. That one is remembered in an
extended attribute of the file itself too, which outlives a loss of the run state. What is read-only or shared keeps its
owner: the guest's user is let in by the access control list where it is not already.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import threading
from collections.abc import Mapping
from pathlib import Path

from frontinus.api.errors import HostFailed
from frontinus.domain.plan import Label
from frontinus.linux import acl
from frontinus.linux.asuser import obstacle
from frontinus.linux.failing import failing
from frontinus.linux.pinned import pinned
from frontinus.linux.setup import Maker, Setup, Undo, number, text
from frontinus.linux.users import Users

log = logging.getLogger(__name__)

REMEMBERED = "trusted.frontinus.owner"
"""The owner and group before us and the owner that we made, as UID:GID:UID."""
READ, WRITE, PASS = 4, 2, 1


class Labels(Maker[Label]):
    """Lets the guest's user at host paths."""

    kinds = ("owner", "grant")

    def __init__(self, users: Users) -> None:
        self._users = users
        self._lock = threading.Lock()

    def intend(self, resource: Label, setup: Setup) -> list[Undo]:
        path = _place(resource)
        if setup.who is None:
            return []
        uid = setup.who.uid
        try:
            status = Path(path).lstat()
        except FileNotFoundError:
            if resource.optional:
                return []
            if resource.shared:
                return [{"kind": "grant", "path": path, "to": uid}]
            # Perhaps an earlier resource makes it; then it is ours. If not, `make` will say so.
            return [_owner(path, os.geteuid(), os.getegid(), uid)]
        except OSError as error:
            raise HostFailed(f"cannot look at {path}: {error.strerror}", what=path) from error
        if _is_exclusive(resource, status.st_mode):
            self._refuse_stolen(path, status.st_uid, uid)
            before = _remembered(path, status.st_uid) or (status.st_uid, status.st_gid)
            return [] if before[0] == uid else [_owner(path, *before, uid)]
        if obstacle(path, setup.who, read=_readable(status.st_mode), write=not resource.readonly) is None:
            return []
        return [{"kind": "grant", "path": path, "to": uid}]

    def make(self, resource: Label, records: list[Undo], setup: Setup) -> None:
        path = _place(resource)
        if resource.optional and not os.path.exists(path):  # noqa: PTH110
            return
        with failing("look at", resource.path):
            mode = os.lstat(path).st_mode
        try:
            for record in records:
                # where it was when it was looked at, even if the name leads elsewhere by now
                with failing("let the guest's user at", resource.path), pinned(text(record, "path")) as held:
                    self._apply(record, held, resource, mode, setup)
            reason = obstacle(path, setup.who, read=_readable(mode), write=not resource.readonly)
            if reason is not None:
                who = f"the guest's user {setup.who.uid}" if setup.who else "this engine's user"
                raise HostFailed(f"{who} cannot reach {resource.path}: {reason}", what=resource.path)
        except HostFailed:
            for record in records:
                try:
                    self.undo(record)
                except OSError as error:
                    log.error("%s is not given back: %s", resource.path, error)
            raise

    def undo(self, record: Mapping[str, object]) -> None:
        path, uid = text(record, "path"), number(record, "to")
        with contextlib.suppress(FileNotFoundError), pinned(path) as held:
            if record["kind"] == "grant":
                acl.revoke(held, uid)
                return
            before = _remembered(held, uid)
            if os.stat(held).st_uid == uid:  # noqa: PTH116  else somebody gave it to another meanwhile
                os.chown(held, *(before or (number(record, "uid"), number(record, "gid"))))
            if before is not None:
                os.removexattr(held, REMEMBERED)

    def _apply(self, record: Undo, held: str, resource: Label, mode: int, setup: Setup) -> None:
        assert setup.who is not None
        if record["kind"] == "owner":
            with self._lock:
                owner = os.stat(held).st_uid  # noqa: PTH116  again: two may start at once
                self._refuse_stolen(text(record, "path"), owner, setup.who.uid)
                with contextlib.suppress(OSError):  # not every file system has it; the record has it too
                    os.setxattr(held, REMEMBERED, f"{record['uid']}:{record['gid']}:{setup.who.uid}".encode())
                os.chown(held, setup.who.uid, setup.who.gid)
            return
        wanted = READ | (0 if resource.readonly else WRITE) | (PASS if stat.S_ISDIR(mode) else 0)
        with contextlib.suppress(OSError):  # no lists on this file system: the check afterwards says what is in the way
            acl.grant(held, setup.who.uid, wanted)

    def _refuse_stolen(self, path: str, owner: int, uid: int) -> None:
        guest = None if owner == uid else self._users.of(owner)
        if guest is not None:
            raise HostFailed(
                f"{path} is in use by the guest {guest}; mark the disk shareable if that is meant", what=path
            )


def _place(resource: Label) -> str:
    """Where a path leads. One whose last part may not be a link is refused if it is; none is followed afterwards (pinned)."""
    path = Path(resource.path)
    if resource.linked:
        return str(path.resolve())
    if path.is_symlink():
        raise HostFailed(f"{path} is a link: somebody else put it there", what=resource.path)
    return str(path.parent.resolve() / path.name)


def _is_exclusive(resource: Label, mode: int) -> bool:
    return not (resource.readonly or resource.shared) and (stat.S_ISREG(mode) or stat.S_ISBLK(mode))


def _readable(mode: int) -> bool:
    """Whether reading is what one does with such a file; to connect to a socket takes the right to write."""
    return not stat.S_ISSOCK(mode)


def _owner(path: str, uid: int, gid: int, to: int) -> Undo:
    return {"kind": "owner", "path": path, "uid": uid, "gid": gid, "to": to}


def _remembered(path: str, owner: int) -> tuple[int, int] | None:
    """Who owned a file before it was given to its present owner; None if that was not our doing."""
    try:
        uid, gid, to = os.getxattr(path, REMEMBERED).split(b":")
        return (int(uid), int(gid)) if int(to) == owner else None
    except (OSError, ValueError):
        return None
