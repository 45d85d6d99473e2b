"""Who calls: what the socket says of the peer, and for whom an adapter speaks."""

from __future__ import annotations

import msgspec


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """A caller. `readonly` is set by the socket it came through; `on_behalf` is the adapter that passed it on."""

    uid: int
    gid: int
    pid: int = 0
    groups: tuple[int, ...] = ()
    readonly: bool = False
    on_behalf: str | None = None
    name: str | None = None
    bus_name: str | None = None
    """The unique name of a caller on the system bus, where it came that way."""
    interactive: bool = False
    """Whether the caller allows that a user is asked to authenticate meanwhile."""
