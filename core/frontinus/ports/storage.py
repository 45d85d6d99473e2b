"""The storage port: takes the steps of pools' scripts, and moves the content of volumes. One contract suite for all.

Implementations: Linux, and a mock that keeps everything in memory.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from frontinus.storage.steps import Step

Progress = Callable[[int, int], None]
"""Takes what is done and the total, in bytes or parts of one; called from any thread."""


Form = Literal["plain", "sparse", "pieces"]
"""How content crosses a socket: as it is; as it is, and blocks of zeros become holes; as a stream of `wire.pieces`."""


class StorageHost(Protocol):
    """The host's storage. Methods raise StorageFailed, HostFailed, Unsupported; a cancelled one has ended what it began."""

    async def perform(self, step: Step, values: Mapping[str, bytes], progress: Progress | None = None) -> object:
        """Take one step; its answer is said with its class. `values`: the secrets that it names, by its names for them."""

    async def receive(self, sock: socket.socket, path: str, offset: int, length: int, *, form: Form,
                      progress: Progress) -> int:  # fmt: skip
        """Write to a file or device what comes from a socket, until its end or `length` bytes (0: no limit). Bytes written.

        Durable when it returns.
        """

    async def send(self, sock: socket.socket, path: str, offset: int, length: int, *, form: Form,
                   progress: Progress) -> int:  # fmt: skip
        """Send the content of a file or device. Bytes of it that were sent or told of as holes."""

    async def stage(self, source: str, target: str, length: int) -> None:
        """Make a copy of a file for an upload to work on: all of it, or without the first `length` bytes' content."""

    async def replace(self, staged: str, path: str) -> None:
        """Let a staged file, made durable with its owner and mode, take the place of another at once."""

    def close(self) -> None:
        """Let go once all that was begun has ended. Idempotent; nothing is asked afterwards."""
