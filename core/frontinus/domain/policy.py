"""What happens on events and what is measured: power management, perf events, and what is of other hypervisors."""

from __future__ import annotations

from frontinus.xml import Model, many, xml
from frontinus.xml.codecs import OnOff, UInt32, YesNo, one_of

PERF_EVENTS = (
    "cmt", "mbmt", "mbml", "cpu_cycles", "instructions", "cache_references", "cache_misses", "branch_instructions",
    "branch_misses", "bus_cycles", "stalled_cycles_frontend", "stalled_cycles_backend", "ref_cpu_cycles", "cpu_clock",
    "task_clock", "page_faults", "context_switches", "cpu_migrations", "page_faults_min", "page_faults_maj",
    "alignment_faults", "emulation_faults",
)  # fmt: skip


class Power(Model, tag="pm"):
    """Whether the guest's firmware offers suspend to memory (S3) and to disk (S4)."""

    suspend_to_mem: bool | None = xml("suspend-to-mem/@enabled", YesNo)
    suspend_to_disk: bool | None = xml("suspend-to-disk/@enabled", YesNo)


class PerfEvent(Model, tag="event"):
    """A counter of the perf subsystem, switched on or off."""

    name: str = xml("@name", one_of(*PERF_EVENTS), required=True)
    enabled: bool = xml("@enabled", YesNo, required=True)


class Cipher(Model, tag="cipher"):
    """Whether a guest of s390 may wrap its keys: known, and refused on x86."""

    name: str = xml("@name", one_of("aes", "dea"), required=True)
    state: bool = xml("@state", OnOff, required=True)


class IdRange(Model):
    """One range of ids inside mapped to ids outside."""

    start: int = xml("@start", UInt32, required=True)
    target: int = xml("@target", UInt32, required=True)
    count: int = xml("@count", UInt32, required=True)


class IdMap(Model, tag="idmap"):
    """User namespaces of containers: kept, without a meaning to QEMU."""

    uids: list[IdRange] = many("uid", IdRange)
    gids: list[IdRange] = many("gid", IdRange)
