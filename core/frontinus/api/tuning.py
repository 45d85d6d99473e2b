"""The part of the facade that tunes a guest: where its threads run, and how much of the host it may take.

`live` changes the running guest, `config` its definition; with neither, live if active else config. `inactive` reads the
definition of a running guest. In what is set None leaves a value as it is; NO_LIMIT removes a limit. What the host
cannot enforce raises Unsupported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from frontinus.api.view import View

NO_LIMIT = -1


class VcpuPin(View, frozen=True, kw_only=True):
    """The host's CPUs that one vCPU may run on."""

    vcpu: int
    cpus: tuple[int, ...]


class IothreadView(View, frozen=True, kw_only=True):
    """One I/O thread, and the host's CPUs that it may run on."""

    id: int
    cpus: tuple[int, ...]


class SchedulerParameters(View, frozen=True, kw_only=True):
    """CPU time: `shares` against other guests; of each `period` (microseconds) at most `quota`, for each vCPU, for the
    whole guest (global), for the rest of the process (emulator), for each I/O thread."""

    shares: int | None = None
    period: int | None = None
    quota: int | None = None
    global_period: int | None = None
    global_quota: int | None = None
    emulator_period: int | None = None
    emulator_quota: int | None = None
    iothread_period: int | None = None
    iothread_quota: int | None = None


class MemoryParameters(View, frozen=True, kw_only=True):
    """Limits of the host's memory, in bytes: of memory, of memory when the host runs short, of memory and swap."""

    hard_limit: int | None = None
    soft_limit: int | None = None
    swap_hard_limit: int | None = None


class BlkioDevice(View, frozen=True, kw_only=True):
    """The guest's share of one disk of the host, by its path in /dev: weight, and rates per second. 0 removes."""

    path: str
    weight: int | None = None
    read_iops: int | None = None
    write_iops: int | None = None
    read_bytes: int | None = None
    write_bytes: int | None = None


class BlkioParameters(View, frozen=True, kw_only=True):
    """The guest's share of the host's block I/O. Devices that are not named stay as they are."""

    weight: int | None = None
    devices: tuple[BlkioDevice, ...] = ()


class NumaParameters(View, frozen=True, kw_only=True):
    """Where the guest's memory comes from: mode (strict, preferred, interleave, restrictive) and nodes of the host."""

    mode: str | None = None
    nodes: tuple[int, ...] | None = None


class Rate(View, frozen=True, kw_only=True):
    """A rate of traffic, as in <bandwidth>: average and peak in kilobytes a second, burst in kilobytes."""

    average: int | None = None
    peak: int | None = None
    burst: int | None = None
    floor: int | None = None


class InterfaceParameters(View, frozen=True, kw_only=True):
    """Traffic to the guest and from it. An average of 0 removes a limit."""

    inbound: Rate | None = None
    outbound: Rate | None = None


class BlockIoTune(View, frozen=True, kw_only=True):
    """Limits of one disk, as in <iotune>: rates a second, their bursts, the bursts' lengths in seconds. 0 removes."""

    total_bytes_sec: int | None = None
    read_bytes_sec: int | None = None
    write_bytes_sec: int | None = None
    total_iops_sec: int | None = None
    read_iops_sec: int | None = None
    write_iops_sec: int | None = None
    total_bytes_sec_max: int | None = None
    read_bytes_sec_max: int | None = None
    write_bytes_sec_max: int | None = None
    total_iops_sec_max: int | None = None
    read_iops_sec_max: int | None = None
    write_iops_sec_max: int | None = None
    size_iops_sec: int | None = None
    group_name: str | None = None
    total_bytes_sec_max_length: int | None = None
    read_bytes_sec_max_length: int | None = None
    write_bytes_sec_max_length: int | None = None
    total_iops_sec_max_length: int | None = None
    read_iops_sec_max_length: int | None = None
    write_iops_sec_max_length: int | None = None


class IothreadParameters(View, frozen=True, kw_only=True):
    """How an I/O thread polls (ns, factors) and how many workers it has."""

    poll_max_ns: int | None = None
    poll_grow: int | None = None
    poll_shrink: int | None = None
    thread_pool_min: int | None = None
    thread_pool_max: int | None = None


class TuningCalls(Protocol):
    """Placement and limits."""

    async def vcpu_pins(self, guest: str, inactive: bool = False) -> list[VcpuPin]: ...
    async def pin_vcpu(self, guest: str, vcpu: int, cpus: Sequence[int], live: bool = False,
                       config: bool = False) -> None: ...  # fmt: skip
    async def emulator_pin(self, guest: str, inactive: bool = False) -> list[int]:
        """The host's CPUs for what is neither vCPU nor I/O thread."""

    async def pin_emulator(self, guest: str, cpus: Sequence[int], live: bool = False, config: bool = False) -> None: ...
    async def iothreads(self, guest: str, inactive: bool = False) -> list[IothreadView]: ...
    async def add_iothread(self, guest: str, iothread: int, live: bool = False, config: bool = False) -> None:
        """Raises AlreadyExists."""

    async def del_iothread(self, guest: str, iothread: int, live: bool = False, config: bool = False) -> None:
        """Raises InvalidValue for one that is not there, WrongState for one that a disk or controller uses."""

    async def pin_iothread(self, guest: str, iothread: int, cpus: Sequence[int], live: bool = False,
                           config: bool = False) -> None: ...  # fmt: skip
    async def scheduler_parameters(self, guest: str, inactive: bool = False) -> SchedulerParameters: ...
    async def set_scheduler_parameters(self, guest: str, values: SchedulerParameters, live: bool = False,
                                       config: bool = False) -> None: ...  # fmt: skip
    async def memory_parameters(self, guest: str, inactive: bool = False) -> MemoryParameters: ...
    async def set_memory_parameters(self, guest: str, values: MemoryParameters, live: bool = False,
                                    config: bool = False) -> None: ...  # fmt: skip
    async def blkio_parameters(self, guest: str, inactive: bool = False) -> BlkioParameters: ...
    async def set_blkio_parameters(self, guest: str, values: BlkioParameters, live: bool = False,
                                   config: bool = False) -> None: ...  # fmt: skip
    async def numa_parameters(self, guest: str, inactive: bool = False) -> NumaParameters: ...
    async def set_numa_parameters(self, guest: str, values: NumaParameters, live: bool = False,
                                  config: bool = False) -> None: ...  # fmt: skip
    async def interface_parameters(self, guest: str, device: str, inactive: bool = False) -> InterfaceParameters:
        """`device`: the name on the host, or the MAC address."""

    async def set_interface_parameters(self, guest: str, device: str, values: InterfaceParameters,
                                       live: bool = False, config: bool = False) -> None: ...  # fmt: skip
    async def block_io_tune(self, guest: str, disk: str, inactive: bool = False) -> BlockIoTune: ...
    async def set_block_io_tune(self, guest: str, disk: str, values: BlockIoTune, live: bool = False,
                                config: bool = False) -> None: ...  # fmt: skip
    async def set_memory_stats_period(self, guest: str, seconds: int, live: bool = False,
                                      config: bool = False) -> None:  # fmt: skip
        """How often the guest's driver tells memory figures; 0: not at all."""

    async def perf_events(self, guest: str, inactive: bool = False) -> dict[str, bool]:
        """Performance events by name, and whether they are counted."""

    async def set_perf_events(self, guest: str, events: dict[str, bool], live: bool = False,
                              config: bool = False) -> None: ...  # fmt: skip

    async def set_iothread(self, guest: str, iothread: int, values: IothreadParameters, live: bool = False,
                           config: bool = False) -> None:  # fmt: skip
        """Raises InvalidValue for one that is not there, Unsupported."""

    async def switch_vcpus(self, guest: str, vcpus: Sequence[int], online: bool, live: bool = False,
                           config: bool = False) -> None:  # fmt: skip
        """Plug or unplug these vCPUs, by number. Raises InvalidValue for one that is not there, or is so already."""
