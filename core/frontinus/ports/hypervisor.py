"""The hypervisor port: plan a guest (pure), launch it, and speak to it while it runs.

One contract test suite runs on every implementation: QEMU and the mock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from frontinus.api.figures import MonitorFigures
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.devices.base import Device
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts
from frontinus.domain.plan import DevicePlan, LaunchPlan
from frontinus.ports.blocks import BlockPlanner, GraphFacts, JobCommand, JobFacts
from frontinus.ports.resources import Credentials
from frontinus.ports.tending import Tending

JSON = Mapping[str, object]

Overheard = Callable[[str, JSON, float], None]
"""Takes an event of the monitor: its name, its data, its time."""

SecretValues = Callable[[str, str | None, str | None], bytes]
"""What a secret says, by the type of its use, its UUID, or its use. Raises NoSuchSecret, WrongState without a value."""


@dataclass(frozen=True)
class RunRecord:
    """What re-attaching to a living guest needs; stored as JSON before the guest runs. `started` is /proc's start time."""

    pid: int
    started: int
    monitor: str
    agent: str | None
    emulator: str
    folder: str
    agent_device: str | None = None
    interfaces: dict[str, str] = field(default_factory=dict)
    """Network devices of the host by device alias; plugging and unplugging change it."""
    log: str = ""


@dataclass(frozen=True)
class GuestFacts:
    """One piece of news from a running guest, in the engine's words.

    `name`: "stopped", "resumed", "powerdown", "reset", "shutdown" (detail: guest or host), "suspended", "woken",
    "suspended-disk", "crashed", "watchdog", "io-error", "balloon", "device-deleted", "tray", "agent", "graphics", "rtc",
    "block-job", "write-threshold" (layer, threshold, excess), "nic-filter", "memory-failure", "job" (id, status),
    "migration", "closed" (the process ended; always last).
    """

    name: str
    data: JSON = field(default_factory=dict)
    seconds: float = 0.0
    number: int = 0
    """Of this guest's news, from 1."""


@dataclass
class GuestFigures:
    """Raw figures of one guest at one moment. Times are nanoseconds, sizes bytes, counters since start.

    Keys are alias or index; what could not be read is absent, never zero.
    """

    taken: float = 0.0
    cpu: dict[str, int] = field(default_factory=dict)
    vcpus: dict[int, dict[str, int]] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    blocks: dict[str, dict[str, int]] = field(default_factory=dict)
    interfaces: dict[str, dict[str, int]] = field(default_factory=dict)
    latencies: dict[str, dict[str, tuple[tuple[int, ...], tuple[int, ...]]]] = field(default_factory=dict)
    """Of disks by alias: read, write and flush, each as bounds in ns and counts."""
    iothreads: dict[int, dict[str, int]] = field(default_factory=dict)
    dirty_rate: tuple[float, float, int] | None = None
    """When it was last measured, for how long, bytes a second."""
    stale: bool = False


class RunningGuest(Tending, Protocol):
    """A guest that has a process. Methods raise HypervisorFailed with the hypervisor's own words, Unresponsive past a deadline."""

    record: RunRecord

    @property
    def told(self) -> int:
        """Pieces of news since it was launched or attached to, whether or not they have been taken."""
        raise NotImplementedError

    def news(self) -> AsyncIterator[GuestFacts]:
        """Ordered news, from the moment of launch or attach; ends after "closed"."""

    async def status(self) -> str:
        """running, paused, shutdown, crashed, pmsuspended, io-error, prelaunch, watchdog, inmigrate..."""

    async def resume(self) -> None: ...
    async def pause(self) -> None: ...
    async def powerdown(self) -> None:
        """Press the ACPI power button."""

    async def reset(self) -> None: ...
    async def wakeup(self) -> None: ...
    async def inject_nmi(self) -> None: ...
    async def quit(self, *, graceful: bool, deadline: float) -> None:
        """End the process: SIGTERM, and unless graceful SIGKILL, and wait. Raises Unresponsive if graceful and it lives on."""

    async def send_keys(self, codes: Sequence[str], hold_ms: int | None) -> None:
        """Press QKeyCode names together."""

    async def screenshot(self, path: str, display: str | None, head: int) -> None:
        """Write an image to a path inside the guest's private folder."""

    async def save(self, path: str, fd: int, *, live: bool = False) -> None:
        """Stop the guest and write its state to a descriptor (device state and memory).

        `live`: it runs while its memory is written, and is stopped only for the rest. It stays stopped.
        """

    async def take_back(self) -> None:
        """Have the images again of a guest that stays stopped after a save: the hypervisor has let go of them."""

    async def saved(self) -> tuple[int, int]:
        """How much of the memory a save under way has written, and how much there is; bytes. Zeros when none is."""

    async def graph(self) -> GraphFacts:
        """What the block graph is now."""

    async def block_jobs(self) -> list[JobFacts]:
        """All jobs, those too that have ended (status "concluded") and were not dismissed."""

    async def steer_job(self, job: str, command: JobCommand) -> None: ...
    async def set_job_speed(self, job: str, bandwidth: int) -> None:
        """Bytes a second; 0 for no limit."""

    async def set_threshold(self, layer: int, size: int) -> None:
        """Tell ("write-threshold") when a layer's file is written beyond a size in bytes; 0: no more."""

    async def attempt(self, plans: Sequence[DevicePlan]) -> None:
        """Take steps that may have been taken before: what is refused is passed over."""

    async def plug(self, plan: DevicePlan, fds: Mapping[int, int]) -> None:
        """Add a device. On failure what was added is taken back."""

    async def unplug(self, plan: DevicePlan, deadline: float) -> bool:
        """Ask the guest to give a device up and wait; False if it did not within the deadline (seconds).

        `plan` is what would plug the device; one that went before is gone too. Raises HypervisorFailed when the guest refuses.
        """

    async def restore_limits(self, names: Sequence[str]) -> None:
        """Bring rlimits that a device needed back to the engine's own. Raises HostFailed where this engine may not."""

    async def update(self, plan: DevicePlan, fds: Mapping[int, int]) -> None:
        """Change a plugged device as `plan_update` says."""

    async def set_balloon(self, size: int) -> None:
        """Target memory in bytes."""

    async def set_vcpus(self, count: int) -> None:
        """Plug or unplug CPUs until `count` are there."""

    async def switch_vcpus(self, numbers: Sequence[int], online: bool) -> None:
        """Plug or unplug these CPUs. Raises InvalidValue for one that is so already, or not there."""

    def overhear(self, listener: Overheard) -> None:
        """Have every event of the monitor told as it comes; one listener."""

    async def resize_block(self, alias: str, size: int) -> None: ...
    async def set_password(self, protocol: str, password: str, expires: str | None) -> None: ...
    def figures(self, groups: Sequence[str], deadline: float) -> Awaitable[GuestFigures]:
        """Figures of the named groups: cpu vcpu memory block interface iothread. Asked at once, in one write: best is to ask
        all guests and then to wait."""

    async def measure_dirty_rate(self, seconds: int, mode: str) -> None:
        """Begin to measure how fast the guest changes its memory. Raises Unsupported, HypervisorFailed while one is under way."""

    async def device_info(self, kind: str) -> JSON:
        """Facts that the hypervisor chose: "chardev" (pty paths), "vnc", "spice" (ports), "status"."""

    async def monitor_command(self, command: str, *, hmp: bool, fds: Sequence[int] = ()) -> str:
        """Pass a command through, schema-checked; the answer as JSON text, or HMP's text."""

    async def agent_command(self, command: str, deadline: float) -> str:
        """Pass a command to the guest agent after a sync; raises AgentUnavailable."""

    async def detach(self) -> None:
        """Let go of the guest, which runs on (the engine stops)."""


class Hypervisor(Protocol):
    """One kind of virtual machine monitor. `takes_files`: a start can be given descriptors for the first process inside."""

    name: str
    takes_files: bool

    async def capabilities(self, emulator: str | None = None) -> Capabilities:
        """Probe (or take from the cache) the default or a named emulator. Raises HypervisorFailed, InvalidValue."""

    def traffic(self) -> MonitorFigures:
        """What there was to say to the guests' monitors so far."""

    def describe(self, capabilities: Capabilities, host: HostFacts) -> str:
        """The host's capabilities as XML. Pure."""

    def describe_guests(self, capabilities: Capabilities, host: HostFacts, machine: str | None = None,
                        virt_type: str | None = None) -> str:  # fmt: skip
        """Domain capabilities as XML. Pure. Raises InvalidValue for an unknown machine, Unsupported for a type."""

    def plan(self, guest: Guest, capabilities: Capabilities, host: HostFacts, *, incoming: bool = False,
             secrets: SecretValues | None = None) -> LaunchPlan:  # fmt: skip
        """Pure. The guest is completed and has id, aliases and ports. Raises Unsupported naming the element.

        `secrets`: for a guest that will run; without it the plan has placeholders, to be shown.
        """

    def plan_device(self, guest: Guest, device: Device, capabilities: Capabilities, host: HostFacts,
                    secrets: SecretValues | None = None) -> DevicePlan:  # fmt: skip
        """What plugging a device takes, of a guest that has it in its model with alias and address. Pure but for the
        guest's own key, which is read where a secret is to be sealed with it.

        Raises Unsupported for a device that cannot be plugged into a running guest.
        """

    def plan_update(self, guest: Guest, old: Device, new: Device, capabilities: Capabilities, host: HostFacts,
                    secrets: SecretValues | None = None) -> DevicePlan:  # fmt: skip
        """What changing a plugged device takes: medium of a cdrom, link of a NIC, password of graphics. Pure.

        Raises Unsupported naming what cannot change while the guest runs.
        """

    def freed_limits(self, guest: Guest, gone: Device) -> Sequence[str]:
        """rlimits by name that a running guest needs no more without a device that has left it. Pure."""

    def blocks(self, guest: Guest, capabilities: Capabilities, host: HostFacts,
               secrets: SecretValues | None = None) -> BlockPlanner:  # fmt: skip
        """Plans of work on the block graph of a guest that runs. Pure."""

    async def launch(self, plan: LaunchPlan, fds: Mapping[int, int], who: Credentials | None,
                     incoming: int | None = None, born: Callable[[int], None] | None = None) -> RunningGuest:  # fmt: skip
        """Spawn, connect, negotiate; CPUs do not run yet. `incoming`: a descriptor to load a saved state from.

        `born` is called with the process's number as soon as there is one.

        Raises HypervisorFailed with the tail of the log.
        """

    async def attach(self, record: RunRecord) -> RunningGuest:
        """Connect to a guest that an earlier engine left running. Raises NoSuchProcess if it is gone or not ours."""

    async def end_strays(self, folder: str) -> None:
        """End what runs in a guest's private folder though nobody has a record of it: its start broke off.

        Raises Unresponsive when something there cannot be ended.
        """
