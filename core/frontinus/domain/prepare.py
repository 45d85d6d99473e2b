"""Preparation: the runtime copy of a definition, made anew at each start (id, aliases, paths of sockets)."""

from __future__ import annotations

from frontinus.domain.aliases import assign_alias, assign_aliases
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.devices.character import mirror_console
from frontinus.domain.devices.disk import number_layers
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts

__all__ = ["assign_alias", "prepare"]


def prepare(guest: Guest, caps: Capabilities, host: HostFacts, *, guest_id: int) -> Guest:
    """A copy with its id, every device's alias, and what is chosen at each start."""
    live = guest.clone()
    live.id = guest_id
    assign_aliases(live)
    number_layers(live.devices.disks)
    for device in live.devices.all():
        device.prepare(live, caps, host)
    mirror_console(live)
    return live
