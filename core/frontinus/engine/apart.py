"""Work that takes as long as a document is long is done apart, in a thread: the event loop serves all others meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from frontinus.domain.definition import format_guest
from frontinus.domain.guest import Guest

T = TypeVar("T")
LONG_DOCUMENT = 8192
"""Characters of a document from which on a thread reads it. What is shorter costs some milliseconds."""
MANY_DEVICES = 100
"""Devices of a guest from which on a thread writes its document, and plans for it."""


def is_large(guest: Guest) -> bool:
    return sum(1 for _ in guest.devices.all()) >= MANY_DEVICES


async def reading(xml: object, work: Callable[[], T]) -> T:
    """Do the work that a document gives."""
    if isinstance(xml, str) and len(xml) >= LONG_DOCUMENT:
        return await asyncio.to_thread(work)
    return work()


async def completing(guest: Guest, work: Callable[[], T]) -> T:
    """Complete a guest with a device that comes, goes or changes: the larger it is, the longer that takes."""
    return await asyncio.to_thread(work) if is_large(guest) else work()


async def copied(definition: Guest) -> Guest:
    """A copy of a definition. Those never change in place, so a thread may take its time over one."""
    return await asyncio.to_thread(definition.clone) if is_large(definition) else definition.clone()


async def writing(guest: Guest, work: Callable[[Guest], T]) -> T:
    """Write down a guest that may change meanwhile, as it is now."""
    return await asyncio.to_thread(work, guest.clone()) if is_large(guest) else work(guest)


async def planning(guest: Guest, work: Callable[[], T]) -> T:
    """Plan the start of a guest. Programs beside QEMU may have to be asked what they can do."""
    if is_large(guest) or guest.devices.tpms or guest.devices.filesystems:
        return await asyncio.to_thread(work)
    return work()


async def document(guest: Guest, *, active: bool = False, secrets: bool = False) -> str:
    """A guest's document."""
    if is_large(guest):
        return await asyncio.to_thread(format_guest, guest, active=active, secrets=secrets)
    return format_guest(guest, active=active, secrets=secrets)
