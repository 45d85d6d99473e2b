"""The engine's events as signals of org.libvirt: one row a kind of event."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dbus_fast import Variant

from frontinus.api import events
from frontinus.api.events import LIFECYCLE_DETAILS, Event, GuestEvent
from frontinus_dbus.audiences import Emit
from frontinus_dbus.libvirt import api_guests
from frontinus_dbus.libvirt.api_objects import STORAGEPOOL
from frontinus_dbus.libvirt.figures import double
from frontinus_dbus.libvirt.realm import Libvirt

Row = Callable[..., tuple[str, Sequence[object]]]

KINDS = tuple(LIFECYCLE_DETAILS)
PHASES = ("connect", "initialize", "disconnect")
WATCHDOG = ("none", "pause", "reset", "poweroff", "shutdown", "debug", "inject-nmi")
IO_ERROR = ("none", "pause", "report")
BLOCK_JOBS = ("unknown", "pull", "copy", "commit", "active-commit", "backup")
BLOCK_STATES = ("completed", "failed", "cancelled", "ready")
METADATA = ("description", "title", "element")
AGENT = ("unknown", "connected", "disconnected")
AGENT_REASONS = ("unknown", "domain started", "channel")
OPERATIONS = ("unknown", "start", "save", "restore", "migration in", "migration out", "snapshot", "snapshot revert", "dump",
              "backup")  # fmt: skip
"""libvirt's numbers: the index of each name."""
SLEEPS = {
    ("pmsuspended", "memory"): "PMSuspend",
    ("pmsuspended", "disk"): "PMSuspendDisk",
    ("started", "wakeup"): "PMWakeup",
}


def _index(names: Sequence[str], name: str) -> int:
    return names.index(name) if name in names else 0


def _family(host: str) -> int:
    """IPv4 0, IPv6 1, a unix socket 2."""
    return 1 if ":" in host else 0 if host else 2


ROWS: Mapping[type[GuestEvent], Row] = {
    events.AgentEvent: lambda e: ("AgentEvent", [_index(AGENT, e.state), _index(AGENT_REASONS, e.reason)]),
    events.BalloonChangeEvent: lambda e: ("BalloonChange", [e.actual // 1024]),
    events.BlockThresholdEvent: lambda e: ("BlockThreshold", [e.device, e.path, e.threshold, e.excess]),
    events.BlockJobEvent: lambda e: (
        "BlockJob", [e.device, _index(BLOCK_JOBS, e.kind), _index(BLOCK_STATES, e.status)]),
    events.ControlErrorEvent: lambda e: ("ControlError", []),
    events.DeviceAddedEvent: lambda e: ("DeviceAdded", [e.device]),
    events.DeviceRemovalFailedEvent: lambda e: ("DeviceRemovalFailed", [e.device]),
    events.DeviceRemovedEvent: lambda e: ("DeviceRemoved", [e.device]),
    events.DiskChangeEvent: lambda e: ("DiskChange", [e.old or "", e.new or "", e.device, 0]),
    events.GraphicsEvent: lambda e: ("Graphics", [
        _index(PHASES, e.phase), [_family(e.host), "", ""], [_family(e.host), e.host, e.service], e.auth, []]),
    events.IoErrorEvent: lambda e: ("IOError", [e.path, e.device, _index(IO_ERROR, e.action), e.reason]),
    events.MetadataChangeEvent: lambda e: ("MetadataChange", [_index(METADATA, e.kind), e.uri or ""]),
    events.RebootEvent: lambda e: ("Reboot", []),
    events.RtcChangeEvent: lambda e: ("RTCChange", [e.offset]),
    events.TrayChangeEvent: lambda e: ("TrayChange", [e.device, 0 if e.reason == "open" else 1]),
    events.WatchdogEvent: lambda e: ("Watchdog", [_index(WATCHDOG, e.action)]),
}  # fmt: skip


def signals(event: GuestEvent) -> Iterator[tuple[str, Sequence[object]]]:
    """Signals of the guest's own object that an event becomes."""
    row = ROWS.get(type(event))
    if row is not None:
        yield row(event)
    if isinstance(event, events.LifecycleEvent) and (event.kind, event.detail) in SLEEPS:
        yield SLEEPS[event.kind, event.detail], [0]
    if isinstance(event, events.JobEvent) and event.state == "completed":
        yield "JobCompleted", [{"operation": double(Variant("i", _index(OPERATIONS, event.kind)))}]


@dataclass(frozen=True)
class Other:
    """Events of objects that are no guests: the folder that they are in, and the signals that they become."""

    kind: str
    signals: Callable[..., list[tuple[str, Sequence[object]]]]


NETWORK_KINDS: tuple[str, ...] = typing.get_args(events.NetworkKind)[:4]
POOL_KINDS: tuple[str, ...] = typing.get_args(events.PoolKind)[:6]
SECRET_KINDS: tuple[str, ...] = typing.get_args(events.SecretKind)[:2]
"""Those that libvirt numbers: the index of each name."""


def _numbered(member: str, kinds: Sequence[str], *more: int) -> Callable[..., list[tuple[str, Sequence[object]]]]:
    return lambda path, e: [(member, [path, kinds.index(e.kind), *more])] if e.kind in kinds else []


def _pool(path: str, event: events.PoolEvent) -> list[tuple[str, Sequence[object]]]:
    if event.kind == "refreshed":
        return [("Refresh", [])]
    return _numbered("StoragePoolEvent", POOL_KINDS, 0)(path, event)


OTHERS: Mapping[type[Event], Other] = {
    events.NetworkEvent: Other("network", _numbered("NetworkEvent", NETWORK_KINDS)),
    events.PoolEvent: Other("storagepool", _pool),
    events.SecretEvent: Other("secret", _numbered("SecretEvent", SECRET_KINDS, 0)),
}


class Herald:
    """Emits for one realm, to one audience."""

    def __init__(self, realm: Libvirt, emit: Emit) -> None:
        self._realm, self._emit = realm, emit

    def tell(self, told: Sequence[Event]) -> None:
        """A listener of a picture."""
        for event in told:
            if not isinstance(event, GuestEvent):
                self._tell_other(event)
                continue
            path = self._realm.path(event.uuid)
            if isinstance(event, events.LifecycleEvent):
                numbers = [KINDS.index(event.kind), _index(LIFECYCLE_DETAILS[event.kind], event.detail)]
                self._emit(self._realm.root, api_guests.CONNECT, "DomainEvent", [path, *numbers])
            for member, body in signals(event):
                self._emit(path, api_guests.DOMAIN, member, body)

    def _tell_other(self, event: Event) -> None:
        row = OTHERS.get(type(event))
        if row is not None:
            uuid: str = event.uuid  # type: ignore[attr-defined]
            path = self._realm.path(uuid, row.kind)
            for member, body in row.signals(path, event):
                interface, place = (
                    (STORAGEPOOL, path) if member == "Refresh" else (api_guests.CONNECT, self._realm.root)
                )
                self._emit(place, interface, member, body)


NEVER = frozenset({"Connect.NodeDeviceEvent", "Domain.MigrationIteration", "Domain.Tunable"})
"""Signals of org.libvirt for which the engine has no event yet; a test compares with the rows."""
