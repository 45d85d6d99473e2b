"""The book of filters, and of the NICs that one is in force on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from frontinus.api.errors import AlreadyExists, NoSuchFilter
from frontinus.api.filters import FilterBindingView, FilterView
from frontinus.filter.instance import Filtered, FilterUse, included, instantiate
from frontinus.filter.model import Binding, Filter, FilterRef, Parameter
from frontinus.filter.standard import standard_filters
from frontinus.filter.variables import IP, variables


@dataclass
class Nic:
    """One filtered NIC. `foreign`: of a link that is none of our guests'. `addresses`: learned, and when each ends."""

    link: str
    owner_uuid: str
    owner_name: str
    mac: str
    use: FilterUse
    foreign: bool = False
    addresses: dict[str, float | None] = field(default_factory=dict)

    @property
    def lease_key(self) -> str:
        """What its leases are kept under: the same NIC of the same guest finds them again."""
        return f"{self.owner_uuid}_{self.mac.replace(':', '')}"

    def known(self) -> tuple[str, ...]:
        """The guest's addresses: those given, and those learned that have not ended."""
        given = tuple(value for name, value in self.use.parameters if name == IP)
        now = time.time()
        return given + tuple(one for one, end in self.addresses.items() if end is None or end > now)

    def view(self) -> FilterBindingView:
        return FilterBindingView(link=self.link, filter=self.use.filter, owner_uuid=self.owner_uuid,
                                 owner_name=self.owner_name, mac=self.mac, addresses=self.known())  # fmt: skip

    def binding(self) -> Binding:
        parameters = [Parameter(name=name, value=value) for name, value in sorted(self.use.parameters)]
        return Binding(owner_name=self.owner_name, owner_uuid=self.owner_uuid, link=self.link, mac=self.mac,
                       filterref=FilterRef(filter=self.use.filter, parameters=parameters))  # fmt: skip


class FilterBook:
    """All filters, the standard ones and those that were defined, found by UUID or name; and all filtered NICs."""

    def __init__(self) -> None:
        self._standard = standard_filters()
        self._defined: dict[str, Filter] = {}
        self.nics: dict[str, Nic] = {}
        self.leases: dict[str, dict[str, float | None]] = {}
        """What was learned of NICs, also of those that are not there now."""
        self.lock = asyncio.Lock()
        """Held while filters or what is in force change, so that neither runs ahead of the other."""
        self.edition = 0
        """Counts changes of filters."""

    def __iter__(self) -> Iterator[Filter]:
        return iter(sorted({**self._standard, **self._defined}.values(), key=lambda filter: filter.name))

    def get(self, name: str) -> Filter | None:
        return self._defined.get(name) or self._standard.get(name)

    def find(self, key: str) -> Filter:
        """Raises NoSuchFilter."""
        found = next((filter for filter in self if filter.uuid == key.lower()), None) or self.get(key)
        if found is None:
            raise NoSuchFilter(f"no filter '{key[:100]}'", filter=key[:100])
        return found

    def nic(self, link: str) -> Nic:
        """Raises NoSuchFilter."""
        if link not in self.nics:
            raise NoSuchFilter(f"no filter is bound to '{link[:100]}'", filter=link[:100])
        return self.nics[link]

    def claim(self, filter: Filter) -> Filter | None:
        """The filter that a definition replaces, or None. Raises AlreadyExists where it would double another."""
        for known in self:
            if known.name == filter.name and filter.uuid not in (None, known.uuid):
                raise AlreadyExists(f"filter '{known.name}' exists with UUID {known.uuid}", filter=known.name)
            if known.uuid == filter.uuid and known.name != filter.name:
                raise AlreadyExists(f"the filter with UUID {known.uuid} is named '{known.name}'", filter=known.name)
        return self.get(filter.name)

    def put(self, filter: Filter) -> None:
        self._defined[filter.name] = filter
        self.edition += 1

    def remove(self, filter: Filter) -> None:
        """Forget a definition; a standard filter is again what it was."""
        self._defined.pop(filter.name, None)
        self.edition += 1

    def is_standard(self, name: str) -> bool:
        return name in self._standard

    def is_defined(self, name: str) -> bool:
        return name in self._defined

    def users(self, name: str) -> list[Nic]:
        """NICs that a filter is in force on, by whatever way."""
        used = {nic.use.filter for nic in self.nics.values()}
        by = {name} | {one for one in used if name in self._below(one)}
        return [nic for nic in self.nics.values() if nic.use.filter in by]

    def _below(self, name: str) -> set[str]:
        filter = self.get(name)
        return included(filter, self.get) if filter is not None else set()

    def includers(self, name: str) -> list[str]:
        """Filters that refer to one themselves."""
        return [one.name for one in self if any(reference.filter == name for reference in one.references())]

    def filtered(self, nic: Nic) -> Filtered:
        """What a NIC's filter comes to. Raises NoSuchFilter, InvalidValue."""
        parameters = variables([Parameter(name=name, value=value) for name, value in nic.use.parameters])
        return Filtered(instantiate(nic.use.filter, self.get, parameters, nic.mac), dict(nic.addresses))

    async def all_filtered(self, nics: Sequence[Nic]) -> dict[str, Filtered]:
        """The same of several, by link; many rules take their time, in a thread."""
        return await asyncio.to_thread(lambda: {nic.link: self.filtered(nic) for nic in nics})

    def recall(self, nic: Nic) -> None:
        """Let a NIC have the addresses that were learned of it before."""
        now = time.time()
        known = self.leases.get(nic.lease_key, {})
        nic.addresses = {one: end for one, end in known.items() if end is None or end > now}

    def view(self, filter: Filter) -> FilterView:
        assert filter.uuid is not None
        return FilterView(uuid=filter.uuid, name=filter.name, builtin=self.is_standard(filter.name))

    def views(self) -> tuple[FilterView, ...]:
        return tuple(map(self.view, self))
