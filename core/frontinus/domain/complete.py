"""Completion: what a definition leaves open is decided once, at define time, and kept for ever."""

from __future__ import annotations

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts


def complete(guest: Guest, caps: Capabilities, host: HostFacts) -> Guest:
    """The guest with canonical machine, UUID, defaults, implicit devices and every address assigned."""
    done = guest.clone()
    for device in done.devices.all():
        device.complete(done, caps, host)
    return done
