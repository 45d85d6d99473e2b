"""The audit trail: what was done to guests and what they were given, for whoever must account for a host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Audited:
    """The guest that a record is about. `virt`: kvm or qemu."""

    name: str
    uuid: str
    virt: str = "kvm"


class AuditTrail(Protocol):
    """Takes records without making anyone wait; where the host keeps no trail they go nowhere."""

    def control(self, guest: Audited, op: str, reason: str, *, success: bool = True, pid: int | None = None) -> None:
        """A guest was started, stopped...: op "start", reason "booted"."""

    def resource(
        self, guest: Audited, kind: str, reason: str, old: str | None, new: str | None, *, success: bool = True
    ) -> None:
        """A guest's share of the host changed: kind disk, net, mem, vcpu, rng, dev..., reason start, attach, detach, update.

        `old` and `new`: a path, a MAC, a size in KiB, a count; None for nothing.
        """

    def labels(self, guest: Audited, model: str, process: str, image: str, *, success: bool = True) -> None:
        """How a guest is confined: model "dac", labels of its process and of its images."""

    def close(self) -> None:
        """Write what waits, and let go. Idempotent; nothing is told afterwards."""
