"""Snapshots, checkpoints and backups of a guest's disks and memory. Each is named by its name, in its guest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from frontinus.api.view import View

SnapshotFlag = Literal[
    "redefine", "current", "no-metadata", "halt", "disk-only", "reuse-external", "quiesce", "atomic", "live", "validate"
]
RevertFlag = Literal["running", "paused", "force", "reset-nvram"]
DeleteFlag = Literal["children", "metadata-only", "children-only"]
CheckpointFlag = Literal["redefine", "quiesce", "validate", "redefine-validate"]


class SnapshotView(View, frozen=True, kw_only=True):
    """One snapshot of a guest. `guest` is its UUID; `memory` and `disks` say where each was saved; `created` Unix time."""

    guest: str
    name: str
    created: float
    state: str
    parent: str | None = None
    children: int = 0
    current: bool = False
    memory: Literal["no", "internal", "external"] = "no"
    disks: Literal["no", "internal", "external"] = "internal"
    description: str | None = None


class CheckpointView(View, frozen=True, kw_only=True):
    """One checkpoint: since when changes of the disks are known. `created` Unix time."""

    guest: str
    name: str
    created: float
    parent: str | None = None
    children: int = 0
    current: bool = False
    description: str | None = None


class SnapshotCalls(Protocol):
    """The use cases on snapshots, checkpoints, backups. They raise NoSuchSnapshot, NoSuchCheckpoint, WrongState, Unsupported."""

    async def snapshots(self, guest: str) -> list[SnapshotView]:
        """All, parents before their children."""

    async def snapshot(self, guest: str, snapshot: str) -> SnapshotView: ...
    async def current_snapshot(self, guest: str) -> SnapshotView: ...
    async def snapshot_xml(self, guest: str, snapshot: str, secure: bool = False) -> str: ...
    async def create_snapshot(self, guest: str, xml: str, flags: Sequence[SnapshotFlag] = ()) -> SnapshotView: ...
    async def revert_snapshot(self, guest: str, snapshot: str, flags: Sequence[RevertFlag] = ()) -> None: ...
    async def delete_snapshot(self, guest: str, snapshot: str, flags: Sequence[DeleteFlag] = ()) -> None: ...

    async def checkpoints(self, guest: str) -> list[CheckpointView]:
        """All, parents before their children."""

    async def checkpoint(self, guest: str, checkpoint: str) -> CheckpointView: ...
    async def checkpoint_xml(self, guest: str, checkpoint: str, sizes: bool = False, no_domain: bool = False) -> str:
        """`sizes`: with how much has changed on each disk since."""

    async def create_checkpoint(self, guest: str, xml: str, flags: Sequence[CheckpointFlag] = ()) -> CheckpointView:
        """`redefine-validate`: one that is defined anew has its bitmaps in the images of the running guest."""

    async def delete_checkpoint(self, guest: str, checkpoint: str, flags: Sequence[DeleteFlag] = ()) -> None: ...

    async def begin_backup(self, guest: str, xml: str, checkpoint: str | None = None,
                           reuse_external: bool = False) -> None:  # fmt: skip
        """Start a backup job, by push or pull; `checkpoint`: XML of one that is made at the same moment."""

    async def backup_xml(self, guest: str) -> str:
        """The backup under way. Raises WrongState when there is none."""
