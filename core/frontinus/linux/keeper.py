"""The keeper of secrets: AES-256-GCM with a key of this host. The name of a secret is bound to its text.

The key is a credential of the service (systemd's LoadCredentialEncrypted, which can seal it to the TPM), else a file of
root's alone, made at the first need. Source: systemd.exec(5), "Credentials"; NIST SP 800-38D.
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from frontinus.api.errors import StorageFailed
from frontinus.durable import sync_folder

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

log = logging.getLogger(__name__)

CREDENTIAL = "frontinus-secrets-key"
KEY_BYTES, NONCE_BYTES = 32, 12
VERSION = "1"


class HostKeeper:
    """`ports.Keeper` with this host's key, read when it is first needed."""

    def __init__(self, folder: Path) -> None:
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        given = Path(credentials, CREDENTIAL) if credentials else None
        self._file = given if given is not None and given.exists() else folder / "secrets.key"
        self._made = self._file is not given
        self.protection = "file" if self._made else "credential"
        self._cipher: AESGCM | None = None

    def seal(self, name: str, value: bytes) -> str:
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + self._key(make=True).encrypt(nonce, value, _bound(name))
        return f"{VERSION}:{base64.b64encode(sealed).decode()}\n"

    def unseal(self, name: str, text: str) -> bytes:
        from cryptography.exceptions import InvalidTag

        version, _, data = text.strip().partition(":")
        try:
            sealed = base64.b64decode(data, validate=True)
            if version != VERSION or len(sealed) < NONCE_BYTES:
                raise StorageFailed(f"the stored value of secret {name} is not of a form that is known")
            return self._key(make=False).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound(name))
        except (InvalidTag, binascii.Error):
            raise StorageFailed(f"the stored value of secret {name} does not open with the key of {self._file}",
                                path=str(self._file)) from None  # fmt: skip

    def _key(self, *, make: bool) -> AESGCM:
        if self._cipher is None:
            try:
                if make and self._made and not self._file.exists():
                    _make(self._file)
                key = self._file.read_bytes()
            except OSError as error:
                raise StorageFailed(f"the key for secrets {self._file} cannot be read: {error.strerror}",
                                    path=str(self._file)) from None  # fmt: skip
            if len(key) != KEY_BYTES:
                raise StorageFailed(f"the key for secrets {self._file} has {len(key)} bytes, not {KEY_BYTES}",
                                    path=str(self._file))  # fmt: skip
            log.info("secrets are encrypted with the key of the %s %s", self.protection, self._file)
            self._cipher = _cipher(key)
        return self._cipher


def _cipher(key: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import (
        AESGCM,
    )  # a tenth of the daemon's start, for those with secrets

    return AESGCM(key)


def _bound(name: str) -> bytes:
    return f"frontinus secret {name}".encode()


def _make(path: Path) -> None:
    """Make a key durably; the first of two makers wins."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o400)
    try:
        os.write(fd, os.urandom(KEY_BYTES))
        os.fsync(fd)
    finally:
        os.close(fd)
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    sync_folder(path.parent)
