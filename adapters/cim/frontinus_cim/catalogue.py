"""All that the provider shows: every kind of instance, every association and every method, in one registry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from frontinus_cim.instances import (
    devices,
    filters,
    links_guests,
    links_host,
    links_switches,
    pool_settings,
    services,
    settings,
    subscription_kinds,
    switch_settings,
    switches,
    systems,
    vlans,
)
from frontinus_cim.instances.kinds import Kind, Link, Registry
from frontinus_cim.methods import define, state
from frontinus_cim.methods import pools as method_pools
from frontinus_cim.methods import switches as method_switches
from frontinus_cim.profiles import consoles, interop, jobkinds, metrics, migration, registration, snapshots
from frontinus_cim.schema.classes import Schema

BODIES = (consoles, define, jobkinds, method_pools, method_switches, metrics, migration, registration, snapshots, state)
"""The modules whose methods are registered by being imported."""
KINDS: Iterable[Kind[Any]] = (
    *systems.KINDS, *devices.KINDS.values(), *settings.KINDS, *pool_settings.ALL, *services.ALL, *jobkinds.KINDS,
    *subscription_kinds.KINDS, *interop.KINDS, *registration.KINDS, *metrics.KINDS, *snapshots.KINDS, *consoles.KINDS,
    *filters.KINDS, *switches.KINDS, *switch_settings.KINDS, *vlans.KINDS,
)  # fmt: skip
LINKS: Iterable[Link] = (
    *links_guests.LINKS, *links_host.LINKS, *links_switches.LINKS, *jobkinds.LINKS,
    *subscription_kinds.LINKS, *interop.LINKS, *metrics.LINKS,
    *snapshots.LINKS, *consoles.LINKS, *filters.LINKS, *vlans.LINKS, *registration.LINKS,
)  # fmt: skip


def registry(schema: Schema) -> Registry:
    """The model, checked against the schema as it is put together."""
    made = Registry(schema)
    made.add(*KINDS)
    made.associate(*LINKS)
    return made
