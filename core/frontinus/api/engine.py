"""The facade: everything that an adapter, the command line or a program can ask of Frontinus.

Append-only: tests/unit/golden/facade.txt records the surface. A guest is named by its UUID, its name, or its id, looked for
in that order. `live` changes the running guest, `config` the persistent definition; with neither, live if active else config.
Every method raises Denied, and NoSuchGuest where it takes a guest; further errors are named below.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Literal, Protocol

from frontinus.api.agent import AgentCalls
from frontinus.api.blockjobs import BlockJobCalls
from frontinus.api.descriptor import Descriptor as Descriptor
from frontinus.api.events import AnyEvent
from frontinus.api.figures import FigureCalls
from frontinus.api.files import FileCalls
from frontinus.api.filters import FilterCalls
from frontinus.api.inspection import InspectionCalls
from frontinus.api.networks import NetworkCalls
from frontinus.api.node import NodeCalls
from frontinus.api.options import OptionCalls
from frontinus.api.secrets import SecretCalls
from frontinus.api.snapshots import SnapshotCalls
from frontinus.api.storage import StorageCalls
from frontinus.api.tuning import TuningCalls
from frontinus.api.views import (
    GuestStats,
    GuestView,
    HostView,
    JobView,
    Screenshot,
    Snapshot,
    StatsGroup,
    VersionView,
)

XmlFlag = Literal["inactive", "secure", "migratable"]
ShutdownMode = Literal["acpi", "agent"]
SleepTarget = Literal["mem", "disk", "hybrid"]
MetadataKind = Literal["description", "title", "element"]


class Engine(NetworkCalls, FilterCalls, StorageCalls, SecretCalls, SnapshotCalls, BlockJobCalls, TuningCalls,
             InspectionCalls, AgentCalls, NodeCalls, FigureCalls, OptionCalls, FileCalls, Protocol):  # fmt: skip
    """One engine, in process or at the end of a socket; the caller cannot tell which. Guests here, the rest a file a concern."""

    # The engine and its host

    async def version(self) -> VersionView: ...
    async def host(self) -> HostView: ...
    async def capabilities(self) -> str:
        """The host's capabilities as XML."""

    async def domain_capabilities(self, emulator: str | None = None, arch: str | None = None,
                                  machine: str | None = None, virt_type: str | None = None) -> str:  # fmt: skip
        """What guests of one emulator, machine and virtualization type can have, as XML."""

    def watch(self) -> AsyncIterator[Snapshot | AnyEvent]:
        """A snapshot, then every event after it in order. A reader that falls behind gets a new Snapshot with `resync`."""

    # Guests

    async def guests(self, active: bool | None = None) -> list[GuestView]:
        """All guests in the order of their names, or only the active (True) or inactive (False)."""

    async def guest(self, guest: str) -> GuestView: ...
    async def guest_xml(self, guest: str, flags: Sequence[XmlFlag] = ()) -> str: ...
    async def argv(self, xml: str) -> list[str]:
        """The command line that a start of this definition would use."""

    async def define(self, xml: str, validate: bool = False) -> GuestView:
        """Store a definition, new or replaced. Raises InvalidXML, AlreadyExists, Unsupported."""

    async def undefine(self, guest: str, managed_save: bool = False, nvram: bool | None = None) -> None:
        """Forget a definition; a running guest becomes transient. Raises WrongState while a managed save exists."""

    async def create(self, xml: str, paused: bool = False, validate: bool = False) -> GuestView:
        """Start a transient guest."""

    async def start(self, guest: str, paused: bool = False, force_boot: bool = False) -> GuestView:
        """Start, or restore from a managed save unless `force_boot`. Raises WrongState, HypervisorFailed, HostFailed."""

    async def shutdown(self, guest: str, mode: ShutdownMode | None = None) -> None:
        """Ask the guest to stop: by agent if connected, else ACPI. Returns when asked."""

    async def reboot(self, guest: str, mode: ShutdownMode | None = None) -> None: ...
    async def reset(self, guest: str) -> None: ...
    async def destroy(self, guest: str, graceful: bool = False) -> None:
        """End it now. `graceful`: only by SIGTERM, Unresponsive if that does not do."""

    async def suspend(self, guest: str) -> None: ...
    async def resume(self, guest: str) -> None: ...
    async def pm_suspend(self, guest: str, target: SleepTarget = "mem", duration: int = 0) -> None:
        """Ask the agent to put the guest to sleep."""

    async def pm_wakeup(self, guest: str) -> None: ...
    async def set_autostart(self, guest: str, on: bool) -> None: ...
    async def rename(self, guest: str, name: str) -> GuestView:
        """Rename an inactive guest."""

    async def metadata(self, guest: str, kind: MetadataKind, uri: str | None = None,
                       inactive: bool = False) -> str:  # fmt: skip
        """Raises NoSuchMetadata."""

    async def set_metadata(self, guest: str, kind: MetadataKind, value: str | None, key: str | None = None,
                           uri: str | None = None, live: bool = False, config: bool = False) -> None: ...  # fmt: skip

    # Saved state

    async def managed_save(self, guest: str, paused: bool | None = None) -> None:
        """Save to the engine's own place and stop; the next start restores. `paused` says in which state to come back."""

    async def managed_save_remove(self, guest: str) -> None: ...
    async def save(self, guest: str, path: str, xml: str | None = None, paused: bool | None = None) -> None: ...
    async def restore(self, path: str, xml: str | None = None, paused: bool | None = None) -> GuestView: ...
    async def saved_xml(self, path: str) -> str:
        """The definition inside a saved state."""

    # The running guest

    async def screenshot(self, guest: str, screen: int = 0) -> Screenshot: ...
    async def send_keys(
        self, guest: str, keys: Sequence[int | str], codeset: str = "linux", hold_ms: int = 0
    ) -> None: ...
    async def inject_nmi(self, guest: str) -> None: ...
    async def open_console(self, guest: str, device: str | None = None, force: bool = False) -> Descriptor:
        """A descriptor connected to a console (default: the first), channel or serial device by alias or name."""

    async def set_vcpus(self, guest: str, count: int, maximum: bool = False, live: bool = False,
                        config: bool = False) -> None: ...  # fmt: skip
    async def set_memory(self, guest: str, size: int, maximum: bool = False, live: bool = False,
                         config: bool = False) -> None:  # fmt: skip
        """`size` in bytes."""

    async def attach_device(self, guest: str, xml: str, live: bool = False, config: bool = False) -> None: ...
    async def detach_device(self, guest: str, xml: str, live: bool = False, config: bool = False) -> None: ...
    async def detach_alias(self, guest: str, alias: str, live: bool = False, config: bool = False) -> None: ...
    async def update_device(self, guest: str, xml: str, live: bool = False, config: bool = False) -> None: ...
    async def block_resize(self, guest: str, disk: str, size: int) -> None:
        """`disk`: target or path; `size` in bytes."""

    async def stats(self, guests: Sequence[str] | None = None, groups: Sequence[StatsGroup] | None = None,
                    max_age: float = 0.0) -> list[GuestStats]:  # fmt: skip
        """Figures of all or some guests. Figures younger than `max_age` seconds are reused; callers at once share a round."""

    async def agent_command(self, guest: str, command: str, deadline: float = 5.0) -> str: ...
    async def monitor_command(self, guest: str, command: str, hmp: bool = False) -> str:
        """Pass a command to the hypervisor's monitor. Taints the guest."""

    # Jobs

    async def jobs(self, guest: str | None = None) -> list[JobView]: ...
    async def abort_job(self, job: str) -> None: ...
