"""The small buses: smartcard slots, memory slots, ISA."""

from __future__ import annotations

from frontinus.api.errors import InvalidXML
from frontinus.domain.devices.base import CcidAddress, DimmAddress
from frontinus.domain.guest import Guest

DIMMS = frozenset({"dimm", "nvdimm"})


def assign_ccid(guest: Guest) -> None:
    """Put each smartcard into the first free slot of controller 0, where it has none."""
    taken = {(a.controller, a.slot) for card in guest.devices.smartcards
             if isinstance(a := card.address, CcidAddress) and a.slot is not None}  # fmt: skip
    for card in guest.devices.smartcards:
        address = card.address
        if address is None or (isinstance(address, CcidAddress) and address.slot is None):
            controller = address.controller if isinstance(address, CcidAddress) else 0
            slot = next(n for n in range(len(taken) + 1) if (controller, n) not in taken)
            taken.add((controller, slot))
            card.address = CcidAddress(controller=controller, slot=slot)


def assign_dimms(guest: Guest) -> None:
    """Put each memory module into the first free slot. Raises InvalidXML for a slot used twice or missing."""
    if not guest.max_memory:
        return
    taken: set[int] = set()
    for module in guest.devices.memories:
        slot = module.address.slot if isinstance(module.address, DimmAddress) else None
        if slot is None:
            continue
        if slot in taken:
            raise InvalidXML(f"<memory>: memory slot {slot} is used twice", element="memory")
        if slot >= (guest.memory_slots or 0):
            raise InvalidXML(f"<memory>: slot {slot}: there are {guest.memory_slots or 0} slots", element="memory")
        taken.add(slot)
    for module in guest.devices.memories:
        address = module.address
        if module.model not in DIMMS or not (address is None or isinstance(address, DimmAddress)):
            continue
        if address is not None and address.slot is not None:
            continue
        slot = next((n for n in range(guest.memory_slots or 0) if n not in taken), None)
        if slot is None:
            raise InvalidXML("<memory>: no memory slot is free", element="memory")
        taken.add(slot)
        module.address = DimmAddress(slot=slot, base=address.base if address is not None else None)
