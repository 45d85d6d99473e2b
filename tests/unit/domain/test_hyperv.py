"""`<hyperv mode='host-model'>`: settled at a start to what this host's KVM has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.domain.abi import as_started, differences
from frontinus.domain.complete import complete
from frontinus.domain.definition import format_guest, parse_guest
from frontinus.domain.guest import Guest
from frontinus.domain.prepare import prepare
from frontinus.qemu.plan import launch_plan
from support.guests import document, host, qemu72

OFFERED: dict[str, object] = {
    "hv-relaxed": True, "hv-vapic": True, "hv-vpindex": True, "hv-synic": True, "hv-stimer": True, "hv-stimer-direct": True,
    "hv-time": True, "hv-tlbflush": True, "hv-tlbflush-direct": False, "hv-ipi": True, "hv-evmcs": False, "hv-spinlocks": 4095,
    "hv-vendor-id": "Linux KVM Hv",
}  # fmt: skip
CAPS = replace(qemu72(), host_cpu={**qemu72().host_cpu, "kvm.hyperv": OFFERED})
CLOCK = "<clock offset='utc'><timer name='hypervclock' present='yes'/></clock>"


def defined(inside: str = "", clock: str = CLOCK, kind: str = "kvm") -> Guest:
    more = f"<features><acpi/><hyperv mode='host-model'>{inside}</hyperv></features>{clock}"
    return complete(parse_guest(document(more=more).replace("type='qemu'", f"type='{kind}'", 1)), CAPS, host())


def started(guest: Guest) -> set[str]:
    """The enlightenments that are on in the running guest's document."""
    live = prepare(guest, CAPS, host(), guest_id=1)
    hyperv = live.features.hyperv if live.features else None
    assert hyperv is not None and hyperv.mode == "custom"
    return {name for name, one in vars(hyperv).items() if getattr(one, "state", False)}


ALL = {"relaxed", "vapic", "vpindex", "synic", "stimer", "tlbflush", "ipi", "spinlocks", "vendor_id"}


@pytest.mark.parametrize(
    ("inside", "clock", "there"),
    [
        ("", CLOCK, ALL),
        ("", "", ALL - {"stimer"}),
        ("<vapic state='off'/>", CLOCK, ALL - {"vapic"}),
        ("<vpindex state='off'/>", CLOCK, {"relaxed", "vapic", "spinlocks", "vendor_id"}),
        ("<evmcs state='on'/>", CLOCK, ALL | {"evmcs"}),
    ],
)
def test_the_run_has_what_the_host_has(inside: str, clock: str, there: set[str]) -> None:
    guest = defined(inside, clock)
    assert started(guest) == there
    assert "mode='host-model'" in format_guest(guest)


def test_the_command_line_says_each() -> None:
    guest = prepare(defined("<spinlocks state='on' retries='8191'/>"), CAPS, host(), guest_id=1)
    argv = launch_plan(guest, CAPS, host()).argv
    said = argv[argv.index("-cpu") + 1].split(",")
    assert {
        "hv-relaxed=on",
        "hv-stimer=on",
        "hv-stimer-direct=on",
        "hv-spinlocks=0x1fff",
        "hv-vendor-id=Linux KVM Hv",
    } <= {*said}
    assert not any(word.startswith(("hv-passthrough", "hv-evmcs", "hv-tlbflush-direct")) for word in said)


def test_a_run_is_compared_with_what_its_definition_comes_to() -> None:
    live = as_started(
        parse_guest(format_guest(prepare(defined(), CAPS, host(), guest_id=1), active=True)), CAPS, host()
    )
    assert differences(live, as_started(defined(), CAPS, host())) == []
    assert differences(live, as_started(defined("<vapic state='off'/>"), CAPS, host())) != []


def test_where_nothing_is_known_it_is_refused() -> None:
    with pytest.raises(Unsupported, match="host-model.*does not tell"):
        prepare(defined(), replace(CAPS, host_cpu={}), host(), guest_id=1)
    with pytest.raises(InvalidXML, match="only for KVM"):
        defined(kind="qemu")
