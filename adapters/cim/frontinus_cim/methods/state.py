"""RequestStateChange of guests (DSP1057): which call of the engine brings a guest into which state."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from frontinus.api.engine import Engine
from frontinus.api.errors import Busy, WrongState
from frontinus_cim.host.guest import Guest
from frontinus_cim.instances.states import ALL_REQUESTS, REQUESTS, Enabled, shown
from frontinus_cim.methods.calls import MethodCall, Refused, Result, method

INVALID_TRANSITION, TIMEOUT_NOT_SUPPORTED, INVALID, BUSY = 4097, 4098, 5, 4099
"""Return values of RequestStateChange, beside 0 and 4096."""


async def _enable(engine: Engine, guest: Guest) -> None:
    """Start, restore, resume or wake, as the guest is."""
    state = guest.view.state
    if state == "paused":
        await engine.resume(guest.view.uuid)
    elif state == "pmsuspended":
        await engine.pm_wakeup(guest.view.uuid)
    else:
        await engine.start(guest.view.uuid)


async def _disable(engine: Engine, guest: Guest) -> None:
    """Off, whatever it takes; a saved state is given up."""
    if guest.view.active:
        await engine.destroy(guest.view.uuid)
    elif guest.view.managed_save:
        await engine.managed_save_remove(guest.view.uuid)


CHANGES: Mapping[int, Callable[[Engine, Guest], Awaitable[None]]] = {
    Enabled.ENABLED: _enable,
    Enabled.DISABLED: _disable,
    Enabled.SHUT_DOWN: lambda engine, guest: engine.shutdown(guest.view.uuid),
    Enabled.OFFLINE: lambda engine, guest: engine.managed_save(guest.view.uuid),
    Enabled.QUIESCE: lambda engine, guest: engine.suspend(guest.view.uuid),
    Enabled.REBOOT: lambda engine, guest: engine.reboot(guest.view.uuid),
    Enabled.RESET: lambda engine, guest: engine.reset(guest.view.uuid),
}
"""What each state that can be asked for means to the engine."""


def wanted_state(call: MethodCall, offered: Sequence[int]) -> int:
    """The state that a call asks for. Raises Refused."""
    wanted = call.arguments.get("RequestedState")
    if wanted not in offered or not isinstance(wanted, int):
        raise Refused(INVALID, f"{wanted} is no state that can be asked for")
    if call.arguments.get("TimeoutPeriod"):
        raise Refused(TIMEOUT_NOT_SUPPORTED, "a time limit cannot be set")
    return wanted


@method("KVM_ComputerSystem", "RequestStateChange")
async def request_state_change(call: MethodCall) -> Result:
    guest: Guest = call.node.subject
    wanted = wanted_state(call, ALL_REQUESTS)
    now = shown(guest.view).enabled
    if wanted == now and wanted in (Enabled.ENABLED, Enabled.DISABLED, Enabled.QUIESCE, Enabled.OFFLINE):
        return Result(0)
    if wanted not in REQUESTS[now]:
        raise Refused(INVALID_TRANSITION, f"from {now.name} to {wanted}")
    engine = call.engine
    try:
        await CHANGES[wanted](engine, guest)
    except WrongState as error:
        raise Refused(INVALID_TRANSITION, error.message) from None
    except Busy as error:
        raise Refused(BUSY, error.message) from None
    guest.requested = wanted
    guest.cache.clear()
    await call.world.caught_up(engine, guest.view.uuid)
    return Result(0)
