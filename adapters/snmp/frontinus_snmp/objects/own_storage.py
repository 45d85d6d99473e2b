"""FRONTINUS-MIB's storage pools with their volumes, and virtual networks with their leases."""

from __future__ import annotations

from typing import get_args

from frontinus.api.networks import Forward
from frontinus.api.storage import PoolState, VolumeKind
from frontinus_snmp import rows, steer_host
from frontinus_snmp.objects.kinds import (
    DATE_AND_TIME,
    IF_INDEX,
    OCTETS,
    TEXT,
    TRUTH,
    UNSIGNED,
    UUID_OR_ZERO,
    Column,
    Index,
    Table,
    enumeration,
    truth,
)  # fmt: skip
from frontinus_snmp.objects.own_guests import date
from frontinus_snmp.objects.own_host import BYTES, INDEX

POOL_STATE = enumeration("INTEGER", *get_args(PoolState), start=0)
VOLUME_KIND = enumeration("INTEGER", *get_args(VolumeKind), start=0)
FORWARD = enumeration("INTEGER", *get_args(Forward))
FAMILY = enumeration("INTEGER", "ipv4", "ipv6")
POOL_ACTION = enumeration("INTEGER", *steer_host.POOL_ACTIONS)
NETWORK_ACTION = enumeration("INTEGER", *steer_host.NETWORK_ACTIONS)

POOLS = Table(
    "frnPoolTable", "frnPoolEntry", (1, 9), "The storage pools.", ("frnPoolIndex",),
    (Index(1, "frnPoolIndex", INDEX, "The pool's number: the same for a UUID while the state is kept."),), (
        Column(2, "frnPoolName", TEXT, "Its name.", lambda r: r.name),
        Column(3, "frnPoolUUID", UUID_OR_ZERO, "Its UUID, 16 octets.", lambda r: rows.uuid_octets(r.uuid)),
        Column(4, "frnPoolKind", TEXT, "Its type.", lambda r: r.kind),
        Column(5, "frnPoolState", POOL_STATE, "Its state by the engine's number.", lambda r: POOL_STATE.words[r.state]),
        Column(6, "frnPoolPersistent", TRUTH, "Whether it has a stored definition.", lambda r: truth(r.persistent)),
        Column(7, "frnPoolAutostart", TRUTH, "Whether it starts with the host.", lambda r: truth(r.autostart), access="read-write"),
        Column(8, "frnPoolPath", TEXT, "Where it is on the host.", lambda r: r.path or ""),
        Column(9, "frnPoolCapacity", BYTES, "Bytes that it can hold.", lambda r: r.capacity),
        Column(10, "frnPoolAllocation", BYTES, "Bytes that are taken.", lambda r: r.allocation),
        Column(11, "frnPoolAvailable", BYTES, "Bytes that are left.", lambda r: r.available),
        Column(12, "frnPoolVolumes", UNSIGNED, "Volumes in it.", lambda r: r.volumes),
        Column(13, "frnPoolAction", POOL_ACTION, "Set to do something; reads as none.", lambda r: 1, access="read-write"),
    ), lambda state: [((number,), pool) for number, pool in state.pools], steer_host.pool_change,
)  # fmt: skip

VOLUMES = Table(
    "frnVolumeTable", "frnVolumeEntry", (1, 10), "The volumes of the pools that are active.", ("frnPoolIndex", "frnVolumeIndex"),
    (Index(1, "frnVolumeIndex", INDEX, "The volume's number in its pool since the agent met the engine."),), (
        Column(2, "frnVolumeName", TEXT, "Its name.", lambda r: r.name),
        Column(3, "frnVolumeKey", TEXT, "Its key.", lambda r: r.key),
        Column(4, "frnVolumePath", TEXT, "Where it is on the host.", lambda r: r.path),
        Column(5, "frnVolumeKind", VOLUME_KIND, "What it is, by the engine's number.", lambda r: VOLUME_KIND.words[r.kind]),
        Column(6, "frnVolumeFormat", TEXT, "Its format.", lambda r: r.format or ""),
        Column(7, "frnVolumeCapacity", BYTES, "Bytes that a guest sees.", lambda r: r.capacity),
        Column(8, "frnVolumeAllocation", BYTES, "Bytes that are taken.", lambda r: r.allocation),
        Column(9, "frnVolumeEncrypted", TRUTH, "Whether it is encrypted.", lambda r: truth(r.encrypted)),
    ), lambda state: state.volumes,
)  # fmt: skip

NETWORKS = Table(
    "frnNetworkTable", "frnNetworkEntry", (1, 11), "The virtual networks.", ("frnNetworkIndex",),
    (Index(1, "frnNetworkIndex", INDEX, "The network's number: the same for a UUID while the state is kept."),), (
        Column(2, "frnNetworkName", TEXT, "Its name.", lambda r: r.view.name),
        Column(3, "frnNetworkUUID", UUID_OR_ZERO, "Its UUID, 16 octets.", lambda r: rows.uuid_octets(r.view.uuid)),
        Column(4, "frnNetworkActive", TRUTH, "Whether it is up.", lambda r: truth(r.view.active)),
        Column(5, "frnNetworkPersistent", TRUTH, "Whether it has a stored definition.", lambda r: truth(r.view.persistent)),
        Column(6, "frnNetworkAutostart", TRUTH, "Whether it starts with the host.", lambda r: truth(r.view.autostart),
               access="read-write"),
        Column(7, "frnNetworkBridge", TEXT, "The host's bridge for it.", lambda r: r.view.bridge or ""),
        Column(8, "frnNetworkIfIndex", IF_INDEX, "The bridge, by the kernel's number; 0 without.", lambda r: r.if_index, live=True),
        Column(9, "frnNetworkForward", FORWARD, "How it reaches other networks.", lambda r: FORWARD.words[r.view.forward]),
        Column(10, "frnNetworkDomain", TEXT, "Its DNS domain.", lambda r: r.view.domain or ""),
        Column(11, "frnNetworkPorts", UNSIGNED, "Guests' interfaces on it.", lambda r: r.view.ports),
        Column(12, "frnNetworkLeases", UNSIGNED, "Addresses that are given out.", lambda r: r.view.leases),
        Column(13, "frnNetworkAction", NETWORK_ACTION, "Set to do something; reads as none.", lambda r: 1, access="read-write"),
    ), rows.net_rows, steer_host.network_change,
)  # fmt: skip

LEASES = Table(
    "frnLeaseTable", "frnLeaseEntry", (1, 12), "The addresses that networks gave out.", ("frnNetworkIndex", "frnLeaseAddress"),
    (Index(1, "frnLeaseAddress", "OCTET STRING (SIZE (4 | 16))", "The address, IPv4 or IPv6."),), (
        Column(2, "frnLeaseFamily", FAMILY, "The address's kind.", lambda r: FAMILY.words[r.family]),
        Column(3, "frnLeaseMac", OCTETS, "The MAC address that has it, as far as it is known.", lambda r: rows.mac_octets(r.mac)),
        Column(4, "frnLeaseHostname", TEXT, "The name that its holder gave.", lambda r: r.hostname or ""),
        Column(5, "frnLeaseClientId", TEXT, "The identity that its holder gave.", lambda r: r.client_id or ""),
        Column(6, "frnLeaseExpires", DATE_AND_TIME, "When it ends; no instance: never.", lambda r: date(r.expires)),
        Column(7, "frnLeaseInterface", TEXT, "The host's device that it was given through.", lambda r: r.interface),
    ), lambda state: state.leases,
)  # fmt: skip

TABLES = (POOLS, VOLUMES, NETWORKS, LEASES)
