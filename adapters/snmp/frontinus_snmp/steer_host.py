"""What may be changed of pools and networks through FRONTINUS-MIB, planned like the guests' (steer.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from frontinus.api.engine import Engine
from frontinus.api.networks import NetworkView
from frontinus.api.storage import PoolView
from frontinus_snmp.ber import Oid
from frontinus_snmp.change import Refusal, Step, Wish
from frontinus_snmp.pdu import INCONSISTENT_VALUE, NO_CREATION
from frontinus_snmp.rows import State
from frontinus_snmp.steer import Wishes, engine_of

POOL_ACTIONS = ("none", "start", "stop", "refresh")
NETWORK_ACTIONS = ("none", "start", "stop")
START, STOP = 2, 3


def _found(view: PoolView | NetworkView | None, wishes: Wishes) -> None:
    if view is None:
        raise Refusal(NO_CREATION, next(iter(wishes.values())).place)


def _fits(view: PoolView | NetworkView, wish: Wish) -> None:
    if (wish.number == START) == view.active:
        raise Refusal(INCONSISTENT_VALUE, wish.place)


def pool_change(state: State, index: Oid, wishes: Wishes) -> Sequence[Step]:
    """Steps for a row of frnPoolTable."""
    engine = engine_of(state, wishes)
    view = next((pool for number, pool in state.pools if (number,) == index), None)
    _found(view, wishes)
    assert view is not None
    steps: list[Step] = []
    pool = view.uuid
    if (wish := wishes.get("frnPoolAutostart")) is not None:
        on = wish.number == 1
        steps.append(Step(wish.place, f"autostart of pool {view.name}: {on}", lambda: engine.set_pool_autostart(pool, on),
                          lambda: engine.set_pool_autostart(pool, view.autostart)))  # fmt: skip
    if (wish := wishes.get("frnPoolAction")) is not None and wish.number != 1:
        _fits(view, wish)
        steps.append(_pool_action(engine, view, wish))
    return steps


def _pool_action(engine: Engine, view: PoolView, wish: Wish) -> Step:
    pool, what = view.uuid, f"{POOL_ACTIONS[wish.number - 1]} pool {view.name}"
    if wish.number == START:
        return Step(wish.place, what, lambda: engine.start_pool(pool), lambda: engine.destroy_pool(pool))
    if wish.number == STOP:
        return Step(wish.place, what, lambda: engine.destroy_pool(pool), lambda: engine.start_pool(pool))
    return Step(wish.place, what, lambda: engine.refresh_pool(pool), lambda: asyncio.sleep(0))


def network_change(state: State, index: Oid, wishes: Wishes) -> Sequence[Step]:
    """Steps for a row of frnNetworkTable. A network that stops takes its guests' links down, which nothing gives back."""
    engine = engine_of(state, wishes)
    view = next((network for number, network in state.networks if (number,) == index), None)
    _found(view, wishes)
    assert view is not None
    steps: list[Step] = []
    network = view.uuid
    if (wish := wishes.get("frnNetworkAutostart")) is not None:
        on = wish.number == 1
        steps.append(Step(wish.place, f"autostart of network {view.name}: {on}",
                          lambda: engine.set_network_autostart(network, on),
                          lambda: engine.set_network_autostart(network, view.autostart)))  # fmt: skip
    if (wish := wishes.get("frnNetworkAction")) is not None and wish.number != 1:
        _fits(view, wish)
        what = f"{NETWORK_ACTIONS[wish.number - 1]} network {view.name}"
        if wish.number == START:
            steps.append(
                Step(wish.place, what, lambda: engine.start_network(network), lambda: engine.destroy_network(network))
            )
        else:
            steps.append(Step(wish.place, what, lambda: engine.destroy_network(network), None))
    return steps
