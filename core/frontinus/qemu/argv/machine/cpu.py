"""The guest's CPU: -cpu and -smp."""

from __future__ import annotations

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.check.cpu import known_features
from frontinus.domain.cpu.host import concrete_cpu
from frontinus.domain.cpu.model import Cpu
from frontinus.domain.cpu.names import qemu_feature
from frontinus.domain.defaults import default_cpu, says_model
from frontinus.domain.guest import Guest
from frontinus.qemu.argv.context import Context

Props = dict[str, object]
FALLBACK_MODELS = {"i686": "qemu32", "x86_64": "qemu64"}
ENLIGHTENMENTS = ("relaxed", "vapic", "vpindex", "runtime", "synic", "stimer", "reset", "frequencies",
                  "reenlightenment", "tlbflush", "ipi", "evmcs", "avic", "emsr_bitmap", "xmm_input")  # fmt: skip
"""Enlightenments that are a switch of the CPU: hv-NAME."""


def build(ctx: Context) -> None:
    """Emit the CPU's model."""
    model, features = _model(ctx), _switches(ctx)
    if model is None and features:
        model = {"model": FALLBACK_MODELS[ctx.guest.arch or "x86_64"]}
    if model is not None:
        ctx.props("cpu", model | features)


def _model(ctx: Context) -> Props | None:
    """Model and features; None leaves the choice to QEMU's machine."""
    cpu = ctx.guest.cpu
    if cpu is None or not says_model(cpu):
        cpu = default_cpu(ctx.guest, ctx.caps)
    if cpu is None:
        return {"model": "qemu32"} if ctx.guest.arch == "i686" and "x86_64" in ctx.caps.emulator else None
    return model_props(concrete_cpu(ctx.guest, ctx.caps, cpu), ctx.caps)


def model_props(cpu: Cpu, caps: Capabilities) -> Props:
    """The model and the features of a concrete CPU."""
    props: Props = {"model": {"host-passthrough": "host", "maximum": "max"}.get(cpu.mode or "") or
                    (cpu.model.name if cpu.model else None)}  # fmt: skip
    said = cpu.migratable is not None and cpu.mode == "maximum"
    if (said or cpu.mode == "host-passthrough") and caps.has_property(f"max-{caps.arch}-cpu", "migratable"):
        props["migratable"] = cpu.migratable is not False
    if cpu.model and cpu.model.vendor_id:
        props["vendor"] = cpu.model.vendor_id
    known = known_features(caps)
    for feature in cpu.features:
        name = qemu_feature(feature.name)
        if feature.policy in ("force", "require", None):
            props[name] = True
        elif feature.policy in ("disable", "forbid") and (not known or name in known or feature.name in known):
            props[name] = False
    return props


def _switches(ctx: Context) -> Props:
    guest = ctx.guest
    return {**_timers(guest), **_features(guest), **_hyperv(guest), **_kvm(guest), **_late(guest),
            **_shape(guest.cpu or Cpu())}  # fmt: skip


def _timers(guest: Guest) -> Props:
    props: Props = {}
    for timer in guest.clock.timers if guest.clock else ():
        if timer.name == "kvmclock" and timer.present is not None:
            props["kvmclock"] = timer.present
        elif timer.name == "hypervclock" and timer.present:
            props["hv-time"] = True
        elif timer.name == "tsc" and timer.frequency:
            props["tsc-frequency"] = timer.frequency
    return props


def _features(guest: Guest) -> Props:
    features = guest.features
    props: Props = {}
    if features and features.apic and features.apic.eoi is not None:
        props["kvm-pv-eoi"] = features.apic.eoi
    if features and features.pvspinlock:
        props["kvm-pv-unhalt"] = features.pvspinlock.state
    return props


def _hyperv(guest: Guest) -> Props:
    hyperv = guest.features.hyperv if guest.features else None
    props: Props = {}
    if hyperv is None:
        return props
    if hyperv.mode == "passthrough":
        props["hv-passthrough"] = True
    for name in ENLIGHTENMENTS:
        wish = getattr(hyperv, name)
        if wish is None or not wish.state:
            continue
        props[f"hv-{name.replace('_', '-')}"] = True
        if name == "stimer" and wish.direct and wish.direct.state:
            props["hv-stimer-direct"] = True
        if name == "tlbflush" and wish.direct and wish.direct.state:
            props["hv-tlbflush-direct"] = True
        if name == "tlbflush" and wish.extended and wish.extended.state:
            props["hv-tlbflush-ext"] = True
    if hyperv.spinlocks and hyperv.spinlocks.state:
        props["hv-spinlocks"] = f"0x{hyperv.spinlocks.retries or 0:x}"
    if hyperv.vendor_id and hyperv.vendor_id.state:
        props["hv-vendor-id"] = hyperv.vendor_id.value
    return props


def _kvm(guest: Guest) -> Props:
    kvm = guest.features.kvm if guest.features else None
    props: Props = {}
    if any(panic.model == "hyperv" for panic in guest.devices.panics):
        props["hv-crash"] = True
    if kvm is None:
        return props
    if kvm.hidden and kvm.hidden.state:
        props["kvm"] = False
    if kvm.hint_dedicated and kvm.hint_dedicated.state:
        props["kvm-hint-dedicated"] = True
    if kvm.poll_control and kvm.poll_control.state:
        props["kvm-poll-control"] = True
    if kvm.pv_ipi and not kvm.pv_ipi.state:
        props["kvm-pv-ipi"] = False
    return props


def _late(guest: Guest) -> Props:
    pmu = guest.features.pmu if guest.features else None
    return {"pmu": pmu.state} if pmu else {}


def _shape(cpu: Cpu) -> Props:
    """Caches and the width of addresses."""
    props: Props = {}
    if cpu.cache is not None:
        mode = cpu.cache.mode
        props["l3-cache"] = mode == "emulate"
        if mode == "passthrough":
            props["host-cache-info"] = True
        elif cpu.mode in ("host-passthrough", "maximum"):
            props["host-cache-info"] = False
    width = cpu.maxphysaddr
    if width is not None and width.mode == "passthrough":
        props |= {"host-phys-bits": True, "host-phys-bits-limit": width.limit}
    elif width is not None:
        props |= {"phys-bits": width.bits} if width.bits else {"host-phys-bits": False}
    return props


def build_smp(ctx: Context) -> None:
    """Emit how many CPUs there are, and their topology."""
    guest = ctx.guest
    total = guest.vcpus or 1
    start = guest.boot_vcpus
    topology = guest.cpu.topology if guest.cpu else None
    props: Props = {"cpus": start, "maxcpus": total if start != total else None}
    if topology is None:
        props |= {"sockets": total, "cores": 1, "threads": 1}
    else:
        props |= {
            "sockets": topology.sockets,
            "dies": topology.dies or 1 if ctx.caps.has_option("smp-opts", "dies") else None,
            "clusters": topology.clusters if (topology.clusters or 1) != 1 else None,
            "cores": topology.cores, "threads": topology.threads,
        }  # fmt: skip
    ctx.props("smp", props)
