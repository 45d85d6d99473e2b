"""Devices attached, detached, changed; sizes and counts."""

from __future__ import annotations

import argparse

from lxml import etree

from frontinus.api.engine import Engine
from frontinus.api.errors import InvalidValue
from frontinus.client.commands.base import CONFIG, FILE, GUEST, LIVE, Command, Output, Run, arg, flag, read, size

PERSISTENT = flag("--persistent", help="both the running guest and the definition")


def _scope(options: argparse.Namespace) -> dict[str, bool]:
    return {"live": options.live, "config": options.config or getattr(options, "persistent", False)} if not getattr(
        options, "persistent", False) else {"live": True, "config": True}  # fmt: skip


def _by_xml(method: str, done: str) -> Run:
    async def run(engine: Engine, options: argparse.Namespace, out: Output) -> None:
        await getattr(engine, method)(options.guest, read(options.file), **_scope(options))
        out.line(f"Device {done} successfully")

    return run


async def _detach_alias(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.detach_alias(options.guest, options.alias, **_scope(options))
    out.line("Device detached successfully")


def element(tag: str, attributes: dict[str, str | None], *children: etree._Element | None) -> etree._Element:
    """An element without the attributes that are None."""
    made = etree.Element(tag, {k: v for k, v in attributes.items() if v is not None})
    made.extend([child for child in children if child is not None])
    return made


def _text(made: etree._Element) -> str:
    return etree.tostring(made, encoding="unicode")


async def _attach_disk(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    kind = "block" if options.source.startswith("/dev/") else "file"
    disk = element(
        "disk", {"type": kind, "device": options.type},
        element("driver", {"name": "qemu", "type": options.subdriver, "cache": options.cache}),
        element("source", {"dev" if kind == "block" else "file": options.source}),
        element("target", {"dev": options.target, "bus": options.targetbus}),
        element("readonly", {}) if options.mode == "readonly" else None,
    )  # fmt: skip
    await engine.attach_device(options.guest, _text(disk), **_scope(options))
    out.line("Disk attached successfully")


async def _detach_disk(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.detach_device(options.guest, await _find(engine, options, "disk", "target/@dev", options.target),
                               **_scope(options))  # fmt: skip
    out.line("Disk detached successfully")


async def _find(engine: Engine, options: argparse.Namespace, tag: str, path: str, value: str | None) -> str:
    """The XML of one device of the guest. Raises InvalidValue when it fits none or several."""
    xml = await engine.guest_xml(options.guest, ["inactive"] if options.config and not options.live else [])
    devices = etree.fromstring(xml).findall(f"devices/{tag}")
    child, attribute = path.split("/@")
    found = [d for d in devices if value is None or any(c.get(attribute) == value for c in d.findall(child))]
    if len(found) != 1:
        raise InvalidValue(f"{'no' if not found else 'more than one'} {tag} fits '{value or ''}'", field=tag)
    return _text(found[0])


SOURCES = {"network": "network", "bridge": "bridge", "direct": "dev"}


async def _attach_interface(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    source = {SOURCES[options.type]: options.source} if options.type in SOURCES else None
    nic = element(
        "interface", {"type": options.type},
        element("mac", {"address": options.mac}) if options.mac else None,
        element("source", source) if source else None,
        element("target", {"dev": options.target}) if options.target else None,
        element("model", {"type": options.model}) if options.model else None,
    )  # fmt: skip
    await engine.attach_device(options.guest, _text(nic), **_scope(options))
    out.line("Interface attached successfully")


async def _detach_interface(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.detach_device(options.guest, await _find(engine, options, "interface", "mac/@address", options.mac),
                               **_scope(options))  # fmt: skip
    out.line("Interface detached successfully")


async def _set_link(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    path = "mac/@address" if ":" in options.interface else "target/@dev"
    nic = etree.fromstring(await _find(engine, options, "interface", path, options.interface))
    for old in nic.findall("link"):
        nic.remove(old)
    nic.append(element("link", {"state": options.state}))
    await engine.update_device(options.guest, _text(nic), **_scope(options))
    out.line("Device updated successfully")


async def _change_media(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    disk = etree.fromstring(await _find(engine, options, "disk", "target/@dev", options.path))
    source = disk.find("source")
    if source is not None:
        disk.remove(source)
    if not options.eject:
        if not options.source:
            raise InvalidValue("give a source, or --eject", field="source")
        disk.set("type", "block" if options.source.startswith("/dev/") else "file")
        disk.append(element("source", {"dev" if disk.get("type") == "block" else "file": options.source}))
    await engine.update_device(options.guest, _text(disk), **_scope(options))
    out.line(f"Successfully {'ejected' if options.eject else 'changed'} media.")


async def _setmem(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.set_memory(options.guest, options.size, **_scope(options))


async def _setmaxmem(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.set_memory(options.guest, options.size, maximum=True, **_scope(options))


async def _setvcpus(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.set_vcpus(options.guest, options.count, maximum=options.maximum, **_scope(options))


async def _blockresize(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.block_resize(options.guest, options.path, options.size)
    out.line(f"Block device '{options.path}' is resized")


SCOPE = (LIVE, CONFIG, PERSISTENT)

COMMANDS = (
    Command("attach-device", "attach a device from XML", (GUEST, FILE, *SCOPE), _by_xml("attach_device", "attached")),
    Command("detach-device", "detach the device that an XML file means", (GUEST, FILE, *SCOPE),
            _by_xml("detach_device", "detached")),
    Command("update-device", "change a device from XML", (GUEST, FILE, *SCOPE), _by_xml("update_device", "updated")),
    Command("detach-device-alias", "detach a device by its alias", (GUEST, arg("alias"), *SCOPE), _detach_alias),
    Command("attach-disk", "attach a disk", (
        GUEST, arg("source", complete="file"), arg("target"), arg("--targetbus"), arg("--subdriver", default="raw"),
        arg("--cache"), arg("--type", default="disk", choices=["disk", "cdrom", "floppy", "lun"]),
        arg("--mode", choices=["readonly", "shareable"]), *SCOPE), _attach_disk),
    Command("detach-disk", "detach a disk by its target", (GUEST, arg("target"), *SCOPE), _detach_disk),
    Command("attach-interface", "attach a NIC", (
        GUEST, arg("type", choices=["network", "bridge", "user", "ethernet", "direct"]), arg("source", nargs="?"),
        arg("--mac"), arg("--model"), arg("--target"), *SCOPE), _attach_interface),
    Command("detach-interface", "detach a NIC", (GUEST, arg("type"), arg("--mac"), *SCOPE), _detach_interface),
    Command("domif-setlink", "take a NIC's link up or down", (
        GUEST, arg("interface", help="tap or MAC address"), arg("state", choices=["up", "down"]), *SCOPE), _set_link),
    Command("change-media", "change or eject a medium", (
        GUEST, arg("path"), arg("source", nargs="?", complete="file"), flag("--eject"), *SCOPE), _change_media),
    Command("setmem", "set a guest's memory", (GUEST, arg("size", type=size()), *SCOPE), _setmem),
    Command("setmaxmem", "set a guest's maximum memory", (GUEST, arg("size", type=size()), *SCOPE), _setmaxmem),
    Command("setvcpus", "set a guest's vCPUs", (GUEST, arg("count", type=int), flag("--maximum"), *SCOPE), _setvcpus),
    Command("blockresize", "resize a running guest's disk", (GUEST, arg("path"), arg("size", type=size())), _blockresize),
)  # fmt: skip
