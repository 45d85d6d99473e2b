"""Laws of the allocator: no address is given twice, and none ever moves."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from frontinus.api.errors import InvalidXML
from frontinus.domain.abi import differences
from frontinus.domain.complete import complete
from frontinus.domain.definition import format_guest, parse_guest
from frontinus.domain.devices.base import Address
from frontinus.domain.guest import Guest
from frontinus.domain.plugging import add_device, parse_device, plugged
from frontinus.domain.prepare import prepare
from support.guests import document, host, qemu72
from support.random_guests import GUESTS, LAW, NICS, OTHERS, made


def key(address: Address) -> tuple[Any, ...]:
    fields = {name: getattr(address, name) for name in address._specs if name != "multifunction"}
    return type(address).__name__, *(fields[name] for name in sorted(fields))


def addresses(guest: Guest) -> list[tuple[Any, ...]]:
    """Every address, that of a drive with its bus, which is no part of it."""
    return [(getattr(device, "bus", None) if device.tag == "disk" else None, key(device.address))
            for device in guest.devices.all() if device.address is not None]  # fmt: skip


def test_most_of_these_guests_can_be() -> None:
    """The laws below would hold for an allocator that refuses everything."""
    tries, made_of = Counter[bool](), []

    @LAW
    @given(GUESTS)
    def count(parts: tuple[str, list[str], str]) -> None:
        guest = made(*parts)
        tries[guest is not None] += 1
        made_of.extend(addresses(guest) if guest is not None else [])

    count()
    assert tries[True] > 10 and len(made_of) > 100


@LAW
@given(GUESTS)
def test_no_address_is_given_twice(parts: tuple[str, list[str], str]) -> None:
    guest = made(*parts)
    if guest is not None:
        twice = [place for place, count in Counter(addresses(guest)).items() if count > 1]
        assert not twice


@LAW
@given(GUESTS)
def test_a_definition_read_back_changes_nothing(parts: tuple[str, list[str], str]) -> None:
    guest = made(*parts)
    if guest is not None:
        text = format_guest(guest)
        assert format_guest(complete(guest, qemu72(), host())) == text
        assert format_guest(complete(parse_guest(text), qemu72(), host())) == text


@LAW
@given(GUESTS, NICS.filter(lambda nic: "<address" not in nic), st.integers(0, 99))
def test_no_address_moves_when_devices_come_and_go(parts: tuple[str, list[str], str], nic: str, which: int) -> None:
    guest = made(*parts)
    if guest is None:
        return
    before = {id(device): device for device in guest.devices.all()}
    places = {name: device.address.clone() for name, device in before.items() if device.address is not None}
    grown = guest.clone()
    grown.devices.interfaces += parse_guest(document(nic)).devices.interfaces
    try:
        grown = complete(grown, qemu72(), host())
    except InvalidXML:
        return
    held = Counter(key(device.address) for device in grown.devices.all() if device.address is not None)
    assert not Counter(key(place) for place in places.values()) - held
    if grown.devices.interfaces:
        gone = grown.clone()
        del gone.devices.interfaces[which % len(gone.devices.interfaces)]
        after = complete(gone, qemu72(), host())
        kept = Counter(key(d.address) for d in gone.devices.all() if d.address is not None)
        assert not kept - Counter(key(d.address) for d in after.devices.all() if d.address is not None)


ADDED = st.one_of(
    NICS.filter(lambda nic: "<address" not in nic),
    OTHERS.filter(lambda xml: xml.count("<controller") < 2),
    st.sampled_from(["vdy", "sdy"]).map(lambda name: f"<disk><source file='/y'/><target dev='{name}'/></disk>"),
)
REMOVED = ("interfaces", "disks", "sounds", "rngs", "watchdogs", "filesystems", "channels", "serials", "inputs")
"""Devices that others do not hang on, and that nobody adds anew."""
STEPS = st.lists(st.one_of(ADDED, st.tuples(st.sampled_from(REMOVED), st.integers(0, 9)), st.just(None)), max_size=6)


def stepped(guest: Guest, step: str | tuple[str, int] | None, *, live: bool) -> tuple[Guest, str] | None:
    """The guest after a change, and what its differences may say; None for a change that is refused."""
    if step is None:
        again = guest if live else complete(parse_guest(format_guest(guest)), qemu72(), host())
        return again, ""
    if isinstance(step, str):
        try:
            device = parse_device(step)
            after = plugged(guest, device, qemu72(), host())[0] if live else add_device(guest, device, qemu72(), host())
        except InvalidXML:
            return None
        return after, "is new"
    left = guest.clone()
    devices = getattr(left.devices, step[0])
    if not devices:
        return None
    del devices[step[1] % len(devices)]
    return (left if live else complete(left, qemu72(), host())), "is gone"


@LAW
@given(GUESTS, STEPS, st.booleans())
def test_a_device_stays_where_it_is_whatever_comes_and_goes(
    parts: tuple[str, list[str], str], steps: list[str | tuple[str, int] | None], live: bool
) -> None:
    """Of a definition, and of a guest that runs and has devices plugged in and out."""
    guest = made(*parts)
    if guest is None:
        return
    if live:
        guest = prepare(guest, qemu72(), host(), guest_id=1)
    for step in steps:
        after = stepped(guest, step, live=live)
        if after is None:
            continue
        told = [str(difference) for difference in differences(guest, after[0])]
        if not live:  # the first function of a slot that gets more of them says so
            told = [line for line in told if not line.endswith("<address>: multifunction: no became yes")]
        assert [line for line in told if not line.endswith(after[1] or "nothing")] == []
        assert not [place for place, count in Counter(addresses(after[0])).items() if count > 1]
        guest = after[0]
