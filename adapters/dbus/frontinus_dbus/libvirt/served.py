"""Who answers each interface of org.libvirt: methods, getters and setters by name. What is not here is in `missing`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from frontinus_dbus.libvirt import (
    connect,
    domain,
    domain_agent,
    domain_blocks,
    domain_looks,
    domain_tuning,
    filters,
    networks,
    node,
    pools,
    secrets,
    snapshots,
    volumes,
)
from frontinus_dbus.service import Getter, Handler, Setter


@dataclass(frozen=True)
class Served:
    """The handlers of one interface."""

    methods: Mapping[str, Handler]
    getters: Mapping[str, Getter] = field(default_factory=dict)
    setters: Mapping[str, Setter] = field(default_factory=dict)


SERVED: Mapping[str, Served] = {
    "org.libvirt.Connect": Served(
        {**connect.METHODS, **node.METHODS, **networks.CONNECT, **filters.CONNECT, **secrets.CONNECT, **pools.CONNECT,
         **volumes.CONNECT}, connect.GETTERS),
    "org.libvirt.Domain": Served(
        {**domain.METHODS, **domain_tuning.METHODS, **domain_agent.METHODS, **domain_looks.METHODS,
         **domain_blocks.METHODS, **snapshots.DOMAIN},
        {**domain.GETTERS, **domain_tuning.GETTERS}, domain.SETTERS),
    "org.libvirt.DomainSnapshot": Served(snapshots.METHODS),
    "org.libvirt.NWFilter": Served(filters.METHODS, filters.GETTERS),
    "org.libvirt.Network": Served(networks.METHODS, networks.GETTERS, networks.SETTERS),
    "org.libvirt.Secret": Served(secrets.METHODS, secrets.GETTERS),
    "org.libvirt.StoragePool": Served({**pools.METHODS, **volumes.OF_POOL}, pools.GETTERS, pools.SETTERS),
    "org.libvirt.StorageVol": Served(volumes.METHODS, volumes.GETTERS),
}  # fmt: skip
NOTHING = Served({})
