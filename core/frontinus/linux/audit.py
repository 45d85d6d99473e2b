"""The kernel's audit trail, over netlink: no daemon is needed to write it.

Record types and fields are those that audit tools know virtualization by (linux/audit.h, ausearch, auvirt(8)).
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from frontinus.linux.network.netlink import Netlink
from frontinus.ports.audit import Audited

log = logging.getLogger(__name__)

NETLINK_AUDIT = 9
VIRT_CONTROL, VIRT_RESOURCE, VIRT_MACHINE_ID = 2500, 2501, 2502
NUMERIC = frozenset({"mem", "vcpu", "iothread"})
"""Kinds whose values are written bare."""
LONGEST = 8000
"""Bytes of a message; the kernel takes somewhat more (MAX_AUDIT_MESSAGE_LENGTH)."""
WAITING = 1000
"""Records that may wait for a kernel whose queue is full."""

_UNSAFE = re.compile(r"[^\x21\x23-\x7e]")


class LinuxAudit:
    """`ports.AuditTrail` on the kernel. It is off, silently, where the engine may not write or the kernel has none.

    A full queue in the kernel stops who writes; so a thread does, and what it cannot take is counted in `lost`.
    """

    def __init__(self) -> None:
        self._netlink: Netlink | None = None
        try:
            self._netlink = Netlink(NETLINK_AUDIT)
        except OSError as error:
            log.debug("no audit trail: %s", error)
        self._waiting: deque[tuple[int, str]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self.lost = 0

    @property
    def on(self) -> bool:
        """Whether records are written."""
        return self._netlink is not None

    def control(self, guest: Audited, op: str, reason: str, *, success: bool = True, pid: int | None = None) -> None:
        self._write(VIRT_CONTROL, control_record(guest, op, reason, pid), success)

    def resource(
        self, guest: Audited, kind: str, reason: str, old: str | None, new: str | None, *, success: bool = True
    ) -> None:
        self._write(VIRT_RESOURCE, resource_record(guest, kind, reason, old, new), success)

    def labels(self, guest: Audited, model: str, process: str, image: str, *, success: bool = True) -> None:
        self._write(VIRT_MACHINE_ID, labels_record(guest, model, process, image), success)

    def close(self) -> None:
        """Write what waits, and let go."""
        self._thread.shutdown()
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None

    def _write(self, kind: int, fields: Iterable[str], success: bool) -> None:
        if self._netlink is None:
            return
        if len(self._waiting) >= WAITING:
            self.lost += 1
            return
        self._waiting.append((kind, message(fields, success=success)))
        self._thread.submit(self._send)

    def _send(self) -> None:
        kind, text = self._waiting.popleft()
        if self._netlink is None:
            return
        try:
            self._netlink.request(kind, text.encode() + b"\0")
        except (PermissionError, ConnectionRefusedError) as error:
            log.debug("no audit trail: %s", error)
            self._netlink.close()
            self._netlink = None
        except OSError as error:
            self.lost += 1
            log.warning("an audit record was not written: %s", error)


def control_record(guest: Audited, op: str, reason: str, pid: int | None) -> list[str]:
    """The fields of a change of a guest's life."""
    number = [] if pid is None else [f"vm-pid={pid}"]
    return [f"virt={bare(guest.virt)}", f"op={bare(op)}", f"reason={bare(reason)}", *_guest(guest), *number]


def resource_record(guest: Audited, kind: str, reason: str, old: str | None, new: str | None) -> list[str]:
    """The fields of a change of what a guest has."""
    written = _number if kind in NUMERIC else quoted
    head = [f"virt={bare(guest.virt)}", f"resrc={bare(kind)}", f"reason={bare(reason)}", *_guest(guest)]
    return [*head, f"old-{kind}={written(old)}", f"new-{kind}={written(new)}"]


def labels_record(guest: Audited, model: str, process: str, image: str) -> list[str]:
    """The fields of a guest's confinement."""
    return [f"virt={bare(guest.virt)}", *_guest(guest), f"vm-ctx={bare(process)}", f"img-ctx={bare(image)}",
            f"model={bare(model)}"]  # fmt: skip


def message(fields: Iterable[str], *, success: bool) -> str:
    """The text of a record."""
    result = "success" if success else "failed"
    return f"{' '.join(fields)[:LONGEST]} exe=? hostname=? addr=? terminal=? res={result}"


def quoted(value: str | None) -> str:
    """A text that users chose: in quotes, or as hex digits if it holds what could forge a field; "?" for none."""
    if value is None:
        return '"?"'
    return value.encode().hex().upper() if _UNSAFE.search(value) else f'"{value}"'


def bare(value: str) -> str:
    """A text without quotes; as hex digits, which audit tools read, if it holds what could forge a field."""
    return value.encode().hex().upper() if _UNSAFE.search(value) else value or "?"


def _guest(guest: Audited) -> list[str]:
    return [f"vm={quoted(guest.name)}", f"uuid={bare(guest.uuid)}"]


def _number(value: str | None) -> str:
    return bare(value or "0")
