"""What plugging, unplugging and changing a device of a running guest takes, as QMP steps. Pure.

A device has one translation: the items that would be its part of a command line become commands here.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

from frontinus.api.errors import Unsupported
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.changes import refuse_fixed
from frontinus.domain.devices.base import Device
from frontinus.domain.devices.block.disk import Disk
from frontinus.domain.devices.character import Channel, Console, Parallel, Serial
from frontinus.domain.devices.controller import Controller
from frontinus.domain.devices.crypto import Crypto
from frontinus.domain.devices.filesystem import Filesystem
from frontinus.domain.devices.graphics import Graphics
from frontinus.domain.devices.hostdev import Hostdev
from frontinus.domain.devices.hub import Hub
from frontinus.domain.devices.input import Input
from frontinus.domain.devices.interface import Interface
from frontinus.domain.devices.memballoon import Memballoon
from frontinus.domain.devices.memory import MemoryDevice
from frontinus.domain.devices.redirdev import Redirdev
from frontinus.domain.devices.rng import Rng
from frontinus.domain.devices.shmem import Shmem
from frontinus.domain.devices.smartcard import Smartcard
from frontinus.domain.devices.sound import WITH_CODECS, Sound
from frontinus.domain.devices.vsock import Vsock
from frontinus.domain.devices.watchdog import Watchdog
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts
from frontinus.domain.plan import DevicePlan, Step
from frontinus.qemu.argv.address import alias_of
from frontinus.qemu.argv.block import disks
from frontinus.qemu.argv.chardev import chardev_add
from frontinus.qemu.argv.context import Context, Item, Props
from frontinus.qemu.argv.devices import (
    audio,
    balloon,
    characters,
    crypto,
    filesystems,
    hostdevs,
    inputs,
    interfaces,
    memory_devices,
    rng,
    shmem,
    smartcard,
    usb,
    vsock,
    watchdogs,
)
from frontinus.qemu.argv.devices.controllers import controller_props, is_built_in
from frontinus.qemu.argv.devices.graphics import expiry
from frontinus.qemu.argv.secrets import Sealer, placeholder
from frontinus.qemu.limits import dma_limits

FIRST_FD = 10_000
"""Above every number that a start uses: they also name sets of descriptors inside QEMU, which must not meet."""
FDS_EACH = 64
NAMED_FDS = ("fd", "fds", "vhostfd", "vhostfds")
FLAT_OBJECTS = "object-add/arg-type/qom-type=secret"
"""Since 6.0 object-add takes properties beside the type, before in a member of their own."""


def _controller(ctx: Context, controller: Controller) -> None:
    if controller.type == "pci":
        raise Unsupported("a PCI controller cannot be plugged into a running guest")
    if not is_built_in(ctx, controller):
        ctx.props("device", controller_props(ctx, controller))


def _disk(ctx: Context, disk: Disk) -> None:
    if disk.bus == "nvme":
        raise Unsupported(
            "<target>: a disk on bus 'nvme' cannot be plugged: QEMU's controllers take none while they run"
        )
    disks.emit_disk(ctx, disk)


def _sound(ctx: Context, card: Sound) -> None:
    if card.model in WITH_CODECS:
        raise Unsupported(f"<sound model='{card.model}'> cannot be plugged: its codecs come with the machine")
    audio.sound(ctx, card)


Emit = Callable[[Context, Device], None]
EMITTERS: Mapping[type[Device], Emit] = {
    kind: cast("Emit", emit)
    for kind, emit in (
        (Disk, _disk),
        (Interface, interfaces.interface),
        (Controller, _controller),
        (Serial, characters.emit),
        (Parallel, characters.emit),
        (Console, characters.emit),
        (Channel, characters.emit),
        (Crypto, crypto.crypto),
        (Filesystem, filesystems.filesystem),
        (Hostdev, hostdevs.plug),
        (Hub, usb.hub),
        (Input, inputs.input_device),
        (Memballoon, balloon.memballoon),
        (MemoryDevice, memory_devices.memory_device),
        (Redirdev, usb.redirdev),
        (Rng, rng.rng),
        (Shmem, shmem.shmem),
        (Smartcard, smartcard.smartcard),
        (Sound, _sound),
        (Vsock, vsock.vsock),
        (Watchdog, watchdogs.plug),
    )
}
"""The translation of each kind of device that can come and go."""


VISIBLE = frozenset({"device_add", "netdev_add"})
"""What gives a guest something; a forwarded address is part of a network's back end. The rest is the machine's own."""


def plan_device(guest: Guest, device: Device, caps: Capabilities, host: HostFacts,
                seal: Sealer = placeholder) -> DevicePlan:  # fmt: skip
    """The steps that plug a device; their undoing unplugs it. Raises Unsupported."""
    alias = alias_of(device)
    ctx = context(guest, alias, caps, host, seal)
    emit = next((emit for kind, emit in EMITTERS.items() if isinstance(device, kind)), None)
    if emit is None:
        raise Unsupported(f"<{device.tag}> cannot be plugged or unplugged while the guest runs")
    emit(ctx, device)
    steps = _steps(ctx)
    if not any(step.command in VISIBLE for step in steps):
        raise Unsupported(f"<{device.tag}> '{alias}' is part of the machine: it cannot come and go")
    return DevicePlan(alias, tuple(ctx.resources), steps, dma_limits(guest, ctx.resources))


def context(guest: Guest, alias: str, caps: Capabilities, host: HostFacts, seal: Sealer) -> Context:
    """The workbench for what is done to a running guest; `alias` keeps its descriptors apart from those of others."""
    folder = host.paths.guest(guest.id if guest.id is not None else -1, guest.name)
    number = FIRST_FD + FDS_EACH * (zlib.crc32(alias.encode()) % (1 << 20))
    return Context(guest, caps, host, folder, next_fd=number, seal=seal)


def _steps(ctx: Context) -> tuple[Step, ...]:
    made = [step(ctx, item) for item in ctx.items]
    return (*made, *(Step(name, arguments) for name, arguments in ctx.commands))


def step(ctx: Context, item: Item) -> Step:
    """An item as a command to a running guest. Raises Unsupported."""
    if not isinstance(item.value, Mapping) or item.option not in STEPS:
        raise Unsupported(f"-{item.option} cannot be given to a running guest")
    return STEPS[item.option](ctx, item.value)


def _device(ctx: Context, props: Props) -> Step:
    named, fds = _name_fds(props)
    return Step("device_add", named, ("device_del", {"id": props["id"]}), fds)


def _object(ctx: Context, props: Props) -> Step:
    undo = ("object-del", {"id": props["id"]})
    if ctx.caps.has_schema(FLAT_OBJECTS):
        named, fds = _name_fds(props)
        return Step("object-add", named, undo, fds)
    rest = {key: value for key, value in props.items() if key not in ("qom-type", "id")}
    return Step("object-add", {"qom-type": props["qom-type"], "id": props["id"], "props": rest}, undo)


def _blockdev(ctx: Context, props: Props) -> Step:
    return Step("blockdev-add", props, ("blockdev-del", {"node-name": props["node-name"]}))


def _netdev(ctx: Context, props: Props) -> Step:
    named, fds = _name_fds(props)
    return Step("netdev_add", named, ("netdev_del", {"id": props["id"]}), fds)


def _chardev(ctx: Context, props: Props) -> Step:
    named, fds = _name_fds(props)
    return Step("chardev-add", chardev_add(named), ("chardev-remove", {"id": props["id"]}), fds)


def _fd_set(ctx: Context, props: Props) -> Step:
    number = int(str(props["set"]))
    arguments = {"fdset-id": number, "opaque": props.get("opaque", "")}
    return Step("add-fd", arguments, ("remove-fd", {"fdset-id": number}), (("", int(str(props["fd"]))),))


def _name_fds(props: Props) -> tuple[dict[str, object], tuple[tuple[str, int], ...]]:
    """A running QEMU knows descriptors by name; a name that begins with a digit would be taken for a number."""
    named = dict(props)
    fds: list[tuple[str, int]] = []
    for key in NAMED_FDS:
        if key in named:
            numbers = str(named[key]).split(":")
            fds += [(f"fd{number}", int(number)) for number in numbers]
            named[key] = ":".join(f"fd{number}" for number in numbers)
    return named, tuple(fds)


STEPS: Mapping[str, Callable[[Context, Props], Step]] = {
    "device": _device, "object": _object, "blockdev": _blockdev, "netdev": _netdev, "chardev": _chardev,
    "add-fd": _fd_set,
}  # fmt: skip


# --- changes


def plan_update(guest: Guest, old: Device, new: Device, caps: Capabilities, host: HostFacts,
                seal: Sealer = placeholder) -> DevicePlan:  # fmt: skip
    """The steps that change a device. Raises Unsupported for what cannot change while the guest runs."""
    refuse_fixed(old, new)
    ctx = context(guest, old.alias or old.tag, caps, host, seal)
    plan = PLANNERS[type(old)](ctx, old, new) if type(old) in PLANNERS else DevicePlan(old.alias or old.tag)
    return replace(plan, steps=(*plan.steps, *_change_boot(old, new)))


def _set(alias: str, name: str, value: int) -> DevicePlan:
    """A property of a device that QEMU lets change."""
    return DevicePlan(alias, (), (
        Step("qom-set", {"path": f"/machine/peripheral/{alias}", "property": name, "value": value}),
    ))  # fmt: skip


def _change_boot(old: Device, new: Device) -> Iterator[Step]:
    """The firmware reads the order at the guest's next reset."""
    if old.boot_order != new.boot_order:
        yield from _set(alias_of(old), "bootindex", new.boot_order or -1).steps


def _change_card(ctx: Context, old: Interface, new: Interface) -> DevicePlan:
    """The link is QEMU's to change; bridge, rates and filter are the host's, by the tap that the card would have."""
    if (old.type, old.source) != (new.type, new.source) and not (_moves(old) and _moves(new)):
        raise Unsupported("<source>: while the guest runs an interface moves from bridge to bridge only, and none that "
                          "has a virtual port", element="source")  # fmt: skip
    if _moves(new):
        ctx.need(interfaces.tap(new, (), ()))
    steps = [Step("set_link", {"name": alias_of(old), "up": new.link != "down"})] if old.link != new.link else []
    return DevicePlan(alias_of(old), tuple(ctx.resources), tuple(steps))


def _moves(card: Interface) -> bool:
    """Whether the card's tap is on a bridge of the host, and can be on another."""
    on_bridge = card.type in ("bridge", "network") and card.source is not None and bool(card.source.bridge)
    return on_bridge and card.virtual_port is None


def _change_size(ctx: Context, old: MemoryDevice, new: MemoryDevice) -> DevicePlan:
    return _set(alias_of(old), "requested-size", new.requested or 0)


def _change_polling(ctx: Context, old: Memballoon, new: Memballoon) -> DevicePlan:
    return _set(alias_of(old), "guest-stats-polling-interval", new.period or 0)


def _change_disk(ctx: Context, old: Disk, new: Disk) -> DevicePlan:
    steps: list[Step] = []
    if old.iotune != new.iotune:
        steps.append(Step("block_set_io_throttle", disks.throttle_arguments(new)))
    if not new.has_medium_of(old, new.format):
        if old.device not in ("cdrom", "floppy"):
            what = "readonly" if old.readonly != new.readonly else "source"
            raise Unsupported(
                f"<{what}>: only a CD-ROM's or floppy's medium can change while the guest runs", element=what
            )
        steps += _change_medium(ctx, old, new)
    return DevicePlan(alias_of(old), tuple(ctx.resources), tuple(steps))


def _change_medium(ctx: Context, old: Disk, new: Disk) -> list[Step]:
    """The new medium's nodes come first, so that a bad one leaves the old medium where it is."""
    drive = {"id": alias_of(old)}
    leaving, _ = disks.medium_items(replace(ctx, host=replace(ctx.host, fdgroups=None)), old)
    ctx.resources.clear()
    coming, node = disks.medium_items(ctx, new)
    steps = [step(ctx, item) for item in coming]
    opened = ("blockdev-open-tray", {**drive, "force": True})  # the guest's firmware closes what it finds open
    steps += [Step("blockdev-remove-medium", drive, first=opened)]
    if node is not None:
        steps += [
            Step("blockdev-insert-medium", {**drive, "node-name": node}, first=opened),
            Step("blockdev-close-tray", drive),
        ]
    undone = [step(ctx, item).undo for item in reversed(leaving)]
    return [*steps, *(Step(*undo) for undo in undone if undo is not None)]


def _change_password(ctx: Context, old: Graphics, new: Graphics) -> DevicePlan:
    """Without a password nobody gets in: an empty one expires at once."""
    arguments = {"protocol": new.type, "password": new.password or "", "connected": new.connected}
    time = "now" if new.password is None else expiry(new.password_until) if new.password_until else "never"
    return DevicePlan(old.alias or new.type, (), (
        Step("set_password", {key: value for key, value in arguments.items() if value is not None}),
        Step("expire_password", {"protocol": new.type, "time": time}),
    ))  # fmt: skip


PLANNERS: Mapping[type[Device], Callable[[Context, Any, Any], DevicePlan]] = {
    Disk: _change_disk,
    Interface: _change_card,
    Graphics: _change_password,
    MemoryDevice: _change_size,
    Memballoon: _change_polling,
}
"""How what `domain.changes` lists is brought about; the boot order is changed alike everywhere."""
