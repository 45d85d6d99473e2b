"""Preparation: the runtime copy of a definition, made anew at each start (id, aliases, paths of sockets)."""

from __future__ import annotations

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts


def prepare(guest: Guest, caps: Capabilities, host: HostFacts, *, guest_id: int) -> Guest:
    """A copy with its id and every device's alias."""
    live = guest.clone()
    live.id = guest_id
    return live
