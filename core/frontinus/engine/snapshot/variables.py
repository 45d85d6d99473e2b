"""The image with a guest's UEFI variables, as the snapshots of one that is off need it."""

from __future__ import annotations

from frontinus.domain.firmware import with_firmware
from frontinus.domain.guest import Guest
from frontinus.domain.snapshots.deciding import INSIDE, inside
from frontinus.domain.snapshots.snapshot import DomainSnapshot
from frontinus.domain.snapshots.variables import variable_store
from frontinus.engine.world import World


async def with_variables(world: World, guest: Guest) -> Guest:
    """The guest with the variable store that it gets when it starts, also where its firmware is chosen then."""
    caps = await world.hypervisor.capabilities(guest.devices.emulator)
    return with_firmware(guest, caps, world.host)


async def inside_image(world: World, snapshot: DomainSnapshot, guest: Guest) -> dict[str, str]:
    """The image of the variables, by path with its format, if it is there and a snapshot of disks is to be inside it too."""
    if not inside(snapshot) or guest.os.loader is None and guest.os.firmware is None:
        return {}
    store = variable_store(await with_variables(world, guest))
    if store is None or store[1] not in INSIDE or not await world.images.present([store[0]]):
        return {}
    return dict([store])


async def reset_variables(world: World, definition: Guest) -> None:
    """The UEFI variable store is made anew from its template at the next start."""
    store = variable_store(await with_variables(world, definition))
    if store is not None:
        await world.images.remove([store[0]])
