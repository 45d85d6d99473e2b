"""The read model of pools and networks: what the stream told, and of which the volumes or leases must be read again. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from frontinus.api.events import AnyEvent, LeaseEvent, NetworkEvent, PoolEvent, VolumeEvent
from frontinus.api.networks import NetworkView
from frontinus.api.storage import PoolView
from frontinus.api.views import Snapshot

V = TypeVar("V", NetworkView, PoolView)


class Fabric:
    """Views by UUID. `full` per cent of a pool taken is too much; a pool is told of once until it has room again."""

    def __init__(self, full: float = 90.0) -> None:
        self.pools: dict[str, PoolView] = {}
        self.networks: dict[str, NetworkView] = {}
        self.stale_pools: set[str] = set()
        self.stale_networks: set[str] = set()
        self._full = full
        self._told: set[str] = set()

    def clear(self) -> None:
        for known in (self.pools, self.networks, self.stale_pools, self.stale_networks, self._told):
            known.clear()

    def replace(self, snapshot: Snapshot) -> Iterator[PoolView]:
        """Everything anew; yields the pools that are full now."""
        self.pools = {pool.uuid: pool for pool in snapshot.pools}
        self.networks = {network.uuid: network for network in snapshot.networks}
        self.stale_pools, self.stale_networks = set(self.pools), set(self.networks)
        for pool in snapshot.pools:
            yield from self._fills(pool)

    def take(self, item: AnyEvent) -> Iterator[PoolView]:
        """One event; yields a pool that became full."""
        if isinstance(item, PoolEvent):
            self.stale_pools.add(item.uuid)
            _put(self.pools, item.uuid, item.pool)
            if item.pool is not None:
                yield from self._fills(item.pool)
        elif isinstance(item, VolumeEvent):
            self.stale_pools.add(item.pool)
        elif isinstance(item, NetworkEvent):
            self.stale_networks.add(item.uuid)
            _put(self.networks, item.uuid, item.network)
        elif isinstance(item, LeaseEvent):
            self.stale_networks |= {uuid for uuid, view in self.networks.items() if item.network in (uuid, view.name)}

    def seen(self, pool: PoolView) -> Iterator[PoolView]:
        """A pool's view as it was asked for."""
        if pool.uuid in self.pools:
            self.pools[pool.uuid] = pool
            yield from self._fills(pool)

    def _fills(self, pool: PoolView) -> Iterator[PoolView]:
        full = (
            pool.active and pool.capacity > 0 and 100 * (pool.capacity - pool.available) >= self._full * pool.capacity
        )
        if full and pool.uuid not in self._told:
            self._told.add(pool.uuid)
            yield pool
        elif not full:
            self._told.discard(pool.uuid)


def _put(known: dict[str, V], uuid: str, view: V | None) -> None:
    if view is None:
        known.pop(uuid, None)
    else:
        known[uuid] = view
