"""The table against what clients of libvirt-dbus know, and against what is served."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from dbus_fast import Message, MessageType
from lxml import etree

from frontinus.api import events
from frontinus_dbus import table
from frontinus_dbus.libvirt.api_guests import CONNECT, DOMAIN
from frontinus_dbus.libvirt.api_objects import STORAGEPOOL
from frontinus_dbus.libvirt.missing import MISSING, lacking
from frontinus_dbus.libvirt.realm import INTERFACES, PARTS
from frontinus_dbus.libvirt.served import NOTHING, SERVED
from frontinus_dbus.libvirt.signals import NEVER, OTHERS, signals
from frontinus_dbus.native.kinds import Kind
from frontinus_dbus.native.realm import KINDS, MANAGER_PART
from frontinus_dbus.reference import markdown
from frontinus_dbus.table import Interface

FACTS = Path(os.environ.get("FRONTINUS_FACTS", Path(__file__).resolve().parents[4] / "shared/facts"))


def lines(interface: Interface) -> Iterator[str]:
    """An interface in the words of the list of signatures."""
    for p in interface.properties:
        yield f"P {p.name} {p.signature} {'readwrite' if p.write else 'read'}{' const' if p.const else ''}"
    for m in interface.methods:
        takes, gives = (",".join(f"{a.name}:{a.signature}" for a in side) for side in (m.takes, m.gives))
        yield f"M {m.name}({takes}) -> ({gives})"
    for s in interface.signals:
        yield f"S {s.name} {','.join(f'{a.name}:{a.signature}' for a in s.carries)}".rstrip()


def test_the_table_is_libvirts() -> None:
    file = FACTS / "dbus-signatures.txt"
    if not file.exists():
        pytest.skip(f"there is no list of signatures at {file}")
    wanted: dict[str, set[str]] = {}
    for line in file.read_text().splitlines():
        if line.startswith("## "):
            kind = wanted.setdefault(line[3:], set())
        elif line.strip():
            kind.add(re.sub(r"\s+", " ", line.strip()))
    assert {i.name: set(lines(i)) for i in INTERFACES} == wanted


def test_the_table_is_whole() -> None:
    assert len(INTERFACES) == 10
    assert sum(len(i.methods) for i in INTERFACES) == 195
    assert sum(len(i.properties) for i in INTERFACES) == 37
    assert sum(len(i.signals) for i in INTERFACES) == 28


@pytest.mark.parametrize("interface", INTERFACES, ids=lambda i: i.name)
def test_a_member_is_served_or_listed_as_missing(interface: Interface) -> None:
    mine = SERVED.get(interface.name, NOTHING)
    served = {*mine.methods, *mine.getters}
    members = {*interface.method, *interface.property}
    assert served <= members
    assert {m for m in members if lacking(interface.name, m)} == members - served


def test_what_is_missing_exists() -> None:
    kinds = {i.name.rpartition(".")[2]: i for i in INTERFACES}
    names = [name for words in MISSING.values() for name in words.split()]
    assert len(names) == len(set(names))
    for name in names:
        kind, _, member = name.partition(".")
        assert member == "*" or member in kinds[kind].method or member in kinds[kind].property, name


def test_a_handler_has_a_line_that_tells_what_it_does() -> None:
    for served in SERVED.values():
        for name, handler in served.methods.items():
            assert handler.__doc__ and "\n" not in handler.__doc__.strip(), name


@pytest.mark.parametrize("interface", INTERFACES, ids=lambda i: i.name)
def test_introspection_says_what_the_table_says(interface: Interface) -> None:
    node = etree.fromstring(table.introspection([interface], ["child"]).encode())
    (shown,) = node.findall("interface")
    assert shown.get("name") == interface.name and node.find("node").get("name") == "child"
    for method in shown.findall("method"):
        known = interface.method[method.get("name")]
        for way, side in (("in", known.takes), ("out", known.gives)):
            args = method.findall(f"arg[@direction='{way}']")
            assert [(a.get("name"), a.get("type")) for a in args] == [(a.name, a.signature) for a in side]
    assert {m.get("name") for m in shown.findall("method")} == set(interface.method)
    access = {p.get("name"): (p.get("type"), p.get("access")) for p in shown.findall("property")}
    assert access == {p.name: (p.signature, "readwrite" if p.write else "read") for p in interface.properties}
    carried = {s.get("name"): "".join(a.get("type") for a in s.findall("arg")) for s in shown.findall("signal")}
    assert carried == {s.name: s.signature for s in interface.signals}


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.folder)
def test_every_member_of_the_native_interfaces_is_served(kind: Kind) -> None:
    assert set(kind.methods) == set(kind.interface.method)
    assert set(kind.shown) == set(kind.interface.property)
    assert set(kind.setters) == {p.name for p in kind.interface.properties if p.write}


def test_every_member_of_the_manager_is_served() -> None:
    assert set(MANAGER_PART.methods) == set(MANAGER_PART.interface.method)
    assert set(MANAGER_PART.getters) == set(MANAGER_PART.interface.property)


def test_every_interface_has_its_part() -> None:
    assert {part.interface.name for part in PARTS.values()} == {i.name for i in INTERFACES}


def test_the_page_is_the_tables() -> None:
    page = Path(__file__).resolve().parents[3] / "docs/dbus-api.md"
    assert page.read_text() == markdown(), "run: python -m frontinus_dbus.reference > docs/dbus-api.md"


def test_signals_are_sent_or_listed_as_never_sent() -> None:
    """Every row makes a signal of the table with a body that fits it; no other signal goes unlisted."""
    sent = {"Connect.DomainEvent"}
    for event in EVENTS:
        for member, body in signals(event):
            Message(message_type=MessageType.SIGNAL, path="/x", interface="org.libvirt.Domain", member=member, serial=1,
                    signature=DOMAIN.signal[member].signature, body=list(body))._marshall(False)  # fmt: skip
            sent.add(f"Domain.{member}")
    for other in OTHER_EVENTS:
        for member, body in OTHERS[type(other)].signals("/x", other):
            owner = STORAGEPOOL if member == "Refresh" else CONNECT
            Message(message_type=MessageType.SIGNAL, path="/x", interface=owner.name, member=member, serial=1,
                    signature=owner.signal[member].signature, body=list(body))._marshall(False)  # fmt: skip
            sent.add(f"{owner.name.rpartition('.')[2]}.{member}")
    every = {f"{i.name.rpartition('.')[2]}.{s}" for i in INTERFACES for s in i.signal}
    assert sent | NEVER == every and not sent & NEVER


WHO = {"uuid": "6695eb01-f6a4-8304-79aa-97f2502e193f", "name": "g"}
OTHER_EVENTS = (
    events.NetworkEvent(**WHO, kind="started"), events.PoolEvent(**WHO, kind="deleted"),
    events.PoolEvent(**WHO, kind="refreshed"), events.SecretEvent(uuid=WHO["uuid"], kind="defined"),
)  # fmt: skip
EVENTS = (
    events.BlockThresholdEvent(**WHO, device="vda[1]", path="/a", threshold=1, excess=2),
    events.AgentEvent(**WHO, state="connected", reason="channel"), events.BalloonChangeEvent(**WHO, actual=2**30),
    events.BlockJobEvent(**WHO, device="vda", kind="pull", status="ready"), events.ControlErrorEvent(**WHO, reason="gone"),
    events.DeviceAddedEvent(**WHO, device="a"), events.DeviceRemovedEvent(**WHO, device="a"),
    events.DeviceRemovalFailedEvent(**WHO, device="a"),
    events.DiskChangeEvent(**WHO, old=None, new="/b", device="a", reason="changed"),
    events.GraphicsEvent(**WHO, phase="connect", host="::1", service="5900", auth="vnc"),
    events.IoErrorEvent(**WHO, path="/a", device="vda", action="pause", reason="enospc"),
    events.MetadataChangeEvent(**WHO, kind="title"), events.RebootEvent(**WHO), events.RtcChangeEvent(**WHO, offset=-5),
    events.TrayChangeEvent(**WHO, device="cd", reason="open"), events.WatchdogEvent(**WHO, action="reset"),
    events.JobEvent(**WHO, job="1", kind="save", state="completed"),
    events.LifecycleEvent(**WHO, kind="pmsuspended", detail="memory"),
    events.LifecycleEvent(**WHO, kind="pmsuspended", detail="disk"), events.LifecycleEvent(**WHO, kind="started", detail="wakeup"),
)  # fmt: skip
