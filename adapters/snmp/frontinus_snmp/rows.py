"""The rows behind the objects: guests with their figures, in VM-MIB's terms. Pure; units as in RFC 7666."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from frontinus.api.networks import LeaseView, NetworkView
from frontinus.api.storage import PoolView, VolumeView
from frontinus.api.views import BlockStats, GuestStats, GuestView, HostView, InterfaceStats, JobView
from frontinus_snmp.ber import Oid
from frontinus_snmp.details import EMPTY, Details, Disk
from frontinus_snmp.hostres import HostResources
from frontinus_snmp.roots import ROOT
from frontinus_snmp.rtnetlink import LinkStats

if TYPE_CHECKING:
    from pathlib import Path

    from frontinus.api.engine import Engine
    from frontinus_snmp.settings import Settings
    from frontinus_snmp.store import Numbers
    from frontinus_snmp.usm import User

LARGEST = 2**31 - 1


@dataclass
class State:
    """What scalars are made from. Times are of time.monotonic()."""

    engine_id: bytes = b""
    boots: int = 0
    max_size: int = 0
    started: float = field(default_factory=time.monotonic)
    connected: float = 0.0
    last_change: int = 0
    description: str = ""
    version: str = ""
    hostname: str = ""
    contact: str = ""
    location: str = ""
    hypervisor: str = ""
    hypervisor_version: str = ""
    root: Oid = ROOT
    """The node of FRONTINUS-MIB."""
    per_vm: bool = True
    bulk: bool = False
    tell_strangers: bool = False
    """Switches of what is told; a start of the agent sets them back."""
    serial: int = 0
    users: Sequence[User] = ()
    settings: Settings | None = None
    """What the tables of users, views and receivers show."""
    manage: Engine | None = None
    """The engine as it can be told to change something; set while a SET is under way."""
    guests: Sequence[Guest] = ()
    numbers: Mapping[str, int] = field(default_factory=dict)
    """Every guest's number by its UUID, also of those that are gone."""
    numbering: Numbers | None = None
    definitions: Mapping[str, Path] = field(default_factory=dict)
    host_numbers: Mapping[str, int] = field(default_factory=dict)
    """Numbers of pools and networks by their UUIDs."""
    places: Places = field(default_factory=lambda: Places())
    """Numbers of jobs, and of the volumes of each pool."""
    host: HostView | None = None
    nodes: Sequence[tuple[Oid, Node]] = ()
    jobs: Sequence[tuple[int, JobView]] = ()
    pools: Sequence[tuple[int, PoolView]] = ()
    volumes: Sequence[tuple[Oid, VolumeView]] = ()
    networks: Sequence[tuple[int, NetworkView]] = ()
    leases: Sequence[tuple[Oid, LeaseView]] = ()
    """Pools, networks and what they have, with their numbers, in the order of these."""
    links: Mapping[str, LinkStats] = field(default_factory=dict)
    """The host's network devices that are shown, by name."""
    resources: HostResources = field(default_factory=HostResources)
    own: bool = True
    """Whether FRONTINUS-MIB's notifications are told."""
    counters: Counter[str] = field(default_factory=Counter)

    @property
    def seconds(self) -> int:
        """Seconds since the engine started."""
        return int(time.monotonic() - self.started)

    def index_of(self, table: str, about: str) -> int | None:
        """The row of a guest, a pool (by UUID) or a job (by name) in a table; None while it has none."""
        if table == "frnJobTable":
            return self.places.number("job", about)
        return (self.host_numbers if table == "frnPoolTable" else self.numbers).get(about)

    def ticks(self, since: float) -> int:
        """Hundredths of a second since then, wrapping as TimeTicks do."""
        return int((time.monotonic() - since) * 100) & 0xFFFFFFFF


@dataclass(eq=False)
class Guest:
    """One guest. `booted`: Unix time from which its uptime counts. `places` keeps the numbers of its devices."""

    index: int
    view: GuestView
    places: Places
    booted: float = 0.0
    figures: GuestStats | None = None
    details: Details = EMPTY
    links: Mapping[str, LinkStats] = field(default_factory=dict)
    """The host's network devices by name."""
    now: float = 0.0

    @cached_property
    def uuid_octets(self) -> bytes:
        return uuid.UUID(self.view.uuid).bytes

    @property
    def memory(self) -> int:
        measured = self.figures.memory.current if self.figures and self.figures.memory and self.view.active else None
        return self.view.memory if measured is None else measured

    @property
    def memory_unit(self) -> int:
        return unit(max(self.view.max_memory, self.view.memory))

    @property
    def up_time(self) -> int:
        return int(max(0.0, self.now - self.booted) * 100) & 0xFFFFFFFF if self.view.active else 0

    @property
    def cpu_time(self) -> int | None:
        figures = self.figures
        if not self.view.active or (figures and figures.cpu is None and not figures.stale):
            return 0  # off, or so newly on that it was not measured yet; one that hangs has no figure
        return microseconds(figures.cpu.time) if figures and figures.cpu else None


@dataclass(eq=False)
class Places:
    """Numbers of a guest's devices by what they are known as; a number is never given to another device."""

    taken: dict[str, int] = field(default_factory=dict)
    last: Counter[str] = field(default_factory=Counter)

    def number(self, kind: str, key: str) -> int:
        name = f"{kind}/{key}"
        found = self.taken.get(name)
        if found is None:
            self.last[kind] += 1
            found = self.taken[name] = self.last[kind]
        return found

    def keep(self, kind: str, keys: Set[str]) -> None:
        """Forget the others of a kind; their numbers are not given again."""
        start = f"{kind}/"
        gone = [name for name in self.taken if name.startswith(start) and name[len(start) :] not in keys]
        for name in gone:
            del self.taken[name]


@dataclass(frozen=True, slots=True)
class Nic:
    """An interface; `if_index` and `parent` are the kernel's numbers, 0 without."""

    model: str
    mac_octets: bytes
    if_index: int = 0
    parent: int = 0


NO_DISK, NO_BLOCK, NO_NIC = Disk(""), BlockStats(index=0, name=""), Nic("", b"")


@dataclass(slots=True)
class Row:
    """One row of any table; the parts that its table needs are set."""

    guest: Guest
    cpu_time: int | None = None
    allowed: bool = False
    disk: Disk = NO_DISK
    block: BlockStats = NO_BLOCK
    nic: Nic = NO_NIC

    @property
    def size_unit(self) -> int:
        return unit(max(self.block.capacity or 0, self.block.allocation or 0))


R = TypeVar("R")
Rows = Sequence[tuple[Oid, Row]]


def of_each(rows: Callable[[Guest], Sequence[tuple[Oid, R]]]) -> Callable[[State], Sequence[tuple[Oid, R]]]:
    """A table's rows, from those of each guest. The guests are in the order of their indexes."""
    return lambda state: [row for guest in state.guests for row in rows(guest)]


def vm_rows(guest: Guest) -> Rows:
    return [((guest.index,), Row(guest))]


def cpu_rows(guest: Guest) -> Rows:
    if guest.figures is None or not guest.view.active:
        return []
    return [((guest.index, cpu.index + 1), Row(guest, cpu_time=microseconds(cpu.time)))
            for cpu in sorted(guest.figures.vcpus, key=lambda cpu: cpu.index)]  # fmt: skip


def affinity_rows(guest: Guest) -> Rows:
    pins = guest.details.pins
    return [((guest.index, cpu + 1, host + 1), Row(guest, allowed=True))
            for cpu in sorted(pins) if 0 <= cpu < guest.view.max_vcpus for host in sorted(pins[cpu])]  # fmt: skip


def storage_rows(guest: Guest) -> Rows:
    known: Mapping[str, Disk] = guest.details.disks
    blocks = guest.figures.blocks if guest.figures else ()
    found = [((guest.index, guest.places.number("disk", block.name)),
              Row(guest, disk=known.get(block.name) or Disk(block.name, path=block.path or ""), block=block))
             for block in blocks]  # fmt: skip
    return found if len(found) < 2 else sorted(found, key=_index)


def network_rows(guest: Guest) -> Rows:
    nics: Sequence[InterfaceStats] = guest.figures.interfaces if guest.figures else ()
    found = [((guest.index, guest.places.number("nic", nic.mac or nic.name)),
              Row(guest, nic=_nic(nic, guest))) for nic in nics]  # fmt: skip
    return found if len(found) < 2 else sorted(found, key=_index)


def counter_rows(guest: Guest) -> Sequence[tuple[Oid, InterfaceStats]]:
    """The interfaces under the numbers that network_rows gives them."""
    nics: Sequence[InterfaceStats] = guest.figures.interfaces if guest.figures and guest.view.active else ()
    return sorted(
        [((guest.index, guest.places.number("nic", nic.mac or nic.name)), nic) for nic in nics], key=lambda row: row[0]
    )


@dataclass(frozen=True, slots=True)
class Node:
    """A NUMA node; bytes."""

    cpus: str
    memory: int
    free: int


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job and the number of its guest, 0 without."""

    job: JobView
    vm_index: int


def job_rows(state: State) -> Sequence[tuple[Oid, JobRow]]:
    return [((number,), JobRow(job, state.numbers.get(job.guest or "", 0))) for number, job in state.jobs]


@dataclass(frozen=True, slots=True)
class NetRow:
    """A network and the kernel's number of its bridge."""

    view: NetworkView
    if_index: int


def net_rows(state: State) -> Sequence[tuple[Oid, NetRow]]:
    return [((number,), NetRow(view, link.index if (link := state.links.get(view.bridge or "")) else 0))
            for number, view in state.networks]  # fmt: skip


def uuid_octets(text: str) -> bytes:
    """A UUID's 16 octets; none when there is no such thing."""
    try:
        return uuid.UUID(text).bytes
    except ValueError:
        return b""


def mac_octets(text: str | None) -> bytes | None:
    return bytes.fromhex(text.replace(":", "")) if text else None


def _index(row: tuple[Oid, Row]) -> Oid:
    return row[0]


def _nic(nic: InterfaceStats, guest: Guest) -> Nic:
    mac = bytes.fromhex(nic.mac.replace(":", "")) if nic.mac else b""
    link = guest.links.get(nic.name) if guest.view.active else None
    index, parent = (link.index, link.master) if link is not None else (0, 0)
    return Nic(guest.details.models.get(nic.mac, ""), mac, index, parent)


def unit(largest: int) -> int:
    """The smallest power of 1024 in which this many bytes fit an Integer32."""
    found = 1024
    while largest > LARGEST * found:
        found *= 1024
    return found


def size(value: int | None, of: int) -> int:
    """A size in units, rounded up; -1 when it is not known."""
    return -1 if value is None else -(-value // of)


def microseconds(nanoseconds: int | None) -> int | None:
    return None if nanoseconds is None else nanoseconds // 1000


ADMIN_STATES = {"running": 1, "blocked": 1, "paused": 3, "crashed": 1, "pmsuspended": 2}
OPER_STATES = {
    "nostate": 1,
    "running": 4,
    "blocked": 4,
    "paused": 8,
    "shutdown": 10,
    "shutoff": 11,
    "crashed": 12,
    "pmsuspended": 6,
}
OPER_REASONS = {("paused", "migrating"): 9, ("paused", "saving"): 5, ("paused", "starting up"): 3,
                ("paused", "shutting down"): 10, ("paused", "crashed"): 12, ("shutoff", "crashed"): 12,
                ("running", "post-copy"): 9}  # fmt: skip


def admin_state(view: GuestView) -> int:
    """VirtualMachineAdminState: a guest that is off with its memory saved is suspended."""
    if view.state in ADMIN_STATES:
        return ADMIN_STATES[view.state]
    return 2 if view.managed_save else 4


SAVING = "save"
"""The job that puts a guest's memory on disk."""


def oper_state(view: GuestView) -> int:
    """VirtualMachineOperState. A guest is on its way to be suspended while its memory is saved, and then is suspended."""
    found = OPER_REASONS.get((view.state, view.reason)) or OPER_STATES[view.state]
    if view.job == SAVING and view.active:
        return 5
    return 6 if found == 11 and (view.managed_save or (view.job == SAVING and view.reason == "saved")) else found


MEDIA_TYPES = {"disk": 3, "lun": 3, "cdrom": 4, "floppy": 5}
SOURCE_TYPES = {"block": 3, "network": 6}


def source_type(disk: Disk) -> int:
    """VirtualMachineStorageSourceType: a raw file is raw, one of any other format grows as it is written."""
    if not disk.type:
        return 1
    if disk.type == "file":
        return 4 if disk.format in ("", "raw") else 5
    return SOURCE_TYPES.get(disk.type, 2)


def source_words(disk: Disk) -> str:
    return " ".join(word for word in (disk.protocol, disk.format) if word)
