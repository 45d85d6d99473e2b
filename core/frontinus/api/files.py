"""Descriptors that callers hand to the engine. They stay the caller's: the engine copies what it keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from frontinus.api.descriptor import Descriptor
from frontinus.api.options import CreateFlag, StartFlag
from frontinus.api.views import GuestView

DescriptorFlag = Literal["restore-label", "writable"]
"""For hosts whose security model labels files: the label is put back after use; it is one that allows writing. Owners and
modes of what descriptors lead to are never touched."""


class FileCalls(Protocol):
    """The use cases that take descriptors. At most 16 cross the socket with a call."""

    async def associate_descriptors(self, guest: str, name: str, descriptors: Sequence[Descriptor],
                                    flags: Sequence[DescriptorFlag] = ()) -> None:  # fmt: skip
        """Give a guest descriptors under a name, which `<source fdgroup='NAME'>` of its disks means from then on.

        They go with the caller's connection, or when others get the name; a guest that has opened them meanwhile keeps its
        own. A disk that is written takes two: one open for reading alone, one for both. Raises InvalidValue, Busy for a
        user who has too many open here, Unsupported for a caller without a connection.
        """

    async def start_with_files(self, guest: str, files: Sequence[Descriptor],
                               flags: Sequence[StartFlag] = ()) -> GuestView:  # fmt: skip
        """Start with descriptors for the first process inside, which containers have. Raises Unsupported by QEMU."""

    async def create_with_files(self, xml: str, files: Sequence[Descriptor],
                                flags: Sequence[CreateFlag] = ()) -> GuestView: ...  # fmt: skip

    async def monitor_command_with_files(self, guest: str, command: str, files: Sequence[Descriptor],
                                         hmp: bool = False) -> str:  # fmt: skip
        """Pass a command to the hypervisor's monitor, descriptors beside it: for add-fd and getfd. Taints the guest."""
