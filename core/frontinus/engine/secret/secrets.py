"""Secrets: definitions as documents, values sealed by the keeper or, of ephemeral ones, in memory only."""

from __future__ import annotations

import asyncio
import logging

from frontinus.api.errors import AlreadyExists, Denied, InvalidValue, InvalidXML
from frontinus.api.events import SecretEvent, SecretKind
from frontinus.api.secrets import SecretView, UsageType
from frontinus.engine.loading import loading
from frontinus.engine.secret.secretbook import SecretRecord
from frontinus.engine.world import World
from frontinus.storage.definition import format_secret, parse_secret
from frontinus.storage.secret import Secret

log = logging.getLogger(__name__)

KIND = "secrets"
VALUES = "secret-values"
MAX_VALUE = 65536
"""Bytes: as much as a pipe holds, in which it reaches the tools that need it."""


class Secrets:
    """The use cases on secrets."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.book = world.secrets
        self._lock = asyncio.Lock()

    async def secrets(self) -> list[SecretView]:
        return list(self.book.views())

    async def secret(self, secret: str) -> SecretView:
        return self.book.find(secret).view()

    async def secret_by_usage(self, usage_type: UsageType, usage: str) -> SecretView:
        return self.book.by_usage(usage_type, usage).view()

    async def secret_xml(self, secret: str) -> str:
        return format_secret(self.book.find(secret).secret)

    async def define_secret(self, xml: str, validate: bool = False) -> SecretView:
        wanted = parse_secret(xml, validate=validate)
        async with self._lock:
            known = self._claim(wanted)
            record = SecretRecord(wanted, self.book.keeper.protection)
            if known is not None:
                record.sealed, record.value = known.sealed, known.value
            if wanted.ephemeral:
                await self._make_ephemeral(record)
            else:
                await self.world.store.save(KIND, record.uuid, format_secret(wanted))
                if record.value is not None:
                    await self._keep(record, record.value)
            self.book.put(record)
            self._tell(record, "defined")
        return record.view()

    def _claim(self, wanted: Secret) -> SecretRecord | None:
        """The record that a definition replaces. Raises AlreadyExists where its use is another's."""
        known = next((record for record in self.book if record.uuid == wanted.uuid), None)
        use = (wanted.usage_type, wanted.usage_id)
        if wanted.usage_type != "none":
            for record in self.book:
                if (record.secret.usage_type, record.secret.usage_id) == use and record.uuid != wanted.uuid:
                    raise AlreadyExists(
                        f"secret '{record.uuid}' is for {use[0]} '{use[1]}' already", secret=record.uuid
                    )
        if known is not None and (known.secret.usage_type, known.secret.usage_id) != use:
            raise AlreadyExists(f"secret '{known.uuid}' is for {known.secret.usage_type} '{known.secret.usage_id}'",
                                secret=known.uuid)  # fmt: skip
        if known is not None and known.secret.private and not wanted.private:
            raise InvalidXML(f"secret '{known.uuid}' is private and stays so", element="secret")
        return known

    async def _make_ephemeral(self, record: SecretRecord) -> None:
        """Neither it nor its value is on disk from now on."""
        if record.sealed is not None:
            record.value, record.sealed = self.book.reveal(record), None
        await self.world.store.delete(VALUES, record.uuid)
        await self.world.store.delete(KIND, record.uuid)

    async def undefine_secret(self, secret: str) -> None:
        async with self._lock:
            record = self.book.find(secret)
            await self.world.store.delete(VALUES, record.uuid)
            await self.world.store.delete(KIND, record.uuid)
            self.book.drop(record.uuid)
        self.world.bus.publish(SecretEvent(uuid=record.uuid, kind="undefined"))

    async def secret_value(self, secret: str) -> bytes:
        record = self.book.find(secret)
        if record.secret.private:
            raise Denied(f"secret '{record.uuid}' is private: its value is told to nobody")
        return self.book.reveal(record)

    async def set_secret_value(self, secret: str, value: bytes) -> None:
        if len(value) > MAX_VALUE:
            raise InvalidValue(f"a secret has at most {MAX_VALUE} bytes", field="value")
        async with self._lock:
            record = self.book.find(secret)
            if record.secret.ephemeral:
                record.value = value
            else:
                await self._keep(record, value)
        self._tell(record, "value-changed")

    async def _keep(self, record: SecretRecord, value: bytes) -> None:
        sealed = self.book.keeper.seal(record.uuid, value)
        await self.world.store.save(VALUES, record.uuid, sealed)
        record.sealed, record.value = sealed, None

    def _tell(self, record: SecretRecord, kind: SecretKind) -> None:
        self.world.bus.publish(SecretEvent(uuid=record.uuid, kind=kind, secret=record.view()))


async def load_secrets(world: World) -> None:
    """Find the secrets that an earlier engine kept. What does not load is set aside."""
    sealed = {stored.key: stored.text for stored in await world.store.load(VALUES)}
    for stored in await world.store.load(KIND):
        async with loading(world.store, KIND, stored.key, f"secret {stored.key}"):
            secret = parse_secret(stored.text)
            if secret.uuid != stored.key:
                raise ValueError(f"holds the secret {secret.uuid}")
            world.secrets.put(SecretRecord(secret, world.secrets.keeper.protection, sealed.get(stored.key)))
    if any(record.sealed is not None for record in world.secrets):
        log.info("values of secrets are encrypted with the host's key: %s", world.secrets.keeper.protection)
