"""FRONTINUS-MIB's guests: what VM-MIB lacks of them, and how they are steered."""

from __future__ import annotations

from datetime import UTC, datetime

from frontinus.api.events import LIFECYCLE_DETAILS
from frontinus.api.views import STATES, InterfaceStats, MemoryStats
from frontinus_snmp import rows, steer
from frontinus_snmp.objects.kinds import (
    COUNTER64,
    DATE_AND_TIME,
    GAUGE,
    MINUS_ONE_OR_MORE,
    ROW_STATUS,
    TEXT,
    TRUTH,
    UNSIGNED,
    Column,
    Syntax,
    Table,
    Value,
    enumeration,
    truth,
)  # fmt: skip
from frontinus_snmp.rows import Row

STATE = enumeration("FrontinusGuestState", *STATES, start=0)
ACTION = enumeration("INTEGER", *(action.name for action in steer.ACTIONS))
EVENT = enumeration("INTEGER", *LIFECYCLE_DETAILS)
NAME = Syntax("text", "SnmpAdminString", least=1)
CREATE, TOLD = "read-create", "accessible-for-notify"


def date(unix: float | None) -> bytes | None:
    """DateAndTime in UTC (RFC 2579)."""
    if not unix:
        return None
    when = datetime.fromtimestamp(unix, UTC)
    return when.year.to_bytes(2, "big") + bytes(
        (when.month, when.day, when.hour, when.minute, when.second, when.microsecond // 100_000, ord("+"), 0, 0)
    )


def kib(size: int | None) -> int | None:
    """Bytes as KiB, as many as a Gauge32 holds."""
    return None if size is None else min(size // 1024, 2**32 - 1)


GUESTS = Table(
    "frnGuestTable", "frnGuestEntry", (1, 4), "Every guest, and what can be done to it.", ("vmIndex",), (), (
        Column(1, "frnGuestName", NAME, "Its name; a guest that is off takes another.", lambda r: r.guest.view.name, access=CREATE),
        Column(2, "frnGuestState", STATE, "Its state by the engine's number. Set to running, paused, shutdown or shutoff it leads"
               " there: start or resume, pause, a request to the guest, power off.",
               lambda r: STATES.index(r.guest.view.state), access=CREATE),
        Column(3, "frnGuestReason", TEXT, "Why it is in this state.", lambda r: r.guest.view.reason),
        Column(4, "frnGuestAction", ACTION, "Set to do something; reads as none.", lambda r: 1, access=CREATE),
        Column(5, "frnGuestAutostart", TRUTH, "Whether it starts with the host.", lambda r: truth(r.guest.view.autostart),
               access=CREATE),
        Column(6, "frnGuestPersistent", TRUTH, "Whether it has a stored definition.", lambda r: truth(r.guest.view.persistent)),
        Column(7, "frnGuestManagedSave", TRUTH, "Whether its memory is saved, to be restored by the next start.",
               lambda r: truth(r.guest.view.managed_save)),
        Column(8, "frnGuestUpdated", TRUTH, "Whether its definition is another than that of the running guest.",
               lambda r: truth(r.guest.view.updated)),
        Column(9, "frnGuestId", MINUS_ONE_OR_MORE, "The number of this run; -1 while it is off.",
               lambda r: -1 if r.guest.view.id is None else r.guest.view.id),
        Column(10, "frnGuestTitle", TEXT, "Its title.", lambda r: r.guest.view.title or ""),
        Column(11, "frnGuestVcpus", UNSIGNED, "Virtual CPUs now.", lambda r: r.guest.view.vcpus, access=CREATE),
        Column(12, "frnGuestMaxVcpus", UNSIGNED, "Most virtual CPUs.", lambda r: r.guest.view.max_vcpus),
        Column(13, "frnGuestSince", DATE_AND_TIME, "When its state last changed.", lambda r: date(r.guest.view.since)),
        Column(14, "frnGuestTainted", TEXT, "What was done to it that makes support hard, in words.",
               lambda r: " ".join(r.guest.view.tainted)),
        Column(15, "frnGuestJob", TEXT, "The job that holds it, if any.", lambda r: r.guest.view.job or ""),
        Column(16, "frnGuestMachine", TEXT, "The kind of machine.", lambda r: r.guest.view.machine),
        Column(17, "frnGuestArch", TEXT, "The architecture.", lambda r: r.guest.view.arch),
        Column(18, "frnGuestVirtType", TEXT, "How it is run: kvm or qemu.", lambda r: r.guest.view.virt_type),
        Column(19, "frnGuestDefinition", NAME, "The stored definition (frnDefinitionName) that a new row's guest is made from."
               " Not kept, so it has no value afterwards.", lambda r: None, access=CREATE),
        Column(20, "frnGuestRowStatus", ROW_STATUS, "active. createAndGo, with frnGuestDefinition and a row number as in"
               " frnGuestNextIndex, makes a guest; destroy forgets one that is off. No other value can be set.",
               lambda r: 1, access=CREATE),
        Column(21, "frnGuestEvent", EVENT, "What happened to it.", lambda r: None, access=TOLD),
        Column(22, "frnGuestEventDetail", TEXT, "How it came to be.", lambda r: None, access=TOLD),
        Column(23, "frnGuestEventReason", TEXT, "Why; the reason of the state, or of the error.", lambda r: None, access=TOLD),
        Column(24, "frnGuestEventDevice", TEXT, "The device that it is about, by its alias.", lambda r: None, access=TOLD),
        Column(25, "frnGuestEventPath", TEXT, "The file or device of the host that it is about.", lambda r: None, access=TOLD),
        Column(26, "frnGuestEventAction", TEXT, "What was done about it.", lambda r: None, access=TOLD),
    ), rows.of_each(rows.vm_rows), steer.guest_change,
)  # fmt: skip

EMPTY = MemoryStats()


def _memory(row: Row) -> MemoryStats:
    return (row.guest.figures and row.guest.figures.memory) or EMPTY


MEMORY = Table(
    "frnMemoryTable", "frnMemoryEntry", (1, 5), "The guests' memory, as they and the host see it.", ("vmIndex",), (), (
        Column(1, "frnMemoryBalloon", GAUGE, "KiB that it has now. Set, a running guest's balloon goes there; of a guest"
               " that is off, what it starts with.", lambda r: kib(r.guest.memory), live=True, access="read-write"),
        Column(2, "frnMemoryMaximum", GAUGE, "KiB that it can have.", lambda r: kib(r.guest.view.max_memory)),
        Column(3, "frnMemoryRss", GAUGE, "KiB of the host's memory that its process uses.",
               lambda r: kib(_memory(r).rss), live=True),
        Column(4, "frnMemoryUnused", GAUGE, "KiB that the guest's system leaves unused.",
               lambda r: kib(_memory(r).unused), live=True),
        Column(5, "frnMemoryAvailable", GAUGE, "KiB that the guest's system sees.", lambda r: kib(_memory(r).available), live=True),
        Column(6, "frnMemoryUsable", GAUGE, "KiB that the guest's programs could have without swapping.",
               lambda r: kib(_memory(r).usable), live=True),
        Column(7, "frnMemoryDiskCaches", GAUGE, "KiB that the guest's system uses for caches.",
               lambda r: kib(_memory(r).disk_caches), live=True),
        Column(8, "frnMemorySwapIn", COUNTER64, "Bytes that the guest read from its swap.",
               lambda r: _memory(r).swap_in, live=True),
        Column(9, "frnMemorySwapOut", COUNTER64, "Bytes that the guest wrote to its swap.",
               lambda r: _memory(r).swap_out, live=True),
        Column(10, "frnMemoryMajorFaults", COUNTER64, "Page faults that needed a disk.",
               lambda r: _memory(r).major_faults, live=True),
        Column(11, "frnMemoryMinorFaults", COUNTER64, "Page faults that did not.", lambda r: _memory(r).minor_faults, live=True),
    ), rows.of_each(rows.vm_rows), steer.memory_change,
)  # fmt: skip


def _counter(number: int, name: str, field: str, text: str) -> Column[InterfaceStats]:
    def get(nic: InterfaceStats) -> Value:
        found = getattr(nic, field)
        assert found is None or isinstance(found, int)
        return found

    return Column(number, name, COUNTER64, text, get, live=True)


INTERFACES = Table(
    "frnInterfaceTable", "frnInterfaceEntry", (1, 6), "What passed the guests' network interfaces, as the guest sees it.",
    ("vmIndex", "vmNetworkIndex"), (), (
        Column(1, "frnInterfaceDevice", TEXT, "The host's device for it.", lambda r: r.name, live=True),
        Column(2, "frnInterfaceAlias", TEXT, "Its name in the engine.", lambda r: r.alias, live=True),
        _counter(3, "frnInterfaceInOctets", "rx_bytes", "Bytes that the guest received."),
        _counter(4, "frnInterfaceInPackets", "rx_packets", "Packets that the guest received."),
        _counter(5, "frnInterfaceInErrors", "rx_errors", "Packets for the guest that were bad."),
        _counter(6, "frnInterfaceInDrops", "rx_drops", "Packets for the guest that were dropped."),
        _counter(7, "frnInterfaceOutOctets", "tx_bytes", "Bytes that the guest sent."),
        _counter(8, "frnInterfaceOutPackets", "tx_packets", "Packets that the guest sent."),
        _counter(9, "frnInterfaceOutErrors", "tx_errors", "Packets of the guest that were bad."),
        _counter(10, "frnInterfaceOutDrops", "tx_drops", "Packets of the guest that were dropped."),
    ), rows.of_each(rows.counter_rows),
)  # fmt: skip

DISKS = Table(
    "frnDiskTable", "frnDiskEntry", (1, 7), "What VM-MIB lacks of the guests' disks.", ("vmStorageVmIndex", "vmStorageIndex"), (), (
        Column(1, "frnDiskTarget", TEXT, "The name that the guest may see.", lambda r: r.block.name, live=True),
        Column(2, "frnDiskAlias", TEXT, "Its name in the engine.", lambda r: r.block.alias, live=True),
        Column(3, "frnDiskFlushes", COUNTER64, "Requests to put on disk what was written.",
               lambda r: r.block.flush_requests, live=True),
        Column(4, "frnDiskFlushLatency", COUNTER64, "Microseconds that they took.",
               lambda r: rows.microseconds(r.block.flush_time), live=True),
        Column(5, "frnDiskReadErrors", COUNTER64, "Read requests that failed.", lambda r: r.block.read_errors, live=True),
        Column(6, "frnDiskWriteErrors", COUNTER64, "Write requests that failed.", lambda r: r.block.write_errors, live=True),
        Column(7, "frnDiskPhysical", COUNTER64, "Bytes of the file or device that holds it.",
               lambda r: r.block.physical, live=True),
    ), rows.of_each(rows.storage_rows),
)  # fmt: skip

TABLES = (GUESTS, MEMORY, INTERFACES, DISKS)
