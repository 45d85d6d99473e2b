"""IF-MIB (RFC 2863) for guests' taps and their bridges, and HOST-RESOURCES-MIB (RFC 2790), where no other agent has them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from frontinus_snmp.ber import Oid
from frontinus_snmp.objects.kinds import (
    COUNTER32,
    COUNTER64,
    DATE_AND_TIME,
    GAUGE,
    IDENTIFIER,
    NATURAL,
    PHYS_ADDRESS,
    POSITIVE,
    TEXT,
    TICKS,
    TRUTH,
    Column,
    Module,
    Scalar,
    Table,
    enumeration,
    truth,
)  # fmt: skip
from frontinus_snmp.objects.own_guests import date
from frontinus_snmp.rows import State
from frontinus_snmp.rtnetlink import LinkStats

INTERFACES: Oid = (2,)
EXTENDED: Oid = (31, 1)
HOST: Oid = (25,)
LOW = 2**32 - 1
STATUS = enumeration("INTEGER", "up", "down", "testing", "unknown", "dormant", "notPresent", "lowerLayerDown")
OPER_STATUS = {0: 4, 1: 6, 2: 2, 3: 7, 4: 3, 5: 5, 6: 1}
"""ifOperStatus by the kernel's IF_OPER number."""
ETHERNET, BRIDGE = 6, 209
RUNNING = 0x40


@dataclass(frozen=True, slots=True)
class Interface:
    """A device, the guest that it is a tap of (or nothing), and whether it is a bridge."""

    link: LinkStats
    guest: str
    bridge: bool


def interfaces(state: State) -> Sequence[tuple[Oid, Interface]]:
    """The taps of running guests, the bridges that they are on, and those of networks."""
    owners = {
        nic.name: guest.view.name for guest in state.guests if guest.view.active and guest.figures
        for nic in guest.figures.interfaces
    }  # fmt: skip
    taps = [state.links[name] for name in owners if name in state.links]
    masters = {link.master for link in taps}
    bridges = {view.bridge for _, view in state.networks}
    found = [
        *taps,
        *(
            link
            for link in state.links.values()
            if (link.index in masters or link.name in bridges) and link not in taps
        ),
    ]
    rows = [((link.index,), Interface(link, owners.get(link.name, ""), link.name not in owners)) for link in found]
    return sorted(rows, key=lambda row: row[0])


def _oper(link: LinkStats) -> int:
    """A device that does not say is up when it runs."""
    return 1 if link.operstate == 0 and link.flags & RUNNING else OPER_STATUS.get(link.operstate, 4)


IF = Table(
    "ifTable", "ifEntry", (*INTERFACES, 2),
    "The taps of running guests, and their bridges, from the host's side.", ("ifIndex",), (), (
        Column(1, "ifIndex", POSITIVE, "The kernel's number.", lambda r: r.link.index),
        Column(2, "ifDescr", TEXT, "The kernel's name.", lambda r: r.link.name, live=True),
        Column(3, "ifType", POSITIVE, "6: Ethernet, 209: a bridge.", lambda r: BRIDGE if r.bridge else ETHERNET, live=True),
        Column(4, "ifMtu", NATURAL, "Octets of the largest packet.", lambda r: r.link.mtu, live=True),
        Column(5, "ifSpeed", GAUGE, "No such thing as a speed: 0.", lambda r: 0),
        Column(6, "ifPhysAddress", PHYS_ADDRESS, "The host's MAC address.", lambda r: r.link.mac, live=True),
        Column(7, "ifAdminStatus", STATUS, "Whether it shall be up.", lambda r: 1 if r.link.up else 2, live=True),
        Column(8, "ifOperStatus", STATUS, "Whether it is up.", lambda r: _oper(r.link), live=True),
        Column(9, "ifLastChange", TICKS, "Not known: 0.", lambda r: 0),
        Column(10, "ifInOctets", COUNTER32, "Octets that the host received: those that the guest sent.",
               lambda r: r.link.rx_bytes & LOW, live=True),
        Column(11, "ifInUcastPkts", COUNTER32, "Packets, but for multicasts.", lambda r: _unicast(r.link) & LOW, live=True),
        Column(13, "ifInDiscards", COUNTER32, "Packets dropped.", lambda r: r.link.rx_dropped & LOW, live=True),
        Column(14, "ifInErrors", COUNTER32, "Bad packets.", lambda r: r.link.rx_errors & LOW, live=True),
        Column(16, "ifOutOctets", COUNTER32, "Octets that the host sent.", lambda r: r.link.tx_bytes & LOW, live=True),
        Column(17, "ifOutUcastPkts", COUNTER32, "Packets.", lambda r: r.link.tx_packets & LOW, live=True),
        Column(19, "ifOutDiscards", COUNTER32, "Packets dropped.", lambda r: r.link.tx_dropped & LOW, live=True),
        Column(20, "ifOutErrors", COUNTER32, "Bad packets.", lambda r: r.link.tx_errors & LOW, live=True),
    ), interfaces,
)  # fmt: skip


def _unicast(link: LinkStats) -> int:
    return max(0, link.rx_packets - link.multicast)


IFX = Table(
    "ifXTable", "ifXEntry", (*EXTENDED, 1), "The same devices, with counters that are large enough.", ("ifIndex",), (), (
        Column(1, "ifName", TEXT, "The kernel's name.", lambda r: r.link.name, live=True),
        Column(2, "ifInMulticastPkts", COUNTER32, "Multicasts received.", lambda r: r.link.multicast & LOW, live=True),
        Column(6, "ifHCInOctets", COUNTER64, "Octets received.", lambda r: r.link.rx_bytes, live=True),
        Column(7, "ifHCInUcastPkts", COUNTER64, "Packets received, but for multicasts.", lambda r: _unicast(r.link), live=True),
        Column(8, "ifHCInMulticastPkts", COUNTER64, "Multicasts received.", lambda r: r.link.multicast, live=True),
        Column(10, "ifHCOutOctets", COUNTER64, "Octets sent.", lambda r: r.link.tx_bytes, live=True),
        Column(11, "ifHCOutUcastPkts", COUNTER64, "Packets sent.", lambda r: r.link.tx_packets, live=True),
        Column(14, "ifLinkUpDownTrapEnable", enumeration("INTEGER", "enabled", "disabled"), "disabled.", lambda r: 2),
        Column(15, "ifHighSpeed", GAUGE, "No such thing as a speed: 0.", lambda r: 0),
        Column(16, "ifPromiscuousMode", TRUTH, "Whether it takes all packets.",
               lambda r: truth(bool(r.link.flags & 0x100)), live=True),
        Column(17, "ifConnectorPresent", TRUTH, "No.", lambda r: 2),
        Column(18, "ifAlias", TEXT, "The guest that it is a tap of.", lambda r: r.guest, live=True),
        Column(19, "ifCounterDiscontinuityTime", TICKS, "Never: 0.", lambda r: 0),
    ), interfaces,
)  # fmt: skip

# --- the host

STORAGE_TYPES: dict[str, Oid] = {
    kind: (1, 3, 6, 1, 2, 1, 25, 2, 1, number) for kind, number in (("ram", 2), ("virtual", 3), ("fixed", 4))
}
PROCESSOR: Oid = (1, 3, 6, 1, 2, 1, 25, 3, 1, 3)


def _devices(state: State) -> Sequence[tuple[Oid, tuple[int, str]]]:
    model = state.host.cpu_model if state.host else ""
    return [((cpu,), (cpu, model)) for cpu in range(1, len(state.resources.loads) + 1)]


STORAGE = Table(
    "hrStorageTable", "hrStorageEntry", (*HOST, 2, 3), "Memory, swap and file systems.", ("hrStorageIndex",), (), (
        Column(1, "hrStorageIndex", POSITIVE, "The row's number.", lambda r: r[0]),
        Column(2, "hrStorageType", IDENTIFIER, "What it is.", lambda r: STORAGE_TYPES[r[1].kind], live=True),
        Column(3, "hrStorageDescr", TEXT, "Its name, or where it is mounted.", lambda r: r[1].name, live=True),
        Column(4, "hrStorageAllocationUnits", POSITIVE, "Bytes in a unit.", lambda r: r[1].unit, live=True),
        Column(5, "hrStorageSize", NATURAL, "Units that there are.", lambda r: r[1].size, live=True),
        Column(6, "hrStorageUsed", NATURAL, "Units that are used.", lambda r: r[1].used, live=True),
        Column(7, "hrStorageAllocationFailures", COUNTER32, "None is known.", lambda r: 0),
    ), lambda state: [((number,), (number, store)) for number, store in enumerate(state.resources.stores, 1)],
)  # fmt: skip
DEVICES = Table(
    "hrDeviceTable", "hrDeviceEntry", (*HOST, 3, 2), "The host's CPUs.", ("hrDeviceIndex",), (), (
        Column(1, "hrDeviceIndex", POSITIVE, "The kernel's number and one.", lambda r: r[0]),
        Column(2, "hrDeviceType", IDENTIFIER, "A processor.", lambda r: PROCESSOR),
        Column(3, "hrDeviceDescr", TEXT, "The model.", lambda r: r[1]),
        Column(4, "hrDeviceID", IDENTIFIER, "Not known.", lambda r: (0, 0)),
        Column(5, "hrDeviceStatus", enumeration("INTEGER", "unknown", "running"), "running.", lambda r: 2),
        Column(6, "hrDeviceErrors", COUNTER32, "None is known.", lambda r: 0),
    ),
           _devices,
)  # fmt: skip
PROCESSORS = Table(
    "hrProcessorTable", "hrProcessorEntry", (*HOST, 3, 3), "How busy they are.", ("hrDeviceIndex",), (), (
        Column(1, "hrProcessorFrwID", IDENTIFIER, "Not known.", lambda r: (0, 0)),
        Column(2, "hrProcessorLoad", NATURAL, "Per cent of the last minute that it was busy.", lambda r: r, live=True),
    ), lambda state: [((cpu,), load) for cpu, load in enumerate(state.resources.loads, 1)],
)  # fmt: skip

SCALARS = (
    Scalar("ifNumber", (*INTERFACES, 1), NATURAL, "Rows of ifTable.", lambda s: len(interfaces(s)), live=True),
    Scalar("hrSystemUptime", (*HOST, 1, 1), TICKS, "Time since the host started.",
           lambda s: int(s.resources.uptime * 100) & LOW, live=True),
    Scalar("hrSystemDate", (*HOST, 1, 2), DATE_AND_TIME, "The host's clock.", lambda s: date(time.time()), live=True),
    Scalar("hrSystemInitialLoadParameters", (*HOST, 1, 4), TEXT, "The kernel's command line.", lambda s: s.resources.command_line),
    Scalar("hrSystemProcesses", (*HOST, 1, 6), GAUGE, "Processes of the host.", lambda s: s.resources.processes, live=True),
    Scalar("hrSystemMaxProcesses", (*HOST, 1, 7), NATURAL, "No limit is known: 0.", lambda s: 0),
    Scalar("hrMemorySize", (*HOST, 2, 2), NATURAL, "KiB of memory.", lambda s: min(s.resources.memory, 2**31 - 1), live=True),
)  # fmt: skip
MODULE = Module("IF-MIB, HOST-RESOURCES-MIB", (1, 3, 6, 1, 2, 1), SCALARS, (IF, IFX, STORAGE, DEVICES, PROCESSORS))
