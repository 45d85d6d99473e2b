"""The resources port on Linux: walks what a plan lists forward, and its undo records backward."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from frontinus import procfs
from frontinus.api.errors import FrontinusError, InternalError, Unsupported
from frontinus.domain.host import Paths
from frontinus.domain.plan import (
    CopyOnce,
    EmptyFile,
    Folder,
    Helper,
    Label,
    Listener,
    OpenFile,
    Overlay,
    Resource,
    SecretFile,
    Tap,
    Vfio,
)
from frontinus.linux.files import Copies, EmptyFiles, OpenFiles, SecretFiles
from frontinus.linux.folders import Folders
from frontinus.linux.helpers import END_SECONDS, Helpers, end
from frontinus.linux.labels import Labels
from frontinus.linux.listeners import Listeners
from frontinus.linux.network.filters import BridgeFilters
from frontinus.linux.network.taps import Taps
from frontinus.linux.overlays import Overlays
from frontinus.linux.setup import Maker, Setup, Undo
from frontinus.linux.users import Users
from frontinus.linux.vfio import Passed
from frontinus.ports.hypervisor import SecretValues
from frontinus.ports.resources import Credentials, Journal, Prepared

log = logging.getLogger(__name__)

THREADS = 8
"""Set-ups at once; those of one guest are one after the other."""

T = TypeVar("T")
Step = tuple[Resource, list[Undo]]


class LinuxResources:
    """`ports.Resources` for QEMU on this host.

    `uid_range`: one user for each guest. `user`: one for all, where there is no range. With neither, and whenever the
    engine is not root, guests run as the engine itself. `secret_of`: values of secrets, for helpers.
    `filters`: what puts filters of NICs in force.
    """

    def __init__(self, paths: Paths, uid_range: tuple[int, int] | None = None, user: str | None = None,
                 secret_of: SecretValues | None = None, filters: BridgeFilters | None = None) -> None:  # fmt: skip
        roots = (paths.state, paths.run, paths.log, paths.nvram, paths.ram)
        self._root = paths.state
        self._users = Users(Path(paths.run, "users"), uid_range, user)
        self._folders = Folders(paths.state, self._users)
        self._taps = Taps(filters)
        labels = Labels(self._users)
        self._makers: Mapping[type[Resource], Maker[Any]] = {
            Folder: self._folders, Listener: Listeners(roots), OpenFile: OpenFiles(roots), SecretFile: SecretFiles(),
            CopyOnce: Copies(roots), EmptyFile: EmptyFiles(roots), Overlay: Overlays(), Tap: self._taps,
            Helper: Helpers(secret_of), Label: labels, Vfio: Passed(labels),
        }  # fmt: skip
        self._undoers = {kind: maker for maker in self._makers.values() for kind in maker.kinds}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="resources")

    async def credentials(self, guest_uuid: str) -> Credentials | None:
        """The user of this guest, the same until its private folder is gone. Raises HostFailed when none is left."""
        return self._users.claim(guest_uuid)

    async def set_up(self, resources: Sequence[Resource], who: Credentials | None, journal: Journal) -> Prepared:
        """Look at everything, journal what will be done, then do it. Raises HostFailed, with all taken back."""
        setup = Setup.of(resources, who, self._home(resources))
        try:
            steps = await self._in_thread(lambda: self._intend(resources, setup))
            await journal([dict(record) for _, records in steps for record in records])
        except BaseException:
            self._forget_user(setup)
            raise
        await self._in_thread(lambda: self._walk(steps, setup), lambda: self._walk_back(steps, setup))
        undo = [record for _, records in steps for record in records]
        return Prepared(fds=setup.fds, undo=undo, names=setup.names)

    async def adjust(self, tap: Tap, journal: Journal) -> list[dict[str, object]]:
        """Isolate a tap on its bridge or not, have it gather frames, and promise it a rate."""
        records = self._taps.promised(tap)
        if records:
            await journal([dict(record) for record in records])
        await self._in_thread(lambda: self._taps.adjust(tap))
        return records

    async def tear_down(self, undo: Sequence[Mapping[str, object]]) -> None:
        """Walk backward. What fails is logged. Idempotent."""
        await self._in_thread(lambda: self._undo(undo))

    async def sweep(self, living: Sequence[str]) -> None:
        """After a restart: end processes and remove private folders of guests that do not live, free their users."""
        await self._in_thread(lambda: self._sweep(living))

    def close(self) -> None:
        """Let go of threads and sockets; what is set up stays."""
        self._threads.shutdown()
        self._taps.close()

    def _home(self, resources: Sequence[Resource]) -> str:
        """The private folder of the guest that a set-up is for; a helper of a plugged device keeps its socket there."""
        for resource in resources:
            if isinstance(resource, Folder) and self._folders.is_home(resource.path):
                return resource.path
        return next((str(Path(r.socket).parent) for r in resources if isinstance(r, Helper)), self._root)

    def _forget_user(self, setup: Setup) -> None:
        """A guest whose home was never begun needs no user."""
        if setup.who is not None and any(self._folders.is_home(path) for path in setup.folders):
            self._users.release(setup.who.uid)

    def _intend(self, resources: Sequence[Resource], setup: Setup) -> list[Step]:
        for resource in resources:
            if type(resource) not in self._makers:
                raise Unsupported(f"this engine cannot set up {resource} on the host")
        return [(resource, self._makers[type(resource)].intend(resource, setup)) for resource in resources]

    def _walk(self, steps: Sequence[Step], setup: Setup) -> None:
        for number, (resource, records) in enumerate(steps):
            try:
                self._makers[type(resource)].make(resource, records, setup)
            except BaseException:  # a maker that fails has taken back its own
                self._walk_back(steps[:number], setup)
                self._forget_user(setup)
                raise

    def _walk_back(self, steps: Sequence[Step], setup: Setup) -> None:
        setup.close()
        self._undo([record for _, records in steps for record in records])

    def _undo(self, undo: Sequence[Mapping[str, object]]) -> None:
        for record in reversed(undo):
            try:
                maker = self._undoers.get(str(record.get("kind")))
                if maker is None:
                    raise InternalError(f"unknown undo record {dict(record)!r}")
                maker.undo(record)
            except (FrontinusError, OSError) as error:
                log.error("could not take back %s: %s", dict(record), error)

    def _sweep(self, living: Sequence[str]) -> None:
        self._folders.hold(living)
        for pid in procfs.processes():
            home = procfs.environment(pid).get("HOME", "")
            if pid != os.getpid() and self._folders.is_home(home) and home not in living:
                log.warning("ending process %d of the guest that had %s", pid, home)
                end(pid, procfs.start_time(pid) or 0, END_SECONDS)
        for path in self._folders.left():
            log.warning("removing %s of a guest that is no more", path)
            self._undo([{"kind": "folder", "path": path}])
        self._users.recover(Path(path).stat().st_uid for path in living if Path(path).is_dir())

    async def _in_thread(self, work: Callable[[], T], undo: Callable[[], None] | None = None) -> T:
        """Run in a thread, to its end: a caller that is cancelled meanwhile has `undo` done for it before it goes."""
        loop = asyncio.get_running_loop()
        task = loop.run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            if undo is not None and not task.cancelled() and task.exception() is None:
                await loop.run_in_executor(self._threads, undo)
            raise
