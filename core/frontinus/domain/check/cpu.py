"""Why a guest cannot have the CPU that it asks for."""

from __future__ import annotations

from collections.abc import Iterator

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.cpu.host import known_models
from frontinus.domain.cpu.model import Cpu, Topology
from frontinus.domain.cpu.named import named_models
from frontinus.domain.cpu.names import qemu_feature
from frontinus.domain.guest import Guest
from frontinus.domain.reasons import Lacking

WIDTHS = range(32, 53)
"""Bits of a physical address that QEMU gives to a processor of x86."""
PASSED = ("host-passthrough", "maximum")
"""Modes in which the guest sees the host's own CPU, or all that QEMU has."""


def check_cpu(guest: Guest, caps: Capabilities) -> Iterator[str]:
    """Reasons that lie in <cpu>, but for NUMA."""
    cpu = guest.cpu
    if cpu is None:
        return
    yield from _mode(guest, cpu, caps)
    yield from _model(cpu)
    yield from _features(cpu, caps)
    yield from _cache(cpu)
    yield from _addresses(cpu)
    if cpu.topology is not None:
        yield from _topology(cpu.topology, guest.vcpus or 1, caps)


def _topology(topology: Topology, vcpus: int, caps: Capabilities) -> Iterator[str]:
    if topology.total != vcpus:
        yield Lacking(f"<topology>: {topology.total} CPUs, but <vcpu> says {vcpus}")
    if (topology.clusters or 1) != 1:
        yield "<topology clusters>: machines of x86 have none"
    if (topology.dies or 1) != 1 and not caps.has_option("smp-opts", "dies"):
        yield Lacking("<topology dies>: this QEMU knows no dies")


def known_features(caps: Capabilities) -> frozenset[str]:
    """Names of the properties that this QEMU's CPUs have; empty where it was not asked."""
    return frozenset(caps.properties.get(f"max-{caps.arch}-cpu", ()))


def _mode(guest: Guest, cpu: Cpu, caps: Capabilities) -> Iterator[str]:
    if cpu.mode == "host-passthrough" and guest.type != "kvm":
        yield "<cpu mode='host-passthrough'>: only KVM guests can"
    if cpu.migratable is not None and cpu.mode not in PASSED:
        yield "<cpu migratable>: only for the modes host-passthrough and maximum"
    if cpu.deprecated_features is not None:
        yield Lacking("<cpu deprecated_features>: QEMU tells of none on x86")
    name = cpu.model.name if cpu.model and cpu.mode in (None, "custom") else None
    known = known_models(guest, caps)
    if name and known and name not in known:
        if name not in named_models():
            yield f"<model>: no CPU model '{name}' is known"
        elif cpu.model and cpu.model.fallback == "forbid":
            yield Lacking(f"<model fallback='forbid'>: this QEMU has no CPU model '{name}'")


def _model(cpu: Cpu) -> Iterator[str]:
    named = bool(cpu.model and cpu.model.name)
    if cpu.mode in (None, "custom") and not named and cpu.features:
        yield "<cpu>: features without a model"
    if cpu.vendor and not named:
        yield "<vendor>: without a model"
    if cpu.model and cpu.model.vendor_id and (len(cpu.model.vendor_id) != 12 or "," in cpu.model.vendor_id):
        yield "<model vendor_id>: not 12 characters without a comma"


def _features(cpu: Cpu, caps: Capabilities) -> Iterator[str]:
    known = known_features(caps)
    for feature in cpu.features if known else ():
        wanted = feature.policy in ("require", "force", None)
        if wanted and not {feature.name, qemu_feature(feature.name)} & known:
            yield Lacking(f"<feature name='{feature.name}'>: the CPUs of this QEMU have no such feature")
    names = [feature.name for feature in cpu.features]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"<feature name='{name}'>: said more than once"


def _cache(cpu: Cpu) -> Iterator[str]:
    cache = cpu.cache
    if cache is None:
        return
    if cache.mode == "emulate" and cache.level != 3:
        yield "<cache mode='emulate'>: only with level='3'"
    if cache.mode != "emulate" and cache.level is not None:
        yield f"<cache mode='{cache.mode}'>: a level cannot be given"
    if cache.mode == "passthrough" and cpu.mode not in PASSED:
        yield "<cache mode='passthrough'>: only for the modes host-passthrough and maximum"


def _addresses(cpu: Cpu) -> Iterator[str]:
    width = cpu.maxphysaddr
    if width is None:
        return
    if width.mode == "emulate" and width.bits is None:
        yield "<maxphysaddr mode='emulate'>: bits are missing"
    elif width.bits is not None and width.bits not in WIDTHS:
        yield f"<maxphysaddr bits='{width.bits}'>: not from {WIDTHS[0]} to {WIDTHS[-1]}"
    if width.mode == "passthrough" and width.bits is not None:
        yield "<maxphysaddr mode='passthrough'>: bits cannot be given"
    if width.mode == "passthrough" and cpu.mode not in PASSED:
        yield "<maxphysaddr mode='passthrough'>: only for the modes host-passthrough and maximum"
    if width.limit is not None and width.mode != "passthrough":
        yield "<maxphysaddr limit>: only with mode='passthrough'"
