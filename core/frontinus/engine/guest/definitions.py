"""Definitions: what guests there are, and what they are when they do not run."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

from frontinus.api.engine import MetadataKind, XmlFlag
from frontinus.api.errors import InvalidValue, NoSuchMetadata, WrongState
from frontinus.api.events import MetadataChangeEvent
from frontinus.api.views import GuestView
from frontinus.domain import metadata as documents
from frontinus.domain.complete import complete
from frontinus.domain.custom_capabilities import customized
from frontinus.domain.definition import parse_guest
from frontinus.domain.firmware import with_firmware
from frontinus.domain.guest import Guest
from frontinus.domain.prepare import prepare
from frontinus.engine import apart, autostart, runstate
from frontinus.engine.guest import saving
from frontinus.engine.halves import KIND, Halves
from frontinus.engine.record import Record
from frontinus.engine.world import World


async def completed(world: World, xml: str, *, validate: bool = False) -> Guest:
    """A guest as its definition will be kept. Raises InvalidXML, Unsupported."""
    parsed = await apart.reading(xml, lambda: parse_guest(xml, validate=validate))
    caps = await world.hypervisor.capabilities(parsed.devices.emulator if parsed.devices else None)
    return await apart.reading(xml, lambda: complete(parsed, caps, world.host))


class Definitions:
    """The use cases on stored guests."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def guests(self, active: bool | None = None) -> list[GuestView]:
        return [record.view() for record in self.world.guests if active in (None, record.running is not None)]

    async def guest(self, guest: str) -> GuestView:
        return self.world.guests.find(guest).view()

    async def guest_xml(self, guest: str, flags: Sequence[XmlFlag] = ()) -> str:
        record = self.world.guests.find(guest)
        active = record.running is not None and not {"inactive", "migratable"} & {*flags}
        shown = record.guest if active else self._definition(record, running="inactive" not in flags)
        return await apart.document(shown, active=active, secrets="secure" in flags)

    def _definition(self, record: Record, *, running: bool) -> Guest:
        """What would be started; of a transient guest, and of one that runs if wanted, without what only its run has."""
        if record.running is None or (record.definition is not None and not running):
            return record.definition or record.guest
        shown = record.running.as_asked.clone()
        for device in shown.devices.all():
            device.forget(self.world.host)
        return shown

    async def argv(self, xml: str) -> list[str]:
        guest = await completed(self.world, xml)
        caps = await self.world.hypervisor.capabilities(guest.devices.emulator)
        caps = customized(caps, guest.qemu_capabilities)
        live = prepare(guest, caps, self.world.host, guest_id=-1)
        plan = await apart.planning(live, lambda: self.world.hypervisor.plan(live, caps, self.world.host))
        return list(plan.argv)

    async def define(self, xml: str, validate: bool = False) -> GuestView:
        guest = await completed(self.world, xml, validate=validate)
        assert guest.uuid is not None
        known = self.world.guests.claim(guest.uuid, guest.name)
        record = known or Record(guest.uuid, guest.name)
        async with record.lock.hold("define"):
            self.world.guests.claim(guest.uuid, guest.name)
            await self.world.store.save(KIND, record.uuid, await apart.document(guest, secrets=True))
            was_defined, record.definition = record.definition is not None, guest
            self.world.guests.add(record)
            if record.running is not None:
                record.running.redefined = True
                await runstate.save_running(self.world.store, record)
            self.world.lifecycle(record, "defined", "updated" if was_defined else "added")
            return record.view()

    async def undefine(self, guest: str, managed_save: bool = False, nvram: bool | None = None) -> None:
        record = self.world.guests.find(guest)
        async with record.lock.hold("undefine"):
            definition = record.need_definition()
            if record.managed_save and not managed_save:
                raise WrongState(
                    f"guest '{record.name}' has a managed save: remove it too, or first", state=record.state
                )
            _refuse_with_snapshots(record)
            store = await self._nvram(definition)
            if store and nvram is None and await asyncio.to_thread(store.exists):
                raise WrongState(f"guest '{record.name}' has a variable store: say whether to keep it (nvram)",
                                 state=record.state)  # fmt: skip
            await self.world.store.delete("autostart", record.uuid)
            await self.world.store.delete(KIND, record.uuid)
            if record.managed_save:
                await saving.forget_managed(self.world, record)
            if nvram and store:
                await asyncio.to_thread(store.unlink, missing_ok=True)
            self._forget(record)

    async def _nvram(self, definition: Guest) -> Path | None:
        """The file of the UEFI variable store, if the guest has one."""
        caps = await self.world.hypervisor.capabilities(definition.devices.emulator)
        os = with_firmware(definition, caps, self.world.host).os
        path = os.nvram.path if os.nvram else os.varstore_path
        return Path(path) if path else None

    def _forget(self, record: Record) -> None:
        record.definition, record.autostart = None, False
        gone = record.running is None
        if gone:
            self.world.guests.remove(record)
        self.world.lifecycle(record, "undefined", "removed", gone=gone)

    async def set_autostart(self, guest: str, on: bool) -> None:
        record = self.world.guests.find(guest)
        await autostart.mark(self.world.store, "autostart", record, on)
        self.world.changed(record)

    async def rename(self, guest: str, name: str) -> GuestView:
        record = self.world.guests.find(guest)
        if not name or len(name) > 255 or re.search(r"[/\x00-\x1f]", name):
            raise InvalidValue("a name has 1 to 255 characters, none of them '/' or a control character", field="name")
        async with record.lock.hold("rename"):
            definition = record.need_inactive()
            old = record.name
            self.world.guests.rename(record, name)
            try:
                renamed = definition.clone(name=name)
                await self.world.store.save(KIND, record.uuid, await apart.document(renamed, secrets=True))
            except BaseException:
                self.world.guests.rename(record, old)
                raise
            record.definition = renamed
            self.world.lifecycle(record, "undefined", "renamed")
            self.world.lifecycle(record, "defined", "renamed")
            return record.view()

    async def metadata(self, guest: str, kind: MetadataKind, uri: str | None = None, inactive: bool = False) -> str:
        record = self.world.guests.find(guest)
        shown = (record.definition if inactive else None) or record.guest
        value = {"description": shown.description, "title": shown.title}.get(kind) if kind != "element" else (
            documents.element(shown.metadata, _uri(uri)))  # fmt: skip
        if value is None:
            raise NoSuchMetadata(f"guest '{record.name}' has no {kind}" + (f" '{uri}'" if uri else ""))
        return value

    async def set_metadata(self, guest: str, kind: MetadataKind, value: str | None, key: str | None = None,
                           uri: str | None = None, live: bool = False, config: bool = False) -> None:  # fmt: skip
        record = self.world.guests.find(guest)
        if kind == "title" and value and "\n" in value:
            raise InvalidValue("a title has one line", field="value")
        async with record.lock.hold("set metadata"):
            halves = Halves.of(record, live=live, config=config)
            for target in halves:
                if kind == "element":
                    target.metadata = documents.with_element(target.metadata, value, key, _uri(uri))
                else:
                    setattr(target, kind, value)
            await halves.commit(self.world)
        self.world.bus.publish(MetadataChangeEvent(uuid=record.uuid, name=record.name, kind=kind, uri=uri))


def _refuse_with_snapshots(record: Record) -> None:
    """Raises WrongState for a guest whose snapshots or checkpoints nobody would know any more."""
    for what, count in (("snapshots", len(record.books.snapshots)), ("checkpoints", len(record.books.checkpoints))):
        if count:
            raise WrongState(f"guest '{record.name}' has {count} {what}: delete them first, or what is known of them",
                             state=record.state)  # fmt: skip


def _uri(uri: str | None) -> str:
    if not uri:
        raise InvalidValue("metadata of kind element needs a URI", field="uri")
    return uri
