"""The limits that a definition asks for, as values of control groups and CPUs of threads. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from frontinus.domain.guest import Guest
from frontinus.domain.tuning import EmulatorSched, IothreadSched, VcpuSched

NO_LIMIT = -1
Scheduling = tuple[str, int]
"""A scheduler of the kernel (batch, idle, fifo, rr) and a priority in it."""
SCHEDULER = ("shares", "period", "quota", "global_period", "global_quota", "emulator_period", "emulator_quota",
             "iothread_period", "iothread_quota")  # fmt: skip
"""Members of <cputune> that are numbers."""
MEMORY = ("hard_limit", "soft_limit", "swap_hard_limit")
BLKIO = ("weight", "read_bytes", "write_bytes", "read_iops", "write_iops")
PARTS: Mapping[str, str] = {"period": "vcpu", "quota": "vcpu", "emulator_period": "emulator", "emulator_quota": "emulator",
                            "iothread_period": "iothread", "iothread_quota": "iothread"}  # fmt: skip
"""Whose limit a member of <cputune> is; the guest's as a whole where nothing is said."""


@dataclass(frozen=True)
class Limit:
    """One value: `key` as in the XML. `part`: vcpu, iothread (each of them), emulator, or empty for the guest."""

    controller: str
    key: str
    value: int | str
    part: str = ""
    device: str = ""


def limits(guest: Guest) -> Iterator[Limit]:
    """All that a definition limits."""
    tune = guest.cpu_tune
    if tune is not None:
        yield from scheduler({name: getattr(tune, name) for name in SCHEDULER})
    if guest.mem_tune is not None:
        yield from memory({name: getattr(guest.mem_tune, name) for name in MEMORY})
    if guest.blkio_tune is not None:
        if guest.blkio_tune.weight is not None:
            yield Limit("blkio", "weight", guest.blkio_tune.weight)
        for device in guest.blkio_tune.devices:
            for name in BLKIO:
                if (value := getattr(device, name)) is not None:
                    yield Limit("blkio", name, value, device=device.path)


def scheduler(values: Mapping[str, int | None]) -> Iterator[Limit]:
    """What members of <cputune> mean."""
    for name, value in values.items():
        if value is not None:
            yield Limit("cpu", name.rpartition("_")[2], value, PARTS.get(name, ""))


def memory(values: Mapping[str, int | None]) -> Iterator[Limit]:
    """What members of <memtune> mean."""
    return (Limit("memory", name, value) for name, value in values.items() if value is not None)


def vcpu_cpus(guest: Guest, vcpu: int) -> tuple[int, ...] | None:
    """The host's CPUs for one vCPU; None: any."""
    pins = guest.cpu_tune.vcpu_pins if guest.cpu_tune else []
    return next((pin.cpus for pin in pins if pin.vcpu == vcpu), guest.vcpu_cpuset)


def emulator_cpus(guest: Guest) -> tuple[int, ...] | None:
    """The host's CPUs for what is neither vCPU nor I/O thread; None: any."""
    pin = guest.cpu_tune.emulator_pin if guest.cpu_tune else None
    return pin.cpus if pin else guest.vcpu_cpuset


def iothread_cpus(guest: Guest, number: int) -> tuple[int, ...] | None:
    """The host's CPUs for one I/O thread; None: any."""
    pins = guest.cpu_tune.iothread_pins if guest.cpu_tune else []
    return next((pin.cpus for pin in pins if pin.iothread == number), guest.vcpu_cpuset)


def emulator_scheduling(guest: Guest) -> Scheduling | None:
    """How what is neither vCPU nor I/O thread is scheduled; None: as any other process."""
    return _scheduling(guest.cpu_tune.emulator_sched if guest.cpu_tune else None)


def vcpu_scheduling(guest: Guest, vcpu: int) -> Scheduling | None:
    """How the thread of one vCPU is scheduled."""
    found = guest.cpu_tune.vcpu_scheds if guest.cpu_tune else []
    return _scheduling(next((one for one in found if vcpu in one.vcpus), None))


def iothread_scheduling(guest: Guest, number: int) -> Scheduling | None:
    """How one I/O thread is scheduled."""
    found = guest.cpu_tune.iothread_scheds if guest.cpu_tune else []
    return _scheduling(next((one for one in found if number in one.iothreads), None))


def _scheduling(said: EmulatorSched | VcpuSched | IothreadSched | None) -> Scheduling | None:
    return (said.scheduler, said.priority or 0) if said is not None else None
