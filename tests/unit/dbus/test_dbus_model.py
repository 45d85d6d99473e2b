"""The read model, names on the bus, and figures as typed parameters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontinus.api.errors import ERRORS, InvalidValue, NoSuchGuest
from frontinus.api.events import ChangedEvent, LifecycleEvent
from frontinus.api.views import BlockStats, GuestStats, GuestView, MemoryStats, Snapshot, VcpuStats
from frontinus_dbus import faults, names
from frontinus_dbus.faults import NotSupported
from frontinus_dbus.libvirt import figures
from frontinus_dbus.model import Model

UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"


def view(number: int = 0, **known: object) -> GuestView:
    facts = {
        "uuid": f"{number:08x}-0000-0000-0000-000000000000",
        "name": f"g{number}",
        "state": "shutoff",
        "reason": "unknown",
    }
    return GuestView(**{**facts, **known})  # type: ignore[arg-type]


def snapshot(*guests: GuestView, generation: int = 1) -> Snapshot:
    return Snapshot(generation=generation, guests=guests)


def told(model: Model, *guests: GuestView) -> list[tuple[str, str]]:
    events = model.take(snapshot(*guests, generation=model.generation + 1))
    return [(e.name, e.kind) for e in events if isinstance(e, LifecycleEvent)]


# --- the model


def test_events_are_followed() -> None:
    model = Model()
    model.take(snapshot(view(1), view(2)))
    renamed = view(1, name="other", id=7)
    model.take(ChangedEvent(uuid=renamed.uuid, name="other", guest=renamed, generation=2))
    assert model.named("other") is renamed and model.named("g1") is None and model.numbered(7) is renamed
    model.take(LifecycleEvent(uuid=renamed.uuid, name="other", kind="undefined", detail="removed", generation=3))
    assert [g.name for g in model.sorted()] == ["g2"] and model.generation == 3


def test_two_guests_that_swap_names_are_both_found() -> None:
    model = Model()
    model.take(snapshot(view(1), view(2)))
    for uuid, name in ((view(1).uuid, "spare"), (view(2).uuid, "g1"), (view(1).uuid, "g2")):
        model.take(ChangedEvent(uuid=uuid, name=name, guest=view(0, uuid=uuid, name=name)))
    assert model.named("g1").uuid == view(2).uuid and model.named("g2").uuid == view(1).uuid  # type: ignore[union-attr]
    assert model.named("spare") is None


def test_a_second_snapshot_tells_what_was_missed() -> None:
    on = {"state": "running", "reason": "booted", "active": True, "id": 1}
    model = Model()
    assert told(model, view(1), view(2, **on), view(3, **on)) == [
        ("g1", "defined"), ("g2", "defined"), ("g2", "started"), ("g3", "defined"), ("g3", "started")]  # fmt: skip
    paused = {**on, "state": "paused", "reason": "user"}
    assert told(model, view(1, **on), view(2), view(3, **paused)) == [
        ("g1", "started"), ("g2", "stopped"), ("g3", "suspended")]  # fmt: skip
    assert told(model, view(1, **on), view(3, **on)) == [("g2", "undefined"), ("g3", "resumed")]
    assert told(model, view(1, **on), view(3, **on)) == []
    (change,) = model.take(snapshot(view(1, **on), view(3, **{**on, "title": "t"})))
    assert isinstance(change, ChangedEvent) and change.guest.title == "t"


# --- names


def test_paths_are_as_libvirt_dbus_writes_them() -> None:
    assert names.of_uuid(UUID) == "_6695eb01_f6a4_8304_79aa_97f2502e193f"
    assert names.to_uuid(names.of_uuid(UUID)) == UUID
    assert names.to_uuid("_bogus") is None and names.to_uuid(UUID) is None
    assert names.of_text("/var/a b.img") == "_2fvar_2fa_20b_2eimg"
    assert names.of_text("52:54:00") == "52_3a54_3a00" and names.of_text("ä") == "_c3_a4"


@given(st.text())
def test_every_name_has_a_path_and_comes_back(text: str) -> None:
    element = names.of_text(text) if _encodes(text) else ""
    assert names.to_text(element) == (text if _encodes(text) else "")
    assert all(c.isascii() and (c.isalnum() or c == "_") for c in element)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# --- figures


def test_typed_parameters_have_libvirts_types() -> None:
    stats = GuestStats(uuid=UUID, name="g", state="running", reason="booted", vcpus_current=1, vcpus_maximum=2,
                       vcpus=(VcpuStats(index=0, time=5, halted=False),), memory=MemoryStats(current=2**20, swap_in=2048),
                       blocks=(BlockStats(index=0, name="vda", read_requests=3),))  # fmt: skip
    shown = figures.parameters(stats, figures.groups(0, enforce=False))
    assert all(value.signature == "v" for value in shown.values())
    flat = {name: (value.value.signature, value.value.value) for name, value in shown.items()}
    assert (
        flat["state.state"] == ("i", 1) and flat["vcpu.current"] == ("u", 1) and flat["vcpu.0.halted"] == ("b", False)
    )
    assert flat["balloon.current"] == ("t", 1024) and flat["block.0.name"] == ("s", "vda")
    assert flat["block.count"] == ("u", 1) and flat["block.0.rd.reqs"] == ("t", 3) and flat["vcpu.0.time"] == ("t", 5)


def test_groups_are_chosen_by_bits() -> None:
    assert figures.groups(1 | 32, enforce=True) == ["state", "block"]
    assert figures.groups(1 | 64, enforce=False) == ["state"]
    for bits, enforce in ((64, True), (1 << 20, False)):
        with pytest.raises(InvalidValue):
            figures.groups(bits, enforce=enforce)


def test_memory_has_libvirts_tags() -> None:
    assert figures.tags(MemoryStats(current=2**20, swap_in=2048, major_faults=7, last_update=9)) == {
        0: 2,
        2: 7,
        6: 1024,
        9: 9,
    }


# --- errors


def test_every_code_has_words() -> None:
    ours = {cls.code for cls in ERRORS.values()}
    assert set(faults.WORDS) >= ours - {NotSupported.code}


def test_errors_are_named() -> None:
    error = NoSuchGuest("no domain with matching name 'x'")
    assert (faults.as_libvirt(error).name, faults.as_libvirt(error).message) == (
        "org.libvirt.Error", "Domain not found: no domain with matching name 'x'")  # fmt: skip
    assert faults.as_native(error).name == "org.frontinus1.Error.NoSuchGuest"
    assert "not supported by the connection driver" in faults.as_libvirt(NotSupported("x")).message
