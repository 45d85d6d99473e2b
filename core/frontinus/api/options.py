"""Starts, saves and dumps with options that few want: flags by name, so that there can be more of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Literal, Protocol

from frontinus.api.inspection import DumpFormat
from frontinus.api.view import View
from frontinus.api.views import GuestView

StartFlag = Literal["paused", "force-boot", "bypass-cache", "autodestroy", "reset-nvram"]
"""`bypass-cache`: a managed save is read without filling the host's cache; `autodestroy`: the guest ends with the caller's
connection; `reset-nvram`: UEFI variables are made anew from their template."""

CreateFlag = Literal["paused", "validate", "autodestroy", "reset-nvram"]
SaveFlag = Literal["running", "paused", "bypass-cache"]
"""`running`, `paused`: the state in which the guest comes back."""

RestoreFlag = Literal["running", "paused", "bypass-cache", "reset-nvram"]
DumpFlag = Literal["memory-only", "live", "crash", "reset", "bypass-cache"]
SavedXmlFlag = Literal["secure"]
LifecycleKind = Literal["poweroff", "reboot", "crash"]
LifecycleAction = Literal[
    "destroy", "restart", "rename-restart", "preserve", "coredump-destroy", "coredump-restart"
]  # fmt: skip
"""In virsh's order: the index is virDomainLifecycleAction's number."""


class MonitorEvent(View, frozen=True, kw_only=True):
    """An event of the hypervisor's monitor as it came. `data` is JSON; `time` Unix time in seconds."""

    uuid: str
    name: str
    event: str
    time: float
    data: str = "{}"


class OptionCalls(Protocol):
    """The use cases with options. They raise InvalidValue for flags that contradict each other."""

    async def start_with(self, guest: str, flags: Sequence[StartFlag] = ()) -> GuestView: ...
    async def create_with(self, xml: str, flags: Sequence[CreateFlag] = ()) -> GuestView: ...
    async def save_with(self, guest: str, path: str | None = None, xml: str | None = None,
                        flags: Sequence[SaveFlag] = ()) -> None:  # fmt: skip
        """Without a path into the engine's own place, as a managed save."""

    async def restore_with(self, path: str, xml: str | None = None, flags: Sequence[RestoreFlag] = ()) -> GuestView: ...
    async def dump_with(
        self, guest: str, path: str, format: DumpFormat = "raw", flags: Sequence[DumpFlag] = ()
    ) -> None: ...

    async def saved_definition(self, path: str, flags: Sequence[SavedXmlFlag] = ()) -> str:
        """The definition inside a saved state; "secure": with passwords."""

    async def managed_definition(self, guest: str, flags: Sequence[SavedXmlFlag] = ()) -> str:
        """The definition inside a guest's managed save. Raises WrongState when it has none."""

    async def redefine_managed(self, guest: str, xml: str, paused: bool | None = None) -> None:
        """Change it, and how the guest comes back. Raises InvalidXML for other hardware."""

    async def set_lifecycle_action(self, guest: str, kind: LifecycleKind, action: LifecycleAction, live: bool = False,
                                   config: bool = False) -> None:  # fmt: skip
        """What happens when the guest powers off, reboots or crashes. Raises Unsupported."""

    async def set_agent_timeout(self, guest: str, seconds: int | None = None) -> None:
        """How long a running guest's agent has for an answer, 1 to 600; None for what is usual."""

    def watch_monitor(self, guest: str | None = None) -> AsyncIterator[MonitorEvent]:
        """Every event of the monitors of all guests, or of one, as it comes."""
