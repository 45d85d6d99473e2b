"""News from a running guest becomes its state and the engine's events: one row a kind of news."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from frontinus.api import events
from frontinus.api.events import AnyEvent, Lifecycle
from frontinus.api.views import State
from frontinus.domain.snapshots.chain import layer_name
from frontinus.engine import trail
from frontinus.engine.block import blocknews
from frontinus.engine.guest import ending, unplugging
from frontinus.engine.record import Record, Running
from frontinus.engine.snapshot import doomed
from frontinus.engine.world import World
from frontinus.ports import GuestFacts

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Transition:
    """The state that a piece of news leads to, and the lifecycle event that tells it."""

    state: State
    reason: str
    event: Lifecycle
    detail: str
    unless: frozenset[str] = frozenset()
    """States in which this news changes nothing."""


TRANSITIONS: Mapping[str, Transition] = {
    "stopped": Transition(
        "paused", "user", "suspended", "paused", frozenset({"paused", "shutoff", "crashed", "shutdown"})
    ),
    "resumed": Transition("running", "unpaused", "resumed", "unpaused", frozenset({"running"})),
    "suspended": Transition("pmsuspended", "unknown", "pmsuspended", "memory"),
    "suspended-disk": Transition("pmsuspended", "unknown", "pmsuspended", "disk"),
    "woken": Transition("running", "event wakeup", "started", "wakeup", frozenset({"running"})),
    "crashed": Transition("crashed", "panicked", "crashed", "panicked"),
    "shutdown": Transition("shutdown", "user", "shutdown", "finished"),
}

PAUSE_REASONS: Mapping[str, tuple[str, str]] = {
    "io-error": ("I/O error", "I/O error"),
    "watchdog": ("watchdog", "watchdog"),
}
"""News that explains the "stopped" after it: the state's reason and the event's detail."""

Make = Callable[[Record, Mapping[str, object]], AnyEvent]


def _text(data: Mapping[str, object], key: str) -> str:
    value = data.get(key)
    return "" if value is None else str(value)


def _number(data: Mapping[str, object], key: str) -> int:
    value = data.get(key)
    return value if isinstance(value, int) else 0


def _source(record: Record, alias: str) -> str:
    """The path of a disk, by its device's alias; '' where it has none."""
    disks = record.guest.devices.disks
    return next((disk.source_path or "" for disk in disks if alias and disk.alias == alias), "")


TOLD: Mapping[str, Make] = {
    "reset": lambda r, d: events.RebootEvent(uuid=r.uuid, name=r.name),
    "rtc": lambda r, d: events.RtcChangeEvent(uuid=r.uuid, name=r.name, offset=_number(d, "offset")),
    "watchdog": lambda r, d: events.WatchdogEvent(uuid=r.uuid, name=r.name, action=_text(d, "action")),
    "io-error": lambda r, d: events.IoErrorEvent(
        uuid=r.uuid, name=r.name, path=_text(d, "path") or _source(r, _text(d, "device")), device=_text(d, "device"),
        action=_text(d, "action"), reason=_text(d, "reason")),
    "balloon": lambda r, d: events.BalloonChangeEvent(uuid=r.uuid, name=r.name, actual=_number(d, "actual")),
    "device-deleted": lambda r, d: events.DeviceRemovedEvent(uuid=r.uuid, name=r.name, device=_text(d, "device")),
    "unplug-failed": lambda r, d: events.DeviceRemovalFailedEvent(uuid=r.uuid, name=r.name, device=_text(d, "device")),
    "tray": lambda r, d: events.TrayChangeEvent(
        uuid=r.uuid, name=r.name, device=_text(d, "device"), reason="open" if d.get("open") else "close"),
    "agent": lambda r, d: events.AgentEvent(
        uuid=r.uuid, name=r.name, state="connected" if d.get("open") else "disconnected", reason="channel"),
    "graphics": lambda r, d: events.GraphicsEvent(
        uuid=r.uuid, name=r.name, phase=_text(d, "phase"), host=_text(d, "host"), service=_text(d, "service"),
        auth=_text(d, "auth")),
    "memory-failure": lambda r, d: events.MemoryFailureEvent(
        uuid=r.uuid, name=r.name, recipient=_text(d, "recipient"), action=_text(d, "action")),
    "block-job": lambda r, d: events.BlockJobEvent(
        uuid=r.uuid, name=r.name, device=_text(d, "device"), kind=_text(d, "kind"), status=_text(d, "status")),
    "lost": lambda r, d: events.ControlErrorEvent(uuid=r.uuid, name=r.name, reason=_text(d, "reason")),
}  # fmt: skip

STOPPED = {"from snapshot": "snapshot"}
"""What the event of an end says where the reason of the state says it otherwise."""


async def follow(world: World, record: Record, running: Running) -> None:
    """Take in news until the process has ended, then close the guest's books."""
    follower = Follower(world, record, running)
    running.process.overhear(partial(world.overhearing.tell, record.uuid, record.name))
    last: Mapping[str, object] = {}
    async for fact in running.process.news():
        try:
            await follower.take(fact)
        except Exception:  # one piece of news that we fail on must not deafen us to the next
            log.exception("news %s of guest %s", fact.name, record.name)
        last = fact.data
    await follower.close(last)


class Follower:
    """Keeps one running guest's state in step with its news."""

    def __init__(self, world: World, record: Record, running: Running) -> None:
        self.world, self.record, self.running = world, record, running
        self._why: str | None = None
        self._shutdown: str | None = None

    async def take(self, fact: GuestFacts) -> None:
        """One piece of news: the event that tells it, then the state that it leads to."""
        record, name = self.record, fact.name
        told = TOLD.get(name)
        if told is not None and not self._is_ours(fact):
            self.world.bus.publish(told(record, fact.data))
        act = ACTS.get(name)
        if act is not None:
            await act(self, fact.data)
        if name in PAUSE_REASONS:
            self._why = name
        transition = TRANSITIONS.get(name)
        if transition is not None and record.state not in transition.unless and self.running.ending is None:
            self._enter(fact, transition)
        if name in ("shutdown", "crashed"):
            await self._end_of_life(name)

    def _is_ours(self, fact: GuestFacts) -> bool:
        """Of a block job that the engine knows it tells itself, once it has drawn the consequences."""
        return fact.name == "block-job" and self.running.works.get(_text(fact.data, "job")) is not None

    async def _job(self, data: Mapping[str, object]) -> None:
        blocknews.told(self.world, self.record, self.running, _text(data, "id"), _text(data, "status"))

    async def _agent(self, data: Mapping[str, object]) -> None:
        self.running.agent_connected = bool(data.get("open"))

    async def _ballooned(self, data: Mapping[str, object]) -> None:
        self.record.guest.current_memory = _number(data, "actual")
        self.world.changed(self.record)

    async def _shutting_down(self, data: Mapping[str, object]) -> None:
        self._shutdown = _text(data, "detail") or "finished"

    async def _written_beyond(self, data: Mapping[str, object]) -> None:
        layer = _number(data, "layer")
        device, path = layer_name(self.running.guest, layer)
        device = self.running.works.thresholds.pop(layer, device)
        self.world.bus.publish(events.BlockThresholdEvent(
            uuid=self.record.uuid, name=self.record.name, device=device, path=path,
            threshold=_number(data, "threshold"), excess=_number(data, "excess")))  # fmt: skip

    async def _device_gone(self, data: Mapping[str, object]) -> None:
        alias = _text(data, "device")
        device = next((d for d in self.running.guest.devices.all() if d.alias == alias), None)
        if device is not None:
            await unplugging.gone(self.world, self.record, self.running, device)

    def _enter(self, fact: GuestFacts, transition: Transition) -> None:
        name, reason, detail = fact.name, transition.reason, transition.detail
        if name in ("stopped", "resumed") and self.running.is_ours(fact.number):
            return
        if name == "stopped":
            reason, detail = PAUSE_REASONS.get(self._why or "", (reason, detail))
            self._why = None
        if name == "shutdown" and self._shutdown in ("guest", "host"):
            detail = self._shutdown
        self.record.become(transition.state, reason)
        self.world.lifecycle(self.record, transition.event, detail)

    async def _end_of_life(self, name: str) -> None:
        """QEMU is told to stay after a shutdown or a panic, so that on_poweroff and on_crash are ours to follow."""
        guest, process = self.record.guest, self.running.process
        wish = (guest.on_crash if name == "crashed" else guest.on_poweroff) or "destroy"
        if self.running.rebooting and name == "shutdown":
            wish = "restart"
        self.running.rebooting = False
        if wish.endswith("restart"):
            await process.reset()
            await process.resume()
        elif wish != "preserve":
            self.running.ending = self.running.ending or ("crashed" if name == "crashed" else "shutdown")
            end = ending.quit(self.record, self.running, graceful=False, deadline=10.0)
            self.world.spawn(end, f"end of {self.record.name}")

    async def close(self, last: Mapping[str, object]) -> None:
        """The process is gone: why, then everything is given back, then the event."""
        record, running = self.record, self.running
        reason = running.ending or ("crashed" if record.state != "shutdown" else "shutdown")
        guest = trail.audited(record)
        await ending.end(self.world, record, running)
        await doomed.ended(self.world, record, running)
        if not running.hidden:
            if reason == "crashed" and last.get("log"):
                log.warning("guest %s ended unexpectedly: %s", record.name, last["log"])
            trail.ended(self.world, guest, reason)
            record.become("shutoff", reason)
            if record.definition is None:
                self.world.guests.remove(record)
                await record.books.forget(self.world.store, record.uuid)
            self.world.lifecycle(record, "stopped", STOPPED.get(reason, reason), gone=record.definition is None)


ACTS: Mapping[str, Callable[[Follower, Mapping[str, object]], Awaitable[None]]] = {
    "job": Follower._job,
    "agent": Follower._agent,
    "balloon": Follower._ballooned,
    "shutdown": Follower._shutting_down,
    "device-deleted": Follower._device_gone,
    "write-threshold": Follower._written_beyond,
}
"""What is to be done about a piece of news, beside telling it and entering the state that it leads to."""
