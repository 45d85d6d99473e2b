"""Which of a guest's vCPUs are there: by count, and one by one. Pure: the guest given is changed."""

from __future__ import annotations

from collections.abc import Collection

from frontinus.domain.guest import Guest
from frontinus.domain.tuning import Vcpu


def set_maximum(guest: Guest, count: int) -> None:
    """So many at most; those beyond are gone, new ones are off."""
    if guest.vcpu_list:
        kept = [vcpu for vcpu in guest.vcpu_list if vcpu.id < count]
        guest.vcpu_list = [*kept, *(Vcpu(id=n, enabled=False, hotpluggable=True) for n in range(len(kept), count))]
        guest.vcpus = count
        _count(guest)
        return
    guest.vcpus = count
    if guest.vcpu_current is not None and guest.vcpu_current >= count:
        guest.vcpu_current = None


def set_count(guest: Guest, count: int) -> None:
    """So many at present: the lowest that are off come first, the highest that may go go first, as they are plugged."""
    if not guest.vcpu_list:
        guest.vcpu_current = count if count != guest.vcpus else None
        return
    on = [vcpu for vcpu in guest.vcpu_list if vcpu.enabled]
    off = [vcpu for vcpu in guest.vcpu_list if not vcpu.enabled]
    spare = sorted(on, key=lambda vcpu: (bool(vcpu.hotpluggable), vcpu.id), reverse=True)
    chosen = off[: count - len(on)] if count > len(on) else spare[: len(on) - count]
    switch(guest, {vcpu.id for vcpu in chosen}, online=count > len(on))


def switch(guest: Guest, numbers: Collection[int], *, online: bool) -> None:
    """Put these on or off."""
    guest.vcpu_list = each(guest)
    for vcpu in guest.vcpu_list:
        if vcpu.id in numbers:
            vcpu.enabled, vcpu.hotpluggable, vcpu.order = online, True, None
    if any(vcpu.enabled and vcpu.order is None for vcpu in guest.vcpu_list):
        for vcpu in guest.vcpu_list:  # some with an order and some without would be refused
            vcpu.order = None
    _count(guest)


def each(guest: Guest) -> list[Vcpu]:
    """Every vCPU: as described, else the first ones on and fixed, the others off."""
    current = guest.vcpu_current or guest.vcpus or 1
    return guest.vcpu_list or [
        Vcpu(id=number, enabled=number < current, hotpluggable=number >= current) for number in range(guest.vcpus or 1)
    ]


def _count(guest: Guest) -> None:
    enabled = sum(1 for vcpu in guest.vcpu_list if vcpu.enabled)
    guest.vcpu_current = enabled if enabled != guest.vcpus else None
