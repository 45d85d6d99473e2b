"""A host where logs of guests grow as they will: what an engine has that was given no better."""

from __future__ import annotations

from collections.abc import Sequence


class Unrotated:
    """`ports.Logs` that does nothing."""

    def follow(self, guest: str, files: Sequence[str]) -> None:
        return None

    def forget(self, guest: str) -> None:
        return None

    async def close(self) -> None:
        return None
