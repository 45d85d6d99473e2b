"""Why features, clock and behaviour on events cannot be as described."""

from __future__ import annotations

import re
from collections.abc import Iterator

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.clock import Timer
from frontinus.domain.features import Features, HyperV, KvmFeatures
from frontinus.domain.guest import Guest
from frontinus.domain.hyperv import NEEDS
from frontinus.domain.reasons import Lacking

ELSEWHERE = (
    "gic",
    "hpt",
    "htm",
    "nested_hv",
    "ccf_assist",
    "cfpc",
    "sbbc",
    "ibs",
    "ras",
    "aia",
    "viridian",
    "privnet",
    "xen",
)
"""Features of other processors or hypervisors: refused, since a guest would miss them."""
LEAST_RETRIES = 4095
RINGS = [2**power for power in range(10, 17)]


def check_features(guest: Guest, caps: Capabilities) -> Iterator[str]:
    """Reasons that lie in <features>."""
    features = guest.features
    if features is None:
        return
    for name in ELSEWHERE:
        if getattr(features, name) not in (None, False):
            yield f"<{name.replace('_', '-')}>: not a feature of x86 guests of QEMU"
    yield from _smm(guest, features)
    if features.hyperv is not None and features.hyperv.mode != "passthrough":
        yield from _hyperv(features.hyperv)
        chosen = guest.type == "kvm" and features.hyperv.mode != "host-model"
        yield from _enlightened(guest, features.hyperv) if chosen else ()
    if features.hyperv is not None and features.hyperv.mode == "host-model" and guest.type != "kvm":
        yield "<hyperv mode='host-model'>: only for KVM guests"
    if features.kvm is not None:
        yield from _kvm(guest, features.kvm, caps)
    if features.tcg is not None and guest.type != "qemu":
        yield "<tcg>: only for guests of type qemu"
    if features.tcg is not None and features.tcg.tb_cache and features.tcg.tb_cache % 2**20:
        yield "<tb-cache>: not a whole number of MiB"
    yield from _lacking(features, caps)
    if features.ioapic is not None and features.ioapic.driver == "kvm" and guest.type != "kvm":
        yield "<ioapic driver='kvm'>: only for KVM guests"


def _lacking(features: Features, caps: Capabilities) -> Iterator[str]:
    if features.async_teardown is not None and not caps.has_option("run-with", "async-teardown"):
        yield Lacking("<async-teardown>: this QEMU cannot")
    if features.ps2 is not None and not caps.has_option("machine", "i8042"):
        yield Lacking("<ps2>: this QEMU cannot leave the controller out")
    if features.vmcoreinfo and features.vmcoreinfo.state and not caps.has_type("vmcoreinfo"):
        yield Lacking("<vmcoreinfo>: this QEMU has no such device")


def _smm(guest: Guest, features: Features) -> Iterator[str]:
    smm = features.smm
    if smm is None or smm.tseg is None:
        return
    if not guest.is_q35:
        yield "<tseg>: only q35 machines have one"
    if smm.tseg % 2**20:
        yield "<tseg>: not a whole number of MiB"


def _hyperv(hyperv: HyperV) -> Iterator[str]:
    spinlocks, vendor = hyperv.spinlocks, hyperv.vendor_id
    if spinlocks and spinlocks.state and spinlocks.retries is None:
        yield "<spinlocks>: retries are missing"
    elif spinlocks and spinlocks.state and (spinlocks.retries or 0) < LEAST_RETRIES:
        yield f"<spinlocks>: fewer than {LEAST_RETRIES} retries"
    if vendor and vendor.state and not vendor.value:
        yield "<vendor_id>: value is missing"
    elif vendor and vendor.state and vendor.value and (len(vendor.value) > 12 or "," in vendor.value):
        yield "<vendor_id>: the value has more than 12 characters, or a comma"


def _enlightened(guest: Guest, hyperv: HyperV) -> Iterator[str]:
    def is_on(name: str) -> bool:
        one = getattr(hyperv, name)
        return bool(one and one.state)

    for name in filter(is_on, NEEDS):
        for missing in (other for other in NEEDS[name] if not is_on(other)):
            yield f"<{name}>: needs <{missing} state='on'/>"
    timers = guest.clock.timers if guest.clock else []
    if is_on("stimer") and not any(timer.name == "hypervclock" and timer.present for timer in timers):
        yield "<stimer>: needs <timer name='hypervclock' present='yes'/>"


def _kvm(guest: Guest, kvm: KvmFeatures, caps: Capabilities) -> Iterator[str]:
    dedicated = kvm.hint_dedicated is not None and kvm.hint_dedicated.state
    if dedicated and not (guest.cpu and guest.cpu.mode in ("host-passthrough", "maximum")):
        yield "<hint-dedicated>: only for a <cpu> of mode host-passthrough or maximum"
    ring = kvm.dirty_ring
    if ring is None or not ring.state:
        return
    if guest.type != "kvm":
        yield "<dirty-ring>: only for KVM guests"
    elif not caps.has_schema("calc-dirty-rate/arg-type/mode=dirty-ring"):
        yield Lacking("<dirty-ring>: this QEMU cannot")
    if ring.size not in RINGS:
        yield "<dirty-ring>: the size is not a power of two between 1024 and 65536"


MOST_SHIFT, LAST_MOMENT = 10**10, 253402300799
"""Three centuries, and the last second of the year 9999: what a clock can be told."""
OF_TIMERS = {
    "track": ("platform", "rtc"), "frequency": ("tsc",), "mode": ("tsc",),
    "tick_policy": ("platform", "pit", "rtc", "hpet", "tsc", "armvtimer"),
}  # fmt: skip
"""The timers that each attribute is for."""


def check_clock(guest: Guest, caps: Capabilities) -> Iterator[str]:
    """Reasons that lie in <clock>."""
    clock = guest.clock
    if clock is None:
        return
    if clock.offset == "timezone" and not clock.timezone:
        yield "<clock offset='timezone'>: timezone is missing"
    if clock.offset == "absolute" and clock.start is None:
        yield "<clock offset='absolute'>: start is missing"
    if clock.adjustment is not None and not re.fullmatch(r"[+-]?\d{1,18}|reset", clock.adjustment):
        yield f"<clock adjustment='{clock.adjustment}'>: not a number of seconds"
    elif clock.adjustment not in (None, "reset") and abs(int(clock.adjustment or 0)) > MOST_SHIFT:
        yield f"<clock adjustment='{clock.adjustment}'>: more than {MOST_SHIFT} seconds"
    if (clock.start or 0) > LAST_MOMENT:
        yield f"<clock start='{clock.start}'>: after the year 9999"
    for timer in clock.timers:
        yield from _timer(timer, caps)


def _timer(timer: Timer, caps: Capabilities) -> Iterator[str]:
    where = f"<timer name='{timer.name}'>"
    if timer.name in ("platform", "armvtimer"):
        yield f"{where}: not a timer of these guests"
    for name, timers in OF_TIMERS.items():
        if getattr(timer, name) is not None and timer.name not in timers:
            yield f"{where}: has no {name.replace('_', '')}"
    if timer.catchup is not None and timer.tick_policy != "catchup":
        yield f"{where}: <catchup> is for tickpolicy='catchup'"
    if timer.name == "rtc" and timer.track == "boot":
        yield f"{where}: QEMU cannot track the time since boot"
    if timer.name == "rtc" and timer.tick_policy in ("merge", "discard"):
        yield f"{where}: QEMU cannot {timer.tick_policy} ticks"
    if timer.name == "pit" and timer.tick_policy == "merge":
        yield f"{where}: QEMU cannot merge ticks"
    if timer.name == "pit" and timer.tick_policy == "catchup" and caps.has_property("kvm-pit", "lost_tick_policy"):
        yield f"{where}: KVM cannot catch up ticks"


def check_lifecycle(guest: Guest) -> Iterator[str]:
    """Reasons that lie in on_poweroff and its like."""
    for name in ("on_poweroff", "on_reboot", "on_crash"):
        if getattr(guest, name) == "rename-restart":
            yield f"<{name}>: rename-restart is not supported"
    if guest.on_reboot == "preserve":
        yield "<on_reboot>: preserve is not supported"
    if guest.on_poweroff == "restart" and guest.on_reboot == "destroy":
        yield "<on_poweroff>: restart cannot be told from a reboot, which <on_reboot> makes the end"


def check_events(guest: Guest, caps: Capabilities) -> Iterator[str]:
    """Reasons that lie in on_poweroff and its like, power management and perf."""
    yield from check_lifecycle(guest)
    chip = "ICH9-LPC" if guest.is_q35 else "PIIX4_PM"
    power = guest.power
    for state, wish in (("s3", power and power.suspend_to_mem), ("s4", power and power.suspend_to_disk)):
        if wish is not None and not caps.has_property(chip, f"disable_{state}"):
            yield Lacking(f"<pm>: this QEMU cannot switch {state.upper()}")
    names = [event.name for event in guest.perf]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"<event name='{name}'>: said more than once"
