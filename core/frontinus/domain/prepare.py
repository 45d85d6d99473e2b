"""Preparation: the runtime copy of a definition, made anew at each start (id, aliases, paths of sockets)."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from frontinus.domain.aliases import assign_alias, assign_aliases, is_user_alias
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.cpu.host import concrete_cpu
from frontinus.domain.defaults import says_model
from frontinus.domain.devices.block.disk import number_layers
from frontinus.domain.devices.character import mirror_console
from frontinus.domain.devices.graphics import FIRST_PORT, assign_ports
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts
from frontinus.domain.hyperv import with_enlightenments

__all__ = ["assign_alias", "prepare"]


def prepare(guest: Guest, caps: Capabilities, host: HostFacts, *, guest_id: int,
            free_port: Callable[[], int] | None = None) -> Guest:  # fmt: skip
    """A copy with its id, every device's alias, and what is chosen at each start.

    `free_port` returns another port for a display each time; without it they are counted from the first.
    """
    live = guest.clone()
    live.id = guest_id
    if live.cpu and says_model(live.cpu):
        live.cpu = concrete_cpu(live, caps, live.cpu)
    with_enlightenments(live, caps)
    for device in live.devices.all():
        device.alias = device.alias if is_user_alias(device.alias) else None
    assign_aliases(live)
    number_layers(live.devices.disks)
    for device in live.devices.all():
        device.prepare(live, caps, host)
    mirror_console(live)
    assign_ports(live, free_port or itertools.count(FIRST_PORT).__next__)
    return live
