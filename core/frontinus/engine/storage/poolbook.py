"""The book of pools: every pool with its definition, its run, and the volumes that the last refresh found."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from frontinus.api.errors import AlreadyExists, NoSuchPool, NoSuchVolume, WrongState
from frontinus.api.storage import PoolState, PoolView, VolumeKind, VolumeView
from frontinus.domain.host import Pool as PoolFacts
from frontinus.engine.jobs import JobLock
from frontinus.storage.pool import Pool
from frontinus.storage.pools import kind_of
from frontinus.storage.pools.base import Listing, PoolKind
from frontinus.storage.volume import Volume


@dataclass
class PoolRecord:
    """One pool. `running`: the definition that it was started with; `busy`: volumes that work is under way on."""

    uuid: str
    name: str
    definition: Pool | None = None
    running: Pool | None = None
    listing: Listing = field(default_factory=Listing)
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    places: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Type and path of each volume, for plans of guests."""
    autostart: bool = False
    building: bool = False
    lock: JobLock = field(default_factory=JobLock)
    busy: dict[str, str] = field(default_factory=dict)

    @property
    def pool(self) -> Pool:
        """The pool as it is: running, or as it would be."""
        found = self.running or self.definition
        assert found is not None
        return found

    @property
    def kind(self) -> PoolKind:
        return kind_of(self.pool.type)

    @property
    def state(self) -> PoolState:
        if self.building:
            return "building"
        if self.running is None:
            return "inactive"
        return "degraded" if self.listing.missing else "running"

    def need_running(self) -> Pool:
        """Raises WrongState."""
        if self.running is None:
            raise WrongState(f"pool '{self.name}' is not active", state=self.state)
        return self.running

    def need_inactive(self) -> Pool:
        """The definition of an inactive pool. Raises WrongState."""
        if self.running is not None or self.definition is None:
            raise WrongState(f"pool '{self.name}' is active", state=self.state)
        return self.definition

    def need_definition(self) -> Pool:
        if self.definition is None:
            raise WrongState(f"pool '{self.name}' is transient", state=self.state)
        return self.definition

    def need_idle(self) -> None:
        """Raises WrongState while work is under way on one of its volumes."""
        if self.busy:
            volume, work = next(iter(self.busy.items()))
            raise WrongState(f"pool '{self.name}': {work} of volume '{volume}' is under way", state=self.state)

    def need_free(self, volume: str) -> None:
        """Raises WrongState while work is under way on a volume."""
        if volume in self.busy:
            raise WrongState(f"volume '{volume}': {self.busy[volume]} is under way", state=self.state)

    def volume(self, name: str) -> Volume:
        """A volume by its name, or by its path or key in this pool. Raises NoSuchVolume."""
        self.need_running()
        found = self.volumes.get(name)
        if found is None and "/" in name:
            found = next((one for one in self.volumes.values() if name in (one.path, one.key)), None)
        if found is None:
            raise NoSuchVolume(f"pool '{self.name}' has no volume '{name[:200]}'", volume=name[:200])
        return found

    def found(self, listing: Listing) -> None:
        """Take over what a refresh found."""
        known, self.listing = self.listing.volumes, listing
        if listing.volumes is not known:
            self.volumes, self.places = listing.volumes, listing.places()

    def view(self) -> PoolView:
        pool, active = self.pool, self.running is not None
        listing = self.listing if active else Listing()
        return PoolView(
            uuid=self.uuid, name=self.name, kind=pool.type, state=self.state, active=active, autostart=self.autostart,
            persistent=self.definition is not None, path=pool.path or None, capacity=listing.capacity,
            allocation=listing.allocation, available=listing.available, volumes=len(self.volumes) if active else 0,
        )  # fmt: skip

    def volume_view(self, volume: Volume) -> VolumeView:
        backing = volume.backing
        return VolumeView(
            pool=self.uuid, name=volume.name or "", key=volume.key or volume.path, path=volume.path,
            kind=cast("VolumeKind", volume.type or "file"), format=volume.place.format, capacity=volume.capacity or 0,
            allocation=volume.allocation or 0, physical=volume.physical, backing=backing.path if backing else None,
            encrypted=volume.encryption is not None,
        )  # fmt: skip

    def facts(self) -> PoolFacts:
        """What plans of guests need to know of an active pool."""
        pool = self.need_running()
        source, auth = pool.origin, pool.origin.auth
        return PoolFacts(
            pool.type, self.places,
            hosts=tuple((host.name, host.port or 0) for host in source.hosts), device=next(iter(pool.device_paths), ""),
            initiator=source.initiator, auth_user=auth.username if auth else None, auth_uuid=auth.secret_uuid if auth else None,
            auth_usage=auth.secret_usage if auth else None,
        )  # fmt: skip


class PoolBook:
    """All pools, found by UUID or name."""

    def __init__(self) -> None:
        self._by_uuid: dict[str, PoolRecord] = {}
        self.lock = asyncio.Lock()
        """Held while a pool is added."""

    def __iter__(self) -> Iterator[PoolRecord]:
        return iter(sorted(self._by_uuid.values(), key=lambda record: record.name))

    def find(self, key: str) -> PoolRecord:
        """Raises NoSuchPool."""
        record = self._by_uuid.get(key.lower())
        record = record or next((one for one in self._by_uuid.values() if one.name == key), None)
        if record is None:
            raise NoSuchPool(f"no pool '{key[:100]}'", pool=key[:100])
        return record

    def claim(self, pool: Pool) -> PoolRecord | None:
        """The record that a definition replaces, or None. Raises AlreadyExists where it would double another pool."""
        for record in self:
            same = (record.uuid == pool.uuid, record.name == pool.name)
            if all(same):
                return record
            if any(same):
                raise AlreadyExists(f"pool '{record.name}' with UUID {record.uuid} exists", pool=record.name)
        wanted = kind_of(pool.type).identity(pool)
        for record in self:
            if record.kind.identity(record.pool) == wanted:
                raise AlreadyExists(f"pool '{record.name}' has the same source or target already", pool=record.name)
        return None

    def add(self, record: PoolRecord) -> None:
        self._by_uuid[record.uuid] = record

    def remove(self, record: PoolRecord) -> None:
        self._by_uuid.pop(record.uuid, None)

    def views(self) -> tuple[PoolView, ...]:
        return tuple(record.view() for record in self)

    def facts(self) -> dict[str, PoolFacts]:
        return {record.name: record.facts() for record in self if record.running is not None}
