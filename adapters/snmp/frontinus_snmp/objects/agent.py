"""What the agent says of itself: SNMPv2-MIB (RFC 3418), its engine (RFC 3411, 3412) and what USM counts (RFC 3414)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from frontinus_snmp import rows
from frontinus_snmp.ber import Oid
from frontinus_snmp.change import Refusal, Step, Wish, switch
from frontinus_snmp.objects.kinds import (
    COUNTER32,
    IDENTIFIER,
    LARGEST,
    NATURAL,
    OCTETS,
    TEXT,
    TICKS,
    TRUTH,
    Column,
    Index,
    Module,
    Notification,
    Scalar,
    Syntax,
    Table,
    Value,
    truth,
)  # fmt: skip
from frontinus_snmp.pdu import INCONSISTENT_VALUE

SYSTEM: Oid = (1, 3, 6, 1, 2, 1, 1)
SNMP: Oid = (1, 3, 6, 1, 2, 1, 11)
SNMP_MIB: Oid = (1, 3, 6, 1, 6, 3, 1)
ENGINE: Oid = (1, 3, 6, 1, 6, 3, 10, 2, 1)
MPD: Oid = (1, 3, 6, 1, 6, 3, 11, 2, 1)
TARGET: Oid = (1, 3, 6, 1, 6, 3, 12, 1)
USM: Oid = (1, 3, 6, 1, 6, 3, 15, 1, 1)


def _system(number: int, name: str, syntax: Syntax, text: str, get: Callable[[rows.State], Value],
            live: bool = False) -> Scalar:  # fmt: skip
    return Scalar(name, (*SYSTEM, number), syntax, text, get, live)


def _count(place: Oid, name: str, text: str) -> Scalar:
    return Scalar(name, place, COUNTER32, text, lambda state: state.counters[name] & 0xFFFFFFFF, live=True)


def _next_serial(state: rows.State, wish: Wish) -> Step:
    """TestAndIncr: who wants to change something sets the number that it read, and only one of many succeeds."""
    before = state.serial
    if wish.number != before:
        raise Refusal(INCONSISTENT_VALUE, wish.place)

    async def put(value: int) -> None:
        state.serial = value

    return Step(wish.place, "snmpSetSerialNo", lambda: put((before + 1) & LARGEST), lambda: put(before))


COUNTERS = (
    _count((*SNMP, 1), "snmpInPkts", "Messages that arrived."),
    _count((*SNMP, 3), "snmpInBadVersions", "Messages of a version that is not served."),
    _count((*SNMP, 4), "snmpInBadCommunityNames", "Messages whose community is unknown or whose sender may not use it."),
    _count((*SNMP, 5), "snmpInBadCommunityUses", "Messages whose community does not allow what they ask."),
    _count((*SNMP, 6), "snmpInASNParseErrs", "Messages that could not be read."),
    _count((*SNMP, 31), "snmpSilentDrops", "Requests dropped since not even an empty answer fitted."),
    _count((*SNMP, 32), "snmpProxyDrops", "Messages that were not passed on: none ever is."),
    _count((*MPD, 1), "snmpUnknownSecurityModels", "Messages of a security model other than USM."),
    _count((*MPD, 2), "snmpInvalidMsgs", "Messages with contradictory flags."),
    _count((*MPD, 3), "snmpUnknownPDUHandlers", "Messages whose PDU nobody here serves."),
    _count((*TARGET, 4), "snmpUnavailableContexts", "Messages for a context that is away: none ever is."),
    _count((*TARGET, 5), "snmpUnknownContexts", "Messages for a context that does not exist."),
    _count((*USM, 1), "usmStatsUnsupportedSecLevels", "Messages below authentication with privacy."),
    _count((*USM, 2), "usmStatsNotInTimeWindows", "Messages from outside the time window, repeated ones among them."),
    _count((*USM, 3), "usmStatsUnknownUserNames", "Messages of users that are not known."),
    _count((*USM, 4), "usmStatsUnknownEngineIDs", "Messages for another engine, discovery among them."),
    _count((*USM, 5), "usmStatsWrongDigests", "Messages that were not signed with the user's key."),
    _count((*USM, 6), "usmStatsDecryptionErrors", "Messages that could not be decrypted."),
)  # fmt: skip

SCALARS = (
    _system(1, "sysDescr", TEXT, "Frontinus and its host.", lambda s: s.description),
    _system(2, "sysObjectID", IDENTIFIER, "This kind of agent; experimental.", lambda s: s.root),
    _system(3, "sysUpTime", TICKS, "Time since the agent started.", lambda s: s.ticks(s.started), live=True),
    _system(4, "sysContact", TEXT, "Who to turn to, from the configuration.", lambda s: s.contact),
    _system(5, "sysName", TEXT, "The host's name.", lambda s: s.hostname),
    _system(6, "sysLocation", TEXT, "Where the host is, from the configuration.", lambda s: s.location),
    _system(7, "sysServices", NATURAL, "End-to-end and application layers.", lambda s: 72),
    _system(8, "sysORLastChange", TICKS, "sysUpTime when a row of sysORTable last changed: never.", lambda s: 0),
    *COUNTERS,
    Scalar("snmpEnableAuthenTraps", (*SNMP, 30), TRUTH, "Whether authenticationFailure is told. A start undoes what was set.",
           lambda s: truth(s.tell_strangers), change=switch("tell_strangers"), access="read-write"),
    Scalar("snmpSetSerialNo", (*SNMP_MIB, 1, 6, 1), NATURAL, "A lock for managers: set it to what it is, and it is one more.",
           lambda s: s.serial, live=True, change=_next_serial, access="read-write"),
    Scalar("snmpEngineID", (*ENGINE, 1), OCTETS, "The agent's engine.", lambda s: s.engine_id),
    Scalar("snmpEngineBoots", (*ENGINE, 2), NATURAL, "Starts of the engine so far.", lambda s: s.boots),
    Scalar("snmpEngineTime", (*ENGINE, 3), NATURAL, "Seconds since the last start.", lambda s: s.seconds, live=True),
    Scalar("snmpEngineMaxMessageSize", (*ENGINE, 4), NATURAL, "The largest message read or sent.", lambda s: s.max_size),
)  # fmt: skip

RESOURCES: Sequence[tuple[Oid, str]] = (
    ((1, 3, 6, 1, 6, 3, 1), "SNMPv2-MIB"), ((1, 3, 6, 1, 6, 3, 10, 3, 1, 1), "SNMP-FRAMEWORK-MIB"),
    ((1, 3, 6, 1, 6, 3, 11, 3, 1, 1), "SNMP-MPD-MIB"), ((1, 3, 6, 1, 6, 3, 13, 3, 1, 3), "SNMP-NOTIFICATION-MIB, read-only"),
    ((1, 3, 6, 1, 6, 3, 15, 2, 1, 1), "SNMP-USER-BASED-SM-MIB, read-only"),
    ((1, 3, 6, 1, 6, 3, 16, 2, 2, 1), "SNMP-VIEW-BASED-ACM-MIB, read-only"), ((1, 3, 6, 1, 2, 1, 236, 2, 1, 1), "VM-MIB"),
)  # fmt: skip
"""sysORTable's rows: what this agent conforms to."""

OR = Table(
    "sysORTable", "sysOREntry", (*SYSTEM, 9), "The modules that the agent serves.", ("sysORIndex",),
    (Index(1, "sysORIndex", "Integer32 (1..2147483647)", "The row's number."),), (
        Column(2, "sysORID", IDENTIFIER, "The module.", lambda r: r[0]),
        Column(3, "sysORDescr", TEXT, "Its name.", lambda r: r[1]),
        Column(4, "sysORUpTime", TICKS, "sysUpTime when it began to be served.", lambda r: 0),
    ), lambda state: [((number,), row) for number, row in enumerate(RESOURCES, 1)],
)  # fmt: skip

NOTIFICATIONS = (
    Notification(1, "coldStart", "The agent started.", ()),
    Notification(5, "authenticationFailure", "Somebody without the right key or community asked.", ()),
)
"""Numbers below TRAPS."""
TRAPS: Oid = (*SNMP_MIB, 1, 5)

MODULE = Module("SNMPv2-MIB", (), SCALARS, (OR,), NOTIFICATIONS)
