"""The XML of the devices that commands name by words. Pure."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from lxml import etree

from frontinus.api.errors import InvalidValue

SOURCES: Mapping[str, str] = {"network": "network", "bridge": "bridge", "direct": "dev"}
"""The attribute of <source> that says what a NIC of a type is on."""
ADDRESSES: Mapping[str, tuple[str, tuple[str, ...], int]] = {
    "pci": ("pci", ("domain", "bus", "slot", "function"), 16),
    "scsi": ("drive", ("controller", "bus", "unit"), 10),
    "ide": ("drive", ("controller", "bus", "unit"), 10),
    "sata": ("drive", ("controller", "bus", "unit"), 10),
    "usb": ("usb", ("bus", "port"), 10),
}
"""Addresses as virsh writes them (pci:0000.00.0b.0, scsi:0.0.1): the type of <address>, its parts, and their base."""


def element(tag: str, attributes: Mapping[str, str | None], *children: etree._Element | None) -> etree._Element:
    """An element without the attributes that are None."""
    made = etree.Element(tag, {k: v for k, v in attributes.items() if v is not None})
    made.extend([child for child in children if child is not None])
    return made


def optional(tag: str, attributes: Mapping[str, str | None], *children: etree._Element) -> etree._Element | None:
    """The same, or None where it would say nothing."""
    return element(tag, attributes, *children) if children or any(v is not None for v in attributes.values()) else None


def worded(tag: str, text: str | None) -> etree._Element | None:
    """An element with a text, or None without one."""
    if text is None:
        return None
    made = etree.Element(tag)
    made.text = text
    return made


def text(made: etree._Element) -> str:
    return etree.tostring(made, encoding="unicode")


def address(given: str | None, *, multifunction: bool = False) -> etree._Element | None:
    """Raises InvalidValue."""
    if given is None:
        return None
    kind, _, numbers = given.partition(":")
    parts = numbers.split(".")
    if kind not in ADDRESSES or len(parts) != len(ADDRESSES[kind][1]):
        raise InvalidValue(f"'{given}' is no address such as pci:0000.00.0b.0, scsi:0.0.1 or usb:1.2", field="address")
    shown, names, base = ADDRESSES[kind]
    try:
        values = [int(part, base) for part in parts]
    except ValueError:
        raise InvalidValue(f"'{given}' is no address: its parts are numbers", field="address") from None
    attributes = {n: f"{v:#x}" if base == 16 else str(v) for n, v in zip(names, values, strict=True)}
    return element("address", {"type": shown, **attributes, "multifunction": "on" if multifunction else None})


def disk(options: argparse.Namespace) -> etree._Element:
    """The <disk> of attach-disk's words."""
    kind = options.sourcetype or (
        "network" if options.source_protocol else "block" if options.source.startswith("/dev/") else "file"
    )
    return element(
        "disk", {"type": kind, "device": options.type, "rawio": "yes" if options.rawio else None},
        element("driver", {"name": options.driver, "type": options.subdriver, "cache": options.cache, "io": options.io,
                           "iothread": options.iothread}),
        _disk_source(kind, options),
        element("target", {"dev": options.target, "bus": options.targetbus}),
        element(options.mode, {}) if options.mode else None,
        worded("serial", options.serial),
        worded("wwn", options.wwn),
        optional("alias", {"name": options.alias}),
        address(options.address, multifunction=options.multifunction),
    )  # fmt: skip


def _disk_source(kind: str, options: argparse.Namespace) -> etree._Element:
    if kind != "network":
        return element("source", {"dev" if kind == "block" else "file": options.source})
    if not options.source_protocol:
        raise InvalidValue("a disk on the network needs --source-protocol", field="source-protocol")
    name, _, port = (options.source_host_name or "").partition(":")
    host = optional("host", {"name": name or None, "port": port or None, "transport": options.source_host_transport,
                             "socket": options.source_host_socket})  # fmt: skip
    return element("source", {"protocol": options.source_protocol, "name": options.source}, host)


def interface(options: argparse.Namespace) -> etree._Element:
    """The <interface> of attach-interface's words."""
    rates = [
        rate for rate in (_rate("inbound", options.inbound), _rate("outbound", options.outbound)) if rate is not None
    ]
    return element(
        "interface", {"type": options.type, "managed": "yes" if options.managed else None},
        element("mac", {"address": options.mac}) if options.mac else None,
        _nic_source(options),
        optional("script", {"path": options.script}),
        optional("target", {"dev": options.target}),
        optional("model", {"type": options.model}),
        optional("bandwidth", {}, *rates),
        optional("alias", {"name": options.alias}),
    )  # fmt: skip


def _nic_source(options: argparse.Namespace) -> etree._Element | None:
    if options.type == "hostdev":
        return element("source", {}, address(f"pci:{(options.source or '').replace(':', '.')}"))
    if options.type not in SOURCES:
        return None
    return element("source", {SOURCES[options.type]: options.source, "mode": options.source_mode})


def _rate(tag: str, given: str | None) -> etree._Element | None:
    """<inbound> or <outbound> from average,peak,burst,floor."""
    values = given.split(",") if given else []
    names = ("average", "peak", "burst", "floor")
    if len(values) > len(names) or not all(value.isdigit() for value in values):
        raise InvalidValue(f"'{given}' is no rate: average,peak,burst,floor", field=tag)
    return optional(tag, dict(zip(names, values, strict=False)))
