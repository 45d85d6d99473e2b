"""Private folders of guests: theirs alone while they run, gone afterwards."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from frontinus.api.errors import HostFailed
from frontinus.domain.plan import Folder
from frontinus.linux.failing import failing
from frontinus.linux.setup import Maker, Setup, Undo, text
from frontinus.linux.users import Users

PASSABLE = 0o711
"""Folders on the way to guests' own: anyone may pass, none may list."""


class Folders(Maker[Folder]):
    """Makes folders. The one directly below `root` is a guest's home: when it goes, its user id is free again."""

    kinds = ("folder",)

    def __init__(self, root: str, users: Users) -> None:
        self._root = root
        self._users = users
        self._held: set[str] = set()

    def hold(self, paths: Iterable[str]) -> None:
        """After a restart: these belong to living guests."""
        self._held = set(paths)

    def is_home(self, path: str) -> bool:
        """Whether a path is where private folders are."""
        return os.path.dirname(path) == self._root and os.path.basename(path).startswith("domain-")  # noqa: PTH119, PTH120

    def intend(self, resource: Folder, setup: Setup) -> list[Undo]:
        path = resource.path
        if path in self._held:
            raise HostFailed(f"the folder {path} is in use by another guest", what=path)
        record: Undo = {"kind": "folder", "path": path}
        if setup.who is not None and self.is_home(path):
            record["uid"] = setup.who.uid
        return [record]

    def make(self, resource: Folder, records: list[Undo], setup: Setup) -> None:
        path = Path(resource.path)
        with failing("make the folder", str(path)):
            make_way(path.parent, setup)
            try:
                path.mkdir(mode=0o700)
            except FileExistsError:  # of a guest that is no more
                remove_tree(path)
                path.mkdir(mode=0o700)
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fchmod(fd, resource.mode)
                setup.give(fd)
            finally:
                os.close(fd)
        self._held.add(resource.path)

    def undo(self, record: Mapping[str, object]) -> None:
        path = text(record, "path")
        with failing("remove the folder", path):
            remove_tree(Path(path))
        self._held.discard(path)
        uid = record.get("uid")
        if isinstance(uid, int):
            self._users.release(uid)

    def left(self) -> list[str]:
        """Homes on disk that belong to no living guest."""
        root = Path(self._root)
        found = (str(entry) for entry in root.iterdir()) if root.is_dir() else ()
        return sorted(path for path in found if self.is_home(path) and path not in self._held)


def make_way(folder: Path, setup: Setup) -> None:
    """Make the folders that lead to a guest's own, if they are not there, and let its user pass the last one."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir(exist_ok=True)
        place.chmod(PASSABLE)
    if setup.who is not None and not missing:
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IXOTH and folder.stat().st_uid == os.geteuid():
            folder.chmod(mode | stat.S_IXOTH)


def remove_tree(path: Path) -> None:
    """Remove a folder and what is in it, following no link. Absent is fine."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
