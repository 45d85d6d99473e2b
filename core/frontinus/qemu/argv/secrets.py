"""Secrets as QEMU objects: their values are encrypted with the guest's master key, so no argument shows them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from secrets import token_bytes
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frontinus.ports.hypervisor import SecretValues
    from frontinus.qemu.argv.context import Context

MASTER_KEY = "masterKey0"
KEY_BYTES = 32
BLOCK_BYTES = 16
"""Of AES, and of the initialisation vector of CBC."""


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


def sealer(key: Callable[[], bytes], values: SecretValues) -> Sealer:
    """For a guest that will run: `key` gives its master key, `values` tells what a secret says."""

    def seal(use: SecretUse) -> Sealed:
        value = use.value.encode() if use.value is not None else values(use.type, use.uuid, use.usage)
        return encrypt(key(), value)

    return seal


def encrypt(key: bytes, value: bytes) -> Sealed:
    """AES-256-CBC with the padding of PKCS#7, as QEMU's crypto/secret_common.c takes it."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    iv = token_bytes(BLOCK_BYTES)
    padding = BLOCK_BYTES - len(value) % BLOCK_BYTES
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    data = encryptor.update(value + bytes([padding]) * padding) + encryptor.finalize()
    return Sealed(base64.b64encode(data).decode(), base64.b64encode(iv).decode())


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
