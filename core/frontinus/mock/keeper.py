"""A keeper for secrets that are nobody's: values are only encoded."""

from __future__ import annotations

import base64

from frontinus.api.errors import StorageFailed


class MemoryKeeper:
    """Bound to names like the real one, so that a test sees a mix-up."""

    protection = "memory"

    def seal(self, name: str, value: bytes) -> str:
        return f"{name}:{base64.b64encode(value).decode()}"

    def unseal(self, name: str, text: str) -> bytes:
        whose, _, data = text.partition(":")
        if whose != name:
            raise StorageFailed(f"this is the value of {whose}, not of {name}")
        return base64.b64decode(data)
