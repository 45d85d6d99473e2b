"""Descriptors of callers: given to a guest under a name, and handed to its hypervisor where a plan asks for them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from frontinus.api.descriptor import Descriptor
from frontinus.api.errors import InvalidValue, Unsupported
from frontinus.api.files import DescriptorFlag
from frontinus.domain.host import HostFacts
from frontinus.domain.plan import Handed, Resource
from frontinus.engine.guest.fdgroups import Group
from frontinus.engine.lifetime import CALLER
from frontinus.engine.record import Record
from frontinus.engine.world import World
from frontinus.ports import Credentials, Journal, Prepared

LONGEST = 255


class Handing:
    """The use case of who gives descriptors."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def associate_descriptors(self, guest: str, name: str, descriptors: Sequence[Descriptor],
                                    flags: Sequence[DescriptorFlag] = ()) -> None:  # fmt: skip
        """The flags are about labels of files, and no security model here labels what descriptors lead to."""
        record, lifetime = self.world.guests.find(guest), CALLER.get()
        if not name or len(name) > LONGEST or not name.isprintable():
            raise InvalidValue(f"a group's name has 1 to {LONGEST} characters that can be printed", field="name")
        if not descriptors:
            raise InvalidValue("no descriptor is given", field="descriptors")
        if lifetime is None:
            raise Unsupported("descriptors go with the connection of who gave them, and this caller has none")
        record.fdgroups.put(name, Group(descriptors, lifetime.allowance), lifetime)


def host_for(world: World, record: Record) -> HostFacts:
    """The host as a plan sees it that will be acted on: with what callers gave this guest."""
    return replace(world.host, fdgroups=record.fdgroups.modes())


async def set_up(world: World, record: Record, resources: Sequence[Resource], who: Credentials | None,
                 journal: Journal) -> Prepared:  # fmt: skip
    """Set up a plan's resources; copies of descriptors that callers gave join those that the host makes."""
    ours: dict[int, int] = {}
    try:
        for one in resources:
            if isinstance(one, Handed):
                ours |= zip(one.fds, record.fdgroups.copy(one.group), strict=False)
        others = [one for one in resources if not isinstance(one, Handed)]
        prepared = await world.resources.set_up(others, who, journal)
    except BaseException:
        for fd in ours.values():
            os.close(fd)
        raise
    prepared.fds |= ours
    return prepared
