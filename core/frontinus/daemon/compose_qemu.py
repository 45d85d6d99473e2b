"""The engine on QEMU and Linux."""

from __future__ import annotations

import os
from pathlib import Path

from frontinus.api.node import SecurityModel
from frontinus.daemon.config import Config
from frontinus.engine.access import Policy
from frontinus.engine.local import LocalEngine
from frontinus.engine.world import World
from frontinus.linux.audit import LinuxAudit
from frontinus.linux.cgroups import Cgroups
from frontinus.linux.guestlogs import GuestLogs, Turn
from frontinus.linux.host import probe_facts, probe_view
from frontinus.linux.imagefiles import LinuxImages
from frontinus.linux.keeper import HostKeeper
from frontinus.linux.network.filters import BridgeFilters
from frontinus.linux.network.networks import LinuxNetworks
from frontinus.linux.node import LinuxNode
from frontinus.linux.resources import LinuxResources
from frontinus.linux.storage.host import LinuxStorage
from frontinus.network.firewall import table_name
from frontinus.qemu.driver import QemuHypervisor
from frontinus.state.store import FileStore


async def qemu_engine(config: Config, policy: Policy | None = None) -> LocalEngine:
    """An engine that manages this host's QEMU guests."""
    host = probe_facts(config.paths, session=config.session)
    filters = BridgeFilters(table_name(config.paths))
    world = World(
        hypervisor=QemuHypervisor(config.emulator, config.paths),
        resources=LinuxResources(
            config.paths, uid_range=None if config.session else config.uid_range,
            secret_of=lambda *use: world.secrets.value(*use), filters=filters,
        ),
        store=FileStore(config.paths, exclusive=True),
        host=host,
        host_view=probe_view,
        audit=LinuxAudit(),
        node=LinuxNode(),
        storage=LinuxStorage(Path(config.paths.run)),
        keeper=HostKeeper(Path(config.paths.config)),
        images=LinuxImages(),
        limits=Cgroups(config.paths),
        logs=GuestLogs(Turn(config.guest_log_size, config.guest_log_backups)),
        host_networks=LinuxNetworks(config.paths, _no_networks(config)),
        default_network=config.default_network,
        firewall=filters,
        security_model=SecurityModel(model="" if config.session else "dac", doi="" if config.session else "0"),
    )  # fmt: skip
    return LocalEngine(world, policy)


def _no_networks(config: Config) -> str | None:
    """Why an engine can have no virtual networks."""
    if config.session or os.geteuid() != 0:
        return (
            "an engine that is not root's can make no virtual networks: use <interface type='user'>, with"
            " <backend type='passt'/> where passt is installed"
        )
    return None
