"""Facts of the host that a plan depends on. Probed by linux/, or read from a JSON file for tools and tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class NumaNode:
    """One NUMA node: its memory in bytes, its CPUs, distances to all nodes, free and total pages by page size in bytes."""

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

    def guest(self, guest_id: int, name: str) -> str:
        """The private folder of a running guest; the name is shortened and made safe."""
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:20]
        return f"{self.state}/domain-{guest_id}-{safe}"


@dataclass(frozen=True)
class Firmware:
    """One firmware descriptor of /usr/share/qemu/firmware (QEMU's docs/interop/firmware.json)."""

    file: str
    interfaces: tuple[str, ...]
    device: str
    executable: str
    executable_format: str = "raw"
    nvram_template: str | None = None
    nvram_format: str = "raw"
    targets: tuple[tuple[str, str], ...] = ()
    features: frozenset[str] = frozenset()


@dataclass(frozen=True)
class HostFacts:
    """What `plan` and `complete` need to know of the host."""

    arch: str = "x86_64"
    cpus: int = 1
    kvm: bool = False
    nodes: tuple[NumaNode, ...] = ()
    hugepages: Mapping[int, str] = field(default_factory=dict)
    """Mount points of hugetlbfs by page size in bytes."""
    default_hugepage: int | None = None
    cpu_model: str | None = None
    cpu_vendor: str | None = None
    cpu_features: frozenset[str] = frozenset()
    paths: Paths = Paths()
    firmware: tuple[Firmware, ...] = ()
    keep_machine_alias: bool = False
    """For measurements against recorded expectations: leave `pc` as `pc`."""
    tls: Mapping[str, str] = field(default_factory=dict)
    """Folder of X.509 credentials by use: default, vnc, spice, chardev, nbd, vxhs, migrate."""
    vnc_listen: str = "127.0.0.1"
    spice_listen: str = "127.0.0.1"
    rig: Mapping[str, object] = field(default_factory=dict)
    """Whatever else a test's host file says, for the one module that reads it."""
