"""All that the provider shows: every kind of instance, every association and every method, in one registry."""

from __future__ import annotations

from frontinus_cim import devices, links_guests, method_state, settings, systems
from frontinus_cim.kinds import Registry
from frontinus_cim.schema import Schema

BODIES = (method_state,)
"""The modules whose methods are registered by being imported."""


def registry(schema: Schema) -> Registry:
    """The model, checked against the schema as it is put together."""
    made = Registry(schema)
    for kinds in (systems.KINDS, devices.KINDS.values(), settings.KINDS):
        made.add(*kinds)
    for links in (links_guests.LINKS,):
        made.associate(*links)
    return made
