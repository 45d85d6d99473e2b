"""Devices of a running guest as QMP steps, and the steps carried out on a scripted monitor."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from typing import cast

import pytest

from frontinus.api.errors import FrontinusError, HypervisorFailed, Unsupported
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.complete import complete
from frontinus.domain.definition import parse_guest
from frontinus.domain.devices.base import Device
from frontinus.domain.devices.block.disk import number_layers
from frontinus.domain.devices.filesystem import Filesystem
from frontinus.domain.devices.hostdev import PciHostdev
from frontinus.domain.devices.interface import Interface, InterfaceSource
from frontinus.domain.devices.memory import MemoryDevice
from frontinus.domain.devices.netparts import VirtualPort
from frontinus.domain.devices.sound import Sound
from frontinus.domain.devices.vsock import Vsock
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts
from frontinus.domain.memory import MemoryBacking
from frontinus.domain.plan import DevicePlan, Handed, Listener, OpenFile, Step, Tap
from frontinus.domain.prepare import prepare
from frontinus.domain.qapi import Entity, Member, Schema
from frontinus.domain.snapshots.chain import Chain, path_of, reference
from frontinus.mock.capabilities import capabilities
from frontinus.qemu import plugging
from frontinus.qemu.argv.block.fdgroups import FIRST_SET
from frontinus.qemu.blocks import QemuBlocks
from frontinus.qemu.hotplug import FIRST_FD, plan_device, plan_update
from frontinus.qemu.limits import freed_limits
from frontinus.qemu.monitor.client import Monitor

XML = """<domain type='qemu'><name>x</name><memory unit='MiB'>128</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
<disk type='file'><driver type='qcow2'/><source file='/a.qcow2'/><target dev='vda' bus='virtio'/></disk>
<disk type='file' device='cdrom'><source file='/b.iso'/><target dev='sdb' bus='sata'/></disk>
<interface type='bridge'><source bridge='br0'/><model type='virtio'/></interface>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
<graphics type='vnc' passwd='old'/><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
<memballoon model='virtio'/></devices></domain>"""
HOST = HostFacts()


@pytest.fixture(scope="module")
def caps() -> Capabilities:
    return capabilities()


@pytest.fixture
def guest(caps: Capabilities) -> Guest:
    return prepare(complete(parse_guest(XML), caps, HOST), caps, HOST, guest_id=3)


def commands(plan: DevicePlan) -> list[str]:
    return [step.command for step in plan.steps]


def undone(plan: DevicePlan) -> list[str]:
    return [step.undo[0] for step in plan.steps if step.undo]


def test_disk(guest: Guest, caps: Capabilities) -> None:
    plan = plan_device(guest, guest.devices.disks[0], caps, HOST)
    assert plan.alias == "virtio-disk0"
    assert commands(plan) == ["blockdev-add", "blockdev-add", "device_add"]
    assert undone(plan) == ["blockdev-del", "blockdev-del", "device_del"]
    storage, top, card = plan.steps
    assert storage.arguments["filename"] == "/a.qcow2" and top.arguments["file"] == storage.arguments["node-name"]
    assert card.arguments["drive"] == top.arguments["node-name"] and card.arguments["id"] == "virtio-disk0"


def test_descriptors_have_names_and_numbers_of_their_own(guest: Guest, caps: Capabilities) -> None:
    nic = plan_device(guest, guest.devices.interfaces[0], caps, HOST)
    (tap,) = nic.resources
    assert isinstance(tap, Tap) and tap.alias == "net0" and tap.fds[0] >= FIRST_FD
    assert nic.steps[0].fds == ((f"fd{tap.fds[0]}", tap.fds[0]),) and nic.steps[0].arguments["fd"] == f"fd{tap.fds[0]}"
    channel = plan_device(guest, guest.devices.channels[0], caps, HOST)
    listener = next(r for r in channel.resources if isinstance(r, Listener))
    assert listener.fd not in tap.fds
    backend = channel.steps[0].arguments["backend"]
    assert isinstance(backend, Mapping) and backend["data"]["addr"] == {
        "type": "fd",
        "data": {"str": f"fd{listener.fd}"},
    }
    assert undone(channel) == ["chardev-remove", "device_del"]
    assert nic == plan_device(guest, guest.devices.interfaces[0], caps, HOST)  # unplugging plans it again


def test_objects_before_and_since_they_are_flat(guest: Guest, caps: Capabilities) -> None:
    kinds = [
        Entity(name="object-add", meta_type="command", arg_type="1"),
        Entity(name="1", meta_type="object", tag="qom-type", members=(Member("qom-type", "2"),)),
        Entity(name="2", meta_type="enum", values=("secret",)),
    ]
    new = dataclasses.replace(caps, schema=Schema(kinds))
    flat = plan_device(guest, guest.devices.rngs[0], new, HOST).steps[0].arguments
    assert flat == {"qom-type": "rng-random", "id": "objrng0", "filename": "/dev/urandom"}
    old = dataclasses.replace(caps, schema=Schema(()))
    nested = plan_device(guest, guest.devices.rngs[0], old, HOST).steps[0].arguments
    assert nested == {"qom-type": "rng-random", "id": "objrng0", "props": {"filename": "/dev/urandom"}}


def test_what_cannot_come_and_go(guest: Guest, caps: Capabilities) -> None:
    ports = [c for c in guest.devices.controllers if c.type == "pci"]
    built_in = [d for d in guest.devices.inputs if d.bus == "ps2"]
    hda = Sound(model="ich9", alias="sound0")
    assert ports and built_in
    for device in (ports[-1], built_in[0], hda):
        with pytest.raises(Unsupported, match=f"<{device.tag}[> ]|PCI controller"):
            plan_device(guest, device, caps, HOST)


def update(guest: Guest, old: Device, caps: Capabilities, **changes: object) -> DevicePlan:
    return plan_update(guest, old, old.clone(**changes), caps, HOST)


def test_medium(guest: Guest, caps: Capabilities) -> None:
    old = guest.devices.disks[1]
    assert old.source is not None
    plan = update(guest, old, caps, source=old.source.clone(file="/c.iso", index=9))
    assert commands(plan) == ["blockdev-add", "blockdev-add", "blockdev-remove-medium",
                              "blockdev-insert-medium", "blockdev-close-tray", "blockdev-del", "blockdev-del"]  # fmt: skip
    coming, leaving = plan.steps[0].arguments, plan.steps[-1].arguments
    assert coming["filename"] == "/c.iso" and leaving["node-name"] != coming["node-name"]
    assert all(step.first == ("blockdev-open-tray", {"id": "sata0-0-1", "force": True}) for step in plan.steps[2:4])
    assert plan.steps[3].arguments == {"id": "sata0-0-1", "node-name": plan.steps[1].arguments["node-name"]}
    assert [getattr(r, "path", None) for r in plan.resources] == ["/c.iso"]
    empty = update(guest, old, caps, source=None)
    assert commands(empty) == ["blockdev-remove-medium", "blockdev-del", "blockdev-del"]


def test_a_card_moves_from_bridge_to_bridge_and_nowhere_else(guest: Guest, caps: Capabilities) -> None:
    there = InterfaceSource(bridge="br1")
    old: Interface = guest.devices.interfaces[0].clone(type="bridge", source=InterfaceSource(bridge="br0"))
    assert commands(update(guest, old, caps, source=there)) == []
    for card, changes in (
        (old, {"type": "direct", "source": InterfaceSource(device="eth0")}),
        (old.clone(type="user", source=None), {"type": "bridge", "source": there}),
        (old.clone(virtual_port=VirtualPort(type="openvswitch")), {"source": there}),
    ):
        with pytest.raises(Unsupported, match="bridge to bridge"):
            update(guest, card, caps, **changes)


def test_link_and_password(guest: Guest, caps: Capabilities) -> None:
    plan = update(guest, guest.devices.interfaces[0], caps, link="down")
    assert plan.steps == (Step("set_link", {"name": "net0", "up": False}),)
    display = guest.devices.graphics[0]
    plan = update(guest, display, caps, password="new", password_until="2030-01-01T00:00:00")
    assert plan.steps == (
        Step("set_password", {"protocol": "vnc", "password": "new"}),
        Step("expire_password", {"protocol": "vnc", "time": "1893456000"}),
    )
    plan = update(guest, display, caps, password=None)
    assert plan.steps[1].arguments["time"] == "now"


def test_what_a_module_and_the_balloon_let_change(guest: Guest, caps: Capabilities) -> None:
    module = MemoryDevice(model="virtio-mem", size=2**30, requested=0, current=5, alias="virtiomem0")
    (set_size,) = update(guest, module, caps, requested=2**20, current=None).steps
    assert set_size.arguments == {
        "path": "/machine/peripheral/virtiomem0",
        "property": "requested-size",
        "value": 2**20,
    }
    balloon = guest.devices.memballoon
    assert balloon is not None
    (poll,) = update(guest, balloon, caps, period=4).steps
    assert (poll.arguments["property"], poll.arguments["value"]) == ("guest-stats-polling-interval", 4)
    for device, change in ((module, {"size": 2**31}), (balloon, {"autodeflate": True})):
        with pytest.raises(Unsupported, match="while the guest runs"):
            update(guest, device, caps, **change)


def test_a_device_of_the_kernel_is_opened_and_named(guest: Guest, caps: Capabilities) -> None:
    plan = plan_device(guest, Vsock(model="virtio", cid=7, alias="vsock0"), caps, HOST)
    (kernel,), (step,) = plan.resources, plan.steps
    assert isinstance(kernel, OpenFile) and kernel.device and kernel.path == "/dev/vhost-vsock"
    assert step.fds == ((f"fd{kernel.fd}", kernel.fd),) and step.arguments["vhostfd"] == f"fd{kernel.fd}"


def test_a_socket_that_connects_says_so(guest: Guest, caps: Capabilities) -> None:
    folder = Filesystem(driver="virtiofs", source="/x", target="t", socket="/x.sock", alias="fs0")
    backend = plan_device(guest, folder, caps, HOST).steps[0].arguments["backend"]
    assert isinstance(backend, Mapping) and backend["data"]["server"] is False, "the command's default is to listen"


def test_the_last_device_that_reaches_memory_frees_the_limit(guest: Guest) -> None:
    one, other = (PciHostdev(type="pci", alias=f"hostdev{n}") for n in range(2))
    guest.devices.hostdevs = [one, other]
    assert freed_limits(guest, one) == ()
    guest.devices.hostdevs = [one]
    assert freed_limits(guest, one) == ("memlock",) and freed_limits(guest, guest.devices.disks[0]) == ()
    guest.memory_backing = MemoryBacking(locked=True)
    assert freed_limits(guest, one) == ()


def test_what_cannot_change(guest: Guest, caps: Capabilities) -> None:
    disk, nic = guest.devices.disks[0], guest.devices.interfaces[0]
    assert disk.source is not None
    for device, changes in (
        (disk, {"source": disk.source.clone(file="/other")}),
        (disk, {"cache": "none"}),
        (nic, {"mac": "52:54:00:11:22:33"}),
        (guest.devices.rngs[0], {"rate_bytes": 5}),
    ):
        with pytest.raises(Unsupported, match="while the guest runs"):
            update(guest, device, caps, **changes)


# --- acting


class Script:
    """A monitor that remembers commands and fails those that it is told to."""

    def __init__(self, **failures: FrontinusError) -> None:
        self.failures = failures
        self.log: list[tuple[str, Mapping[str, object], tuple[int, ...]]] = []
        self.cancel_at: str | None = None

    async def execute(
        self,
        name: str,
        arguments: Mapping[str, object] | None = None,
        *,
        deadline: float = 0.0,
        fds: Sequence[int] = (),
    ) -> None:
        self.log.append((name, arguments or {}, tuple(fds)))
        if name == self.cancel_at:
            raise asyncio.CancelledError
        if name in self.failures:
            raise self.failures[name]


def step(name: str, fds: tuple[tuple[str, int], ...] = ()) -> Step:
    return Step(f"{name}-add", {"id": name}, (f"{name}-del", {"id": name}), fds)


async def plug(script: Script, *steps: Step, fds: Mapping[int, int] | None = None) -> None:
    await plugging.plug(cast("Monitor", script), DevicePlan("x", (), steps), fds or {})


async def test_descriptors_go_before_their_command() -> None:
    script = Script()
    add_fd = Step("add-fd", {"fdset-id": 9}, ("remove-fd", {"fdset-id": 9}), (("", 9),))
    await plug(script, add_fd, step("a", (("fd7", 7), ("fd8", 8))), fds={7: 107, 8: 108, 9: 109})
    assert script.log == [
        ("add-fd", {"fdset-id": 9}, (109,)), ("getfd", {"fdname": "fd7"}, (107,)), ("getfd", {"fdname": "fd8"}, (108,)),
        ("a-add", {"id": "a"}, ())]  # fmt: skip


async def test_failure_is_walked_back_and_told_though_the_way_back_fails() -> None:
    script = Script(**{"c-add": HypervisorFailed("no c"), "b-del": HypervisorFailed("b stays")})
    with pytest.raises(HypervisorFailed, match="no c"):
        await plug(script, step("a"), Step("plain", {}), step("b"), step("c"), step("d"))
    assert [name for name, _, _ in script.log] == ["a-add", "plain", "b-add", "c-add", "b-del", "a-del"]


async def test_cancelled_plug_is_walked_back_with_the_step_that_nobody_waited_for() -> None:
    script = Script()
    script.cancel_at = "b-add"
    with pytest.raises(asyncio.CancelledError):
        await plug(script, step("a"), step("b"), step("c"))
    assert [name for name, _, _ in script.log] == ["a-add", "b-add", "b-del", "a-del"]


async def test_a_set_of_several_descriptors_is_taken_back_once() -> None:
    script = Script(**{"b-add": HypervisorFailed("no b")})
    undo = ("remove-fd", {"fdset-id": 9})
    adds = [Step("add-fd", {"fdset-id": 9, "opaque": str(number)}, undo, (("", number),)) for number in (1, 2)]
    with pytest.raises(HypervisorFailed, match="no b"):
        await plug(script, *adds, step("b"), fds={1: 101, 2: 102})
    assert [(name, fds) for name, _, fds in script.log] == [
        ("add-fd", (101,)), ("add-fd", (102,)), ("b-add", ()), ("remove-fd", ())]  # fmt: skip


BY_FDS = """<domain type='qemu'><name>x</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
<disk type='file' device='cdrom'><driver type='raw'/><source file='/{0}' fdgroup='{0}'/>
<target dev='hdc' bus='ide'/><readonly/></disk></devices></domain>"""


def test_a_medium_by_descriptors_takes_the_set_of_the_one_before_away(caps: Capabilities) -> None:
    facts = dataclasses.replace(HOST, fdgroups={"b": ["r", "rw"]})  # those of the old one are long gone
    guest = prepare(complete(parse_guest(BY_FDS.format("a")), caps, facts), caps, facts, guest_id=1)
    (old,) = guest.devices.disks
    (new,) = parse_guest(BY_FDS.format("b")).devices.disks
    new.complete(guest, caps, facts)
    new.alias, new.address = old.alias, old.address
    number_layers([new], 1)
    plan = plan_update(guest, old, new, caps, facts)
    told = [(step.command, step.arguments.get("fdset-id")) for step in plan.steps if step.command.endswith("-fd")]
    assert told == [("add-fd", FIRST_SET + 4), ("add-fd", FIRST_SET + 4), ("remove-fd", FIRST_SET + 2)]
    numbers = tuple(number for step in plan.steps for _, number in step.fds)
    assert [need for need in plan.resources if isinstance(need, Handed)] == [Handed("b", numbers)]


def test_a_layer_that_is_closed_takes_its_set_along(caps: Capabilities) -> None:
    guest = prepare(complete(parse_guest(BY_FDS.format("a")), caps, HOST), caps, HOST, guest_id=1)
    (layer,) = Chain.of(guest.devices.disks[0]).layers
    steps = [step for plan in QemuBlocks(guest, caps, HOST).close([layer]) for step in plan.steps]
    assert [step.command for step in steps] == ["blockdev-del", "blockdev-del", "remove-fd"]
    assert steps[-1].arguments == {"fdset-id": FIRST_SET + 2}
    assert path_of(layer) is None and reference(layer) == "/a"  # nobody opens it; headers above name it
