"""All that the provider shows: every kind of instance, every association and every method, in one registry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from frontinus_cim import (
    consoles,
    devices,
    filters,
    interop,
    jobkinds,
    links_guests,
    links_host,
    links_switches,
    method_define,
    method_pools,
    method_state,
    method_switches,
    metrics,
    migration,
    pool_settings,
    profiles,
    services,
    settings,
    snapshots,
    subscription_kinds,
    switch_settings,
    switches,
    systems,
    vlans,
)
from frontinus_cim.kinds import Kind, Link, Registry
from frontinus_cim.schema import Schema

BODIES = (
    consoles,
    jobkinds,
    method_define,
    method_pools,
    method_state,
    method_switches,
    metrics,
    migration,
    profiles,
    snapshots,
)
"""The modules whose methods are registered by being imported."""
KINDS: Iterable[Kind[Any]] = (
    *systems.KINDS, *devices.KINDS.values(), *settings.KINDS, *pool_settings.ALL, *services.ALL, *jobkinds.KINDS,
    *subscription_kinds.KINDS, *interop.KINDS, *profiles.KINDS, *metrics.KINDS, *snapshots.KINDS, *consoles.KINDS, *filters.KINDS,
    *switches.KINDS, *switch_settings.KINDS, *vlans.KINDS,
)  # fmt: skip
LINKS: Iterable[Link] = (
    *links_guests.LINKS, *links_host.LINKS, *links_switches.LINKS, *jobkinds.LINKS,
    *subscription_kinds.LINKS, *interop.LINKS, *metrics.LINKS,
    *snapshots.LINKS, *consoles.LINKS, *filters.LINKS, *vlans.LINKS, *profiles.LINKS,
)  # fmt: skip


def registry(schema: Schema) -> Registry:
    """The model, checked against the schema as it is put together."""
    made = Registry(schema)
    made.add(*KINDS)
    made.associate(*LINKS)
    return made
