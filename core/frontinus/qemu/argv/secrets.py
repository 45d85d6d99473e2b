"""Secrets as QEMU objects: their values are encrypted with the guest's master key, so no argument shows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from frontinus.api.errors import Unsupported

if TYPE_CHECKING:
    from frontinus.qemu.argv.context import Context

MASTER_KEY = "masterKey0"


@dataclass(frozen=True)
class SecretUse:
    """What a secret is for (volume, iscsi, ceph, tls...) and which one it is; or, with `value`, what it says."""

    type: str
    uuid: str | None = None
    usage: str | None = None
    value: str | None = None


@dataclass(frozen=True)
class Sealed:
    """A value encrypted with AES-256-CBC, and the initialisation vector: both in base64."""

    data: str
    iv: str


Sealer = Callable[[SecretUse], Sealed]
"""Looks a secret up and encrypts it. Raises NoSuchSecret or the like for one that is not there."""


def placeholder(use: SecretUse) -> Sealed:
    """For a plan that nobody will start: well-formed, the same each time, and without any secret in it."""
    return Sealed("AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAA==")


def refuse(use: SecretUse) -> Sealed:
    """For a guest that will run: this engine keeps no secrets yet, and a made-up one would fail without saying why."""
    which = use.uuid or use.usage or "given in the XML"
    raise Unsupported(f"<secret> of type '{use.type}' ({which}): this engine does not keep secrets yet")


def emit_secret(ctx: Context, object_id: str, use: SecretUse) -> str:
    """Emit a secret object; returns its id."""
    sealed = ctx.seal(use)
    ctx.props("object", {
        "qom-type": "secret",
        "id": object_id,
        "data": sealed.data,
        "keyid": MASTER_KEY,
        "iv": sealed.iv,
        "format": "base64",
    })  # fmt: skip
    return object_id
