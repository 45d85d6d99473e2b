"""The rows behind the objects: guests with their figures, in VM-MIB's terms. Pure; units as in RFC 7666."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from frontinus.api.views import BlockStats, GuestStats, GuestView, InterfaceStats
from frontinus_snmp.ber import Oid
from frontinus_snmp.details import EMPTY, Details, Disk

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
    hostname: str = ""
    contact: str = ""
    location: str = ""
    hypervisor: str = ""
    hypervisor_version: str = ""
    notify: bool = False
    guests: Sequence[Guest] = ()
    numbers: Mapping[str, int] = field(default_factory=dict)
    """Every guest's number by its UUID, also of those that are gone."""
    counters: Counter[str] = field(default_factory=Counter)

    @property
    def seconds(self) -> int:
        """Seconds since the engine started."""
        return int(time.monotonic() - self.started)

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
    links: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """The kernel's numbers of the host's network devices and of their bridges."""
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


Rows = Sequence[tuple[Oid, Row]]


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


def _index(row: tuple[Oid, Row]) -> Oid:
    return row[0]


def _nic(nic: InterfaceStats, guest: Guest) -> Nic:
    mac = bytes.fromhex(nic.mac.replace(":", "")) if nic.mac else b""
    index, parent = guest.links.get(nic.name, (0, 0)) if guest.view.active else (0, 0)
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


def oper_state(view: GuestView) -> int:
    """VirtualMachineOperState."""
    found = OPER_REASONS.get((view.state, view.reason)) or OPER_STATES[view.state]
    return 6 if found == 11 and view.managed_save else found


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
