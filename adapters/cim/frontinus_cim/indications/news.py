"""From the engine's news to indications, and to those who subscribed to them (DSP1042, DSP1054)."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from frontinus.api.events import AnyEvent, ChangedEvent, GuestEvent, LifecycleEvent, NetworkEvent, PoolEvent
from frontinus.api.views import GuestView, Snapshot
from frontinus_cim.host.guest import Guest, Part
from frontinus_cim.host.jobs import Job
from frontinus_cim.host.mirror import Documented
from frontinus_cim.host.resources import Network
from frontinus_cim.host.world import World
from frontinus_cim.indications import alerts
from frontinus_cim.indications.alerts import Alert
from frontinus_cim.indications.delivery import Delivery
from frontinus_cim.indications.switchboard import Change, Switchboard
from frontinus_cim.instances import pools, settings, systems
from frontinus_cim.instances.kinds import Node, Registry
from frontinus_cim.profiles import jobkinds
from frontinus_cim.schema.classes import Class
from frontinus_cim.subscriptions.predefined import CREATED, DELETED, LIFE, MODIFIED
from frontinus_cim.subscriptions.store import DISABLE, DISABLED, IGNORE, REMOVE, SUBSCRIPTION, Subscriptions
from frontinus_cim.translation.amounts import AMOUNTS
from frontinus_cim.wire import values
from frontinus_cim.wire.errors import CimError
from frontinus_cim.wire.model import HOST, VIRT, Embedded, Value

log = logging.getLogger(__name__)

OWN = {
    "system": "KVM_ComputerSystem",
    "resource": "KVM_ResourceAllocationSettingData",
    "migration": "KVM_ComputerSystemMigrationJob",
}
"""What our own classes of indications are about: their names are these with CreatedIndication and so on."""


class Indications:
    """Listens to the world; makes an indication only if somebody may want it."""

    def __init__(self, world: World, registry: Registry, kept: Subscriptions, delivery: Delivery) -> None:
        self._world, self._registry, self._kept, self._delivery = world, registry, kept, delivery
        self._host = secrets.token_hex(4)
        self._number = 0
        self._full: set[str] = set()
        self._last: dict[str, Guest] = {}
        self._new: set[str] = set()
        self._board = Switchboard(world, lambda node: (self._path(node), self.embedded(node)))
        self._failing: dict[tuple[str, str], float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        delivery.ended = self._ended
        kept.changed = lambda: delivery.keep_only(set(kept.destinations))
        world.listeners.append(self._event)
        world.read_listeners.append(self._read)
        world.jobs.listeners.append(self._job)

    # --- what happened

    def _event(self, item: Snapshot | AnyEvent, guest: Guest | None, before: GuestView | None) -> None:
        if isinstance(item, Snapshot):
            self._last = {uuid: last for uuid, last in self._last.items() if uuid in self._world.guests}
            self._board.began(item)
        if isinstance(item, NetworkEvent):
            self._switches(self._board.happened(item.uuid))
        if isinstance(item, PoolEvent) and self._kept.subscriptions:
            self._pool(item)
        if isinstance(item, GuestEvent) and guest is not None:
            last = self._last.pop(item.uuid, None) if item.uuid not in self._world.guests else None
            if self._kept.subscriptions:
                if (alert := alerts.alert_of(item)) is not None:
                    self._alert(alert, item, Node(systems.GUESTS, guest))
                self._guest(guest, before)
                self._resources(last, None)
            if isinstance(item, LifecycleEvent | ChangedEvent):
                self._switches(self._board.happened(guest))

    def _guest(self, guest: Guest, before: GuestView | None) -> None:
        """A guest came, went, or looks different."""
        node = Node(systems.GUESTS, guest)
        if guest.view.uuid not in self._world.guests:
            self._new.discard(guest.view.uuid)
            self._instance("system", DELETED, node)
        elif before is None:
            self._new.add(guest.view.uuid)
            self._instance("system", CREATED, node)
        elif before != guest.view:
            old = dataclasses.replace(guest, view=before, _parts=None)
            was = Node(systems.GUESTS, old)
            if before.name != guest.name:  # the name is a key: what bears another is another instance (DSP0004)
                self._instance("system", DELETED, was)
                self._instance("system", CREATED, node)
                return
            self._instance("system", MODIFIED, node, was)
            for name in AMOUNTS:
                self._instance("resource", MODIFIED, _resource(guest.parts[name]), _resource(old.parts[name]))

    def _switches(self, changes: Iterable[Change]) -> None:
        """Tell what became of switches and their ports."""
        for path, old, now in changes:
            cls = LIFE[CREATED if old is None else DELETED if now is None else MODIFIED]
            shown = now or old
            if shown is not None and self._wanted(cls):
                self._tell(cls, path, shown, old if now is not None else None)

    def _read(self, one: Documented) -> None:
        """A guest's definitions were read anew: which resources are new, others, gone, now and at the next start?"""
        if isinstance(one, Guest | Network):
            self._switches(self._board.read(one))
        if not isinstance(one, Guest) or (uuid := one.view.uuid) not in self._world.guests:
            return
        was, now = self._last.get(uuid), _as_it_is(one)
        self._last[uuid] = now
        if (was is not None or uuid in self._new) and self._kept.subscriptions:
            self._resources(was, now)
        self._new.discard(uuid)

    def _resources(self, was: Guest | None, now: Guest | None) -> None:
        """Tell what became of a guest's resources; None stands for a guest that is not there."""
        if not any(self._wanted(f"{OWN['resource']}{what}Indication") for what in LIFE):
            return
        old, new = resources(was), resources(now)
        for name in [*old, *(name for name in new if name not in old)]:
            if name not in new:
                self._instance("resource", DELETED, _resource(old[name]))
            elif name not in old:
                self._instance("resource", CREATED, _resource(new[name]))
            elif new[name].name in AMOUNTS and now is not None:
                self._instance("resource", MODIFIED, _resource(new[name]), _resource(_with_view(old[name], now)))
            elif old[name].device.facts != new[name].device.facts:
                self._instance("resource", MODIFIED, _resource(new[name]), _resource(old[name]))

    def _job(self, job: Job) -> None:
        if not self._kept.subscriptions:
            return
        about = "migration" if jobkinds.node(job).kind is jobkinds.MIGRATIONS else ""
        self._instance(about, CREATED if job.ended is None else MODIFIED, jobkinds.node(job))

    def _pool(self, item: PoolEvent) -> None:
        """A pool becomes full once, until it no longer is."""
        if item.pool is None or not alerts.full(item.pool):
            self._full.discard(item.uuid)
        elif item.uuid not in self._full:
            self._full.add(item.uuid)
            pool = pools.Pool(self._world, "disk", item.name, storage=self._world.pools.get(item.uuid))
            self._alert(alerts.POOL_FULL, item, Node(pools.KINDS["disk"], pool))

    # --- indications

    def _wanted(self, cls: str) -> bool:
        """Whether a subscription could be to indications of a class."""
        return any(self._registry.schema.is_a(cls, query.cls.name) for _, _, query, _ in self._kept.active())

    def _instance(self, about: str, what: str, node: Node, before: Node | None = None) -> None:
        cls = f"{OWN[about]}{what}Indication" if about else LIFE[what]
        if self._wanted(cls):
            self._tell(
                cls, self._path(node), self.embedded(node), self.embedded(before) if before is not None else None
            )

    def _tell(self, cls: str, path: str, now: Embedded, old: Embedded | None) -> None:
        """Tell of an instance; of one that changed, with what it was before."""
        found: dict[str, Value] = {"SourceInstance": now, "SourceInstanceHost": self._world.hostname,
                                   "SourceInstanceModelPath": path}  # fmt: skip
        if old is not None:
            changed = sorted(
                name for name in now.values.keys() | old.values.keys() if now.values.get(name) != old.values.get(name)
            )
            if not changed:
                return
            found |= {"PreviousInstance": old, "ChangedPropertyNames": changed}
        self._send(cls, found)

    def _alert(self, alert: Alert, item: AnyEvent, node: Node) -> None:
        cls = "KVM_AlertIndication"
        if self._wanted(cls):
            words = alert.words(item)
            self._send(cls, {
                "AlertingManagedElement": self._path(node), "AlertingElementFormat": 2, "AlertType": alert.type,
                "PerceivedSeverity": alert.severity, "ProbableCause": self._cause(alert.cause),
                "ProbableCauseDescription": alert.cause, "EventID": alert.id, "EventTime": values.moment(item.time or time.time()),
                "SystemCreationClassName": HOST, "SystemName": self._world.hostname, "ProviderName": "Frontinus",
                "Message": words, "Description": words, "OwningEntity": "Frontinus", "MessageID": alert.id,
            })  # fmt: skip

    def _cause(self, words: str) -> int:
        """The number of a probable cause: the schema's table has it."""
        declared = self._registry.schema["CIM_AlertIndication"].by_name["probablecause"]
        names, numbers = declared.qualifier("Values"), declared.qualifier("ValueMap")
        assert isinstance(names, list) and isinstance(numbers, list)
        return int(numbers[names.index(words)])

    def embedded(self, node: Node) -> Embedded:
        """An instance with the properties that are not NULL."""
        columns = node.kind.columns
        found = {name: value for name in columns if (value := node.value(name)) is not None}
        return Embedded(node.kind.cls, found)

    def _path(self, node: Node) -> str:
        """A path in the form that people read (DSP0207)."""
        path = self._registry.path(node, VIRT)
        keys = ",".join(f'{name}="{_quoted(value)}"' for name, value in path.keys)
        return f"{path.namespace}:{path.cls}.{keys}"

    def _send(self, cls: str, found: Mapping[str, Value]) -> None:
        """Give an indication to all whose filter it passes."""
        self._number += 1
        stamped: dict[str, Value] = {
            **found, "IndicationTime": values.moment(time.time()),
            "IndicationIdentifier": f"Frontinus:{self._host}-{self._number}",
        }  # fmt: skip
        made = Embedded(cls, stamped)
        read = reader(self._registry.schema[cls], made)
        told: set[tuple[str, str]] = set()
        for subscription, passed, query, destination in list(self._kept.active()):
            key, places = (subscription.filter, destination.name), passed.namespaces
            if key in told or (places and VIRT not in [place.strip("/").lower() for place in places]):
                continue
            with suppress(CimError):  # a condition that does not fit this class is not met
                if self._registry.schema.is_a(cls, query.cls.name) and query.takes(read):
                    told.add(key)  # once, however many filters of a collection it passes
                    self._delivery.send(subscription.filter, destination, made, passed.name)

    # --- how deliveries ended

    def _ended(self, filter_name: str, destination: str, arrived: bool) -> None:
        key = (filter_name, destination)
        subscription = self._kept.subscriptions.get(key)
        if arrived or subscription is None:
            self._failing.pop(key, None)
            return
        since = self._failing.setdefault(key, time.monotonic())
        if subscription.policy != IGNORE and time.monotonic() - since >= subscription.trigger:
            self._failing.pop(key, None)
            log.warning("%s does not take indications: its subscription is given up", destination)
            task = asyncio.get_running_loop().create_task(self._give_up(key, subscription.policy))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _give_up(self, key: tuple[str, str], policy: int) -> None:
        with suppress(CimError):
            if policy == REMOVE:
                await self._kept.remove(SUBSCRIPTION, key)
            elif policy == DISABLE and (subscription := self._kept.subscriptions.get(key)) is not None:
                await self._kept.change_subscription(subscription, {"SubscriptionState": DISABLED})


def _as_it_is(guest: Guest) -> Guest:
    """A guest that stays as it is."""
    following = _as_it_is(guest.next) if guest.next is not None else None
    return dataclasses.replace(guest, next=following, _parts=None, cache={})


def resources(guest: Guest | None) -> Mapping[str, Part]:
    """The resources of a guest now and of its next start, by the InstanceIDs of their settings."""
    both = (guest, guest.next) if guest is not None else ()
    parts = (part for one in both if one is not None for part in one.parts.values())
    return {part.id: part for part in parts if part.family in settings.RESOURCES}


def _with_view(part: Part, now: Guest) -> Part:
    """An amount as it was read last, but for the guest's view: that is told with the guest. The next start's is only read."""
    if part.guest.defined:
        return part
    return dataclasses.replace(part, guest=dataclasses.replace(part.guest, view=now.view))


def _resource(part: Part) -> Node:
    return Node(settings.RESOURCES[part.family], part)


def _quoted(value: Value) -> str:
    return str(value).replace("\\", "\\\\").replace('"', '\\"')


def reader(cls: Class, indication: Embedded) -> Callable[[Sequence[str]], Value]:
    """The properties of an indication and, by further names, of the instances in it."""

    def read(names: Sequence[str]) -> Value:
        plain: Iterable[str] = names[1:] if len(names) > 1 and names[0].lower() == cls.name.lower() else names
        at: Value = indication
        for name in plain:
            if not isinstance(at, Embedded):
                return None
            at = next((value for known, value in at.values.items() if known.lower() == name.lower()), None)
        return at

    return read
