"""Filters, receivers and subscriptions (DSP1054): what clients made, on disk before they are told so, kept over restarts."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path as FilePath
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec

from frontinus import durable
from frontinus.client import private
from frontinus.client.private import BadState
from frontinus_cim.schema.classes import Schema
from frontinus_cim.subscriptions import predefined
from frontinus_cim.subscriptions.filter_collections import Collection, Collections
from frontinus_cim.wire import query
from frontinus_cim.wire.errors import CimError, Status
from frontinus_cim.wire.model import HOST, Embedded, Value
from frontinus_cim.wire.query import Query

K = TypeVar("K")
log = logging.getLogger(__name__)

FILE = "indications.json"
FILTER, DESTINATION, SUBSCRIPTION = (
    "CIM_IndicationFilter",
    "CIM_ListenerDestinationCIMXML",
    "CIM_IndicationSubscription",
)
COLLECTION, TO_COLLECTION = "CIM_FilterCollection", "CIM_FilterCollectionSubscription"
MOST = 1000
"""Filters, receivers, collections, their members and subscriptions: of each so many."""
MOST_URL = 1024
ENABLED, DISABLED = 2, 4
IGNORE, DISABLE, REMOVE = 2, 3, 4
"""OnFatalErrorPolicy."""


class Filter(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A filter that a client made, or one of the provider's own. `system` is what the client said of the system it belongs to."""

    name: str
    query: str
    language: str
    system: tuple[str, str]
    element: str | None = None
    namespaces: list[str] | None = None
    individually: bool = True


class Destination(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A receiver that a client made."""

    name: str
    url: str
    system: tuple[str, str]
    element: str | None = None
    persistence: int = 2
    username: str | None = None
    password: str | None = None


class Subscription(msgspec.Struct, kw_only=True, omit_defaults=True):
    """That a receiver is told of what passes a filter or one of a collection of filters; both by their names."""

    filter: str
    destination: str
    state: int = ENABLED
    policy: int = IGNORE
    trigger: int = 0
    repeat: int = 2
    started: float = 0.0
    duration: int | None = None
    info: str | None = None

    @property
    def on(self) -> bool:
        return self.state == ENABLED and (self.duration is None or time.time() < self.started + self.duration)


class Active(NamedTuple):
    """A subscription that counts now, with one of the filters that it is to."""

    subscription: Subscription
    filter: Filter
    query: Query
    destination: Destination


class Kept(msgspec.Struct):
    """What the file holds."""

    filters: list[Filter] = []
    destinations: list[Destination] = []
    subscriptions: list[Subscription] = []
    collections: list[Collection] = []


class Subscriptions:
    """All of them. `folder` is None for those of a test that keep nothing. `changed` is called after each change."""

    def __init__(self, schema: Schema, folder: FilePath | None = None) -> None:
        self._schema, self._folder = schema, folder
        self._lock = asyncio.Lock()
        self.filters: dict[str, Filter] = {}
        self.collections = Collections()
        self.destinations: dict[str, Destination] = {}
        self.subscriptions: dict[tuple[str, str], Subscription] = {}
        self.own = {name: Filter(name=name, query=text, language="WQL", system=("", ""), element=name)
                    for name, text in predefined.QUERIES.items()}  # fmt: skip
        """The filters that are there anyhow: they belong to the host, whatever it is called."""
        self.queries = {f.name: query.parse(schema, f.language, f.query) for f in self.own.values()}
        self.changed: Callable[[], None] = lambda: None
        self._load()

    def _load(self) -> None:
        """Raises BadState."""
        if self._folder is None:
            return
        try:
            kept = msgspec.json.decode(private.read(self._folder / FILE), type=Kept)
            self.queries |= {f.name: query.parse(self._schema, f.language, f.query) for f in kept.filters}
        except FileNotFoundError:
            return
        except (msgspec.MsgspecError, CimError) as error:
            raise BadState(f"{self._folder / FILE} is damaged: {error}") from None
        self.filters = {f.name: f for f in kept.filters}
        self.collections.made = {c.name: c for c in kept.collections}
        self.destinations = {d.name: d for d in kept.destinations}
        self.subscriptions = {(s.filter, s.destination): s for s in kept.subscriptions if self._has_ends(s)}

    def _has_ends(self, subscription: Subscription) -> bool:
        """Whether it still leads somewhere: a provider of another version may have other filters of its own."""
        known = self.find_filter(subscription.filter) or self.collections.find(subscription.filter)
        if known and subscription.destination in self.destinations:
            return True
        log.warning("the subscription to '%s' is left out: there is no such filter any more", subscription.filter)
        return False

    def find_filter(self, name: str) -> Filter | None:
        """One of the provider's own, or of clients'."""
        return self.own.get(name) or self.filters.get(name)

    def all_filters(self) -> Iterable[Filter]:
        return itertools.chain(self.own.values(), self.filters.values())

    async def save(self) -> None:
        """Raises CimError when it cannot be kept: then the change is taken back by whoever made it."""
        if self._folder is not None:
            data = msgspec.json.encode(Kept(list(self.filters.values()), list(self.destinations.values()),
                                            list(self.subscriptions.values()), list(self.collections.made.values())))  # fmt: skip
            if len(data) > private.MOST:
                raise CimError(Status.SERVER_LIMITS_EXCEEDED, "that is more than can be kept")
            try:
                await asyncio.to_thread(durable.write, self._folder / FILE, data)
            except OSError as error:
                raise CimError(Status.FAILED, f"it cannot be kept: {error.strerror}") from None
        self.changed()

    def active(self) -> Iterable[Active]:
        """The subscriptions that count now; one to a collection with each of its filters."""
        for one in self.subscriptions.values():
            if not one.on:
                continue
            whole = self.collections.find(one.filter)
            for name in self.collections.filters_of(one.filter) if whole is not None else [one.filter]:
                if (found := self.find_filter(name)) is not None:
                    yield Active(one, found, self.queries[name], self.destinations[one.destination])

    # --- changes, one at a time

    async def add_filter(self, given: Embedded, hostname: str) -> str:
        """Make a filter; its name. Raises CimError."""
        given_values, name = given.values, _name(given)
        _not_ours(name)
        text, language = str(given_values.get("Query") or ""), str(given_values.get("QueryLanguage") or "")
        parsed = query.parse(self._schema, language, text)
        if not self._schema[parsed.cls.name].has("Indication"):
            raise CimError(Status.INVALID_QUERY, f"{parsed.cls.name} is no indication")
        namespaces = given_values.get("SourceNamespaces")
        places = [str(place) for place in namespaces] if isinstance(namespaces, list) else None
        made = Filter(name=name, query=text, language=language, system=_system(given, hostname), namespaces=places,
                      element=_text(given, "ElementName"))  # fmt: skip
        async with self._lock:
            _room(self.filters, name)
            _room(self.collections.made, name)
            self.filters[name], self.queries[name] = made, parsed
            await self._keep(lambda: (self.filters.pop(name), self.queries.pop(name)))
        return name

    async def add_collection(self, given: Embedded) -> str:
        """Make a collection, with nothing in it; its InstanceID. Raises CimError."""
        label = _text(given, "CollectionName")
        name = _name(given, "InstanceID") if given.values.get("InstanceID") else label or str(uuid.uuid4())
        _not_ours(name)
        made = Collection(name=name, collection=label or name, element=_text(given, "ElementName"))
        async with self._lock:
            _room(self.collections.made, name)
            _room(self.filters, name)
            self.collections.made[name] = made
            await self._keep(lambda: self.collections.made.pop(name))
        return name

    async def change_members(self, collection: str, *, add: str | None = None, remove: str | None = None) -> None:
        """Put a filter or a collection into a client's collection, or take it out. Raises CimError."""
        async with self._lock:
            found = self.collections.made.get(collection)
            if found is None:
                raise CimError(Status.NOT_SUPPORTED, "what is in the provider's own collections stays as it is")
            old, members = found, [name for name in found.members if name != remove]
            if add is not None:
                self._may_join(found, add)
                members.append(add)
            self.collections.made[collection] = msgspec.structs.replace(found, members=members)
            await self._keep(lambda: self.collections.made.__setitem__(collection, old))

    def _may_join(self, collection: Collection, name: str) -> None:
        if name in collection.members:
            raise CimError(Status.ALREADY_EXISTS, "it is in the collection already")
        if self.collections.leads_to(name, collection.name):
            raise CimError(Status.INVALID_PARAMETER, "a collection cannot be in itself")
        if sum(len(one.members) for one in self.collections.made.values()) >= MOST:
            raise CimError(Status.SERVER_LIMITS_EXCEEDED, f"there are {MOST} members of collections already")

    async def add_destination(self, given: Embedded, hostname: str) -> str:
        """Make a receiver; its name. Raises CimError."""
        name, url = _name(given), str(given.values.get("Destination") or "")
        _check_url(url)
        persistence = given.values.get("PersistenceType")
        made = Destination(
            name=name, url=url, system=_system(given, hostname), element=_text(given, "ElementName"),
            persistence=persistence if isinstance(persistence, int) else 2, username=_text(given, "username"),
            password=_text(given, "password"),
        )  # fmt: skip
        async with self._lock:
            _room(self.destinations, name)
            self.destinations[name] = made
            await self._keep(lambda: self.destinations.pop(name))
        return name

    async def add_subscription(self, given: Embedded, filter_name: str, destination: str) -> tuple[str, str]:
        """Subscribe. Raises CimError."""
        found, key = given.values, (filter_name, destination)
        made = Subscription(
            filter=filter_name, destination=destination, started=time.time(), info=_text(given, "SubscriptionInfo")
        )
        for attribute, prop in GIVEN:
            if isinstance(number := found.get(prop), int):
                setattr(made, attribute, number)
        _check_subscription(made)
        async with self._lock:
            _room(self.subscriptions, key)
            self.subscriptions[key] = made
            await self._keep(lambda: self.subscriptions.pop(key))
        return key

    async def change_subscription(self, subscription: Subscription, changes: Mapping[str, Value]) -> None:
        """Set what of a subscription can be set. Raises CimError."""
        new = msgspec.structs.replace(subscription)
        for prop, value in changes.items():
            attribute = CHANGEABLE.get(prop)
            if attribute is None:
                raise CimError(Status.NOT_SUPPORTED, f"{prop} of a subscription cannot be changed")
            setattr(new, attribute, value)
        _check_subscription(new)
        key = (subscription.filter, subscription.destination)
        async with self._lock:
            self.subscriptions[key] = new
            await self._keep(lambda: self.subscriptions.__setitem__(key, subscription))

    async def remove(self, kind: str, key: str | tuple[str, str]) -> None:
        """Forget one. Raises CimError while a subscription or a collection needs it."""
        tables: Mapping[str, dict[Any, Any]] = {
            FILTER: self.filters, DESTINATION: self.destinations, SUBSCRIPTION: self.subscriptions,
            COLLECTION: self.collections.made}  # fmt: skip
        async with self._lock:
            if kind in (FILTER, COLLECTION):
                self._may_go(str(key))
            elif kind == DESTINATION and any(key == destination for _, destination in self.subscriptions):
                raise CimError(Status.FAILED, "a subscription refers to it")
            if (old := tables[kind].pop(key, None)) is None:
                raise CimError(Status.NOT_FOUND, "it is gone already")
            await self._keep(lambda: tables[kind].__setitem__(key, old))
            if kind == FILTER:
                self.queries.pop(str(key), None)

    def _may_go(self, name: str) -> None:
        if name in self.own or name in predefined.COLLECTIONS:
            raise CimError(Status.NOT_SUPPORTED, "it is the provider's own and stays")
        if any(name == subscribed for subscribed, _ in self.subscriptions):
            raise CimError(Status.FAILED, "a subscription refers to it")
        if next(self.collections.holders(name), None) is not None:
            raise CimError(Status.FAILED, "it is in a collection: take it out first")

    async def expire(self) -> None:
        """Forget subscriptions whose time is over."""
        over = [
            s for s in self.subscriptions.values() if s.duration is not None and time.time() > s.started + s.duration
        ]
        for subscription in over:
            await self.remove(SUBSCRIPTION, (subscription.filter, subscription.destination))

    async def _keep(self, undo: Callable[[], object]) -> None:
        try:
            await self.save()
        except CimError:
            undo()
            raise


GIVEN = (("state", "SubscriptionState"), ("policy", "OnFatalErrorPolicy"), ("duration", "SubscriptionDuration"),
         ("trigger", "FailureTriggerTimeInterval"), ("repeat", "RepeatNotificationPolicy"))  # fmt: skip
CHANGEABLE = {"SubscriptionState": "state", "SubscriptionDuration": "duration", "SubscriptionInfo": "info"}


def _room(table: Mapping[K, object], key: K) -> None:
    if key in table:
        raise CimError(Status.ALREADY_EXISTS, "there is one of this name")
    if len(table) >= MOST:
        raise CimError(Status.SERVER_LIMITS_EXCEEDED, f"there are {MOST} already")


def _name(given: Embedded, key: str = "Name") -> str:
    name = given.values.get(key)
    if not isinstance(name, str) or not 0 < len(name) <= MOST_URL:
        raise CimError(Status.INVALID_PARAMETER, f"{key} is missing or too long")
    return name


def _not_ours(name: str) -> None:
    if name.startswith(predefined.OWNER):
        raise CimError(Status.INVALID_PARAMETER, f"names that begin with {predefined.OWNER} are the provider's")


def _text(given: Embedded, name: str) -> str | None:
    value = given.values.get(name)
    return value[:MOST_URL] if isinstance(value, str) else None


def _system(given: Embedded, hostname: str) -> tuple[str, str]:
    return (_text(given, "SystemCreationClassName") or HOST, _text(given, "SystemName") or hostname)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and len(url) <= MOST_URL
    except ValueError:
        sound = False
    if not sound or "@" in parts.netloc:
        raise CimError(Status.INVALID_PARAMETER, f"Destination '{url[:80]}' is no http or https URL of a receiver")


def _check_subscription(made: Subscription) -> None:
    if made.state not in (ENABLED, DISABLED):
        raise CimError(Status.INVALID_PARAMETER, "SubscriptionState is 2 (Enabled) or 4 (Disabled)")
    if made.policy not in (IGNORE, DISABLE, REMOVE):
        raise CimError(Status.INVALID_PARAMETER, "OnFatalErrorPolicy is 2 (Ignore), 3 (Disable) or 4 (Remove)")
    if made.repeat != 2:
        raise CimError(Status.INVALID_PARAMETER, "RepeatNotificationPolicy is 2 (None)")
