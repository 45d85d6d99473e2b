"""Work on the block graph of a running guest: planned (pure) by the hypervisor, carried out by `RunningGuest.update`.

A layer is known to the hypervisor by its index in the guest's model, a job by the id that the engine gives it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from frontinus.domain.devices.block.disk import BackingStore, Disk, Mirror
from frontinus.domain.plan import DevicePlan
from frontinus.domain.snapshots.deciding import Overlaid as Overlaid

JobCommand = Literal["cancel", "finish", "complete", "finalize", "dismiss"]
"""cancel: give up at once. finish: end a mirror that is in step, without going over to it. complete: go over to it.
finalize: of a commit or a pull that is "pending", have the chain follow; what was copied must be on disk before."""
StateVerb = Literal["save", "load", "delete"]


@dataclass(frozen=True)
class KeyChange:
    """One passphrase that an encrypted disk gets, or loses: a secret by its UUID or by its use."""

    verb: Literal["add", "erase"]
    uuid: str | None = None
    usage: str | None = None


@dataclass(frozen=True)
class JobFacts:
    """One job of the hypervisor. `status` in QEMU's words (JobStatus); bytes, bytes a second."""

    id: str
    kind: str
    status: str
    current: int = 0
    total: int = 0
    speed: int = 0
    error: str = ""


@dataclass(frozen=True)
class BitmapFacts:
    """One dirty bitmap. `dirty` and `granularity` in bytes; `recording`: it takes note of what is written now."""

    name: str
    dirty: int = 0
    granularity: int = 65536
    recording: bool = True
    persistent: bool = True
    sound: bool = True


Mark = tuple[int, str]
"""A bitmap: the index of its layer, its name."""


@dataclass(frozen=True)
class CopyOptions:
    """How a disk is mirrored. Bytes a second, bytes, bytes; 0: the hypervisor's choice."""

    bandwidth: int = 0
    granularity: int = 0
    buffer: int = 0
    shallow: bool = False
    synchronous: bool = False


@dataclass(frozen=True)
class Saved:
    """One disk of a backup. `layer`: what is written or kept; `since`: bitmaps that say what changed, unless all is saved."""

    job: str
    disk: Disk
    layer: BackingStore
    incremental: bool = False
    since: tuple[Mark, ...] = ()
    export: str = ""
    export_bitmap: str = ""

    @property
    def mark(self) -> str:
        """The bitmap of its own, joined from the others, that the job reads and an export shows."""
        return self.export_bitmap or self.job


@dataclass(frozen=True)
class Service:
    """Where exports of a pull backup are served: on a socket's path, or a host and a port."""

    path: str | None = None
    host: str = ""
    port: int = 0
    tls: bool = False


@dataclass(frozen=True)
class Joined:
    """A bitmap that gets what others have recorded too. `new`: it is made for that, and records from then on or not."""

    mark: Mark
    sources: tuple[Mark, ...]
    new: bool = False
    recording: bool = True


@dataclass(frozen=True)
class Marks:
    """Bitmaps that come and go at one moment: first some are joined, then some record again, then others go and come."""

    add: tuple[Mark, ...] = ()
    remove: tuple[Mark, ...] = ()
    joined: tuple[Joined, ...] = ()
    enable: tuple[Mark, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.add or self.remove or self.joined or self.enable)


class BlockPlanner(Protocol):
    """Plans for one running guest. All raise Unsupported for what its hypervisor lacks."""

    def overlay(self, disks: Sequence[Overlaid], internal: Sequence[Disk], name: str) -> DevicePlan:
        """At one moment, put new layers on disks, and make snapshots of a name inside the images of others."""

    def copy(self, job: str, disk: Disk, mirror: Mirror, options: CopyOptions) -> DevicePlan: ...
    def commit(self, job: str, disk: Disk, top: BackingStore, base: BackingStore, bandwidth: int,
               backing_name: str | None) -> DevicePlan:  # fmt: skip
        """Move what the layers from `top` down hold into `base`; `backing_name` is what the layer above `top` gets to read."""

    def pull(self, job: str, disk: Disk, base: BackingStore | None, bandwidth: int,
             backing_name: str | None) -> DevicePlan:  # fmt: skip
        ...

    def mark(self, marks: Marks) -> DevicePlan: ...
    def measure(self, disk: Disk, name: str, since: Sequence[Mark]) -> tuple[DevicePlan, str]:
        """Join what bitmaps recorded in one of its own on the top layer; its name too."""

    def backup(self, disks: Sequence[Saved], marks: Marks, service: Service | None) -> DevicePlan:
        """Start the jobs of a backup, with bitmaps for a checkpoint, at one moment; with a service the exports too."""

    def stop_serving(self, disks: Sequence[Saved], service: Service | None) -> Sequence[DevicePlan]:
        """End the exports, before the jobs behind them: each step by itself, since some may be done."""

    def end_backup(self, disks: Sequence[Saved]) -> Sequence[DevicePlan]:
        """What is left of a backup whose jobs have ended: each step by itself."""

    def state(self, verb: StateVerb, job: str, name: str, disks: Sequence[Disk]) -> DevicePlan:
        """Save, load or delete devices, memory and disks as a snapshot inside the images; the first disk has the memory."""

    def change_key(self, job: str, disk: Disk, change: KeyChange) -> DevicePlan:
        """Start a job that gives the image of a disk, encrypted by LUKS, one more passphrase, or takes one from it."""

    def open_by(self, disk: Disk, change: KeyChange) -> DevicePlan:
        """Have the disk opened by the passphrase that was added, whenever it must be from now on; after both jobs."""

    def end_keys(self) -> Sequence[DevicePlan]:
        """Forget the passphrases that jobs were given: each step by itself, since there may be none."""

    def close(self, layers: Sequence[BackingStore]) -> Sequence[DevicePlan]:
        """Close layers that nothing uses any more, the upper first: each by itself, since some may be gone."""


@dataclass(frozen=True)
class GraphFacts:
    """What the block graph is: the index of each device's top layer by alias, and bitmaps by layer."""

    tops: Mapping[str, int] = field(default_factory=dict)
    bitmaps: Mapping[int, Mapping[str, BitmapFacts]] = field(default_factory=dict)
    sizes: Mapping[int, int] = field(default_factory=dict)
    """Bytes that a guest sees, by layer."""
    open: frozenset[int] = frozenset()
    """Every layer of which anything is open."""
