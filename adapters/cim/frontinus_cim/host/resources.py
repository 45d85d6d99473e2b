"""The host's networks, storage pools and filters as the provider knows them: a view, and what their documents say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lxml import etree

from frontinus.api.engine import Engine
from frontinus.api.filters import FilterView
from frontinus.api.networks import NetworkView
from frontinus.api.storage import PoolView, VolumeView
from frontinus.client.details import Device, Facts, facts, parse


@dataclass(eq=False)
class Network:
    """A virtual network. `next`: what its next start will have, while it is up and defined."""

    view: NetworkView
    facts: Facts = field(default_factory=dict)
    next: Facts | None = None
    requested: int = 12
    """RequestedState: what was asked for last through this provider; 12 (Not Applicable) before."""

    async def read(self, engine: Engine) -> None:
        uuid = self.view.uuid
        self.facts = facts(parse(await engine.network_xml(uuid)))
        both = self.view.active and self.view.persistent
        self.next = facts(parse(await engine.network_xml(uuid, inactive=True))) if both else None


@dataclass(eq=False)
class Storage:
    """A storage pool with its volumes by name; an inactive one shows none."""

    view: PoolView
    facts: Facts = field(default_factory=dict)
    volumes: Mapping[str, VolumeView] = field(default_factory=dict)

    async def read(self, engine: Engine) -> None:
        self.facts = facts(parse(await engine.pool_xml(self.view.uuid)))
        listed = await engine.volumes(self.view.uuid) if self.view.active else []
        self.volumes = {volume.name: volume for volume in listed}


@dataclass(eq=False)
class Filter:
    """A network filter: its rules and references in their order, each with the facts of its element."""

    view: FilterView
    entries: tuple[Device, ...] = ()

    async def read(self, engine: Engine) -> None:
        root: etree._Element = parse(await engine.filter_xml(self.view.uuid))
        self.entries = tuple(Device(str(e.tag), facts(e)) for e in root if e.tag in ("rule", "filterref"))
