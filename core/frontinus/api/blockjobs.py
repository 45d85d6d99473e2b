"""Work on the disks of a running guest. `disk` is its target (vda), its path, or target[index] of a layer below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from frontinus.api.view import View

BlockJobKind = Literal["unknown", "pull", "copy", "commit", "active-commit", "backup"]
"""In virsh's order: the index is virDomainBlockJobType's number."""

CopyFlag = Literal["shallow", "reuse-external", "transient", "synchronous"]
CommitFlag = Literal["shallow", "delete", "active", "relative"]
AbortFlag = Literal["async", "pivot"]


class BlockJobView(View, frozen=True, kw_only=True):
    """A job on one disk. Bytes, and bytes a second (0: no limit); `ready`: a mirror is in step and can pivot."""

    guest: str
    disk: str
    kind: BlockJobKind
    bandwidth: int = 0
    current: int = 0
    end: int = 0
    ready: bool = False


class BlockJobCalls(Protocol):
    """The use cases on block jobs. They raise NoSuchDevice, Busy (the disk has a job), WrongState, HypervisorFailed."""

    async def block_jobs(self, guest: str) -> list[BlockJobView]: ...
    async def block_job(self, guest: str, disk: str) -> BlockJobView | None: ...
    async def block_copy(self, guest: str, disk: str, xml: str, bandwidth: int = 0, granularity: int = 0,
                         buffer_size: int = 0, flags: Sequence[CopyFlag] = ()) -> None:  # fmt: skip
        """Mirror to the <disk> in `xml`, until pivoted or aborted. Bytes a second; bytes."""

    async def block_commit(self, guest: str, disk: str, base: str | None = None, top: str | None = None,
                           bandwidth: int = 0, flags: Sequence[CommitFlag] = ()) -> None:  # fmt: skip
        """Move what `top` and the layers below it hold into `base`."""

    async def block_pull(self, guest: str, disk: str, base: str | None = None, bandwidth: int = 0,
                         relative: bool = False) -> None:  # fmt: skip
        """Take into the disk what the layers above `base` hold."""

    async def abort_block_job(self, guest: str, disk: str, flags: Sequence[AbortFlag] = ()) -> None:
        """End a job; with `pivot` go over to the copy, or the base."""

    async def set_block_job_speed(self, guest: str, disk: str, bandwidth: int) -> None: ...
    async def set_block_threshold(self, guest: str, device: str, threshold: int) -> None:
        """Tell once, by BlockThresholdEvent, when a layer is written beyond this many bytes. 0: no more."""
