"""Network filters and their bindings to NICs. A filter is named by its UUID or its name, a binding by the link's name."""

from __future__ import annotations

from typing import Protocol

from frontinus.api.view import View


class FilterView(View, frozen=True, kw_only=True):
    """One network filter. `builtin`: it came with us and can be replaced, not removed."""

    uuid: str
    name: str
    builtin: bool = False


class FilterBindingView(View, frozen=True, kw_only=True):
    """A filter in force on a link. `addresses`: the guest's IP addresses that are known or were learned."""

    link: str
    filter: str
    owner_uuid: str = ""
    owner_name: str = ""
    mac: str | None = None
    addresses: tuple[str, ...] = ()


class FilterCalls(Protocol):
    """The use cases on filters. All raise NoSuchFilter where they take a filter or a binding."""

    async def filters(self) -> list[FilterView]: ...
    async def filter(self, filter: str) -> FilterView: ...
    async def filter_xml(self, filter: str) -> str: ...
    async def define_filter(self, xml: str, validate: bool = False) -> FilterView:
        """Store a filter, new or replaced; NICs that use it are filtered anew, at once. Raises InvalidXML, AlreadyExists."""

    async def undefine_filter(self, filter: str) -> None:
        """Raises WrongState while a filter or a NIC refers to it."""

    async def filter_bindings(self) -> list[FilterBindingView]: ...
    async def filter_binding(self, link: str) -> FilterBindingView: ...
    async def filter_binding_xml(self, link: str) -> str: ...
    async def create_filter_binding(self, xml: str) -> FilterBindingView: ...
    async def delete_filter_binding(self, link: str) -> None: ...
