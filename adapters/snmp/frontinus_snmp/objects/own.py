"""FRONTINUS-MIB: what VM-MIB lacks, below one node that the configuration can move."""

from __future__ import annotations

from frontinus_snmp.ber import Oid
from frontinus_snmp.objects import own_guests, own_host, own_storage
from frontinus_snmp.objects.kinds import Module, Notification
from frontinus_snmp.roots import ROOT

NAME = "FRONTINUS-MIB"
GUEST = ("frnGuestName", "frnGuestState")

NOTIFICATIONS = (
    Notification(1, "frnGuestLifecycle", "Something happened in a guest's life.",
                 (*GUEST, "frnGuestEvent", "frnGuestEventDetail", "frnGuestEventReason")),
    Notification(2, "frnGuestIoError", "A guest's disk failed on the host.",
                 (*GUEST, "frnGuestEventDevice", "frnGuestEventPath", "frnGuestEventAction", "frnGuestEventReason")),
    Notification(3, "frnGuestWatchdog", "A guest's watchdog struck.", (*GUEST, "frnGuestEventAction")),
    Notification(4, "frnGuestDeviceRemoved", "A guest let go of a device.", (*GUEST, "frnGuestEventDevice")),
    Notification(5, "frnGuestDeviceRemovalFailed", "A guest would not let go of a device.", (*GUEST, "frnGuestEventDevice")),
    Notification(6, "frnJobDone", "A job ended, well or badly.", ("frnJobId", "frnJobKind", "frnJobState")),
    Notification(7, "frnPoolFull", "A pool has less left than the configuration wants.",
                 ("frnPoolName", "frnPoolCapacity", "frnPoolAvailable")),
    Notification(8, "frnGuestRebooted", "A guest was reset.", GUEST),
)  # fmt: skip


def module(root: Oid = ROOT) -> Module:
    """The module below a node."""
    return Module(NAME, root, own_host.SCALARS, (*own_host.TABLES, *own_guests.TABLES, *own_storage.TABLES), NOTIFICATIONS,
                  external=False)  # fmt: skip
