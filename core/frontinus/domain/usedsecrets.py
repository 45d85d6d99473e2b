"""The secrets that a guest or one of its devices uses, wherever in the document they are named."""

from __future__ import annotations

from collections.abc import Iterator

from frontinus.domain.devices.source import Auth, Encryption
from frontinus.domain.devices.tpm import EmulatorBackend
from frontinus.xml import Model

Use = tuple[str, str | None, str | None]
"""The type of the use, and the secret's UUID or what it is for."""


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
