"""The secrets that a guest or one of its devices uses, wherever in the document they are named; and another in place of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from frontinus.domain.devices.block.credentials import Auth, Encryption, EncryptionSecret
from frontinus.domain.devices.block.disk import BackingStore, Disk
from frontinus.domain.devices.tpm import EmulatorBackend
from frontinus.domain.plan import Use
from frontinus.xml import Model


def used_secrets(part: Model) -> Iterator[Use]:
    """Every secret that this part of a guest names."""
    if isinstance(part, Encryption):
        for secret in part.secrets[:1]:
            yield "volume", secret.uuid, secret.usage
    elif isinstance(part, Auth):
        yield part.secret_type or "iscsi", part.secret_uuid, part.secret_usage
    elif isinstance(part, EmulatorBackend) and part.secret:
        yield "vtpm", part.secret, None
    for below in part.models():
        yield from used_secrets(below)


def encryptions(part: Model) -> Iterator[tuple[tuple[str, ...], Encryption]]:
    """How each image of a guest's disks is encrypted, with its place: (path,) or, for a volume of a pool, (pool, volume)."""
    if isinstance(part, Disk | BackingStore) and part.source is not None:
        source = part.source
        found = source.encryption or (part.encryption if isinstance(part, Disk) else None)
        place = (source.pool, source.volume) if source.pool and source.volume else (source.local_path,)
        if found is not None and None not in place:
            yield tuple(word or "" for word in place), found
    for below in part.models():
        yield from encryptions(below)


def name_secret(part: Model, places: set[tuple[str, ...]], is_old: Callable[[Use], bool], uuid: str) -> bool:
    """Have images at these places be opened by a secret in place of an old one; whether any was by that."""
    named = False
    for place, encryption in encryptions(part):
        old = encryption.secrets[:1]
        if place in places and old and is_old(("volume", old[0].uuid, old[0].usage)):
            encryption.secrets = [EncryptionSecret(type="passphrase", uuid=uuid)]
            named = True
    return named
