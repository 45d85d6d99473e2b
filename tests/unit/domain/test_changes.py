"""What can change in a device of a running guest: every field of every device, changed alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from frontinus.api.errors import FrontinusError, Unsupported
from frontinus.domain.changes import CHANGES, merged
from frontinus.domain.complete import complete
from frontinus.domain.definition import parse_guest
from frontinus.domain.devices import Devices
from frontinus.domain.devices.base import Device
from frontinus.domain.devices.block.credentials import Auth, Encryption
from frontinus.domain.devices.block.disk import BackingStore, Disk
from frontinus.domain.devices.block.iotune import IoTune
from frontinus.domain.devices.block.source import Source
from frontinus.domain.devices.graphics import Graphics
from frontinus.domain.devices.interface import Interface, InterfaceSource
from frontinus.domain.devices.memballoon import Memballoon
from frontinus.domain.devices.memory import MemoryDevice
from frontinus.domain.devices.netparts import Rate
from frontinus.domain.plan import Tap
from frontinus.mock.capabilities import capabilities
from frontinus.qemu.hotplug import EMITTERS, plan_update
from frontinus.xml import Model
from frontinus.xml.mapping import specs
from support.models import alone, below, instance, value_of
from support.whole_guest import HOST, text


def kinds() -> Iterator[type[Model]]:
    """The classes of all devices."""
    for spec in specs(Devices).values():
        yield from (kind for kind in below(spec) if issubclass(kind, Device))


KINDS = sorted(set(kinds()), key=lambda kind: kind.__name__)
CAPS = capabilities()
GUEST = complete(parse_guest(text()), CAPS, HOST)


def test_the_matrix(golden: Callable[[str, str], None]) -> None:
    """Which devices come and go, and what in them changes; all else needs another start."""
    lines = []
    for kind in KINDS:
        plugs = any(issubclass(kind, plugged) for plugged in EMITTERS)
        change = CHANGES.get(kind)  # type: ignore[call-overload]
        able = " ".join(change.fields) if change else "-"
        lines.append(f"{kind.tag:12} {kind.__name__:20} plug {'yes' if plugs else 'no ':3} change {able}")
    golden("changes.txt", "\n".join(lines) + "\n")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_needs_another_start_is_refused_by_its_name(kind: type[Model]) -> None:
    change = CHANGES.get(kind)  # type: ignore[call-overload]
    fixed = sorted(set(specs(kind)) - set(change.fields if change else ()))

    @settings(max_examples=8, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(instance(kind, 1), st.data())
    def law(made: Model, data: st.DataObject) -> None:
        old = made.clone(alias="ua-x")
        name = data.draw(st.sampled_from(fixed))
        spec = specs(kind)[name]
        if spec.model is None and not spec.many and value_of(spec, 1).is_empty:
            return
        new = old.clone(**{name: alone(spec, getattr(old, name), data.draw)})
        assume(getattr(old, name) != getattr(new, name) and isinstance(old, Device) and isinstance(new, Device))
        assert isinstance(old, Device) and isinstance(new, Device)
        with pytest.raises(Unsupported, match=f"<{kind.tag}>.* cannot change while the guest runs"):
            plan_update(GUEST, old, new, CAPS, HOST)

    law()


@pytest.mark.parametrize(
    ("kind", "name", "before", "after", "command"),
    [
        ("disk", "iotune", None, {"total_bytes_sec": 1000}, "block_set_io_throttle"),
        ("interface", "link", "up", "down", "set_link"),
        ("interface", "link", "down", None, "set_link"),
        ("graphics", "password", "a", "b", "set_password"),
        ("graphics", "password_until", None, "2030-01-01T00:00:00", "expire_password"),
        ("memory", "requested", 0, 2**21, "qom-set"),
        ("memballoon", "period", 5, 10, "qom-set"),
    ],
)
def test_what_can_change_is_one_command(kind: str, name: str, before: object, after: object, command: str) -> None:
    made: dict[str, Device] = {
        "disk": Disk(device="disk", bus="virtio", target="vda", alias="virtio-disk0"), "interface": Interface(type="user"),
        "graphics": Graphics(type="vnc"), "memory": MemoryDevice(model="virtio-mem", size=2**30),
        "memballoon": Memballoon(model="virtio"),
    }  # fmt: skip
    change = IoTune(**after) if isinstance(after, dict) else after
    old = made[kind].clone(alias=made[kind].alias or "x0", **{name: before})
    plan = plan_update(GUEST, old, old.clone(**{name: change}), CAPS, HOST)
    assert command in [step.command for step in plan.steps]


def test_a_medium_is_what_a_drive_without_one_cannot_change() -> None:
    old = Disk(type="file", device="disk", bus="virtio", target="vda", alias="virtio-disk0", source=Source(file="/a"))
    with pytest.raises(FrontinusError, match="<source>: only a CD-ROM's or floppy's medium"):
        plan_update(GUEST, old, old.clone(source=Source(file="/b")), CAPS, HOST)


def test_what_an_element_leaves_open_stays() -> None:
    """But for what it takes away by leaving it out."""
    disk = Disk(type="file", device="cdrom", bus="sata", target="sda", serial="one", boot_order=2, iotune=IoTune(total_iops_sec=5),
                format="raw", source=Source(file="/a", index=3))  # fmt: skip
    after = merged(disk, Disk(device="cdrom", target="sda", source=Source(file="/b")))
    assert (after.serial, after.boot_order, after.iotune) == ("one", 2, disk.iotune)
    assert after.source == Source(file="/b") and after.format is None
    card = Interface(
        type="bridge", mac="52:54:00:00:00:01", model="virtio", link="down", inbound=Rate(average=9), boot_order=1
    )
    after_card = merged(card, Interface(type="bridge", mac="52:54:00:00:00:01"))
    assert (after_card.model, after_card.boot_order, after_card.link, after_card.inbound) == ("virtio", 1, None, None)


@pytest.mark.parametrize(
    ("change", "said", "same"),
    [
        ({}, None, True),
        ({"source": Source(file="/a", startup_policy="optional")}, None, True),
        ({"source": Source(file="/b")}, None, False),
        ({"type": "block"}, None, False),
        ({"readonly": True}, None, False),
        ({"auth": Auth(username="a")}, None, False),
        ({"encryption": Encryption(format="luks")}, None, False),
        ({}, "raw", False),
        ({}, "qcow2", True),
    ],
)
def test_a_disk_that_names_its_image_keeps_it(change: dict[str, object], said: str | None, same: bool) -> None:
    below = BackingStore(type="file", format="raw", source=Source(file="/below", index=4))
    old = Disk(
        type="file", bus="virtio", target="vda", format="qcow2", source=Source(file="/a", index=3), backing_store=below
    )
    new = Disk(type="file", bus="virtio", target="vda", source=Source(file="/a")).clone(**change)
    assert new.has_medium_of(old, said) is same
    if same:
        new.keep_medium(old)
        assert (new.format, new.backing_store, new.source and new.source.index) == ("qcow2", below, 3)


def test_a_card_changes_its_bridge_and_nothing_else() -> None:
    old = Interface(type="bridge", model="virtio", alias="net0", target="vnet0", source=InterfaceSource(bridge="left"))
    moved = plan_update(GUEST, old, old.clone(source=InterfaceSource(bridge="right")), CAPS, HOST)
    assert [(tap.name, tap.bridge) for tap in moved.resources if isinstance(tap, Tap)] == [("vnet0", "right")]
    assert moved.steps == ()
    for other in (old.clone(type="user", source=None), old.clone(type="direct", source=InterfaceSource(device="eth0"))):
        with pytest.raises(Unsupported, match="from bridge to bridge only"):
            plan_update(GUEST, old, other, CAPS, HOST)
