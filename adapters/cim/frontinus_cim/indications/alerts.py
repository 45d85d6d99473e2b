"""Which events of the engine are alerts (CIM_AlertIndication), and in which words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from frontinus.api import events
from frontinus.api.events import AnyEvent, LifecycleEvent, PoolEvent
from frontinus.api.storage import PoolView

OTHER, QUALITY, PROCESSING, DEVICE = 1, 3, 4, 5
"""AlertType."""
WARNING, MAJOR, CRITICAL = 3, 5, 6
"""PerceivedSeverity."""
FULL = 0.95
"""The part of a storage pool that is taken when it counts as full."""


@dataclass(frozen=True)
class Alert:
    """A row: AlertType, PerceivedSeverity, ProbableCause in the schema's word, a word for EventID, and a sentence."""

    type: int
    severity: int
    cause: str
    id: str
    words: Callable[[AnyEvent], str]


def _io(item: AnyEvent) -> str:
    assert isinstance(item, events.IoErrorEvent)
    where = f"{item.device} ({item.path})" if item.device and item.path else item.device or item.path
    return f"I/O error on {where} of guest {item.name}: {item.reason or 'no reason given'}; {item.action}"


def _watchdog(item: AnyEvent) -> str:
    assert isinstance(item, events.WatchdogEvent)
    return f"The watchdog of guest {item.name} expired; {item.action}"


def _memory(item: AnyEvent) -> str:
    assert isinstance(item, events.MemoryFailureEvent)
    return f"Memory failure in {item.recipient} of guest {item.name}; {item.action}"


def _threshold(item: AnyEvent) -> str:
    assert isinstance(item, events.BlockThresholdEvent)
    return f"{item.device} of guest {item.name} was written {item.excess} bytes beyond its threshold"


def _lost(item: AnyEvent) -> str:
    assert isinstance(item, events.ControlErrorEvent)
    return f"The hypervisor of guest {item.name} does not answer: {item.reason}"


def _crash(item: AnyEvent) -> str:
    assert isinstance(item, LifecycleEvent)
    return f"Guest {item.name} crashed"


def _full(item: AnyEvent) -> str:
    return f"Storage pool {item.name} is nearly full" if isinstance(item, PoolEvent) else ""


ALERTS: Mapping[type, Alert] = {
    events.IoErrorEvent: Alert(DEVICE, CRITICAL, "I/O Device Error", "io-error", _io),
    events.WatchdogEvent: Alert(PROCESSING, MAJOR, "Timeout", "watchdog", _watchdog),
    events.MemoryFailureEvent: Alert(DEVICE, CRITICAL, "Equipment Malfunction", "memory-failure", _memory),
    events.BlockThresholdEvent: Alert(QUALITY, WARNING, "Threshold Crossed", "block-threshold", _threshold),
    events.ControlErrorEvent: Alert(PROCESSING, MAJOR, "Software Error", "control-error", _lost),
}
"""By the class of an event."""
CRASHED = Alert(PROCESSING, CRITICAL, "Software Program Abnormally Terminated", "crashed", _crash)
POOL_FULL = Alert(QUALITY, MAJOR, "Storage Capacity Problem", "pool-full", _full)


def alert_of(item: AnyEvent) -> Alert | None:
    """The alert that an event of a guest is."""
    if isinstance(item, LifecycleEvent):
        crashed = item.kind == "crashed" or (item.kind == "stopped" and item.detail in ("crashed", "failed"))
        return CRASHED if crashed else None
    return ALERTS.get(type(item))


def full(view: PoolView) -> bool:
    """Whether a pool is nearly full."""
    return view.active and view.capacity > 0 and view.capacity - view.available >= view.capacity * FULL
