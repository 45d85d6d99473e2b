"""Devices attached, detached, changed; sizes and counts."""

from __future__ import annotations

import argparse

from lxml import etree

from frontinus.api.engine import Engine
from frontinus.api.errors import InvalidValue
from frontinus.client.commands.base import FILE, GUEST, SCOPE, Command, Output, Run, arg, flag, read, size
from frontinus.client.commands.tuning import numbers
from frontinus.client.devicexml import disk, element, interface, text

PERSISTENT = flag("--persistent", help="both the running guest and the definition")


def _scope(options: argparse.Namespace) -> dict[str, bool]:
    return {"live": options.live, "config": options.config or getattr(options, "persistent", False)} if not getattr(
        options, "persistent", False) else {"live": True, "config": True}  # fmt: skip


def _by_xml(method: str, done: str) -> Run:
    async def run(engine: Engine, options: argparse.Namespace, out: Output) -> None:
        await getattr(engine, method)(options.guest, read(options.file), **_scope(options))
        out.done(f"Device {done} successfully")

    return run


async def _detach_alias(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.detach_alias(options.guest, options.alias, **_scope(options))
    out.done("Device detached successfully")


async def _attach_disk(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await _attach(engine, options, out, text(disk(options)), "Disk")


async def _attach(engine: Engine, options: argparse.Namespace, out: Output, xml: str, what: str) -> None:
    if options.print_xml:
        out.text(xml)
        return
    await engine.attach_device(options.guest, xml, **_scope(options))
    out.done(f"{what} attached successfully")


async def _detach(engine: Engine, options: argparse.Namespace, out: Output, xml: str, what: str) -> None:
    if options.print_xml:
        out.text(xml)
        return
    await engine.detach_device(options.guest, xml, **_scope(options))
    out.done(f"{what} detached successfully")


async def _detach_disk(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await _detach(engine, options, out, await _find(engine, options, "disk", "target/@dev", options.target), "Disk")


async def _find(engine: Engine, options: argparse.Namespace, tag: str, path: str, value: str | None) -> str:
    """The XML of one device of the guest. Raises InvalidValue when it fits none or several."""
    xml = await engine.guest_xml(options.guest, ["inactive"] if options.config and not options.live else [])
    devices = etree.fromstring(xml).findall(f"devices/{tag}")
    child, attribute = path.split("/@")
    found = [d for d in devices if value is None or any(c.get(attribute) == value for c in d.findall(child))]
    if len(found) != 1:
        raise InvalidValue(f"{'no' if not found else 'more than one'} {tag} fits '{value or ''}'", field=tag)
    return text(found[0])


async def _attach_interface(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await _attach(engine, options, out, text(interface(options)), "Interface")


async def _detach_interface(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    xml = await _find(engine, options, "interface", "mac/@address", options.mac)
    await _detach(engine, options, out, xml, "Interface")


async def _set_link(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    path = "mac/@address" if ":" in options.interface else "target/@dev"
    nic = etree.fromstring(await _find(engine, options, "interface", path, options.interface))
    for old in nic.findall("link"):
        nic.remove(old)
    nic.append(element("link", {"state": options.state}))
    if options.print_xml:
        out.text(text(nic))
        return
    await engine.update_device(options.guest, text(nic), **_scope(options))
    out.done("Device updated successfully")


async def _change_media(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    cdrom = etree.fromstring(await _find(engine, options, "disk", "target/@dev", options.path))
    source = cdrom.find("source")
    if options.insert and source is not None:
        raise InvalidValue(f"'{options.path}' has a medium already", field="path")
    if source is not None:
        cdrom.remove(source)
    if not options.eject:
        if not options.source:
            raise InvalidValue("give a source, or --eject", field="source")
        cdrom.set("type", "block" if options.block or options.source.startswith("/dev/") else "file")
        cdrom.append(element("source", {"dev" if cdrom.get("type") == "block" else "file": options.source}))
    if options.print_xml:
        out.text(text(cdrom))
        return
    await engine.update_device(options.guest, text(cdrom), **_scope(options))
    out.done(f"Successfully {'ejected' if options.eject else 'changed'} media.")


async def _setmem(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.set_memory(options.guest, options.size, **_scope(options))


async def _setmaxmem(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.set_memory(options.guest, options.size, maximum=True, **_scope(options))


async def _setvcpus(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    if options.guest_view:
        await _setvcpus_inside(engine, options.guest, options.count)
        return
    await engine.set_vcpus(options.guest, options.count, maximum=options.maximum, **_scope(options))


async def _setvcpu(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    if options.enable is options.disable:
        raise InvalidValue("say --enable or --disable", field="enable")
    await engine.switch_vcpus(options.guest, options.vcpulist, options.enable, **_scope(options))


async def _update_memory(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    """Another requested size of a virtio-mem device."""
    half = ["inactive"] if options.config and not options.live else []
    devices = etree.fromstring(await engine.guest_xml(options.guest, half)).findall("devices/memory")  # type: ignore[arg-type]
    found = [device for device in devices if _is_meant(device, options)]
    if len(found) != 1:
        raise InvalidValue(f"{'no' if not found else 'more than one'} memory device is meant", field="memory")
    target = found[0].find("target")
    assert target is not None
    for old in target.findall("requested"):
        target.remove(old)
    requested = etree.SubElement(target, "requested", unit="KiB")
    requested.text = str(options.requested_size // 1024)
    if options.print_xml:
        out.text(text(found[0]))
        return
    await engine.update_device(options.guest, text(found[0]), **_scope(options))
    out.done("Device updated successfully")


def _is_meant(device: etree._Element, options: argparse.Namespace) -> bool:
    alias, node = device.find("alias"), device.findtext("target/node")
    named = alias.get("name") if alias is not None else None
    return device.get("model") == "virtio-mem" and options.alias in (None, named) and (
        options.node is None or str(options.node) == (node or "").strip())  # fmt: skip


async def _setvcpus_inside(engine: Engine, guest: str, count: int) -> None:
    """Have the guest's own system use so many of its vCPUs. Raises InvalidValue where it has too few, or keeps too many."""
    known = await engine.guest_vcpus(guest)
    off = [number for number in known.vcpus if number not in known.online]
    spare = [number for number in reversed(known.online) if number in known.offlinable]
    change = count - len(known.online)
    chosen = off[:change] if change > 0 else spare[: -change or None] if change else []
    if len(chosen) != abs(change):
        raise InvalidValue(f"the guest cannot use {count} of its {len(known.vcpus)} vCPUs", field="count")
    if chosen:
        await engine.set_guest_vcpus(guest, sorted(chosen), change > 0)


async def _blockresize(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.block_resize(options.guest, options.path, options.size)
    out.done(f"Block device '{options.path}' is resized")


WHERE = (*SCOPE, PERSISTENT)
PRINT = flag("--print-xml", help="print the XML, and do nothing")

COMMANDS = (
    Command("attach-device", "attach a device from XML", (GUEST, FILE, *WHERE), _by_xml("attach_device", "attached")),
    Command("detach-device", "detach the device that an XML file means", (GUEST, FILE, *WHERE),
            _by_xml("detach_device", "detached")),
    Command("update-device", "change a device from XML", (
        GUEST, FILE, flag("--force", help="as always"), *WHERE), _by_xml("update_device", "updated")),
    Command("detach-device-alias", "detach a device by its alias", (GUEST, arg("alias"), *WHERE), _detach_alias),
    Command("attach-disk", "attach a disk", (
        GUEST, arg("source", complete="file"), arg("target"), arg("--targetbus"), arg("--driver", default="qemu"),
        arg("--subdriver", default="raw"), arg("--iothread"), arg("--cache"), arg("--io"),
        arg("--type", default="disk", choices=["disk", "cdrom", "floppy", "lun"]),
        arg("--mode", choices=["readonly", "shareable"]), arg("--sourcetype", choices=["file", "block", "network"]),
        arg("--serial"), arg("--wwn"), arg("--alias"), flag("--rawio"),
        arg("--address", help="such as pci:0000.00.0b.0 or scsi:0.0.1"), flag("--multifunction"), arg("--source-protocol"),
        arg("--source-host-name", help="name:port"), arg("--source-host-transport"), arg("--source-host-socket"), PRINT, *WHERE),
        _attach_disk),
    Command("detach-disk", "detach a disk by its target", (GUEST, arg("target"), PRINT, *WHERE), _detach_disk),
    Command("attach-interface", "attach a NIC", (
        GUEST, arg("type", choices=["network", "bridge", "user", "ethernet", "direct", "hostdev"]), arg("source", nargs="?"),
        arg("--target"), arg("--mac"), arg("--script"), arg("--model"), arg("--alias"),
        arg("--inbound", help="average,peak,burst,floor"), arg("--outbound"), flag("--managed"), arg("--source-mode"),
        PRINT, *WHERE), _attach_interface),
    Command("detach-interface", "detach a NIC", (GUEST, arg("type"), arg("--mac"), PRINT, *WHERE), _detach_interface),
    Command("domif-setlink", "take a NIC's link up or down", (
        GUEST, arg("interface", help="tap or MAC address"), arg("state", choices=["up", "down"]), PRINT, *WHERE), _set_link),
    Command("change-media", "change or eject a medium", (
        GUEST, arg("path"), arg("source", nargs="?", complete="file"), flag("--eject"),
        flag("--force", help="whether the guest holds the door or not, as always"),
        flag("--insert", help="only into an empty drive"), flag("--update", help="whether it is empty or not (the default)"),
        flag("--block", help="the source is a block device"), PRINT, *WHERE), _change_media),
    Command("setmem", "set a guest's memory", (GUEST, arg("size", type=size()), *WHERE), _setmem),
    Command("setmaxmem", "set a guest's maximum memory", (GUEST, arg("size", type=size()), *WHERE), _setmaxmem),
    Command("setvcpus", "set a guest's vCPUs", (GUEST, arg("count", type=int), flag("--maximum"),
        arg("--guest", dest="guest_view", action="store_true", help="in the guest's own system, by its agent"), *WHERE), _setvcpus),
    Command("setvcpu", "plug or unplug single vCPUs", (
        GUEST, arg("vcpulist", type=numbers, help="such as 2,4-5"), flag("--enable"), flag("--disable"), *WHERE), _setvcpu),
    Command("update-memory-device", "change how much memory of a virtio-mem device the guest is to use", (
        GUEST, arg("--alias"), arg("--node", type=int), arg("--requested-size", type=size(), required=True), PRINT, *WHERE),
        _update_memory),
    Command("blockresize", "resize a running guest's disk", (GUEST, arg("path"), arg("size", type=size())), _blockresize),
)  # fmt: skip
