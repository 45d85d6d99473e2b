"""Events of pools, their volumes and secrets, as pool-event, secret-event and event print them."""

from __future__ import annotations

import argparse

from frontinus.api.engine import Engine
from frontinus.api.events import Event, PoolEvent, SecretEvent, VolumeEvent
from frontinus.client.commands.base import Command, Output, arg
from frontinus.client.following import HOW, Told, follow

KINDS = {"pool": ("lifecycle", "refresh", "volume"), "secret": ("lifecycle", "value-changed")}
"""Kinds of events by the object that they are about: virsh's, and one of volumes."""
ANY = ""
"""Of all pools, or of all secrets."""


def pool_told(event: Event) -> Told | None:
    """An event of a pool or its volumes in words; None for others."""
    if isinstance(event, PoolEvent):
        if event.kind == "refreshed":
            return Told(event.uuid, "refresh", f"event 'refresh' for storage pool {event.name}")
        return Told(
            event.uuid, "lifecycle", f"event 'lifecycle' for storage pool {event.name}: {event.kind.capitalize()}"
        )
    if isinstance(event, VolumeEvent):
        return Told(event.pool, "volume", f"event 'volume' for storage pool {event.pool}: {event.volume} {event.kind}")
    return None


def secret_told(event: Event) -> Told | None:
    """An event of a secret in words; None for others."""
    if not isinstance(event, SecretEvent):
        return None
    if event.kind == "value-changed":
        return Told(event.uuid, "value-changed", f"event 'value-changed' for secret {event.uuid}")
    return Told(event.uuid, "lifecycle", f"event 'lifecycle' for secret {event.uuid}: {event.kind.capitalize()}")


async def show(engine: Engine, what: str, named: str, options: argparse.Namespace, out: Output) -> None:
    """Print events of pools or secrets, of one that is named or of ANY. Raises NoSuchPool, NoSuchSecret."""
    if options.list:
        for kind in KINDS[what]:
            out.line(kind)
        return
    about = await _uuid(engine, what, named) if named else None
    await follow(engine, options, out, pool_told if what == "pool" else secret_told, about, options.event)


async def _uuid(engine: Engine, what: str, named: str) -> str:
    return (await engine.pool(named)).uuid if what == "pool" else (await engine.secret(named)).uuid


async def _pool(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await show(engine, "pool", options.pool or ANY, options, out)


async def _secret(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await show(engine, "secret", options.secret or ANY, options, out)


COMMANDS = (
    Command("pool-event", "show events of storage pools", (
        arg("--pool", help="name or UUID of one"), arg("--event", choices=list(KINDS["pool"])), *HOW), _pool),
    Command("secret-event", "show events of secrets", (
        arg("--secret", help="UUID of one"), arg("--event", choices=list(KINDS["secret"])), *HOW), _secret),
)  # fmt: skip
