"""The book of secrets: every secret by its UUID, and the only place that knows their values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from frontinus.api.errors import NoSuchSecret, WrongState
from frontinus.api.secrets import SecretView, UsageType
from frontinus.ports import Keeper
from frontinus.storage.secret import Secret


@dataclass
class SecretRecord:
    """One secret. `sealed`: its value as the keeper gives it; `value`: of an ephemeral one, the value itself."""

    secret: Secret
    protection: str
    sealed: str | None = None
    value: bytes | None = None

    @property
    def uuid(self) -> str:
        return self.secret.uuid or ""

    @property
    def has_value(self) -> bool:
        return self.sealed is not None or self.value is not None

    def view(self) -> SecretView:
        secret = self.secret
        return SecretView(
            uuid=self.uuid, usage_type=cast("UsageType", secret.usage_type), usage=secret.usage_id,
            description=secret.description,
            ephemeral=secret.ephemeral, private=secret.private, has_value=self.has_value,
            protection="memory" if secret.ephemeral else self.protection,
        )  # fmt: skip


class SecretBook:
    """All secrets by UUID."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self._records: dict[str, SecretRecord] = {}

    def __iter__(self) -> Iterator[SecretRecord]:
        return iter(sorted(self._records.values(), key=lambda record: record.uuid))

    def find(self, uuid: str) -> SecretRecord:
        record = self._records.get(uuid.lower())
        if record is None:
            raise NoSuchSecret(f"no secret '{uuid[:100]}'", secret=uuid[:100])
        return record

    def by_usage(self, usage_type: str, usage: str) -> SecretRecord:
        for record in self:
            if (record.secret.usage_type, record.secret.usage_id) == (usage_type, usage):
                return record
        raise NoSuchSecret(f"no secret of type '{usage_type}' for '{usage[:100]}'", secret=usage[:100])

    def named(self, usage_type: str, uuid: str | None, usage: str | None) -> SecretRecord:
        """The secret that a definition names by its UUID or its use. Raises NoSuchSecret."""
        if uuid is None and usage is None:
            raise NoSuchSecret(f"no secret of type '{usage_type}' is named", secret="")
        return self.find(uuid) if uuid is not None else self.by_usage(usage_type, usage or "")

    def value(self, usage_type: str, uuid: str | None, usage: str | None) -> bytes:
        """The value, for the engine's own use, private or not. Raises NoSuchSecret, WrongState while it has none."""
        return self.reveal(self.named(usage_type, uuid, usage))

    def reveal(self, record: SecretRecord) -> bytes:
        if record.value is not None:
            return record.value
        if record.sealed is None:
            raise WrongState(f"secret '{record.uuid}' has no value", state="without value")
        return self.keeper.unseal(record.uuid, record.sealed)

    def put(self, record: SecretRecord) -> None:
        self._records[record.uuid] = record

    def drop(self, uuid: str) -> None:
        self._records.pop(uuid, None)

    def views(self) -> tuple[SecretView, ...]:
        return tuple(record.view() for record in self)
