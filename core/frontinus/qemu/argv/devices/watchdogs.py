"""Watchdogs, and what QEMU does when one fires."""

from __future__ import annotations

from frontinus.domain.devices.watchdog import BUILT_IN, Watchdog
from frontinus.qemu.argv.address import address_props, alias_of
from frontinus.qemu.argv.context import Context

ACTIONS = {"dump": "pause"}
"""QEMU's word for an action, where it is another: the engine dumps a guest that its watchdog paused."""


def build(ctx: Context) -> None:
    """Emit every watchdog, and the action that is the same for all."""
    watchdogs = ctx.guest.devices.watchdogs
    for device in watchdogs:
        watchdog(ctx, device)
    if watchdogs:
        action = watchdogs[0].action
        ctx.text("watchdog-action", ACTIONS.get(action, action))


def plug(ctx: Context, device: Watchdog) -> None:
    """Emit a watchdog for a guest that runs, and set the action."""
    watchdog(ctx, device)
    ctx.command("watchdog-set-action", action=ACTIONS.get(device.action, device.action))


def watchdog(ctx: Context, device: Watchdog) -> None:
    """Emit one watchdog. The chipset's own is there already: it is allowed to reset."""
    if device.model == BUILT_IN:
        ctx.text("global", "ICH9-LPC.noreboot=off")
        return
    ctx.props("device", {"driver": device.model, "id": alias_of(device), **address_props(ctx, device)})
