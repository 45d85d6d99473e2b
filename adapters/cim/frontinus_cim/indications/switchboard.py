"""What became of switches and their ports (DSP1097): each is looked at again after what may have changed it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import NamedTuple

from frontinus.api.views import Snapshot
from frontinus_cim.host.guest import Guest
from frontinus_cim.host.resources import Network
from frontinus_cim.host.world import World
from frontinus_cim.instances import switches
from frontinus_cim.instances.kinds import Node
from frontinus_cim.wire.model import Embedded

OWN = "/own"
"""What marks a network's own port, which is known by its definition, beside the network's UUID."""
Show = Callable[[Node], tuple[str, Embedded]]
"""The path of an instance, and what it says."""


class Change(NamedTuple):
    """An instance before and after; None where there was none, or is none any more."""

    path: str
    old: Embedded | None
    now: Embedded | None


class Switchboard:
    """All that was there when it was looked at last, by who brings it: a guest, a network (their UUIDs), a bridge's name.

    What the engine had before this process was told of it is not new: it is noted when it is read, and nothing is said.
    What goes is told by the event; what comes waits until it was read, for by then it is whole.
    """

    def __init__(self, world: World, show: Show) -> None:
        self._world, self._show = world, show
        self._seen: dict[str, Mapping[str, Embedded]] = {}
        self._bridges: dict[str, frozenset[str]] = {}
        self._unread: set[str] = set()

    def began(self, snapshot: Snapshot) -> None:
        """The engine told all that it has."""
        there = {guest.uuid for guest in snapshot.guests} | {network.uuid for network in snapshot.networks}
        self._bridges = {uuid: names for uuid, names in self._bridges.items() if uuid in there}
        kept = there | self._used()
        self._seen = {key: seen for key, seen in self._seen.items() if key.removesuffix(OWN) in kept}
        self._unread = there - self._seen.keys()

    def happened(self, one: Guest | str) -> Iterator[Change]:
        """An event told of a guest or of a network (its UUID)."""
        if isinstance(one, str):
            if one not in self._unread:
                yield from self._network(one, read=False)
        elif one.view.uuid not in self._world.guests or not one.view.active:
            yield from self._guest(one)

    def read(self, one: Guest | Network) -> Iterable[Change]:
        """Its documents were read anew."""
        uuid = one.view.uuid
        new = uuid not in self._unread
        self._unread.discard(uuid)
        changes = [*(self._guest(one) if isinstance(one, Guest) else self._network(uuid, read=True))]
        return changes if new else ()

    def _guest(self, guest: Guest) -> Iterator[Change]:
        """A guest came, went, or may have other interfaces."""
        uuid = guest.view.uuid
        if uuid in self._unread:
            return
        there = uuid in self._world.guests
        cards = guest.of("net") if there else []
        was = self._bridges.pop(uuid, frozenset())
        if now := frozenset(part.device["source/@bridge"] for part in cards) - {""}:
            self._bridges[uuid] = now
        for name in now - was:
            yield from self._bridge(name)
        ports = [port for part in cards if (port := switches.port_of(self._world, part)) is not None]
        yield from self._look(uuid, [Node(switches.PORTS, port) for port in ports], there)
        for name in was - now:
            yield from self._bridge(name)

    def _network(self, uuid: str, *, read: bool) -> Iterator[Change]:
        """A network came, went, or may be another; with it the ports of guests, and whether a bridge is the network's."""
        network = self._world.networks.get(uuid)
        there = network is not None
        switch, own = self._switch(network.view.name) if network is not None else ([], [])
        changes = [*self._look(uuid, switch, there)]
        if read or not there:
            changes += self._look(f"{uuid}{OWN}", own, there)
        yield from changes
        if changes:
            yield from chain.from_iterable(map(self._bridge, self._used()))
            yield from chain.from_iterable(map(self._guest, self._world.guests.values()))

    def _used(self) -> set[str]:
        return set().union(*self._bridges.values())

    def _bridge(self, name: str) -> Iterator[Change]:
        """A bridge of the host may have become a switch, or ceased to be one: guests use it, and no network has it."""
        owned = any(name in (one.view.bridge, one.view.name) for one in self._world.networks.values())
        there = not owned and any(name in names for names in self._bridges.values())
        if there != (name in self._seen):
            yield from self._look(name, [*chain(*self._switch(name))] if there else [], there)

    def _switch(self, name: str) -> tuple[list[Node], list[Node]]:
        """A switch, and the port that is its own."""
        switch = switches.find_switch(self._world, name)
        if switch is None:
            return [], []
        own = [Node(switches.PORTS, switches.Port(switch))] if switches.own_device(switch) else []
        return [switches.switch_node(switch)], own

    def _look(self, key: str, nodes: Iterable[Node], there: bool) -> Iterator[Change]:
        was, now = self._seen.pop(key, {}), dict(map(self._show, nodes))
        if there:
            self._seen[key] = now
        for path in [*was, *(path for path in now if path not in was)]:
            if was.get(path) != now.get(path):
                yield Change(path, was.get(path), now.get(path))
