"""Events: one ordered stream for everything that happens. Adapters translate; nobody polls."""

from __future__ import annotations

from typing import Literal

import msgspec

from frontinus.api.filters import FilterView
from frontinus.api.networks import LeaseView, NetworkView
from frontinus.api.secrets import SecretView
from frontinus.api.storage import PoolView
from frontinus.api.views import GuestView

Lifecycle = Literal[
    "defined", "undefined", "started", "suspended", "resumed", "stopped", "shutdown", "pmsuspended", "crashed"
]
"""In virsh's order: the index is virDomainEventType's number."""

LIFECYCLE_DETAILS: dict[str, tuple[str, ...]] = {
    "defined": ("added", "updated", "renamed", "snapshot"),
    "undefined": ("removed", "renamed"),
    "started": ("booted", "migrated", "restored", "snapshot", "wakeup"),
    "suspended": ("paused", "migrated", "I/O error", "watchdog", "restored", "snapshot", "API error", "postcopy",
                  "postcopy failed"),
    "resumed": ("unpaused", "migrated", "snapshot", "postcopy", "postcopy failed"),
    "stopped": ("shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "snapshot"),
    "shutdown": ("finished", "guest", "host"),
    "pmsuspended": ("memory", "disk"),
    "crashed": ("panicked", "crashloaded"),
}  # fmt: skip
"""Details of each lifecycle event; the index is libvirt's detail number."""


NetworkKind = Literal["defined", "undefined", "started", "stopped", "changed"]
"""In virsh's order: the index of the first four is virNetworkEventLifecycleType's number."""

PoolKind = Literal["defined", "undefined", "started", "stopped", "created", "deleted", "refreshed", "changed"]
"""In virsh's order: the index of the first six is virStoragePoolEventLifecycleType's number."""

SecretKind = Literal["defined", "undefined", "value-changed"]
"""In virsh's order: the index of the first two is virSecretEventLifecycleType's number."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event", tag=str.lower):
    """Base. `generation` orders all events of one engine run; `time` is Unix time in seconds."""

    generation: int = 0
    time: float = 0.0


class GuestEvent(Event, frozen=True, kw_only=True):
    """Base of the events of one guest."""

    uuid: str
    name: str


class LifecycleEvent(GuestEvent, frozen=True, kw_only=True):
    """The guest's life. `guest` is its view after the change; None once it is gone for good."""

    kind: Lifecycle
    detail: str
    guest: GuestView | None = None


class ChangedEvent(GuestEvent, frozen=True, kw_only=True):
    """Something of the view changed without a lifecycle event: autostart, title, memory, vCPUs, managed save."""

    guest: GuestView


class RebootEvent(GuestEvent, frozen=True, kw_only=True):
    """The guest was reset."""


class RtcChangeEvent(GuestEvent, frozen=True, kw_only=True):
    offset: int


class WatchdogEvent(GuestEvent, frozen=True, kw_only=True):
    action: str


class IoErrorEvent(GuestEvent, frozen=True, kw_only=True):
    """`action`: none, pause or report."""

    path: str
    device: str
    action: str
    reason: str


class BalloonChangeEvent(GuestEvent, frozen=True, kw_only=True):
    """`actual` in bytes."""

    actual: int


class DeviceAddedEvent(GuestEvent, frozen=True, kw_only=True):
    device: str


class DeviceRemovedEvent(GuestEvent, frozen=True, kw_only=True):
    device: str


class DeviceRemovalFailedEvent(GuestEvent, frozen=True, kw_only=True):
    device: str


class TrayChangeEvent(GuestEvent, frozen=True, kw_only=True):
    """`reason`: open or close."""

    device: str
    reason: str


class DiskChangeEvent(GuestEvent, frozen=True, kw_only=True):
    old: str | None
    new: str | None
    device: str
    reason: str


class AgentEvent(GuestEvent, frozen=True, kw_only=True):
    """The guest agent's channel. `state`: connected or disconnected."""

    state: str
    reason: str


class MetadataChangeEvent(GuestEvent, frozen=True, kw_only=True):
    """`kind`: description, title or element (then `uri`)."""

    kind: str
    uri: str | None = None


class GraphicsEvent(GuestEvent, frozen=True, kw_only=True):
    """`phase`: connect, initialize, disconnect."""

    phase: str
    host: str
    service: str
    auth: str


class MemoryFailureEvent(GuestEvent, frozen=True, kw_only=True):
    recipient: str
    action: str


class BlockJobEvent(GuestEvent, frozen=True, kw_only=True):
    device: str
    kind: str
    status: str


class JobEvent(GuestEvent, frozen=True, kw_only=True):
    """A job started, progressed to its end, or ended. `state` as in JobView."""

    job: str
    kind: str
    state: str


class ControlErrorEvent(GuestEvent, frozen=True, kw_only=True):
    """The engine lost the hypervisor's monitor."""

    reason: str


class BlockThresholdEvent(GuestEvent, frozen=True, kw_only=True):
    """A layer was written beyond its threshold by `excess` bytes."""

    device: str
    path: str
    threshold: int
    excess: int


class GuestSnapshotEvent(GuestEvent, frozen=True, kw_only=True):
    """A snapshot or checkpoint (`what`) of a guest came, went, or was gone back to."""

    what: Literal["snapshot", "checkpoint"]
    kind: Literal["created", "changed", "deleted", "reverted"]
    snapshot: str


class NetworkEvent(Event, frozen=True, kw_only=True):
    """A network's life. `network` is its view after the change; None once it is gone for good."""

    uuid: str
    name: str
    kind: NetworkKind
    network: NetworkView | None = None


class LeaseEvent(Event, frozen=True, kw_only=True):
    """A DHCP lease was given, renewed or ended."""

    network: str
    kind: Literal["added", "renewed", "removed"]
    lease: LeaseView


class FilterEvent(Event, frozen=True, kw_only=True):
    """A filter was stored or forgotten."""

    uuid: str
    name: str
    kind: Literal["defined", "undefined"]
    filter: FilterView | None = None


class PoolEvent(Event, frozen=True, kw_only=True):
    """A pool's life. `pool` is its view after the change; None once it is gone for good."""

    uuid: str
    name: str
    kind: PoolKind
    pool: PoolView | None = None


class VolumeEvent(Event, frozen=True, kw_only=True):
    """A volume came, went or changed. `pool` is the pool's UUID."""

    pool: str
    volume: str
    kind: Literal["created", "deleted", "changed"]


class SecretEvent(Event, frozen=True, kw_only=True):
    """A secret's life. `secret` is its view after the change; None once it is gone."""

    uuid: str
    kind: SecretKind
    secret: SecretView | None = None


class HostJobEvent(Event, frozen=True, kw_only=True):
    """A job of no guest started or ended: work on a volume, say. `state` as in JobView."""

    job: str
    kind: str
    state: str


AnyEvent = (
    LifecycleEvent | ChangedEvent | RebootEvent | RtcChangeEvent | WatchdogEvent | IoErrorEvent | BalloonChangeEvent
    | DeviceAddedEvent | DeviceRemovedEvent | DeviceRemovalFailedEvent | TrayChangeEvent | DiskChangeEvent | AgentEvent
    | MetadataChangeEvent | GraphicsEvent | MemoryFailureEvent | BlockJobEvent | JobEvent | ControlErrorEvent
    | BlockThresholdEvent | GuestSnapshotEvent | NetworkEvent | LeaseEvent | FilterEvent | PoolEvent | VolumeEvent
    | SecretEvent | HostJobEvent
)  # fmt: skip
