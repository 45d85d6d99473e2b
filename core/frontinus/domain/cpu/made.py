"""The CPU that a start made: what the guest really has, told in the words of its definition. Pure.

QEMU drops, with a warning, what an accelerator cannot do, and a machine may add features to a model. The document of a
running guest says so, as libvirt's does: a guest that is saved or moved with it has the same CPU again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.cpu.model import Cpu, CpuFeature, CpuModelName
from frontinus.domain.cpu.named import FOREIGN, NOT_FEATURES, OF_GUESTS, SAID_ALOUD, UNSURE, named_models
from frontinus.domain.cpu.names import qemu_feature, user_feature


@dataclass(frozen=True)
class MadeCpu:
    """What the hypervisor tells of the guest's CPU, in QEMU's names. `on` is None where it does not tell all of it."""

    dropped: frozenset[str] = frozenset()
    on: frozenset[str] | None = None


@dataclass(frozen=True)
class Deviation:
    """What differs from what was asked for, in QEMU's names. `broken`: what lacks though it was asked for by name, or was
    dropped; an accelerator that leaves a feature out of a model breaks no promise."""

    added: frozenset[str] = frozenset()
    lacking: frozenset[str] = frozenset()
    broken: frozenset[str] = frozenset()

    def reasons(self) -> Iterator[str]:
        """Why this is not the CPU that a full check wants."""
        extra = self.added - OF_GUESTS - UNSURE - SAID_ALOUD
        for what, names in (("lacks the features", self.broken), ("has the extra features", extra)):
            if names:
                yield f"the guest's CPU {what} {', '.join(sorted(map(user_feature, names)))}"


def deviation(cpu: Cpu, made: MadeCpu, caps: Capabilities) -> Deviation:
    """How far a CPU is from the prepared one that it was made from.

    Of a model without a row in the table, and of the host's own CPU, only what lacks is known.
    """
    policies = {qemu_feature(feature.name): feature.policy or "require" for feature in cpu.features}
    asked = frozenset(name for name, policy in policies.items() if policy in ("require", "force"))
    model = named_models().get(cpu.model.name or "") if cpu.mode == "custom" and cpu.model else None
    if made.on is None:
        return Deviation(frozenset(), made.dropped, made.dropped)
    can = features(caps)
    broken = made.dropped | (asked & can) - made.on
    if model is None:
        return Deviation(frozenset(), broken, broken)
    off = policies.keys() - asked
    wanted = (model.features | asked) - off
    known = can | model.features
    return Deviation((made.on & known) - wanted, broken | (wanted & known) - made.on, broken)


def as_made(cpu: Cpu, found: Deviation) -> Cpu:
    """The CPU that the guest has. One of a model of its own is then wholly described, and to be found the same anywhere."""
    policies = {qemu_feature(feature.name): feature for feature in cpu.features}
    for names, policy in ((found.lacking, "disable"), (found.added, "require")):
        for name in sorted(names):
            said = policies.get(name)
            policies[name] = CpuFeature(name=said.name if said else user_feature(name), policy=policy)
    changed = cpu.clone(features=list(policies.values()))
    if changed.mode == "custom":
        changed.check = "full"
        changed.model = (changed.model or CpuModelName()).clone(fallback="forbid")
    return changed


def features(caps: Capabilities) -> frozenset[str]:
    """Names of all features that a guest's CPU can have here but for the hypervisor's own, each by one name."""
    told = (props for kind, props in caps.host_cpu.items() if not kind.endswith(".hyperv"))
    return frozenset(name for props in told for name, value in props.items()
                     if isinstance(value, bool) and not name.startswith(FOREIGN) and name not in NOT_FEATURES)  # fmt: skip
