"""What there is beside guests: the host with its nodes, jobs, pools with volumes, networks with leases, read as they change."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from frontinus.api.engine import Engine
from frontinus.api.errors import FrontinusError, Unsupported
from frontinus.api.networks import LeaseView
from frontinus.api.storage import VolumeView
from frontinus_snmp import store
from frontinus_snmp.ber import Oid
from frontinus_snmp.hostres import Reader
from frontinus_snmp.model import Model
from frontinus_snmp.rows import Node, State

log = logging.getLogger(__name__)
NODES = Path("/sys/devices/system/node")
READ_AT_ONCE = 16
APART = 2.0
"""Seconds between two looks at the host's own figures."""
T = TypeVar("T")
K = TypeVar("K", int, Oid)


class HostSide:
    """Reads what the stream said has changed, and shows it in the state. `folder` keeps pools' and networks' numbers."""

    def __init__(self, state: State, model: Model, folder: Path) -> None:
        self._state, self._model = state, model
        self._numbers = store.Numbers(folder, store.HOST)
        self._volumes: dict[str, Sequence[VolumeView]] = {}
        self._leases: dict[str, Sequence[LeaseView]] = {}
        self._resources, self._measured = Reader(), float("-inf")
        state.host_numbers = self._numbers.numbers

    def forget(self) -> None:
        self._volumes.clear()
        self._leases.clear()
        self._state.host, self._state.nodes, self._state.jobs = None, (), ()
        self._state.places.keep("job", set())  # a new engine counts its jobs anew

    async def measure(self, engine: Engine) -> None:
        """What changes without news: the host's memory, the progress of jobs, what a network's leases are."""
        with suppress(FrontinusError):
            self._state.host = await engine.host()
        now = time.monotonic()
        if now - self._measured >= APART:
            self._measured = now
            self._state.nodes = await asyncio.to_thread(nodes)
            self._state.resources = await asyncio.to_thread(self._resources.read)
        await self._jobs(engine)

    async def _jobs(self, engine: Engine) -> None:
        with suppress(FrontinusError):
            found = await engine.jobs()
            self._state.places.keep("job", {job.id for job in found})
            self._state.jobs = _in_order((self._state.places.number("job", job.id), job) for job in found)
            self._model.stale_jobs = any(job.state == "running" for job in found)

    async def read(self, engine: Engine) -> None:
        """What changed, by the news."""
        fabric = self._model.fabric
        pools, fabric.stale_pools = fabric.stale_pools & set(fabric.pools), set()
        networks, fabric.stale_networks = fabric.stale_networks & set(fabric.networks), set()
        try:
            await asyncio.to_thread(self._numbers.learn, [*fabric.pools, *fabric.networks])
        except OSError as error:
            log.error("new pools and networks are not shown, for their numbers cannot be kept: %s", error)
        for pool in (await _each(sorted(pools), lambda uuid: _alone(engine.pool(uuid)))).values():
            for view in pool:  # its figures change with its volumes, without news of its own
                self._model.seen(view)
        active = [uuid for uuid in pools if fabric.pools[uuid].active]
        up = [uuid for uuid in networks if fabric.networks[uuid].active]
        for uuid in pools:
            self._volumes.pop(uuid, None)
        for uuid in networks:
            self._leases.pop(uuid, None)
        self._volumes.update(await _each(active, engine.volumes))
        self._leases.update(await _each(up, engine.network_leases))
        if self._model.stale_jobs:
            await self._jobs(engine)

    def show(self) -> None:
        """Put all that is known into the state."""
        state, fabric, numbers = self._state, self._model.fabric, self._numbers.numbers
        state.pools = _in_order((numbers[uuid], pool) for uuid, pool in fabric.pools.items() if uuid in numbers)
        state.networks = _in_order((numbers[uuid], view) for uuid, view in fabric.networks.items() if uuid in numbers)
        state.volumes = _in_order(
            ((numbers[uuid], state.places.number(f"volume {uuid}", volume.name)), volume)
            for uuid, volumes in self._volumes.items() if uuid in fabric.pools and uuid in numbers for volume in volumes
        )  # fmt: skip
        state.leases = _in_order(
            (lease_index(numbers[uuid], lease), lease)
            for uuid, leases in self._leases.items() if uuid in fabric.networks and uuid in numbers for lease in leases
        )  # fmt: skip


def _in_order(rows: Iterable[tuple[K, T]]) -> list[tuple[K, T]]:
    return sorted(rows, key=lambda row: row[0])


async def _alone(wanted: Awaitable[T]) -> list[T]:
    return [await wanted]


async def _each(uuids: Sequence[str], ask: Callable[[str], Awaitable[list[T]]]) -> Mapping[str, list[T]]:
    """What each has; nothing where the engine cannot say."""
    few = asyncio.Semaphore(READ_AT_ONCE)

    async def one(uuid: str) -> tuple[str, list[T]]:
        async with few:
            try:
                return uuid, await ask(uuid)
            except Unsupported:
                return uuid, []
            except FrontinusError as error:
                log.warning("%s", error.message)
                return uuid, []

    return dict(await asyncio.gather(*[one(uuid) for uuid in uuids]))


def lease_index(network: int, lease: LeaseView) -> Oid:
    """A lease's place: its network and its address, of which the length comes first."""
    address = ipaddress.ip_address(lease.address).packed
    return (network, len(address), *address)


def nodes(folder: Path = NODES) -> Sequence[tuple[Oid, Node]]:
    """The host's NUMA nodes, from sysfs."""
    found: list[tuple[Oid, Node]] = []
    for path in folder.glob("node[0-9]*"):
        with suppress(OSError, ValueError):
            memory = _meminfo((path / "meminfo").read_text())
            cpus = (path / "cpulist").read_text().strip()
            found.append(((int(path.name[4:]) + 1,), Node(cpus, memory["MemTotal"], memory["MemFree"])))
    return _in_order(found)


def _meminfo(text: str) -> Mapping[str, int]:
    """Bytes by name, of a node's meminfo."""
    return {name: int(size) * 1024 for name, size in re.findall(r"^Node \d+ (Mem\w+): +(\d+) kB$", text, re.MULTILINE)}
