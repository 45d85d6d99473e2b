"""The objects that the agent serves: one table that drives the agent, the MIB module, the documentation and the tests.

VM-MIB's names, numbers and syntaxes are those of RFC 7666; the descriptions are ours. A value of None is an object without
an instance: the agent never invents a figure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from frontinus_snmp import rows
from frontinus_snmp.ber import Oid

ENTERPRISE = 8072
ROOT: Oid = (1, 3, 6, 1, 4, 1, ENTERPRISE, 9999, 9999, 236)
"""The experimental arc below which our own objects live until a number of our own is assigned. Not stable."""
VM_MIB: Oid = (1, 3, 6, 1, 2, 1, 236)

Value = int | str | bytes | Oid | None


@dataclass(frozen=True)
class Syntax:
    """How an object is written. `names` of an enumeration by number; `tag` names the encoder in tree.ENCODERS."""

    tag: str
    name: str
    names: Mapping[int, str] | None = None


def enumeration(name: str, *words: str, start: int = 1) -> Syntax:
    return Syntax("integer", name, dict(enumerate(words, start)))


TEXT = Syntax("text", "SnmpAdminString")
OCTETS = Syntax("octets", "OCTET STRING")
UUID_OR_ZERO = Syntax("octets", "UUIDorZero")
PHYS_ADDRESS = Syntax("octets", "PhysAddress")
INTEGER = Syntax("integer", "Integer32")
IF_INDEX = Syntax("integer", "InterfaceIndexOrZero")
TICKS = Syntax("ticks", "TimeTicks")
COUNTER32 = Syntax("counter32", "Counter32")
COUNTER64 = Syntax("counter64", "Counter64")
IDENTIFIER = Syntax("oid", "OBJECT IDENTIFIER")
TRUTH = enumeration("TruthValue", "true", "false")
ADMIN = enumeration("VirtualMachineAdminState", "running", "suspended", "paused", "shutdown")
OPER = enumeration("VirtualMachineOperState", "unknown", "other", "preparing", "running", "suspending", "suspended",
                   "resuming", "paused", "migrating", "shuttingdown", "shutdown", "crashed")  # fmt: skip
AUTOSTART = enumeration("VirtualMachineAutoStart", "unknown", "enabled", "disabled")
PERSISTENT = enumeration("VirtualMachinePersistent", "unknown", "persistent", "transient")
AFFINITY = enumeration("INTEGER", "unknown", "enable", "disable", start=0)
SOURCE = enumeration("VirtualMachineStorageSourceType", "unknown", "other", "block", "raw", "sparse", "network")
ACCESS = enumeration("VirtualMachineStorageAccess", "unknown", "readwrite", "readonly")
MEDIA = enumeration("IANAStorageMediaType", "unknown", "other", "hardDisk", "opticalDisk", "floppyDisk")


@dataclass(frozen=True)
class Scalar:
    """One object with the one instance .0. `live`: it changes without news, so it is read again with every request."""

    name: str
    oid: Oid
    syntax: Syntax
    text: str
    get: Callable[[rows.State], Value]
    live: bool = False


@dataclass(frozen=True)
class Column:
    """One column. `live`: its value comes from the figures, else it changes only with the guest's view or XML."""

    number: int
    name: str
    syntax: Syntax
    text: str
    get: Callable[[rows.Row], Value]
    live: bool = False


@dataclass(frozen=True)
class Index:
    """An index object, not accessible."""

    number: int
    name: str
    syntax: str
    text: str


@dataclass(frozen=True)
class Table:
    """A table. `oid` is its own; its entry is `oid`.1. `index` names the index objects, of this table or of another."""

    name: str
    entry: str
    oid: Oid
    text: str
    index: Sequence[str]
    own: Sequence[Index]
    columns: Sequence[Column]
    rows: Callable[[rows.Guest], Sequence[tuple[Oid, rows.Row]]]


def _system(
    number: int, name: str, syntax: Syntax, text: str, get: Callable[[rows.State], Value], live: bool = False
) -> Scalar:
    return Scalar(name, (1, 3, 6, 1, 2, 1, 1, number), syntax, text, get, live)


def _count(arc: Oid, name: str, text: str) -> Scalar:
    return Scalar(name, arc, COUNTER32, text, lambda state: state.counters[name] & 0xFFFFFFFF, live=True)


SNMP: Oid = (1, 3, 6, 1, 2, 1, 11)
MPD: Oid = (1, 3, 6, 1, 6, 3, 11, 2, 1)
USM: Oid = (1, 3, 6, 1, 6, 3, 15, 1, 1)
ENGINE: Oid = (1, 3, 6, 1, 6, 3, 10, 2, 1)

COUNTERS = (
    _count((*SNMP, 1), "snmpInPkts", "Messages that arrived."),
    _count((*SNMP, 3), "snmpInBadVersions", "Messages of a version that is not served."),
    _count(
        (*SNMP, 4), "snmpInBadCommunityNames", "Messages whose community is unknown or whose sender may not use it."
    ),
    _count((*SNMP, 6), "snmpInASNParseErrs", "Messages that could not be read."),
    _count((*SNMP, 31), "snmpSilentDrops", "Requests dropped since not even an empty answer fitted."),
    _count((*MPD, 1), "snmpUnknownSecurityModels", "Messages of a security model other than USM."),
    _count((*MPD, 2), "snmpInvalidMsgs", "Messages with contradictory flags."),
    _count((*MPD, 3), "snmpUnknownPDUHandlers", "Messages whose PDU or context nobody here serves."),
    _count((*USM, 1), "usmStatsUnsupportedSecLevels", "Messages below authentication with privacy."),
    _count((*USM, 2), "usmStatsNotInTimeWindows", "Messages from outside the time window, repeated ones among them."),
    _count((*USM, 3), "usmStatsUnknownUserNames", "Messages of users that are not known."),
    _count((*USM, 4), "usmStatsUnknownEngineIDs", "Messages for another engine, discovery among them."),
    _count((*USM, 5), "usmStatsWrongDigests", "Messages that were not signed with the user's key."),
    _count((*USM, 6), "usmStatsDecryptionErrors", "Messages that could not be decrypted."),
)

SCALARS: Sequence[Scalar] = (
    _system(1, "sysDescr", TEXT, "Frontinus and its host.", lambda s: s.description),
    _system(2, "sysObjectID", IDENTIFIER, "This kind of agent; experimental.", lambda s: ROOT),
    _system(3, "sysUpTime", TICKS, "Time since the agent started.", lambda s: s.ticks(s.started), live=True),
    _system(4, "sysContact", TEXT, "Who to turn to, from the configuration.", lambda s: s.contact),
    _system(5, "sysName", TEXT, "The host's name.", lambda s: s.hostname),
    _system(6, "sysLocation", TEXT, "Where the host is, from the configuration.", lambda s: s.location),
    _system(7, "sysServices", INTEGER, "End-to-end and application layers.", lambda s: 72),
    *COUNTERS,
    Scalar("snmpEngineID", (*ENGINE, 1), OCTETS, "The agent's engine.", lambda s: s.engine_id),
    Scalar("snmpEngineBoots", (*ENGINE, 2), INTEGER, "Starts of the engine so far.", lambda s: s.boots),
    Scalar("snmpEngineTime", (*ENGINE, 3), INTEGER, "Seconds since the last start.", lambda s: s.seconds, live=True),
    Scalar("snmpEngineMaxMessageSize", (*ENGINE, 4), INTEGER, "The largest message read or sent.", lambda s: s.max_size),
    Scalar("vmHvSoftware", (*VM_MIB, 1, 1, 1), TEXT, "The hypervisor's name without a version.", lambda s: s.hypervisor),
    Scalar("vmHvVersion", (*VM_MIB, 1, 1, 2), TEXT, "The hypervisor's version.", lambda s: s.hypervisor_version),
    Scalar("vmHvObjectID", (*VM_MIB, 1, 1, 3), IDENTIFIER, "The kind of hypervisor; experimental.", lambda s: ROOT),
    Scalar("vmHvUpTime", (*VM_MIB, 1, 1, 4), TICKS, "Time since the agent found its engine; 0 without.",
           lambda s: s.ticks(s.connected) if s.connected else 0, live=True),
    Scalar("vmNumber", (*VM_MIB, 1, 2), INTEGER, "Guests of whatever state.", lambda s: len(s.guests)),
    Scalar("vmTableLastChange", (*VM_MIB, 1, 3), TICKS, "vmHvUpTime when a guest last came or went.", lambda s: s.last_change),
    Scalar("vmPerVMNotificationsEnabled", (*VM_MIB, 1, 9), TRUTH, "Whether each guest's changes are told. Read-only here.",
           lambda s: 1 if s.notify else 2),
    Scalar("vmBulkNotificationsEnabled", (*VM_MIB, 1, 10), TRUTH, "Whether changes of many guests are told together. Never here.",
           lambda s: 2),
)  # fmt: skip

VM_INDEX = Index(
    1,
    "vmIndex",
    "VirtualMachineIndex",
    "The guest's number: the same for a UUID while the state is kept.",
)
CPU_INDEX = Index(1, "vmCpuIndex", "VirtualMachineCpuIndex", "The virtual CPU's number, from 1.")

VM = Table(
    "vmTable", "vmEntry", (*VM_MIB, 1, 4), "Every guest that the engine knows, running or not.", ("vmIndex",), (VM_INDEX,), (
        Column(2, "vmName", TEXT, "The guest's name.", lambda r: r.guest.view.name),
        Column(3, "vmUUID", UUID_OR_ZERO, "The guest's UUID, 16 octets.", lambda r: r.guest.uuid_octets),
        Column(4, "vmOSType", TEXT, "The operating system that the definition names, else the kind of start.",
               lambda r: r.guest.details.os or r.guest.view.os_type),
        Column(5, "vmAdminState", ADMIN, "The state that the guest was told to be in.", lambda r: rows.admin_state(r.guest.view)),
        Column(6, "vmOperState", OPER, "The state that the guest is in.", lambda r: rows.oper_state(r.guest.view)),
        Column(7, "vmAutoStart", AUTOSTART, "Whether it starts with the host.", lambda r: 2 if r.guest.view.autostart else 3),
        Column(8, "vmPersistent", PERSISTENT, "Whether it has a stored definition.", lambda r: 2 if r.guest.view.persistent else 3),
        Column(9, "vmCurCpuNumber", INTEGER, "Virtual CPUs now.", lambda r: r.guest.view.vcpus),
        Column(10, "vmMinCpuNumber", INTEGER, "Fewest virtual CPUs: no limit is set, so -1.", lambda r: -1),
        Column(11, "vmMaxCpuNumber", INTEGER, "Most virtual CPUs.", lambda r: r.guest.view.max_vcpus),
        Column(12, "vmMemUnit", INTEGER, "Bytes in a unit of memory: the smallest power of 1024 that fits.",
               lambda r: r.guest.memory_unit),
        Column(13, "vmCurMem", INTEGER, "Memory now, in units.", lambda r: -(-r.guest.memory // r.guest.memory_unit), live=True),
        Column(14, "vmMinMem", INTEGER, "Least memory: no limit is set, so -1.", lambda r: -1),
        Column(15, "vmMaxMem", INTEGER, "Most memory, in units.", lambda r: -(-r.guest.view.max_memory // r.guest.memory_unit)),
        Column(16, "vmUpTime", TICKS, "Time since the guest started, as far as the agent saw it; 0 while it is off.",
               lambda r: r.guest.up_time, live=True),
        Column(17, "vmCpuTime", COUNTER64, "CPU time used, in microseconds.", lambda r: r.guest.cpu_time, live=True),
    ), rows.vm_rows,
)  # fmt: skip

CPU = Table(
    "vmCpuTable", "vmCpuEntry", (*VM_MIB, 1, 5), "The virtual CPUs of the running guests.",
    ("vmIndex", "vmCpuIndex"), (CPU_INDEX,), (
        Column(2, "vmCpuCoreTime", COUNTER64, "CPU time of this virtual CPU, in microseconds.", lambda r: r.cpu_time, live=True),
    ), rows.cpu_rows,
)  # fmt: skip

CPU_AFFINITY = Table(
    "vmCpuAffinityTable", "vmCpuAffinityEntry", (*VM_MIB, 1, 6),
    "The host's CPUs that pinned virtual CPUs may use; a guest that is not pinned has no rows.",
    ("vmIndex", "vmCpuIndex", "vmCpuPhysIndex"),
    (Index(2, "vmCpuPhysIndex", "Integer32 (1..2147483647)", "The host's CPU, from 1: the kernel's number and one."),), (
        Column(3, "vmCpuAffinity", AFFINITY, "Whether the virtual CPU may run there.", lambda r: 1 if r.allowed else 2),
    ), rows.affinity_rows,
)  # fmt: skip

STORAGE = Table(
    "vmStorageTable", "vmStorageEntry", (*VM_MIB, 1, 7), "The disks of all guests.", ("vmStorageVmIndex", "vmStorageIndex"),
    (Index(1, "vmStorageVmIndex", "VirtualMachineIndexOrZero", "The guest's vmIndex."),
     Index(2, "vmStorageIndex", "VirtualMachineStorageIndex", "The disk's number in its guest.")), (
        Column(3, "vmStorageParent", INTEGER, "The storage that this one is made on: not modelled, so 0.", lambda r: 0),
        Column(4, "vmStorageSourceType", SOURCE, "What holds the disk's data.", lambda r: rows.source_type(r.disk)),
        Column(5, "vmStorageSourceTypeString", TEXT, "Its format or protocol in words.", lambda r: rows.source_words(r.disk)),
        Column(6, "vmStorageResourceID", TEXT, "The file, device or network name that holds the data.", lambda r: r.disk.path),
        Column(7, "vmStorageAccess", ACCESS, "Whether the guest may write.", lambda r: 3 if r.disk.readonly else 2),
        Column(8, "vmStorageMediaType", MEDIA, "The kind of drive that the guest sees.",
               lambda r: rows.MEDIA_TYPES.get(r.disk.device, 2)),
        Column(9, "vmStorageMediaTypeString", TEXT, "The same in the definition's word.", lambda r: r.disk.device),
        Column(10, "vmStorageSizeUnit", INTEGER, "Bytes in a unit of the sizes: the smallest power of 1024 that fits.",
               lambda r: r.size_unit, live=True),
        Column(11, "vmStorageDefinedSize", INTEGER, "The size that the guest sees, in units; -1 when not known.",
               lambda r: rows.size(r.block.capacity, r.size_unit), live=True),
        Column(12, "vmStorageAllocatedSize", INTEGER, "The size that is taken on the host, in units; -1 when not known.",
               lambda r: rows.size(r.block.allocation, r.size_unit), live=True),
        Column(13, "vmStorageReadIOs", COUNTER64, "Read requests.", lambda r: r.block.read_requests, live=True),
        Column(14, "vmStorageWriteIOs", COUNTER64, "Write requests.", lambda r: r.block.write_requests, live=True),
        Column(15, "vmStorageReadOctets", COUNTER64, "Bytes read.", lambda r: r.block.read_bytes, live=True),
        Column(16, "vmStorageWriteOctets", COUNTER64, "Bytes written.", lambda r: r.block.write_bytes, live=True),
        Column(17, "vmStorageReadLatency", COUNTER64, "Microseconds that read requests took.",
               lambda r: rows.microseconds(r.block.read_time), live=True),
        Column(18, "vmStorageWriteLatency", COUNTER64, "Microseconds that write requests took.",
               lambda r: rows.microseconds(r.block.write_time), live=True),
    ), rows.storage_rows,
)  # fmt: skip

NETWORK = Table(
    "vmNetworkTable", "vmNetworkEntry", (*VM_MIB, 1, 8), "The network interfaces of all guests.", ("vmIndex", "vmNetworkIndex"),
    (Index(1, "vmNetworkIndex", "VirtualMachineNetworkIndex", "The interface's number in its guest."),), (
        Column(2, "vmNetworkIfIndex", IF_INDEX, "The host's device for it, by the kernel's number; 0 without.",
               lambda r: r.nic.if_index, live=True),
        Column(3, "vmNetworkParent", IF_INDEX, "The bridge that it is a port of; 0 without.",
               lambda r: r.nic.parent, live=True),
        Column(4, "vmNetworkModel", TEXT, "The model that the guest sees.", lambda r: r.nic.model),
        Column(5, "vmNetworkPhysAddress", PHYS_ADDRESS, "The MAC address.", lambda r: r.nic.mac_octets),
    ), rows.network_rows,
)  # fmt: skip

TABLES: Sequence[Table] = (VM, CPU, CPU_AFFINITY, STORAGE, NETWORK)

NOTIFICATIONS: Sequence[tuple[int, str, str]] = (
    (1, "vmRunning", "A guest runs."), (2, "vmShuttingdown", "A guest was asked to shut down or does so."),
    (3, "vmShutdown", "A guest is off."), (4, "vmPaused", "A guest was paused."),
    (5, "vmSuspending", "A guest is being suspended."), (6, "vmSuspended", "A guest was suspended."),
    (7, "vmResuming", "A guest is coming back."), (8, "vmMigrating", "A guest is on the move."),
    (9, "vmCrashed", "A guest crashed."), (10, "vmDeleted", "A guest is gone for good."),
)  # fmt: skip
"""Numbers below VM_MIB.0; their objects are vmName, vmUUID and vmOperState (vmDeleted: and vmPersistent)."""
