"""The CPU that a guest gets on this host: what depends on the host becomes a named model with features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from frontinus.api.errors import Unsupported
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.cpu.model import Cpu, CpuFeature, CpuModelName
from frontinus.domain.cpu.named import UNSURE, Match, Processor, named_models, nearest, processor
from frontinus.domain.cpu.names import qemu_feature, user_feature
from frontinus.domain.guest import Guest


def concrete_cpu(guest: Guest, caps: Capabilities, cpu: Cpu) -> Cpu:
    """The CPU to start with: host-model, match='minimum' and optional features resolved. Raises Unsupported."""
    if cpu.mode in ("host-passthrough", "maximum"):
        return cpu
    host = host_processor(guest, caps)
    known = known_models(guest, caps)
    name = cpu.model.name if cpu.model else None
    if cpu.mode == "host-model":
        match = nearest(_present(host), known)
    elif cpu.match == "minimum" and host is not None:
        match = nearest(host, known)
    elif name and known and name not in known and name in named_models():
        model = named_models()[name]
        features = frozenset(caps.properties.get(f"max-{caps.arch}-cpu", model.features)) & model.features
        match = nearest(Processor(features, model.vendor, model.family, model.model), known)
    else:
        return cpu.clone(features=_settled(cpu.features, host))
    if match is None:
        raise Unsupported("<cpu>: this QEMU has no model for the wanted processor")
    return _named(cpu, match, host)


def misfits(guest: Guest, caps: Capabilities) -> Iterator[str]:
    """Why the CPU of a prepared guest would be less, or more, than it asks for here. Its <cpu check> says whether to look.

    QEMU itself tells of a model whether this host has all of it; features are compared with the host's. What a full
    check asks for is looked at in the CPU that QEMU made, but for what must not be there.
    """
    cpu = guest.cpu
    props = caps.host_cpu.get(f"{accelerator(guest)}.all") or caps.host_cpu.get(accelerator(guest))
    if (
        cpu is None
        or cpu.check not in ("partial", "full")
        or cpu.mode != "custom"
        or cpu.model is None
        or props is None
    ):
        return
    here = {name for name, value in props.items() if value is True}
    entry = next((m for m in caps.cpu_models.get(accelerator(guest), ()) if m.name == cpu.model.name), None)
    policies = {qemu_feature(feature.name): feature.policy or "require" for feature in cpu.features}
    wanted = {name for name, policy in policies.items() if policy == "require"}
    wanted |= {name for name in (entry.blockers if entry else ()) if name not in policies}
    lacking = sorted(name for name in wanted - here if name not in UNSURE)
    if lacking and cpu.check == "partial":
        yield f"<cpu>: this host does not provide the features {', '.join(map(user_feature, lacking))}"
    forbidden = sorted(name for name, policy in policies.items() if policy == "forbid" and name in here)
    if forbidden:
        yield f"<cpu>: this host provides the forbidden features {', '.join(map(user_feature, forbidden))}"


def accelerator(guest: Guest) -> str:
    """How this guest's CPU runs: by kvm or tcg."""
    return "kvm" if guest.type == "kvm" else "tcg"


def known_models(guest: Guest, caps: Capabilities) -> frozenset[str]:
    """Names of the CPU models that this QEMU has."""
    return frozenset(model.name for model in caps.cpu_models.get(accelerator(guest), ()))


def host_processor(guest: Guest, caps: Capabilities) -> Processor | None:
    """What this host, or the emulation, offers to a guest that may migrate; None where QEMU did not tell."""
    props = caps.host_cpu.get(accelerator(guest))
    return processor(props, sure=guest.type != "kvm") if props is not None else None


def _present(host: Processor | None) -> Processor:
    if host is None:
        raise Unsupported("<cpu mode='host-model'>: QEMU does not tell what the host's processor is")
    return host


def _named(cpu: Cpu, match: Match, host: Processor | None) -> Cpu:
    """The model with its features, over which the user's own go."""
    policies = dict.fromkeys(sorted(match.on), "require") | dict.fromkeys(sorted(match.off), "disable")
    policies |= {qemu_feature(feature.name): feature.policy or "require" for feature in _settled(cpu.features, host)}
    vendor_id = cpu.model.vendor_id if cpu.model else None
    return cpu.clone(
        mode="custom", match="exact", model=CpuModelName(name=match.model.name, vendor_id=vendor_id, fallback="forbid"),
        features=[CpuFeature(name=name, policy=policy) for name, policy in policies.items()],
    )  # fmt: skip


def _settled(features: Iterable[CpuFeature], host: Processor | None) -> list[CpuFeature]:
    """Optional features are required where the host has them, and else off."""
    if host is None:
        return list(features)
    return [feature if feature.policy != "optional" else feature.clone(
        policy="require" if qemu_feature(feature.name) in host.features else "disable") for feature in features]  # fmt: skip
