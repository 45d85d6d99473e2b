"""NICs of a running guest that change: their ports on networks, their taps, rates and filters. All of it, or nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from frontinus.domain.devices.base import Device
from frontinus.domain.devices.interface import Interface
from frontinus.domain.plan import DevicePlan, Tap
from frontinus.engine import runstate
from frontinus.engine.filter import filtering
from frontinus.engine.guest.preparing import give_back
from frontinus.engine.network import netlife, netports
from frontinus.engine.record import Record, Running
from frontinus.engine.world import World


async def shape(world: World, card: Device) -> None:
    """Limit the rates of a NIC that asks for it. Raises Unsupported, HostFailed."""
    if isinstance(card, Interface) and card.target and (card.inbound or card.outbound):
        await world.limits.shape(card.target, card.inbound, card.outbound)


@asynccontextmanager
async def ported(world: World, record: Record, old: Device, new: Device) -> AsyncIterator[None]:
    """Give a changed NIC its port: the one it has, or one of the network that it goes to. The other it holds until its
    guest is written down (`netports.leave`)."""
    if not isinstance(old, Interface) or not isinstance(new, Interface):
        yield
        return
    new.target = new.target or old.target
    if netports.stays(world, record, old, new):
        yield
        await netports.renew(world, new)
        return
    await netports.plug_card(world, record, new)
    new.target = new.target or old.target
    try:
        yield
    except BaseException:
        await netports.release_card(world, new)
        raise


@asynccontextmanager
async def changed(world: World, record: Record, running: Running, old: Device, new: Device,
                  plan: DevicePlan) -> AsyncIterator[DevicePlan]:  # fmt: skip
    """What the host does for a changed NIC, taken back if the rest fails; the plan of what is left for the hypervisor."""
    if not isinstance(old, Interface) or not isinstance(new, Interface):
        yield plan
        return
    rest = replace(plan, resources=tuple(one for one in plan.resources if not isinstance(one, Tap)))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(filtering.changed(world, record, running, old, new))
        if _is_elsewhere(old, new):
            taps = [one for one in plan.resources if isinstance(one, Tap)]
            await stack.enter_async_context(_moved(world, record, running, old, new, taps))
        if (old.inbound, old.outbound) != (new.inbound, new.outbound) and new.target:
            await stack.enter_async_context(_shaped(world, new.target, old, new))
        yield rest


def _is_elsewhere(old: Interface, new: Interface) -> bool:
    def place(card: Interface) -> tuple[object, ...]:
        return card.type, card.source, card.isolated, card.coalesce

    return place(old) != place(new)


@asynccontextmanager
async def _shaped(world: World, link: str, old: Interface, new: Interface) -> AsyncIterator[None]:
    await world.limits.shape(link, new.inbound, new.outbound)
    try:
        yield
    except BaseException:
        await world.limits.shape(link, old.inbound, old.outbound)
        raise


@asynccontextmanager
async def _moved(world: World, record: Record, running: Running, old: Interface, new: Interface,
                 taps: Sequence[Tap]) -> AsyncIterator[None]:  # fmt: skip
    """The tap on its other bridge, or otherwise on the same, with what its port is promised there."""
    live = running.guest.clone()
    live.devices.interfaces = [new if card.alias == old.alias else card for card in live.devices.interfaces]
    known = len(running.undo)

    async def journal(undo: Sequence[dict[str, object]]) -> None:
        running.undo[known:] = undo
        await runstate.save_running(world.store, record)

    promised = _port(old) != _port(new)
    before = [one for one in running.undo if promised and _is_floor_of(one, old.alias)]
    there = netports.with_floors(world, live, taps) if promised else taps
    await _join(world, old, new)
    try:
        made = [undo for tap in there if isinstance(tap, Tap)
                for undo in await world.resources.adjust(_settled(tap, new), journal)]  # fmt: skip
        try:
            yield
        except BaseException:
            await give_back(world, running, made)
            raise
    except BaseException:
        await _join(world, new, old)
        for tap in taps:
            await world.resources.adjust(_settled(tap, old), journal)
        raise
    await give_back(world, running, before)


async def _join(world: World, old: Interface, new: Interface) -> None:
    """The tap goes to its other bridge, if it has another."""
    bridge = netports.bridge_of(new)
    if bridge is not None and bridge != netports.bridge_of(old):
        await netlife.host_networks(world).join(new.target or "", bridge)


def _settled(tap: Tap, card: Interface) -> Tap:
    return replace(tap, isolated=bool(card.isolated), coalesce=card.coalesce or 0)


def _port(card: Interface) -> str | None:
    return card.source.port_id if card.source else None


def _is_floor_of(undo: Mapping[str, object], alias: str | None) -> bool:
    return undo.get("kind") == "floor" and undo.get("alias") == alias
