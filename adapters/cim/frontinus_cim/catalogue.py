"""All that the provider shows: every kind of instance, every association and every method, in one registry."""

from __future__ import annotations

from frontinus_cim import (
    devices,
    jobkinds,
    links_guests,
    links_host,
    method_define,
    method_state,
    pool_settings,
    services,
    settings,
    systems,
)
from frontinus_cim.kinds import Registry
from frontinus_cim.schema import Schema

BODIES = (jobkinds, method_define, method_state)
"""The modules whose methods are registered by being imported."""


def registry(schema: Schema) -> Registry:
    """The model, checked against the schema as it is put together."""
    made = Registry(schema)
    for kinds in (
        systems.KINDS,
        devices.KINDS.values(),
        settings.KINDS,
        pool_settings.ALL,
        services.ALL,
        jobkinds.KINDS,
    ):
        made.add(*kinds)
    for links in (links_guests.LINKS, links_host.LINKS, jobkinds.LINKS):
        made.associate(*links)
    return made
