"""The keeper of secrets: what stands between a value and the disk."""

from __future__ import annotations

from typing import Protocol


class Keeper(Protocol):
    """Encrypts values with a key of the host. `protection` says which: credential, file or memory."""

    protection: str

    def seal(self, name: str, value: bytes) -> str:
        """The value as text that tells nothing, for this name only. Raises StorageFailed without a key."""

    def unseal(self, name: str, text: str) -> bytes:
        """Raises StorageFailed for text that is damaged, another's, or sealed with another key."""
