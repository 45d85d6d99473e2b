"""Storage pools and volumes. A pool is named by its UUID or its name, a volume by its name in its pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from frontinus.api.descriptor import Descriptor
from frontinus.api.view import View

PoolState = Literal["inactive", "building", "running", "degraded", "inaccessible"]
"""In virsh's order: the index is virStoragePoolState's number."""

VolumeKind = Literal["file", "block", "dir", "network", "netdir", "ploop"]
"""In virsh's order: the index is virStorageVolType's number."""

BuildFlag = Literal["new", "repair", "resize", "no-overwrite", "overwrite"]
VolumeFlag = Literal["prealloc-metadata", "reflink", "validate", "prealloc-falloc", "prealloc-full"]
"""prealloc-falloc: with room for all content; prealloc-full: with all of it written. reflink: share the original's blocks."""
ResizeFlag = Literal["allocate", "delta", "shrink"]
WipeAlgorithm = Literal[
    "zero", "nnsa", "dod", "bsi", "gutmann", "schneier", "pfitzner7", "pfitzner33", "random", "trim"
]
"""In virsh's order: the index is virStorageVolWipeAlgorithm's number."""


class PoolView(View, frozen=True, kw_only=True):
    """One storage pool. `kind` is its type (dir, logical...), `path` its target; sizes in bytes, 0 while inactive."""

    uuid: str
    name: str
    kind: str
    state: PoolState = "inactive"
    active: bool = False
    persistent: bool = True
    autostart: bool = False
    path: str | None = None
    capacity: int = 0
    allocation: int = 0
    available: int = 0
    volumes: int = 0


class VolumeView(View, frozen=True, kw_only=True):
    """One volume. Sizes in bytes; `format` as in its XML; `backing` the path of its backing store."""

    pool: str
    name: str
    key: str
    path: str
    kind: VolumeKind = "file"
    format: str | None = None
    capacity: int = 0
    allocation: int = 0
    physical: int | None = None
    backing: str | None = None
    encrypted: bool = False


class StorageCalls(Protocol):
    """The use cases on pools and volumes. All raise NoSuchPool, NoSuchVolume where they take one, StorageFailed, HostFailed."""

    async def pools(self, active: bool | None = None) -> list[PoolView]:
        """All pools in the order of their names, or only the active (True) or inactive (False)."""

    async def pool(self, pool: str) -> PoolView: ...
    async def pool_xml(self, pool: str, inactive: bool = False) -> str: ...
    async def define_pool(self, xml: str, validate: bool = False) -> PoolView:
        """Store a definition, new or replaced. Raises InvalidXML, AlreadyExists."""

    async def undefine_pool(self, pool: str) -> None: ...
    async def create_pool(self, xml: str, build: Sequence[BuildFlag] | None = None) -> PoolView:
        """Start a transient pool, built before unless `build` is None."""

    async def build_pool(self, pool: str, flags: Sequence[BuildFlag] = ()) -> None: ...
    async def start_pool(self, pool: str, build: Sequence[BuildFlag] | None = None) -> PoolView: ...
    async def refresh_pool(self, pool: str) -> PoolView: ...
    async def destroy_pool(self, pool: str) -> None:
        """Stop it; its data stays."""

    async def delete_pool(self, pool: str) -> None:
        """Remove the data of an inactive pool."""

    async def set_pool_autostart(self, pool: str, on: bool) -> None: ...
    async def find_pool_sources(self, kind: str, xml: str | None = None) -> str:
        """What sources of a kind there are, as XML. `xml`: where to look."""

    async def pool_capabilities(self) -> str:
        """What kinds of pools and formats this host can have, as XML."""

    async def volumes(self, pool: str) -> list[VolumeView]: ...
    async def volume(self, pool: str, volume: str) -> VolumeView: ...
    async def volume_by_path(self, path: str) -> VolumeView: ...
    async def volume_by_key(self, key: str) -> VolumeView: ...
    async def volume_xml(self, pool: str, volume: str) -> str: ...
    async def create_volume(self, pool: str, xml: str, flags: Sequence[VolumeFlag] = ()) -> VolumeView: ...
    async def clone_volume(self, pool: str, xml: str, source_pool: str, source: str,
                           flags: Sequence[VolumeFlag] = ()) -> VolumeView:  # fmt: skip
        """A new volume of `pool` with the content of another. A job."""

    async def resize_volume(self, pool: str, volume: str, capacity: int, flags: Sequence[ResizeFlag] = ()) -> None:
        """`capacity` in bytes; to less than before only with `shrink`."""

    async def wipe_volume(self, pool: str, volume: str, algorithm: WipeAlgorithm = "zero") -> None:
        """Overwrite all of it. A job."""

    async def upload_volume(self, pool: str, volume: str, offset: int = 0, length: int = 0,
                            sparse: bool = False) -> Descriptor:  # fmt: skip
        """A connected socket: what is written to it goes into the volume, until its end. Bytes; length 0: no limit.

        After the writer has shut down its side, one byte comes back: 0 when all is on disk, else the job has the reason.
        A writer that closes without waiting for it has broken off.
        """

    async def download_volume(self, pool: str, volume: str, offset: int = 0, length: int = 0,
                              sparse: bool = False) -> Descriptor:  # fmt: skip
        """A descriptor to read the volume's content from. Bytes; length 0: to the end.

        `sparse` changes nothing: here a hole is its zeros. `download_pieces` tells holes.
        """

    async def upload_pieces(self, pool: str, volume: str, offset: int = 0, length: int = 0) -> Descriptor:
        """`upload_volume` for content whose holes are not sent, and become holes again: a stream of pieces.

        Before each piece stands its length in eight bytes, a signed number, big-endian: so many bytes of data follow; of a
        hole it is negative, and nothing follows.
        """

    async def download_pieces(self, pool: str, volume: str, offset: int = 0, length: int = 0) -> Descriptor:
        """`download_volume` as a stream of pieces, as `upload_pieces` takes them. A device has no holes."""

    async def set_volume_secret(self, pool: str, volume: str, secret: str) -> None:
        """Let another secret, by its UUID, open an encrypted volume, and no longer the present one. A job.

        Raises WrongState for a secret without value, Unsupported for a volume that is not encrypted.
        """

    async def delete_volume(self, pool: str, volume: str) -> None: ...
