"""VM-MIB (RFC 7666): its names, numbers and syntaxes are the RFC's; the descriptions are ours."""

from __future__ import annotations

from frontinus_snmp import rows
from frontinus_snmp.ber import Oid
from frontinus_snmp.change import switch
from frontinus_snmp.objects.kinds import (
    COUNTER64,
    IDENTIFIER,
    IF_INDEX,
    MINUS_ONE_OR_MORE,
    NATURAL,
    PHYS_ADDRESS,
    POSITIVE,
    TEXT,
    TICKS,
    TRUTH,
    UUID_OR_ZERO,
    Column,
    Index,
    Module,
    Notification,
    Scalar,
    Syntax,
    Table,
    enumeration,
    truth,
)  # fmt: skip

VM_MIB: Oid = (1, 3, 6, 1, 2, 1, 236)

ADMIN = enumeration("VirtualMachineAdminState", "running", "suspended", "paused", "shutdown")
OPER = enumeration("VirtualMachineOperState", "unknown", "other", "preparing", "running", "suspending", "suspended",
                   "resuming", "paused", "migrating", "shuttingdown", "shutdown", "crashed")  # fmt: skip
GUEST_LIST = Syntax("octets", "VirtualMachineList", most=65535)
AUTOSTART = enumeration("VirtualMachineAutoStart", "unknown", "enabled", "disabled")
PERSISTENT = enumeration("VirtualMachinePersistent", "unknown", "persistent", "transient")
AFFINITY = enumeration("INTEGER", "unknown", "enable", "disable", start=0)
SOURCE = enumeration("VirtualMachineStorageSourceType", "unknown", "other", "block", "raw", "sparse", "network")
ACCESS = enumeration("VirtualMachineStorageAccess", "unknown", "readwrite", "readonly")
MEDIA = enumeration("IANAStorageMediaType", "unknown", "other", "hardDisk", "opticalDisk", "floppyDisk")

SCALARS = (
    Scalar("vmHvSoftware", (1, 1, 1), TEXT, "The hypervisor's name without a version.", lambda s: s.hypervisor),
    Scalar("vmHvVersion", (1, 1, 2), TEXT, "The hypervisor's version.", lambda s: s.hypervisor_version),
    Scalar("vmHvObjectID", (1, 1, 3), IDENTIFIER, "The kind of hypervisor; experimental.", lambda s: s.root),
    Scalar("vmHvUpTime", (1, 1, 4), TICKS, "Time since the agent found its engine; 0 without.",
           lambda s: s.ticks(s.connected) if s.connected else 0, live=True),
    Scalar("vmNumber", (1, 2), NATURAL, "Guests of whatever state.", lambda s: len(s.guests)),
    Scalar("vmTableLastChange", (1, 3), TICKS, "vmHvUpTime when a guest last came or went.", lambda s: s.last_change),
    Scalar("vmPerVMNotificationsEnabled", (1, 9), TRUTH,
           "Whether each guest's changes are told. A start of the agent undoes what was set.",
           lambda s: truth(s.per_vm), change=switch("per_vm"), access="read-write"),
    Scalar("vmBulkNotificationsEnabled", (1, 10), TRUTH,
           "Whether changes of many guests are told together. A start of the agent undoes what was set.",
           lambda s: truth(s.bulk), change=switch("bulk"), access="read-write"),
    Scalar("vmAffectedVMs", (1, 11), GUEST_LIST, "The guests that a bulk notification speaks of: bit n, the highest bit being"
           " the first, stands for the guest whose vmIndex is n.", lambda s: None, access="accessible-for-notify"),
)  # fmt: skip

VM_INDEX = Index(
    1,
    "vmIndex",
    "VirtualMachineIndex",
    "The guest's number: the same for a UUID while the state is kept.",
)
CPU_INDEX = Index(1, "vmCpuIndex", "VirtualMachineCpuIndex", "The virtual CPU's number, from 1.")

VM = Table(
    "vmTable", "vmEntry", (1, 4), "Every guest that the engine knows, running or not.", ("vmIndex",), (VM_INDEX,), (
        Column(2, "vmName", TEXT, "The guest's name.", lambda r: r.guest.view.name),
        Column(3, "vmUUID", UUID_OR_ZERO, "The guest's UUID, 16 octets.", lambda r: r.guest.uuid_octets),
        Column(4, "vmOSType", TEXT, "The operating system that the definition names, else the kind of start.",
               lambda r: r.guest.details.os or r.guest.view.os_type),
        Column(5, "vmAdminState", ADMIN, "The state that the guest was told to be in.", lambda r: rows.admin_state(r.guest.view)),
        Column(6, "vmOperState", OPER, "The state that the guest is in.", lambda r: rows.oper_state(r.guest.view)),
        Column(7, "vmAutoStart", AUTOSTART, "Whether it starts with the host.", lambda r: 2 if r.guest.view.autostart else 3),
        Column(8, "vmPersistent", PERSISTENT, "Whether it has a stored definition.", lambda r: 2 if r.guest.view.persistent else 3),
        Column(9, "vmCurCpuNumber", NATURAL, "Virtual CPUs now.", lambda r: r.guest.view.vcpus),
        Column(10, "vmMinCpuNumber", MINUS_ONE_OR_MORE, "Fewest virtual CPUs: no limit is set, so -1.", lambda r: -1),
        Column(11, "vmMaxCpuNumber", MINUS_ONE_OR_MORE, "Most virtual CPUs.", lambda r: r.guest.view.max_vcpus),
        Column(12, "vmMemUnit", POSITIVE, "Bytes in a unit of memory: the smallest power of 1024 that fits.",
               lambda r: r.guest.memory_unit),
        Column(13, "vmCurMem", NATURAL, "Memory now, in units.", lambda r: -(-r.guest.memory // r.guest.memory_unit), live=True),
        Column(14, "vmMinMem", MINUS_ONE_OR_MORE, "Least memory: no limit is set, so -1.", lambda r: -1),
        Column(15, "vmMaxMem", MINUS_ONE_OR_MORE, "Most memory, in units.",
               lambda r: -(-r.guest.view.max_memory // r.guest.memory_unit)),
        Column(16, "vmUpTime", TICKS, "Time since the guest started, as far as the agent saw it; 0 while it is off.",
               lambda r: r.guest.up_time, live=True),
        Column(17, "vmCpuTime", COUNTER64, "CPU time used, in microseconds.", lambda r: r.guest.cpu_time, live=True),
    ), rows.of_each(rows.vm_rows),
)  # fmt: skip

CPU = Table(
    "vmCpuTable", "vmCpuEntry", (1, 5), "The virtual CPUs of the running guests.",
    ("vmIndex", "vmCpuIndex"), (CPU_INDEX,), (
        Column(2, "vmCpuCoreTime", COUNTER64, "CPU time of this virtual CPU, in microseconds.", lambda r: r.cpu_time, live=True),
    ), rows.of_each(rows.cpu_rows),
)  # fmt: skip

CPU_AFFINITY = Table(
    "vmCpuAffinityTable", "vmCpuAffinityEntry", (1, 6),
    "The host's CPUs that pinned virtual CPUs may use; a guest that is not pinned has no rows.",
    ("vmIndex", "vmCpuIndex", "vmCpuPhysIndex"),
    (Index(2, "vmCpuPhysIndex", "Integer32 (1..2147483647)", "The host's CPU, from 1: the kernel's number and one."),), (
        Column(3, "vmCpuAffinity", AFFINITY, "Whether the virtual CPU may run there.", lambda r: 1 if r.allowed else 2),
    ), rows.of_each(rows.affinity_rows),
)  # fmt: skip

STORAGE = Table(
    "vmStorageTable", "vmStorageEntry", (1, 7), "The disks of all guests.", ("vmStorageVmIndex", "vmStorageIndex"),
    (Index(1, "vmStorageVmIndex", "VirtualMachineIndexOrZero", "The guest's vmIndex."),
     Index(2, "vmStorageIndex", "VirtualMachineStorageIndex", "The disk's number in its guest.")), (
        Column(3, "vmStorageParent", NATURAL, "The storage that this one is made on: not modelled, so 0.", lambda r: 0),
        Column(4, "vmStorageSourceType", SOURCE, "What holds the disk's data.", lambda r: rows.source_type(r.disk)),
        Column(5, "vmStorageSourceTypeString", TEXT, "Its format or protocol in words.", lambda r: rows.source_words(r.disk)),
        Column(6, "vmStorageResourceID", TEXT, "The file, device or network name that holds the data.", lambda r: r.disk.path),
        Column(7, "vmStorageAccess", ACCESS, "Whether the guest may write.", lambda r: 3 if r.disk.readonly else 2),
        Column(8, "vmStorageMediaType", MEDIA, "The kind of drive that the guest sees.",
               lambda r: rows.MEDIA_TYPES.get(r.disk.device, 2)),
        Column(9, "vmStorageMediaTypeString", TEXT, "The same in the definition's word.", lambda r: r.disk.device),
        Column(10, "vmStorageSizeUnit", POSITIVE, "Bytes in a unit of the sizes: the smallest power of 1024 that fits.",
               lambda r: r.size_unit, live=True),
        Column(11, "vmStorageDefinedSize", MINUS_ONE_OR_MORE, "The size that the guest sees, in units; -1 when not known.",
               lambda r: rows.size(r.block.capacity, r.size_unit), live=True),
        Column(12, "vmStorageAllocatedSize", MINUS_ONE_OR_MORE, "The size that is taken on the host, in units; -1 when not known.",
               lambda r: rows.size(r.block.allocation, r.size_unit), live=True),
        Column(13, "vmStorageReadIOs", COUNTER64, "Read requests.", lambda r: r.block.read_requests, live=True),
        Column(14, "vmStorageWriteIOs", COUNTER64, "Write requests.", lambda r: r.block.write_requests, live=True),
        Column(15, "vmStorageReadOctets", COUNTER64, "Bytes read.", lambda r: r.block.read_bytes, live=True),
        Column(16, "vmStorageWriteOctets", COUNTER64, "Bytes written.", lambda r: r.block.write_bytes, live=True),
        Column(17, "vmStorageReadLatency", COUNTER64, "Microseconds that read requests took.",
               lambda r: rows.microseconds(r.block.read_time), live=True),
        Column(18, "vmStorageWriteLatency", COUNTER64, "Microseconds that write requests took.",
               lambda r: rows.microseconds(r.block.write_time), live=True),
    ), rows.of_each(rows.storage_rows),
)  # fmt: skip

NETWORK = Table(
    "vmNetworkTable", "vmNetworkEntry", (1, 8), "The network interfaces of all guests.", ("vmIndex", "vmNetworkIndex"),
    (Index(1, "vmNetworkIndex", "VirtualMachineNetworkIndex", "The interface's number in its guest."),), (
        Column(2, "vmNetworkIfIndex", IF_INDEX, "The host's device for it, by the kernel's number; 0 without.",
               lambda r: r.nic.if_index, live=True),
        Column(3, "vmNetworkParent", IF_INDEX, "The bridge that it is a port of; 0 without.",
               lambda r: r.nic.parent, live=True),
        Column(4, "vmNetworkModel", TEXT, "The model that the guest sees.", lambda r: r.nic.model),
        Column(5, "vmNetworkPhysAddress", PHYS_ADDRESS, "The MAC address.", lambda r: r.nic.mac_octets),
    ), rows.of_each(rows.network_rows),
)  # fmt: skip

TABLES = (VM, CPU, CPU_AFFINITY, STORAGE, NETWORK)

TOLD: tuple[tuple[str, str, str], ...] = (
    ("Running", "A guest runs.", "Guests run."),
    ("Shuttingdown", "A guest was asked to shut down or does so.", "Guests were asked to shut down or do so."),
    ("Shutdown", "A guest is off.", "Guests are off."), ("Paused", "A guest was paused.", "Guests were paused."),
    ("Suspending", "A guest is being suspended.", "Guests are being suspended."),
    ("Suspended", "A guest was suspended.", "Guests were suspended."),
    ("Resuming", "A guest is coming back.", "Guests are coming back."),
    ("Migrating", "A guest is on the move.", "Guests are on the move."),
    ("Crashed", "A guest crashed.", "Guests crashed."), ("Deleted", "A guest is gone for good.", "Guests are gone for good."),
)  # fmt: skip
"""What is told of one guest, and in bulk; the numbers are 1 to 10 and 11 to 20."""
OBJECTS = ("vmName", "vmUUID", "vmOperState")
NOTIFICATIONS = (
    *(Notification(number, f"vm{word}", text, (*OBJECTS, "vmPersistent") if word == "Deleted" else OBJECTS)
      for number, (word, text, _) in enumerate(TOLD, 1)),
    *(Notification(number, f"vmBulk{word}", text, ("vmAffectedVMs",)) for number, (word, _, text) in enumerate(TOLD, 11)),
)  # fmt: skip
BULK = 10
"""A bulk notification's number above that of one guest's."""
BY_NUMBER = {notification.number: notification for notification in NOTIFICATIONS}

MODULE = Module("VM-MIB", VM_MIB, SCALARS, TABLES, NOTIFICATIONS, external=False)
