"""Who may do what and who is told, as the standard modules show it, read-only: the configuration decides.

SNMP-USER-BASED-SM-MIB (RFC 3414), SNMP-VIEW-BASED-ACM-MIB (RFC 3415), SNMP-TARGET-MIB and SNMP-NOTIFICATION-MIB (RFC 3413).
No key can be read: those columns are empty, as the RFC wants it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from frontinus_snmp.ber import Oid
from frontinus_snmp.objects.kinds import (
    IDENTIFIER,
    NATURAL,
    OCTETS,
    POSITIVE,
    ROW_STATUS,
    STORAGE_TYPE,
    TEXT,
    Column,
    Index,
    Module,
    Scalar,
    Table,
    enumeration,
)  # fmt: skip
from frontinus_snmp.rows import State

if TYPE_CHECKING:
    from frontinus_snmp.settings import Receiver
    from frontinus_snmp.usm import User

READ_ONLY, ACTIVE = 5, 1
AUTH_PROTOCOLS: Mapping[str, Oid] = {
    name: (1, 3, 6, 1, 6, 3, 10, 1, 1, number)
    for name, number in (("SHA-224", 4), ("SHA-256", 5), ("SHA-384", 6), ("SHA-512", 7))
}
"""RFC 7860, section 4."""
PRIV_PROTOCOLS: Mapping[str, Oid] = {
    "AES-128": (1, 3, 6, 1, 6, 3, 10, 1, 2, 4),
    "AES-256": (1, 3, 6, 1, 4, 1, 14832, 1, 4),
}
"""RFC 3826, section 7; AES-256 has no standard number: this is net-snmp's."""
NONE: Oid = (0, 0)
USM_MODEL, V1_MODEL, V2C_MODEL, AUTH_PRIV, NO_AUTH = 3, 1, 2, 3, 1
COMMUNITY = "community"
"""The security name and the group of those who come with the community."""
TAGS = ("trap", "inform")


def counted(octets: bytes) -> Oid:
    """A string as an index: its length, then its octets (RFC 2578, section 7.7)."""
    return (len(octets), *octets)


def named(text: str) -> Oid:
    return counted(text.encode())


# --- users


def _users(state: State) -> Sequence[tuple[Oid, User]]:
    rows = [((*counted(user.engine_id or state.engine_id), *named(user.name)), user) for user in state.users]
    return sorted(rows, key=lambda row: row[0])


USERS = Table(
    "usmUserTable", "usmUserEntry", (15, 1, 2, 2), "The users; keys cannot be read.", ("usmUserEngineID", "usmUserName"),
    (Index(1, "usmUserEngineID", "SnmpEngineID", "The engine that the keys are good for."),
     Index(2, "usmUserName", "SnmpAdminString", "The user.")), (
        Column(3, "usmUserSecurityName", TEXT, "The user's name.", lambda r: r.name),
        Column(4, "usmUserCloneFrom", IDENTIFIER, "Nothing is cloned.", lambda r: NONE),
        Column(5, "usmUserAuthProtocol", IDENTIFIER, "How messages are signed.", lambda r: AUTH_PROTOCOLS[r.auth]),
        Column(6, "usmUserAuthKeyChange", OCTETS, "Always empty.", lambda r: b""),
        Column(7, "usmUserOwnAuthKeyChange", OCTETS, "Always empty.", lambda r: b""),
        Column(8, "usmUserPrivProtocol", IDENTIFIER, "How messages are encrypted.", lambda r: PRIV_PROTOCOLS[r.priv]),
        Column(9, "usmUserPrivKeyChange", OCTETS, "Always empty.", lambda r: b""),
        Column(10, "usmUserOwnPrivKeyChange", OCTETS, "Always empty.", lambda r: b""),
        Column(11, "usmUserPublic", OCTETS, "Always empty.", lambda r: b""),
        Column(12, "usmUserStorageType", STORAGE_TYPE, "Changed by frontinus-snmp adduser.", lambda r: READ_ONLY),
        Column(13, "usmUserStatus", ROW_STATUS, "active.", lambda r: ACTIVE),
    ), _users,
)  # fmt: skip

# --- access


@dataclass(frozen=True, slots=True, order=True)
class Access:
    """Who comes under a security model and level may read and change these views."""

    name: str
    models: tuple[int, ...]
    level: int
    read: str
    write: str


def _accesses(state: State) -> Iterator[Access]:
    yield from (
        Access(user.name, (USM_MODEL,), AUTH_PRIV, user.view, user.write) for user in state.users if not user.engine_id
    )
    access = state.settings.v2c if state.settings else None
    if access is not None:
        models = (V1_MODEL, V2C_MODEL) if access.v1 else (V2C_MODEL,)
        yield Access(COMMUNITY, models, NO_AUTH, access.view, "")


def _members(state: State) -> Sequence[tuple[Oid, str]]:
    return sorted(((model, *named(access.name)), access.name) for access in _accesses(state) for model in access.models)


def _rights(state: State) -> Sequence[tuple[Oid, Access]]:
    return sorted(
        ((*named(access.name), 0, model, access.level), access)
        for access in _accesses(state)
        for model in access.models
    )


def _families(state: State) -> Sequence[tuple[Oid, int]]:
    return sorted(
        ((*named(name), len(subtree), *subtree), kind)
        for name, view in (state.settings.views if state.settings else {}).items()
        for kind, subtrees in ((1, view.included), (2, view.excluded)) for subtree in subtrees
    )  # fmt: skip


CONTEXTS = Table(
    "vacmContextTable", "vacmContextEntry", (16, 1, 1), "The one context, whose name is empty.", ("vacmContextName",), (), (
        Column(1, "vacmContextName", TEXT, "Its name.", lambda r: r),
    ), lambda state: [((0,), "")],
)  # fmt: skip
GROUPS = Table(
    "vacmSecurityToGroupTable", "vacmSecurityToGroupEntry", (16, 1, 2), "Everybody is a group of their own.",
    ("vacmSecurityModel", "vacmSecurityName"),
    (Index(1, "vacmSecurityModel", "SnmpSecurityModel", "The security model."),
     Index(2, "vacmSecurityName", "SnmpAdminString", "The name.")), (
        Column(3, "vacmGroupName", TEXT, "The group.", lambda r: r),
        Column(4, "vacmSecurityToGroupStorageType", STORAGE_TYPE, "readOnly.", lambda r: READ_ONLY),
        Column(5, "vacmSecurityToGroupStatus", ROW_STATUS, "active.", lambda r: ACTIVE),
    ), _members,
)  # fmt: skip
RIGHTS = Table(
    "vacmAccessTable", "vacmAccessEntry", (16, 1, 4), "What groups may use.",
    ("vacmGroupName", "vacmAccessContextPrefix", "vacmAccessSecurityModel", "vacmAccessSecurityLevel"),
    (Index(1, "vacmAccessContextPrefix", "SnmpAdminString", "Always empty."),
     Index(2, "vacmAccessSecurityModel", "SnmpSecurityModel", "The security model."),
     Index(3, "vacmAccessSecurityLevel", "SnmpSecurityLevel", "The security level.")), (
        Column(4, "vacmAccessContextMatch", enumeration("INTEGER", "exact", "prefix"), "exact.", lambda r: 1),
        Column(5, "vacmAccessReadViewName", TEXT, "The view of what may be read.", lambda r: r.read),
        Column(6, "vacmAccessWriteViewName", TEXT, "The view of what may be changed; empty: nothing.", lambda r: r.write),
        Column(7, "vacmAccessNotifyViewName", TEXT, "The view of what may be told.", lambda r: r.read),
        Column(8, "vacmAccessStorageType", STORAGE_TYPE, "readOnly.", lambda r: READ_ONLY),
        Column(9, "vacmAccessStatus", ROW_STATUS, "active.", lambda r: ACTIVE),
    ), _rights,
)  # fmt: skip
FAMILIES = Table(
    "vacmViewTreeFamilyTable", "vacmViewTreeFamilyEntry", (16, 1, 5, 2), "What views show.",
    ("vacmViewTreeFamilyViewName", "vacmViewTreeFamilySubtree"),
    (Index(1, "vacmViewTreeFamilyViewName", "SnmpAdminString", "The view."),
     Index(2, "vacmViewTreeFamilySubtree", "OBJECT IDENTIFIER", "The subtree.")), (
        Column(3, "vacmViewTreeFamilyMask", OCTETS, "Always empty: all of the name counts.", lambda r: b""),
        Column(4, "vacmViewTreeFamilyType", enumeration("INTEGER", "included", "excluded"), "Whether it is shown.", lambda r: r),
        Column(5, "vacmViewTreeFamilyStorageType", STORAGE_TYPE, "readOnly.", lambda r: READ_ONLY),
        Column(6, "vacmViewTreeFamilyStatus", ROW_STATUS, "active.", lambda r: ACTIVE),
    ), _families,
)  # fmt: skip

# --- receivers


def _receivers(state: State) -> Sequence[tuple[Oid, tuple[str, Receiver]]]:
    found = [
        (f"receiver-{number}", receiver)
        for number, receiver in enumerate(state.settings.notify if state.settings else (), 1)
    ]
    return sorted(((tuple(name.encode()), (name, receiver)) for name, receiver in found), key=lambda row: row[0])


def _address(receiver: Receiver) -> bytes:
    return ipaddress.ip_address(receiver.address[0]).packed + receiver.address[1].to_bytes(2, "big")


def _domain(receiver: Receiver) -> Oid:
    """transportDomainUdpIpv4 or Ipv6 (RFC 3419)."""
    return (1, 3, 6, 1, 2, 1, 100, 1, 1 if ipaddress.ip_address(receiver.address[0]).version == 4 else 2)


ADDRESSES = Table(
    "snmpTargetAddrTable", "snmpTargetAddrEntry", (12, 1, 2), "Who is told.", ("snmpTargetAddrName",),
    (Index(1, "snmpTargetAddrName", "SnmpAdminString", "The receiver's name."),), (
        Column(2, "snmpTargetAddrTDomain", IDENTIFIER, "UDP over IPv4 or IPv6.", lambda r: _domain(r[1])),
        Column(3, "snmpTargetAddrTAddress", OCTETS, "Address and port.", lambda r: _address(r[1])),
        Column(4, "snmpTargetAddrTimeout", NATURAL, "Hundredths of a second to wait for an answer.",
               lambda r: int(r[1].timeout * 100)),
        Column(5, "snmpTargetAddrRetryCount", NATURAL, "How often to send again.", lambda r: r[1].retries),
        Column(6, "snmpTargetAddrTagList", OCTETS, "trap or inform.", lambda r: TAGS[r[1].inform].encode()),
        Column(7, "snmpTargetAddrParams", TEXT, "The row of snmpTargetParamsTable.", lambda r: r[0]),
        Column(8, "snmpTargetAddrStorageType", STORAGE_TYPE, "readOnly.", lambda r: READ_ONLY),
        Column(9, "snmpTargetAddrRowStatus", ROW_STATUS, "active.", lambda r: ACTIVE),
    ), _receivers,
)  # fmt: skip
PARAMS = Table(
    "snmpTargetParamsTable", "snmpTargetParamsEntry", (12, 1, 3), "How they are told.", ("snmpTargetParamsName",),
    (Index(1, "snmpTargetParamsName", "SnmpAdminString", "The row's name."),), (
        Column(2, "snmpTargetParamsMPModel", NATURAL, "1: SNMPv2c, 3: SNMPv3.", lambda r: 3 if r[1].community is None else 1),
        Column(3, "snmpTargetParamsSecurityModel", POSITIVE, "2: SNMPv2c, 3: USM.", lambda r: 3 if r[1].community is None else 2),
        Column(4, "snmpTargetParamsSecurityName", TEXT, "The user.", lambda r: r[1].user or COMMUNITY),
        Column(5, "snmpTargetParamsSecurityLevel", enumeration("SnmpSecurityLevel", "noAuthNoPriv", "authNoPriv", "authPriv"),
               "authPriv, but for communities.", lambda r: AUTH_PRIV if r[1].community is None else NO_AUTH),
        Column(6, "snmpTargetParamsStorageType", STORAGE_TYPE, "readOnly.", lambda r: READ_ONLY),
        Column(7, "snmpTargetParamsRowStatus", ROW_STATUS, "active.", lambda r: ACTIVE),
    ), _receivers,
)  # fmt: skip
NOTIFY = Table(
    "snmpNotifyTable", "snmpNotifyEntry", (13, 1, 1), "The two ways of telling.", ("snmpNotifyName",),
    (Index(1, "snmpNotifyName", "SnmpAdminString", "The way's name."),), (
        Column(2, "snmpNotifyTag", OCTETS, "Receivers that have this tag.", lambda r: r.encode()),
        Column(3, "snmpNotifyType", enumeration("INTEGER", *TAGS), "trap or inform.", lambda r: TAGS.index(r) + 1),
        Column(4, "snmpNotifyStorageType", STORAGE_TYPE, "readOnly.", lambda r: READ_ONLY),
        Column(5, "snmpNotifyRowStatus", ROW_STATUS, "active.", lambda r: ACTIVE),
    ), lambda state: [(tuple(tag.encode()), tag) for tag in sorted(TAGS)],
)  # fmt: skip

SCALARS = (
    Scalar("snmpTargetSpinLock", (12, 1, 1), NATURAL, "A lock that nobody needs: nothing here can be set.", lambda s: 0),
    Scalar("usmUserSpinLock", (15, 1, 2, 1), NATURAL, "A lock that nobody needs: nothing here can be set.", lambda s: 0),
    Scalar("vacmViewSpinLock", (16, 1, 5, 1), NATURAL, "A lock that nobody needs: nothing here can be set.", lambda s: 0),
)  # fmt: skip
MODULE = Module("SNMP-USER-BASED-SM, VIEW-BASED-ACM, TARGET, NOTIFICATION-MIB", (1, 3, 6, 1, 6, 3), SCALARS,
                (ADDRESSES, PARAMS, NOTIFY, USERS, CONTEXTS, GROUPS, RIGHTS, FAMILIES))  # fmt: skip
