"""Enlightenments for Windows guests: what this host's KVM has, and what `<hyperv mode='host-model'>` comes to."""

from __future__ import annotations

from collections.abc import Mapping

from frontinus.api.errors import Unsupported
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.features import HvSpinlocks, HvState, HvStimer, HvTlbflush, HvVendor, HyperV
from frontinus.domain.guest import Guest
from frontinus.xml.mapping import specs

NEEDS: Mapping[str, tuple[str, ...]] = {
    "synic": ("vpindex",),
    "stimer": ("vpindex", "synic"),
    "tlbflush": ("vpindex",),
    "ipi": ("vpindex",),
    "evmcs": ("vapic",),
}
"""Enlightenments that build on others, without which KVM refuses them (QEMU: docs/system/i386/hyperv.rst)."""
PARTS: Mapping[str, Mapping[str, str]] = {
    "stimer": {"direct": "hv-stimer-direct"},
    "tlbflush": {"direct": "hv-tlbflush-direct", "extended": "hv-tlbflush-ext"},
}
"""QEMU's properties behind what lies inside of an enlightenment."""
KINDS: Mapping[str, type[HvState]] = {
    "spinlocks": HvSpinlocks, "vendor_id": HvVendor, "stimer": HvStimer, "tlbflush": HvTlbflush,
}  # fmt: skip
VALUES = {"spinlocks": "retries", "vendor_id": "value"}
"""Those that are more than a switch."""
ALL = tuple(name for name in specs(HyperV) if name != "mode")


def offered(caps: Capabilities) -> HyperV | None:
    """All that KVM turns on here when it is asked for everything; None where QEMU does not tell."""
    props = caps.host_cpu.get("kvm.hyperv", {})
    found = HyperV(mode="custom")
    for name in ALL:
        value = props.get(f"hv-{name.replace('_', '-')}")
        if value not in (None, False):
            setattr(found, name, _one(name, value, props))
    return found if found != HyperV(mode="custom") else None


def _one(name: str, value: object, props: Mapping[str, object]) -> HvState:
    made = KINDS.get(name, HvState)(state=True)
    if name in VALUES:
        setattr(made, VALUES[name], value)
    for part, prop in PARTS.get(name, {}).items():
        setattr(made, part, HvState(state=True) if props.get(prop) is True else None)
    return made


def with_enlightenments(guest: Guest, caps: Capabilities) -> None:
    """Settle the host's model for a run: all that this host has, but what the user turns off and what builds on that.

    Raises Unsupported where that is not known.
    """
    wished = guest.features.hyperv if guest.features else None
    if guest.features is None or wished is None or wished.mode != "host-model":
        return
    found = offered(caps) if guest.type == "kvm" else None
    if found is None:
        raise Unsupported(
            "<hyperv mode='host-model'>: QEMU does not tell what enlightenments this host has", element="hyperv"
        )
    said = {name: value for name in ALL if (value := getattr(wished, name)) is not None}
    guest.features.hyperv = _standing(found.clone(**said), guest, said)


def _standing(hyperv: HyperV, guest: Guest, said: Mapping[str, HvState]) -> HyperV:
    """Without those that lack what they build on; what the user asks for stays, and is QEMU's to refuse."""

    def is_on(name: str) -> bool:
        return bool((one := getattr(hyperv, name)) and one.state)

    clock = any(timer.name == "hypervclock" and timer.present for timer in (guest.clock.timers if guest.clock else ()))
    if not clock and "stimer" not in said:
        hyperv.stimer = None
    for name, needs in NEEDS.items():  # each stands behind those that it builds on
        if name not in said and not all(map(is_on, needs)):
            setattr(hyperv, name, None)
    return hyperv
