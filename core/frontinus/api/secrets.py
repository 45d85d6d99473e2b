"""Secrets: passphrases and keys that guests and pools need. A secret is named by its UUID."""

from __future__ import annotations

from typing import Literal, Protocol

from frontinus.api.view import View

UsageType = Literal["none", "volume", "ceph", "iscsi", "tls", "vtpm"]
"""In virsh's order: the index is virSecretUsageType's number."""


class SecretView(View, frozen=True, kw_only=True):
    """One secret, never its value. `usage` is the volume's path, or the name that definitions refer to."""

    uuid: str
    usage_type: UsageType = "none"
    usage: str = ""
    description: str | None = None
    ephemeral: bool = False
    private: bool = False
    has_value: bool = False
    protection: str | None = None
    """What keeps its value: memory, or on disk encrypted with a key from a credential (systemd's) or a file."""


class SecretCalls(Protocol):
    """The use cases on secrets. All raise NoSuchSecret where they take a secret."""

    async def secrets(self) -> list[SecretView]: ...
    async def secret(self, secret: str) -> SecretView: ...
    async def secret_by_usage(self, usage_type: UsageType, usage: str) -> SecretView: ...
    async def secret_xml(self, secret: str) -> str: ...
    async def define_secret(self, xml: str, validate: bool = False) -> SecretView:
        """Store a definition, new or replaced. Raises InvalidXML, AlreadyExists."""

    async def undefine_secret(self, secret: str) -> None:
        """Forget it and its value."""

    async def secret_value(self, secret: str) -> bytes:
        """Raises Denied for a private one, WrongState while it has no value."""

    async def set_secret_value(self, secret: str, value: bytes) -> None: ...
