"""Filters, collections of them, receivers and subscriptions as instances (DSP1054)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import structs

from frontinus_cim.host.world import World
from frontinus_cim.instances import services
from frontinus_cim.instances.kinds import Kind, Link, Node
from frontinus_cim.subscriptions.filter_collections import Collection
from frontinus_cim.subscriptions.store import (
    COLLECTION,
    DESTINATION,
    FILTER,
    SUBSCRIPTION,
    TO_COLLECTION,
    Destination,
    Filter,
)
from frontinus_cim.wire import values
from frontinus_cim.wire.model import HOST, INTEROP, Value


def _placed(world: World, found: Filter | None) -> Filter | None:
    """A filter; one of the provider's own belongs to the host."""
    return found if found is None or found.system[0] else structs.replace(found, system=(HOST, world.hostname))


def _filters(world: World) -> Iterable[Filter]:
    return (found for one in world.subscriptions.all_filters() if (found := _placed(world, one)) is not None)


def filter_of(world: World, name: Value) -> Filter | None:
    return _placed(world, world.subscriptions.find_filter(str(name)))


FILTERS: Kind[Filter] = Kind(FILTER, {
    "SystemCreationClassName": lambda f: f.system[0], "SystemName": lambda f: f.system[1], "CreationClassName": FILTER,
    "Name": lambda f: f.name, "ElementName": lambda f: f.element, "Query": lambda f: f.query,
    "QueryLanguage": lambda f: f.language, "SourceNamespaces": lambda f: f.namespaces,
    "IndividualSubscriptionSupported": lambda f: f.individually,
}, _filters, lambda world, path: filter_of(world, path.key("Name")), (INTEROP,))  # fmt: skip

COLLECTIONS: Kind[Collection] = Kind(COLLECTION, {
    "InstanceID": lambda c: c.name, "CollectionName": lambda c: c.collection, "ElementName": lambda c: c.element,
    "Caption": "Filters that can be subscribed to as one",
}, lambda world: world.subscriptions.collections.every(),
    lambda world, path: world.subscriptions.collections.find(str(path.key("InstanceID"))), (INTEROP,))  # fmt: skip

DESTINATIONS: Kind[Destination] = Kind(DESTINATION, {
    "SystemCreationClassName": lambda d: d.system[0], "SystemName": lambda d: d.system[1], "CreationClassName": DESTINATION,
    "Name": lambda d: d.name, "ElementName": lambda d: d.element, "Destination": lambda d: d.url,
    "PersistenceType": lambda d: d.persistence, "Protocol": 2, "username": lambda d: d.username,
}, lambda world: world.subscriptions.destinations.values(),
    lambda world, path: world.subscriptions.destinations.get(str(path.key("Name"))), (INTEROP,))  # fmt: skip


def _receivers(world: World, node: Node) -> Iterable[Node]:
    """Those that a filter or a collection is subscribed to for."""
    kept, name = world.subscriptions, name_of(node)
    return (Node(DESTINATIONS, kept.destinations[d]) for f, d in kept.subscriptions if f == name)


def _subscribed(world: World, node: Node) -> Iterable[str]:
    return (f for f, d in world.subscriptions.subscriptions if d == node.subject.name)


def _filters_of(world: World, node: Node) -> Iterable[Node]:
    return (Node(FILTERS, found) for f in _subscribed(world, node) if (found := filter_of(world, f)) is not None)


def _collections_of(world: World, node: Node) -> Iterable[Node]:
    collections = world.subscriptions.collections
    return (Node(COLLECTIONS, found) for f in _subscribed(world, node) if (found := collections.find(f)) is not None)


def name_of(filter_or_collection: Node) -> str:
    """What a subscription or a collection calls a filter or collection."""
    return str(filter_or_collection.subject.name)


def shown(world: World, first: Node, second: Node) -> Mapping[str, Value]:
    """A subscription's properties."""
    found = world.subscriptions.subscriptions[name_of(first), second.subject.name]
    left = None if found.duration is None else max(int(found.started + found.duration - time.time()), 0)
    return {
        "SubscriptionState": found.state, "OnFatalErrorPolicy": found.policy, "RepeatNotificationPolicy": found.repeat,
        "FailureTriggerTimeInterval": found.trigger, "SubscriptionDuration": found.duration,
        "SubscriptionStartTime": values.moment(found.started), "SubscriptionTimeRemaining": left,
        "SubscriptionInfo": found.info,
    }  # fmt: skip


def _members(world: World, node: Node) -> Iterable[Node]:
    """What is in a collection: filters, or other collections."""
    for name in node.subject.members:
        if (found := filter_of(world, name)) is not None:
            yield Node(FILTERS, found)
        elif (inner := world.subscriptions.collections.find(name)) is not None:
            yield Node(COLLECTIONS, inner)


def _holders(world: World, node: Node) -> Iterable[Node]:
    return (Node(COLLECTIONS, one) for one in world.subscriptions.collections.holders(name_of(node)))


def _all_collections(world: World, node: Node) -> Iterable[Node]:
    return (Node(COLLECTIONS, one) for one in world.subscriptions.collections.every())


def _service(world: World, node: Node) -> Iterable[Node]:
    return [Node(services.KINDS[services.INDICATIONS], world)]


def _affected(world: World, node: Node) -> Iterable[Node]:
    """Everything that the service of indications works with."""
    return (Node(kind, subject) for kind in KINDS for subject in kind.every(world))


def _effects(world: World, first: Node, second: Node) -> Mapping[str, Value]:
    return {"ElementEffects": [5]}


KINDS: Sequence[Kind[Any]] = (FILTERS, COLLECTIONS, DESTINATIONS)
ENDS = {
    SUBSCRIPTION: Link(SUBSCRIPTION, ("Filter", [FILTER]), ("Handler", [DESTINATION]), _receivers, _filters_of, shown, (INTEROP,)),
    TO_COLLECTION: Link(TO_COLLECTION, ("Filter", [COLLECTION]), ("Handler", [DESTINATION]), _receivers, _collections_of, shown,
                        (INTEROP,)),
}  # fmt: skip
"""Subscriptions, by their class."""
MEMBERS = Link("CIM_MemberOfCollection", ("Collection", [COLLECTION]), ("Member", [FILTER, COLLECTION]), _members, _holders,
               namespaces=(INTEROP,))  # fmt: skip
LINKS = (
    *ENDS.values(),
    MEMBERS,
    Link("CIM_OwningCollectionElement", ("OwningElement", [services.INDICATIONS]), ("OwnedElement", [COLLECTION]),
         _all_collections, _service, namespaces=(INTEROP,)),
    Link("KVM_ServiceAffectsElement", ("AffectedElement", [kind.cls for kind in KINDS]),
         ("AffectingElement", [services.INDICATIONS]), _service, _affected, _effects, (INTEROP,)),
)  # fmt: skip
