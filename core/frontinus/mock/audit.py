"""An audit trail in memory."""

from __future__ import annotations

from frontinus.ports.audit import Audited


class MemoryAudit:
    """`records`: kind, guest, what and whether it succeeded, in order."""

    def __init__(self) -> None:
        self.records: list[tuple[str, str, str, bool]] = []

    def control(self, guest: Audited, op: str, reason: str, *, success: bool = True, pid: int | None = None) -> None:
        self.records.append(("control", guest.name, f"{op} {reason}", success))

    def resource(
        self, guest: Audited, kind: str, reason: str, old: str | None, new: str | None, *, success: bool = True
    ) -> None:
        self.records.append(("resource", guest.name, f"{kind} {reason} {old}->{new}", success))

    def labels(self, guest: Audited, model: str, process: str, image: str, *, success: bool = True) -> None:
        self.records.append(("labels", guest.name, f"{model} {process}", success))

    def close(self) -> None:
        return None
