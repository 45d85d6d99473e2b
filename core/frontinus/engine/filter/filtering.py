"""Filters of guests' NICs, from the start of each to its end: looked up before anything is made, in force before the NIC
is on its bridge, changed in one moment, and found again after a restart."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec

from frontinus.api.errors import FrontinusError
from frontinus.domain.devices.base import Device
from frontinus.domain.devices.interface import Interface
from frontinus.domain.plan import Resource, Tap
from frontinus.engine import runstate
from frontinus.engine.filter.filterbook import Nic
from frontinus.engine.loading import loading
from frontinus.engine.record import Record, Running
from frontinus.engine.runstate import RunState
from frontinus.engine.world import World
from frontinus.filter.instance import Filtered, FilterUse
from frontinus.filter.model import Binding, parse_binding, parse_filter

log = logging.getLogger(__name__)

KIND, BINDINGS, LEASES = "filters", "filter-bindings", "filter-leases"


async def with_filters(world: World, record: Record, resources: Sequence[Resource]) -> list[Resource]:
    """A plan's resources with what the filters of its taps come to. Raises NoSuchFilter, InvalidValue."""
    found = list(resources)
    for position, resource in enumerate(found):
        if isinstance(resource, Tap) and resource.filter is not None:
            nic = Nic("", record.uuid, record.name, resource.mac, resource.filter)
            world.filters.recall(nic)
            found[position] = replace(resource, filtered=await asyncio.to_thread(world.filters.filtered, nic))
    return found


async def join(world: World, record: Record, cards: Iterable[Interface], edition: int) -> None:
    """NICs have their links now. If filters changed since they were looked up (`edition`), the new ones are put in force."""
    nics = [_nic(world, record.uuid, record.name, card) for card in cards if card.filter and card.target]
    async with world.filters.lock:
        if nics and edition != world.filters.edition:
            await world.firewall.put(await world.filters.all_filtered(nics))
        world.filters.nics.update({nic.link: nic for nic in nics})


@asynccontextmanager
async def joined(world: World, record: Record, device: Device, edition: int) -> AsyncIterator[None]:
    """A device is about to be plugged: if it is a NIC with a filter it joins, and leaves again if that fails."""
    if not isinstance(device, Interface):
        yield
        return
    await join(world, record, [device], edition)
    try:
        yield
    except BaseException:
        await leave(world, record.uuid, device.target or "")
        raise


async def leave(world: World, owner: str, link: str | None = None) -> None:
    """A guest's NICs, or one of them, are about to be given back: nothing is put in force on them any more."""
    async with world.filters.lock:
        for nic in list(world.filters.nics.values()):
            if nic.owner_uuid == owner and not nic.foreign and link in (None, nic.link):
                del world.filters.nics[nic.link]
                if None in nic.addresses.values():
                    world.filters.leases.pop(nic.lease_key, None)
                    await world.store.delete(LEASES, nic.lease_key)


def _nic(world: World, uuid: str, name: str, card: Interface) -> Nic:
    assert card.filter_use is not None
    nic = Nic(card.target or "", uuid, name, card.mac or "", card.filter_use)
    world.filters.recall(nic)
    return nic


@asynccontextmanager
async def changed(world: World, record: Record, running: Running, old: Device, new: Device) -> AsyncIterator[None]:
    """A device is about to change: if it is a NIC its filter does, at once, and back if the rest fails."""
    if not isinstance(old, Interface) or not isinstance(new, Interface):
        yield
        return
    await refilter(world, record, running, old, new)
    try:
        yield
    except BaseException:
        await refilter(world, record, running, new, old)
        raise


async def refilter(world: World, record: Record, running: Running, old: Interface, new: Interface) -> None:
    """Change the filter of a running guest's NIC. On failure what was in force is so still."""
    link = old.target
    if old.filter_use == new.filter_use or link is None:
        return
    async with world.filters.lock:
        if new.filter is None:
            world.filters.nics.pop(link, None)
            await world.firewall.drop([link])
            running.undo = [one for one in running.undo if not _is_of(one, link)]
            return
        nic = _nic(world, record.uuid, record.name, new.clone(target=link))
        filtered = await asyncio.to_thread(world.filters.filtered, nic)
        if not any(_is_of(one, link) for one in running.undo):
            running.undo.append({"kind": "filter", "name": link, "alias": old.alias})
            await runstate.save_running(world.store, record)
        await world.firewall.put({link: filtered})
        world.filters.nics[link] = nic


def _is_of(undo: Mapping[str, object], link: str) -> bool:
    return undo.get("kind") == "filter" and undo.get("name") == link


# Addresses


def learned(world: World, link: str, addresses: Mapping[str, float | None]) -> None:
    """What is known of a guest's addresses changed."""
    nic = world.filters.nics.get(link)
    if nic is not None:
        nic.addresses = dict(addresses)
        world.filters.leases[nic.lease_key] = nic.addresses
        world.spawn(_keep(world, nic), f"leases of {link}")


async def _keep(world: World, nic: Nic) -> None:
    """Write down what is known of a NIC by now."""
    known = world.filters.leases.get(nic.lease_key)
    if known:
        await world.store.save(LEASES, nic.lease_key, msgspec.json.encode(known).decode())
    else:
        await world.store.delete(LEASES, nic.lease_key)


# After a restart


async def load_filters(world: World) -> None:
    """Find definitions, and what was learned. What does not load is set aside."""
    for key, text in await _documents(world, KIND):
        async with loading(world.store, KIND, key, f"{KIND} {key}"):
            filter = parse_filter(text)
            if filter.uuid != key:
                raise ValueError(f"holds the filter {filter.uuid}")
            world.filters.claim(filter)
            world.filters.put(filter)
    now = time.time()
    for key, text in await _documents(world, LEASES):
        async with loading(world.store, LEASES, key, f"{LEASES} {key}"):
            found = msgspec.json.decode(text, type=dict[str, float | None])
            world.filters.leases[key] = {one: end for one, end in found.items() if end is None or end > now}
        if not world.filters.leases.get(key):
            await world.store.delete(LEASES, key)


async def restore_filters(world: World, living: Iterable[RunState]) -> None:
    """Put the filters of all living guests, and of bindings that others made, in force again, all at one moment."""
    world.firewall.listen(lambda link, addresses: learned(world, link, addresses))
    for state in living:
        record = world.guests.get(state.uuid)
        guest = record.running.guest if record is not None and record.running is not None else state.guest()
        for card in guest.devices.interfaces:
            if card.filter and card.target:
                world.filters.nics[card.target] = _nic(world, state.uuid, state.name, card)
    for key, text in await _documents(world, BINDINGS):
        async with loading(world.store, BINDINGS, key, f"{BINDINGS} {key}"):
            world.filters.nics.setdefault(key, foreign(world, parse_binding(text)))
    wanted = await asyncio.to_thread(_what_is_not_lost, world)
    try:
        await world.firewall.restore(wanted, world.filters.nics.keys() - wanted.keys())
    except FrontinusError as error:
        log.error("filters cannot be put in force: %s", error.message)


def _what_is_not_lost(world: World) -> dict[str, Filtered]:
    wanted: dict[str, Filtered] = {}
    for nic in world.filters.nics.values():
        try:
            wanted[nic.link] = world.filters.filtered(nic)
        except FrontinusError as error:
            log.error("the filter of %s is lost, its rules are kept as they are: %s", nic.link, error.message)
    return wanted


def foreign(world: World, binding: Binding) -> Nic:
    """The NIC of a binding that somebody else made."""
    assert binding.filterref is not None
    use = FilterUse(binding.filterref.filter, tuple((one.name, one.value) for one in binding.filterref.parameters))
    nic = Nic(binding.link, binding.owner_uuid, binding.owner_name, binding.mac, use, foreign=True)
    world.filters.recall(nic)
    return nic


async def _documents(world: World, kind: str) -> list[tuple[str, str]]:
    return [(stored.key, stored.text) for stored in await world.store.load(kind)]
