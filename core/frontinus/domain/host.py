"""Facts of the host that a plan depends on. Probed by linux/, or read from a JSON file for tools and tests."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from frontinus.domain.sysinfo import Sysinfo

READS, WRITES = "r", "rw"
"""How a descriptor is open: for reading alone, for both."""


@dataclass(frozen=True)
class NumaNode:
    """One NUMA node: its memory in bytes, its CPUs, distances to all nodes, pages by page size in bytes."""

    id: int
    memory: int = 0
    cpus: tuple[int, ...] = ()
    distances: tuple[int, ...] = ()
    pages: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Paths:
    """Where things are kept. `run` is lost at boot, `state` is kept, `config` holds definitions."""

    config: str = "/etc/frontinus"
    state: str = "/var/lib/frontinus"
    run: str = "/run/frontinus"
    log: str = "/var/log/frontinus"
    cache: str = "/var/cache/frontinus"
    nvram: str = "/var/lib/frontinus/nvram"
    """Variable stores of UEFI guests."""
    ram: str = "/var/lib/frontinus/ram"
    """Guest memory that is backed by plain files."""
    shmem: str = "/var/lib/frontinus"
    """Sockets of servers that hand out shared memory: shmem-NAME-sock."""

    def guest(self, guest_id: int, name: str) -> str:
        """The private folder of a running guest."""
        return f"{self.state}/domain-{self.short_name(guest_id, name)}"

    @staticmethod
    def short_name(guest_id: int | None, name: str) -> str:
        """What a running guest's folders are named: its id, and its name shortened and made safe."""
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:20]
        return f"{-1 if guest_id is None else guest_id}-{safe}"


@dataclass(frozen=True)
class Firmware:
    """One firmware descriptor of /usr/share/qemu/firmware (QEMU's docs/interop/firmware.json)."""

    file: str
    interfaces: tuple[str, ...]
    device: str
    executable: str
    mode: str = "split"
    """How flash is laid out: split (code and variables), combined or stateless."""
    executable_format: str = "raw"
    nvram_template: str | None = None
    nvram_format: str = "raw"
    targets: tuple[tuple[str, str], ...] = ()
    features: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Pool:
    """An active storage pool: its volumes as (file, block or dir; path) by name, and where an iSCSI pool comes from."""

    type: str
    volumes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    hosts: tuple[tuple[str, int], ...] = ()
    device: str = ""
    initiator: str | None = None
    auth_user: str | None = None
    auth_uuid: str | None = None
    auth_usage: str | None = None


@dataclass(frozen=True)
class UsbDevice:
    """A USB device that is plugged into the host."""

    bus: int
    device: int
    vendor: int
    product: int


@dataclass(frozen=True)
class Moment:
    """What changes at a host while the engine runs, as HostFacts has it: devices come and go, summer time does too."""

    usb: tuple[UsbDevice, ...] | None = None
    scsi_generic: Mapping[str, str] = field(default_factory=dict)
    utc_offset: int = 0


Able = Literal["virtiofsd_options", "swtpm_setup"]
"""Facts that a program of the host has to be asked for."""


@dataclass(frozen=True)
class HostFacts:
    """What `plan` and `complete` need to know of the host."""

    arch: str = "x86_64"
    cpus: int = 1
    kvm: bool = False
    nodes: tuple[NumaNode, ...] = ()
    hugepages: Mapping[int, str] = field(default_factory=dict)
    """Where guests' folders go on the mounts of hugetlbfs, by page size in bytes."""
    default_hugepage: int | None = None
    auto_nodes: tuple[int, ...] = ()
    """Nodes for a guest that leaves its placement to the host; empty where nobody advises."""
    utc_offset: int = 0
    """Seconds that local time is ahead of UTC."""
    cpu_vendor: str | None = None
    cpu_features: frozenset[str] = frozenset()
    """What the host's processor can do, by QEMU's names of features and, beyond those, the kernel's."""
    cpu_numbers: tuple[int, int, int] | None = None
    """Family, model and stepping of the host's processor."""
    physical_bits: int | None = None
    """Width of the physical addresses that the host's processor has."""
    vfio: bool = True
    """Whether the kernel can pass PCI devices on; nobody looked where nothing else is said."""
    paths: Paths = Paths()
    firmware: tuple[Firmware, ...] = ()
    keep_machine_alias: bool = False
    """For measurements against recorded expectations: leave `pc` as `pc`, and open with it what depends on its version."""
    tls: Mapping[str, str] = field(default_factory=dict)
    """Folder of X.509 credentials by use: default, vnc, spice, chardev, nbd, vxhs, migrate."""
    tls_secrets: Mapping[str, str] = field(default_factory=dict)
    """UUID of the secret that opens the private key, by use."""
    tls_on: frozenset[str] = frozenset()
    """Uses where connections are encrypted although the guest does not ask for it."""
    tls_verify: frozenset[str] = frozenset()
    """Uses where a client must show a certificate of ours."""
    sasl: frozenset[str] = frozenset()
    """Of vnc and spice: whose clients log in by SASL."""
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Of vnc and spice: the password of guests that have none of their own."""
    sockets_first: frozenset[str] = frozenset()
    """Of vnc and spice: those that listen on a private unix socket when the guest asks for no address."""
    host_audio: frozenset[str] = frozenset()
    """Of vnc and nographics: guests that may use the host's sound, by `audio_driver`, when they name no backend."""
    audio_driver: str | None = None
    vhost_user_gpu: str = "/usr/lib/qemu/vhost-user-gpu"
    network_addresses: Mapping[str, str] = field(default_factory=dict)
    """The host's address on each of its networks, by name."""
    render_nodes: tuple[str, ...] = ()
    """Render nodes of the host's GPUs, the preferred one first."""
    sysinfo: Sysinfo | None = None
    """The host's own SMBIOS data, for guests that show it."""
    usb: tuple[UsbDevice, ...] | None = None
    """USB devices; None where nobody looked."""
    scsi_generic: Mapping[str, str] = field(default_factory=dict)
    """Names of generic SCSI devices (sg0) by host:bus:target:unit, "*" for any."""
    virtiofsd: str = "/usr/lib/qemu/virtiofsd"
    """The program that serves virtiofs, where a guest names none."""
    virtiofsd_options: frozenset[str] = frozenset()
    """What that program's help names."""
    nbdkit: str | None = None
    """nbdkit, where it is there."""
    nbdkit_parts: frozenset[str] = frozenset()
    """Plugins and filters of nbdkit that are there: curl, ssh, readahead..."""
    swtpm_setup: frozenset[str] = frozenset()
    """What swtpm_setup says that it can do."""
    vhost_net: bool = False
    fips: bool = False
    """Whether the kernel is in FIPS mode (proc/sys/crypto/fips_enabled)."""
    vnc_listen: str = "127.0.0.1"
    spice_listen: str = "127.0.0.1"
    pools: Mapping[str, Pool] = field(default_factory=dict)
    """Active storage pools by name."""
    cdroms: frozenset[str] = frozenset()
    """Block devices that are CD-ROM drives."""
    users: Mapping[str, int] = field(default_factory=dict)
    groups: Mapping[str, int] = field(default_factory=dict)
    fdgroups: Mapping[str, Sequence[str]] | None = None
    """How each descriptor is open (READS, WRITES) that callers gave the guest that is planned for, by the name of their
    group. None: in a plan that nobody carries out, every group has what it needs."""
    gluster_debug: int = 4
    """Debug level of gluster's client, 0 to 9."""
    rig: Mapping[str, object] = field(default_factory=dict)
    """Whatever else a test's host file says, for the one module that reads it."""
    ask: Callable[[Able], frozenset[str]] | None = None
    """Asks a program beside QEMU what it can do, when that first matters; without it what is said here stands."""
    look: Callable[[], Moment] | None = None
    """Looks anew at what changes; without it what is said here stands."""
    time: Callable[[], float] = time.time
    """The present, in seconds of the epoch."""
    security_model: str | None = None
    """The kernel's security model that labels guests, "none" where it has none; None where nobody looked."""
    entropy: Callable[[int], bytes] = secrets.token_bytes
    """Random bytes for addresses and identifiers that nobody chose."""

    def can(self, what: Able) -> frozenset[str]:
        """What a program beside QEMU can do. The first call for each may run it, which takes some milliseconds."""
        if self.ask is not None:
            return self.ask(what)
        return self.virtiofsd_options if what == "virtiofsd_options" else self.swtpm_setup

    def now(self) -> Moment:
        """What is so at this moment."""
        return self.look() if self.look is not None else Moment(self.usb, self.scsi_generic, self.utc_offset)
