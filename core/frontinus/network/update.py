"""Changing one section of a network: an entry added, replaced or removed, found by what names it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from frontinus.api.errors import InvalidValue, InvalidXML, Unsupported
from frontinus.api.networks import UpdateCommand, UpdateSection
from frontinus.network import check
from frontinus.network.model import (
    DhcpHost,
    DhcpRange,
    DnsHost,
    Forward,
    ForwardInterface,
    NetIp,
    Network,
    Portgroup,
    Srv,
    Txt,
    address_of,
)
from frontinus.xml import DocumentError, MappingError, Model, document

M = TypeVar("M", bound=Model)
Same = Callable[[Any, Any], bool]
COMMANDS: tuple[UpdateCommand, ...] = ("modify", "delete", "add-last", "add-first")


@dataclass(frozen=True)
class Section:
    """How entries of one list are told apart.

    `same`: whether an existing entry is the one that is meant (modify, delete); `clashes`: whether a new entry cannot be
    beside an existing one. `find`: the list. `check`: why an entry cannot be; its last argument: it only names one.
    """

    model: type[Model]
    find: Callable[[Network, Any, int], list[Any]]
    same: Same
    clashes: Same
    check: Callable[[Network, Any, int, bool], Iterator[str]] = lambda *_: iter(())
    modifiable: bool = False


def _equal(old: object, new: object, *, text: bool = False) -> bool:
    """Whether a value that is looked for is this one; what is not said fits everything."""
    return new is None or (str(old).lower() == str(new).lower() if text else old == new)


def _ip_of(network: Network, entry: DhcpHost | DhcpRange, index: int) -> NetIp:
    """The <ip> that an entry belongs to: by its number, else the one that its address is in, else the one with DHCP."""
    if index >= 0:
        if index >= len(network.ips):
            raise InvalidValue(f"the network has {len(network.ips)} <ip>, none of number {index}", field="parent_index")
        return network.ips[index]
    address = address_of(entry.ip if isinstance(entry, DhcpHost) else entry.start)
    for ip in network.ips:
        if address is not None and address.version == ip.net.version and address in ip.net:
            return ip
    candidates = [ip for ip in network.ips if address is None or ip.is_ipv6 == (address.version == 6)]
    found = next((ip for ip in candidates if ip.has_dhcp), next(iter(candidates), None))
    if found is None:
        raise InvalidValue("the network has no <ip> for this entry", field="parent_index")
    return found


def _forward(network: Network) -> Forward:
    if network.forward is None:
        raise InvalidValue("the network has no <forward>", field="section")
    return network.forward


def _same_host(old: DhcpHost, new: DhcpHost) -> bool:
    return _equal(old.mac, new.mac, text=True) and _equal(old.id, new.id, text=True) and _equal(old.name, new.name) and (
        _equal(old.ip, new.ip))  # fmt: skip


def _host_to_change(old: DhcpHost, new: DhcpHost) -> bool:
    """A changed host is known by its MAC, DUID or name, whichever it says first."""
    for field in ("mac", "id", "name"):
        if getattr(new, field) is not None:
            return _equal(getattr(old, field), getattr(new, field), text=True)
    return False


def _hosts_clash(old: DhcpHost, new: DhcpHost) -> bool:
    pairs = ((old.mac, new.mac), (old.id, new.id), (old.name, new.name), (old.ip, new.ip))
    return any(a is not None and b is not None and a.lower() == b.lower() for a, b in pairs)


def _check_host(network: Network, host: DhcpHost, index: int, partial: bool) -> Iterator[str]:
    return check.host_reasons(_ip_of(network, host, index), host, partial=partial)


def _check_range(network: Network, one: DhcpRange, index: int, partial: bool) -> Iterator[str]:
    return check.range_reasons(_ip_of(network, one, index), one)


def _same_srv(old: Srv, new: Srv) -> bool:
    return all(_equal(getattr(old, f), getattr(new, f)) for f in ("service", "protocol", "domain", "target"))


def _shares_name(old: DnsHost, new: DnsHost) -> bool:
    return (new.ip is not None and old.ip == new.ip) or bool(set(old.names) & set(new.names))


SECTIONS: Mapping[UpdateSection, Section] = {
    "ip-dhcp-host": Section(DhcpHost, lambda n, e, i: _ip_of(n, e, i).hosts, _same_host, _hosts_clash, _check_host,
                            modifiable=True),
    "ip-dhcp-range": Section(DhcpRange, lambda n, e, i: _ip_of(n, e, i).ranges,
                             lambda a, b: (a.start, a.end) == (b.start, b.end),
                             lambda a, b: (a.start, a.end) == (b.start, b.end), _check_range),
    "forward-interface": Section(ForwardInterface, lambda n, e, i: _forward(n).interfaces, lambda a, b: a.device == b.device,
                                 lambda a, b: a.device == b.device),
    "portgroup": Section(Portgroup, lambda n, e, i: n.portgroups, lambda a, b: a.name == b.name,
                         lambda a, b: a.name == b.name or bool(a.default and b.default), modifiable=True),
    "dns-host": Section(DnsHost, lambda n, e, i: n.dns_hosts, _shares_name, _shares_name,
                        lambda n, e, i, p: check.dns_host_reasons(e.ip, e.names, partial=p)),
    "dns-txt": Section(Txt, lambda n, e, i: n.txts, lambda a, b: a.name == b.name, lambda a, b: a.name == b.name),
    "dns-srv": Section(Srv, lambda n, e, i: n.srvs, _same_srv, _same_srv,
                       lambda n, e, i, p: check.srv_reasons(e, partial=p)),
    "ip": Section(NetIp, lambda n, e, i: n.ips, lambda a, b: address_of(a.address) == address_of(b.address),
                  lambda a, b: address_of(a.address) == address_of(b.address), modifiable=True),
}  # fmt: skip
"""Sections that are lists. In the order of the API the others are one element each: WHOLE."""

WHOLE: Mapping[UpdateSection, tuple[str, ...]] = {
    "bridge": ("bridge", "zone", "stp", "delay", "mac_table"),
    "domain": ("domain", "domain_local"),
    "forward-pf": ("pf",),
    "forward": ("forward",),
}  # fmt: skip
"""Sections that are one element: the fields that it fills, of the network or of its <forward>."""


def updated(network: Network, command: UpdateCommand, section: UpdateSection, text: str, parent_index: int) -> Network:
    """A copy with one section changed; it still has to be completed. Raises InvalidXML, InvalidValue, Unsupported."""
    if command not in COMMANDS:
        raise InvalidValue(f"'{command}' is none of {', '.join(COMMANDS)}", field="command")
    done = network.clone()
    if section in SECTIONS:
        _change_list(done, SECTIONS[section], command, section, text, parent_index)
    elif section in WHOLE:
        _change_whole(done, command, section, text)
    else:
        raise InvalidValue(f"a network has no section '{section}'", field="section")
    return done


def _change_list(network: Network, section: Section, command: UpdateCommand, name: str, text: str, index: int) -> None:
    entry = _entry(section.model, text)
    if command == "modify" and not section.modifiable:
        raise Unsupported(f"an entry of '{name}' can be added or deleted, not modified")
    reasons = list(section.check(network, entry, index, command == "delete"))
    if reasons:
        raise InvalidXML("; ".join(reasons), element=section.model.tag)
    entries = section.find(network, entry, index)
    if command in ("add-last", "add-first"):
        if any(section.clashes(old, entry) for old in entries):
            raise InvalidValue(f"there is an entry of '{name}' already that matches this one", field="xml")
        entries.insert(0 if command == "add-first" else len(entries), entry)
        _after_interfaces(network, name)
        return
    same: Same = _host_to_change if command == "modify" and section.model is DhcpHost else section.same
    found = [number for number, old in enumerate(entries) if same(old, entry)]
    if len(found) != 1:
        raise InvalidValue(f"{len(found) or 'no'} entries of '{name}' match this one", field="xml")
    if command == "delete":
        del entries[found[0]]
        _after_interfaces(network, name)
    else:
        entries[found[0]] = entry


def _after_interfaces(network: Network, section: str) -> None:
    """<forward dev=> follows the first interface."""
    if section == "forward-interface":
        forward = _forward(network)
        forward.device = forward.interfaces[0].device if forward.interfaces else None


def _entry(model: type[M], text: str) -> M:
    try:
        return model.parse_element(document(text, model.tag))
    except MappingError as error:
        raise InvalidXML(str(error), element=error.element, line=str(error.line)) from None
    except DocumentError as error:
        raise InvalidXML(str(error), line=str(error.line or 0)) from None


def _change_whole(network: Network, command: UpdateCommand, section: UpdateSection, text: str) -> None:
    """Replace, add or remove an element that stands once: read in a document that has nothing else."""
    from lxml import etree

    holder: Model = _forward(network) if section == "forward-pf" else network
    tag = "pf" if section == "forward-pf" else section
    try:
        root = etree.Element(holder.tag)
        if holder is network:
            etree.SubElement(root, "name").text = network.name
        root.append(document(text, tag))
        said = type(holder).parse_element(root)
    except (DocumentError, MappingError) as error:
        raise InvalidXML(str(error), element=tag) from None
    fields = WHOLE[section]
    is_there = any(getattr(holder, field) is not None for field in fields)
    if command in ("add-last", "add-first") and is_there:
        raise InvalidValue(f"the network has a <{tag}> already", field="command")
    if command in ("delete", "modify") and not is_there:
        raise InvalidValue(f"the network has no <{tag}>", field="command")
    for field in fields:
        setattr(holder, field, None if command == "delete" else getattr(said, field))
