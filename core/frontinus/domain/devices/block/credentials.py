"""Who may read an image: logins at the storage's server, and encryption."""

from __future__ import annotations

from collections.abc import Iterator

from frontinus.domain.devices.block.protocols import PROTOCOLS
from frontinus.xml import Model, many, xml
from frontinus.xml.codecs import UInt32, Uuid, one_of

SECRET_TYPES = ("volume", "ceph", "iscsi", "tls", "vtpm")


class Auth(Model, tag="auth"):
    """A login at the storage's server: the user, and the secret that holds the password."""

    username: str | None = xml("@username")
    type: str | None = xml("@type", one_of("chap", "ceph"))
    secret_type: str | None = xml("secret/@type")
    secret_uuid: str | None = xml("secret/@uuid", Uuid)
    secret_usage: str | None = xml("secret/@usage")


class EncryptionSecret(Model, tag="secret"):
    """The secret that holds an image's passphrase."""

    type: str | None = xml("@type", one_of("passphrase"))
    uuid: str | None = xml("@uuid", Uuid)
    usage: str | None = xml("@usage")


class Encryption(Model, tag="encryption"):
    """How an image is encrypted, and who decrypts it."""

    format: str = xml("@format", one_of("default", "qcow", "luks", "luks2"), required=True)
    engine: str | None = xml("@engine", one_of("qemu", "librbd"))
    secrets: list[EncryptionSecret] = many("secret", EncryptionSecret)
    cipher: str | None = xml("cipher/@name")
    cipher_size: int | None = xml("cipher/@size", UInt32)
    cipher_mode: str | None = xml("cipher/@mode")
    cipher_hash: str | None = xml("cipher/@hash")
    ivgen: str | None = xml("ivgen/@name")
    ivgen_hash: str | None = xml("ivgen/@hash")


def check_login(auth: Auth, protocol: str) -> Iterator[str]:
    """Reasons why a login is not for a protocol."""
    known = PROTOCOLS[protocol]
    if not known.auth:
        yield f"<auth> is not supported for protocol '{protocol}'"
    if auth.secret_type not in SECRET_TYPES:
        yield f"<auth>: unknown type '{auth.secret_type}' of <secret>"
    elif auth.secret_type != (known.auth_secret or auth.secret_type):
        yield f"<auth>: a secret of type '{auth.secret_type}' is not for protocol '{protocol}'"


def check_auth(auth: Auth) -> Iterator[str]:
    """Reasons why a login is incomplete."""
    if not auth.username:
        yield "<auth>: attribute 'username' is missing"
    if (auth.secret_uuid is None) == (auth.secret_usage is None):
        yield "<auth>: <secret> needs either uuid or usage"


def check_encryption(encryption: Encryption) -> Iterator[str]:
    """Reasons why an encryption cannot be, whatever the image's format."""
    if encryption.format in ("default", "qcow"):
        yield "<encryption>: the old encryption of qcow and qcow2 is not supported"
    if encryption.format == "luks2" and encryption.engine in (None, "qemu"):
        yield "<encryption>: format 'luks2' is not supported by engine 'qemu'"
    if encryption.cipher is not None:
        yield "<encryption>: <cipher> is read from the image and cannot be given"
    if encryption.ivgen is not None and encryption.cipher is None:
        yield "<encryption>: <ivgen> without <cipher>"
    if not encryption.secrets:
        yield "<encryption>: <secret> is missing"
    if len(encryption.secrets) > 1 and encryption.engine != "librbd":
        yield "<encryption>: only engine 'librbd' takes more than one <secret>"
    for secret in encryption.secrets:
        if secret.type is None or (secret.uuid is None) == (secret.usage is None):
            yield "<encryption>: <secret> needs a type, and either uuid or usage"
