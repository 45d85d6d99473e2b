"""FRONTINUS-MIB's host, jobs, stored definitions, and what the agent counts of itself."""

from __future__ import annotations

from collections.abc import Callable

from frontinus.api.views import HostView
from frontinus_snmp import rows, steer
from frontinus_snmp.ber import Oid
from frontinus_snmp.change import switch
from frontinus_snmp.objects.kinds import (
    COUNTER32,
    DATE_AND_TIME,
    GAUGE,
    MINUS_ONE_OR_MORE,
    OCTETS,
    POSITIVE,
    TEXT,
    TRUTH,
    UNSIGNED,
    Column,
    Index,
    Scalar,
    Syntax,
    Table,
    Value,
    enumeration,
    truth,
)  # fmt: skip
from frontinus_snmp.objects.own_guests import date, kib

INDEX = "Integer32 (1..2147483647)"
BYTES = Syntax("counter64", "FrontinusBytes", most=2**64 - 1)
JOB_STATE = enumeration("INTEGER", "unknown", "running", "completed", "failed", "cancelled")
ABORT = enumeration("INTEGER", "none", "abort")


def _host(
    number: int, name: str, syntax: Syntax, text: str, get: Callable[[HostView], Value], live: bool = False
) -> Scalar:
    def read(state: rows.State) -> Value:
        return None if state.host is None else get(state.host)

    return Scalar(name, (1, 2, number), syntax, text, read, live)


def _count(place: Oid, name: str, key: str, text: str) -> Scalar:
    return Scalar(name, place, COUNTER32, text, lambda state: state.counters[key] & 0xFFFFFFFF, live=True)


SCALARS = (
    Scalar("frnVersion", (1, 1, 1), TEXT, "The version of the agent.", lambda s: s.version),
    Scalar("frnConnected", (1, 1, 2), TRUTH, "Whether the engine can be reached.", lambda s: truth(bool(s.connected)), live=True),
    Scalar("frnNotificationsEnabled", (1, 1, 3), TRUTH, "Whether this module's notifications are told. A start of the agent"
           " undoes what was set.", lambda s: truth(s.own), change=switch("own"), access="read-write"),
    Scalar("frnGuestNextIndex", (1, 1, 4), POSITIVE, "The row number that the next new guest has.",
           lambda s: None if s.numbering is None else s.numbering.next, live=True),
    _host(1, "frnHostName", TEXT, "The host's name.", lambda h: h.hostname),
    _host(2, "frnHostUUID", OCTETS, "The host's UUID, 16 octets.", lambda h: rows.uuid_octets(h.uuid)),
    _host(3, "frnHostArch", TEXT, "The host's architecture.", lambda h: h.arch),
    _host(4, "frnHostCpuModel", TEXT, "The model of its CPUs.", lambda h: h.cpu_model),
    _host(5, "frnHostCpus", UNSIGNED, "CPUs that the kernel runs on.", lambda h: h.cpus),
    _host(6, "frnHostSockets", UNSIGNED, "Sockets of a NUMA node.", lambda h: h.sockets),
    _host(7, "frnHostCores", UNSIGNED, "Cores of a socket.", lambda h: h.cores),
    _host(8, "frnHostThreads", UNSIGNED, "Threads of a core.", lambda h: h.threads),
    _host(9, "frnHostNumaNodes", UNSIGNED, "NUMA nodes.", lambda h: h.numa_nodes),
    _host(10, "frnHostMemory", GAUGE, "KiB of memory.", lambda h: kib(h.memory)),
    _host(11, "frnHostMemoryFree", GAUGE, "KiB of memory that are free.", lambda h: kib(h.memory_free), live=True),
    _host(12, "frnHostCpuMhz", UNSIGNED, "MHz of the CPUs; 0 when not known.", lambda h: h.cpu_mhz),
    _host(13, "frnHostKvm", TRUTH, "Whether guests can run with KVM.", lambda h: truth(h.kvm)),
    _count((1, 13, 1), "frnNotificationsSent", "notificationsSent", "Notifications that were sent, once for each receiver."),
    _count((1, 13, 2), "frnNotificationsDropped", "notificationsDropped", "Notifications that were dropped: too many waited."),
    _count((1, 13, 3), "frnInformsRepeated", "informsRepeated", "Informs that were sent again, since no answer came."),
    _count((1, 13, 4), "frnInformsLost", "informsLost", "Informs that were given up, since no answer came at all."),
    _count((1, 13, 5), "frnSetsDone", "setsDone", "Requests to set something that were fulfilled."),
    _count((1, 13, 6), "frnSetsRefused", "setsRefused", "Requests to set something that were refused."),
    _count((1, 13, 7), "frnSetsFailed", "setsFailed", "Requests to set something that failed and were taken back."),
)  # fmt: skip

NODES = Table(
    "frnNodeTable", "frnNodeEntry", (1, 3), "The host's NUMA nodes.", ("frnNodeIndex",),
    (Index(1, "frnNodeIndex", INDEX, "The node: the kernel's number and one."),), (
        Column(2, "frnNodeCpus", TEXT, "Its CPUs, as a list of ranges.", lambda r: r.cpus),
        Column(3, "frnNodeMemory", GAUGE, "KiB of its memory.", lambda r: kib(r.memory), live=True),
        Column(4, "frnNodeMemoryFree", GAUGE, "KiB of it that are free.", lambda r: kib(r.free), live=True),
    ), lambda state: state.nodes,
)  # fmt: skip

JOBS = Table(
    "frnJobTable", "frnJobEntry", (1, 8), "Long pieces of work, under way or ended not long ago.", ("frnJobIndex",),
    (Index(1, "frnJobIndex", INDEX, "The job's number since the agent met the engine."),), (
        Column(2, "frnJobId", TEXT, "The engine's name of it.", lambda r: r.job.id, live=True),
        Column(3, "frnJobKind", TEXT, "What is done.", lambda r: r.job.kind, live=True),
        Column(4, "frnJobState", JOB_STATE, "How far it came.", lambda r: JOB_STATE.words.get(r.job.state, 1), live=True),
        Column(5, "frnJobVmIndex", Syntax("integer", "VirtualMachineIndexOrZero"), "The guest that it is done to; 0: none.",
               lambda r: r.vm_index, live=True),
        Column(6, "frnJobProgress", MINUS_ONE_OR_MORE, "Per cent that are done; -1 when not known.",
               lambda r: -1 if r.job.progress is None else int(r.job.progress * 100), live=True),
        Column(7, "frnJobProcessed", BYTES, "Bytes that are done.", lambda r: r.job.processed, live=True),
        Column(8, "frnJobTotal", BYTES, "Bytes that are to be done.", lambda r: r.job.total, live=True),
        Column(9, "frnJobStarted", DATE_AND_TIME, "When it began.", lambda r: date(r.job.started), live=True),
        Column(10, "frnJobEnded", DATE_AND_TIME, "When it ended.", lambda r: date(r.job.ended), live=True),
        Column(11, "frnJobError", TEXT, "What went wrong.", lambda r: r.job.error or "", live=True),
        Column(12, "frnJobAbort", ABORT, "Set to abort, the job is given up; reads as none.", lambda r: 1, access="read-write"),
    ), rows.job_rows, steer.job_change,
)  # fmt: skip

DEFINITIONS = Table(
    "frnDefinitionTable", "frnDefinitionEntry", (1, 14), "The stored definitions that guests can be made from.",
    ("frnDefinitionIndex",), (Index(1, "frnDefinitionIndex", INDEX, "The row's number."),), (
        Column(2, "frnDefinitionName", TEXT, "Its name, for frnGuestDefinition.", lambda r: r),
    ), lambda state: [((number,), name) for number, name in enumerate(sorted(state.definitions), 1)],
)  # fmt: skip

TABLES = (NODES, JOBS, DEFINITIONS)
