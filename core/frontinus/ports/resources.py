"""Setting up what a plan lists, and undoing it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from frontinus.domain.plan import Resource, Tap


@dataclass(frozen=True)
class Credentials:
    """Whom QEMU runs as. None: as the engine itself (session mode)."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass
class Prepared:
    """What was set up: descriptors by the child's number (owned by the caller), and undo records (JSON-able, in order)."""

    fds: dict[int, int] = field(default_factory=dict)
    undo: list[dict[str, object]] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    """Names that the host chose, by device alias: the tap of an interface, say."""


Journal = Callable[[Sequence[dict[str, object]]], Awaitable[None]]
"""Makes undo records durable; awaited before anything is changed that would outlive a crash."""


class Resources(Protocol):
    """The host side of a start. Every undo record is written to run state before QEMU starts, so a crash leaks nothing."""

    async def credentials(self, guest_uuid: str) -> Credentials | None:
        """The user of this guest: one uid per guest from the configured range where that is possible."""

    async def set_up(self, resources: Sequence[Resource], who: Credentials | None, journal: Journal) -> Prepared:
        """Walk forward; on failure walk back and raise. Never leaves half.

        The undo records of everything that will be made are worked out first and journalled, then acted on.
        """

    async def adjust(self, tap: Tap, journal: Journal) -> list[dict[str, object]]:
        """Have a tap that is on its bridge, by its name, as it is to be there; the undo records of what it is promised.

        Raises HostFailed.
        """

    async def tear_down(self, undo: Sequence[Mapping[str, object]]) -> None:
        """Walk backward; one that fails is logged and does not stop the others. Idempotent."""

    async def sweep(self, living: Sequence[str]) -> None:
        """End processes and remove folders, taps and helpers of ours that belong to none of the living guests.

        `living` are private folders; a QEMU of ours is known by its HOME, which is its private folder.
        """

    def close(self) -> None:
        """Let go once all that was begun has ended; what is set up stays. Idempotent; nothing is asked afterwards."""
