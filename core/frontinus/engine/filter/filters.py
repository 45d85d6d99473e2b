"""Filters: what there is, defined and forgotten, and their bindings to links."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence

from frontinus.api.errors import AlreadyExists, InvalidValue, WrongState
from frontinus.api.events import FilterEvent
from frontinus.api.filters import FilterBindingView, FilterView
from frontinus.engine.filter.filterbook import Nic
from frontinus.engine.filter.filtering import BINDINGS, KIND, foreign
from frontinus.engine.world import World
from frontinus.filter.instance import included
from frontinus.filter.model import Filter, format_binding, format_filter, parse_binding, parse_filter


class Filters:
    """The use cases on filters. Every change of a filter and of what is in force is one after the other."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.book = world.filters

    async def filters(self) -> list[FilterView]:
        return list(self.book.views())

    async def filter(self, filter: str) -> FilterView:
        return self.book.view(self.book.find(filter))

    async def filter_xml(self, filter: str) -> str:
        return format_filter(self.book.find(filter))

    async def define_filter(self, xml: str, validate: bool = False) -> FilterView:
        """What is not known in a filter is refused with or without `validate`: it would be a condition overlooked."""
        wanted = await asyncio.to_thread(parse_filter, xml)
        async with self.book.lock:
            known = self.book.claim(wanted)
            wanted.uuid = wanted.uuid or (known.uuid if known else None) or self._new_uuid()
            if wanted.name in included(wanted, self.book.get):
                raise InvalidValue(f"filter '{wanted.name}' includes itself", field="filter")
            old = known if known is not None and self.book.is_defined(known.name) else None
            self.book.put(wanted)
            try:
                await self.world.store.save(KIND, wanted.uuid, format_filter(wanted))
                await self._in_force(self.book.users(wanted.name))
            except BaseException:
                await self._take_back(wanted, old)
                raise
        view = self.book.view(wanted)
        self._tell(wanted, "defined", view)
        return view

    async def _take_back(self, wanted: Filter, old: Filter | None) -> None:
        """Nothing has changed."""
        assert wanted.uuid is not None
        if old is None:
            self.book.remove(wanted)
            await self.world.store.delete(KIND, wanted.uuid)
        else:
            self.book.put(old)
            await self.world.store.save(KIND, wanted.uuid, format_filter(old))

    async def _in_force(self, nics: Sequence[Nic]) -> None:
        """Put filters as they are now in force on NICs, all at one moment."""
        if nics:
            await self.world.firewall.put(await self.book.all_filtered(nics))

    def _new_uuid(self) -> str:
        return str(uuid.UUID(bytes=self.world.host.entropy(16), version=4))

    async def undefine_filter(self, filter: str) -> None:
        found = self.book.find(filter)
        name = found.name
        async with self.book.lock:
            if not self.book.is_defined(name):
                raise WrongState(f"filter '{name}' came with us: it can be replaced, not removed", state="builtin")
            if not self.book.is_standard(name):
                self._need_unused(name)
            assert found.uuid is not None
            self.book.remove(found)
            try:
                await self._in_force(self.book.users(name))
                await self.world.store.delete(KIND, found.uuid)
            except BaseException:
                self.book.put(found)
                raise
        standard = self.book.get(name)
        self._tell(found, "undefined", self.book.view(standard) if standard else None)

    def _need_unused(self, name: str) -> None:
        by = [f"filter '{one}'" for one in self.book.includers(name)]
        by += [f"'{nic.link}' of '{nic.owner_name}'" for nic in self.book.nics.values() if nic.use.filter == name]
        if by:
            raise WrongState(f"filter '{name}' is in use: by {', '.join(by[:5])}", state="in use")

    def _tell(self, filter: Filter, kind: str, view: FilterView | None) -> None:
        self.world.bus.publish(FilterEvent(uuid=filter.uuid or "", name=filter.name,
                                           kind="defined" if kind == "defined" else "undefined", filter=view))  # fmt: skip

    # Bindings

    async def filter_bindings(self) -> list[FilterBindingView]:
        return [self.book.nics[link].view() for link in sorted(self.book.nics)]

    async def filter_binding(self, link: str) -> FilterBindingView:
        return self.book.nic(link).view()

    async def filter_binding_xml(self, link: str) -> str:
        return format_binding(self.book.nic(link).binding())

    async def create_filter_binding(self, xml: str) -> FilterBindingView:
        nic = foreign(self.world, parse_binding(xml))
        async with self.book.lock:
            if nic.link in self.book.nics:
                raise AlreadyExists(f"a filter is bound to '{nic.link}' already", filter=nic.link)
            filtered = await self.book.all_filtered([nic])
            await self.world.store.save(BINDINGS, nic.link, format_binding(nic.binding()))
            try:
                await self.world.firewall.put(filtered)
            except BaseException:
                await self.world.store.delete(BINDINGS, nic.link)
                raise
            self.book.nics[nic.link] = nic
        return nic.view()

    async def delete_filter_binding(self, link: str) -> None:
        async with self.book.lock:
            nic = self.book.nic(link)
            if not nic.foreign:
                raise WrongState(
                    f"'{link}' is a NIC of guest '{nic.owner_name}': change its <filterref>", state="running"
                )
            await self.world.firewall.drop([link])
            await self.world.store.delete(BINDINGS, link)
            del self.book.nics[link]
