"""Comparing CPUs: a described one with a host's, and what several have in common. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lxml import etree

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.check.cpu import known_features
from frontinus.domain.cpu.model import Cpu, CpuFeature, CpuModelName
from frontinus.domain.cpu.named import Processor, contained, named_models, nearest, processor
from frontinus.domain.cpu.names import HOSTS_ONLY, NOT_MIGRATABLE, qemu_feature, user_feature
from frontinus.domain.host import HostFacts
from frontinus.xml import DocumentError, document

Result = Literal["incompatible", "identical", "superset"]
VENDORS = {"Intel": "GenuineIntel", "AMD": "AuthenticAMD", "Hygon": "HygonGenuine", "Zhaoxin": "CentaurHauls"}
NONE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Wanted:
    """What a <cpu> says, of a host or of a guest. Features have QEMU's names."""

    features: frozenset[str]
    """All that it must have: the model's, and those required."""
    model: str | None = None
    vendor: str | None = None
    arch: str | None = None
    strict: bool = False
    """Whether a host with more is no match."""
    policies: tuple[tuple[str, str], ...] = ()
    """Features by name and policy, those without one as `require`."""

    def with_policy(self, *policies: str) -> frozenset[str]:
        """The features of some policies."""
        return frozenset(name for name, policy in self.policies if policy in policies)

    @property
    def processor(self) -> Processor:
        """The processor that has just this."""
        model = named_models().get(self.model or "")
        vendor = self.vendor or (model.vendor if model else None)
        return Processor(self.features | self.with_policy("force"), vendor, model.family if model else None,
                         model.model if model else None, sure=True)  # fmt: skip


def parse_cpu(xml: str, known: Collection[str] = ()) -> Wanted:
    """What a <cpu> says, alone or inside of <capabilities>, <domainCapabilities> or <domain>.

    `known` are the features that this QEMU has; empty where it does not tell. Raises InvalidXML.
    """
    try:
        root = document(xml)
    except DocumentError as error:
        raise InvalidXML(str(error)) from None
    places = {"cpu": ".", "capabilities": "host/cpu", "domainCapabilities": "cpu/mode[@name='host-model']"}
    cpu = root.find(places.get(str(root.tag), "cpu"))
    if cpu is None:
        raise InvalidXML("there is no <cpu>", element="cpu")
    name = (cpu.findtext("model") or "").strip()
    model = named_models().get(name)
    if name and model is None:
        raise InvalidXML(f"unknown CPU model '{name}'", element="model")
    policies = tuple(_policies(cpu, known))
    free = frozenset(name for name, policy in policies if policy != "require")
    features = (model.features if model else NONE) - free | {name for name, policy in policies if policy == "require"}
    vendor = (cpu.findtext("vendor") or "").strip()
    return Wanted(features, name or None, VENDORS.get(vendor, vendor) or None, (cpu.findtext("arch") or "").strip() or None,
                  cpu.get("match") == "strict", policies)  # fmt: skip


def _policies(cpu: etree._Element, known: Collection[str]) -> Sequence[tuple[str, str]]:
    listed = [(qemu_feature(f.get("name") or ""), f.get("policy") or "require") for f in cpu.findall("feature")]
    there = {*known, *HOSTS_ONLY}
    for name, _ in listed:
        if known and name not in there and user_feature(name) not in there:
            raise InvalidXML(f"unknown CPU feature '{user_feature(name)}'", element="feature")
    return listed


def physical(caps: Capabilities, host: HostFacts) -> Processor | None:
    """The host's own processor, with what QEMU knows of it; None where the kernel does not tell."""
    if not host.cpu_features:
        return None
    known = known_features(caps) | HOSTS_ONLY | frozenset().union(*(m.features for m in named_models().values()))
    numbers = host.cpu_numbers or (None, None, None)
    family, model, stepping = numbers
    return Processor(host.cpu_features & known, host.cpu_vendor, family, model, True, stepping)


def for_guests(caps: Capabilities, virt_type: str | None = None) -> Processor:
    """The best processor that guests of a type can get here. Raises Unsupported where QEMU does not tell."""
    accelerator = {"kvm": "kvm", "qemu": "tcg", None: "kvm" if caps.kvm else "tcg"}.get(virt_type, "")
    props = caps.host_cpu.get(f"{accelerator}.all") or caps.host_cpu.get(accelerator)
    if props is None:
        raise Unsupported(f"QEMU does not tell what processor guests of type '{virt_type or 'any'}' can have")
    return processor(props, sure=accelerator == "tcg")


def compare(wanted: Wanted, here: Processor, arch: str = "x86_64") -> Result:
    """Whether a host can give this processor, and whether it has more.

    A feature that is forced need not be there; one that is forbidden must not be.
    """
    if wanted.arch not in (None, arch, *(("i686",) if arch == "x86_64" else ())):
        return "incompatible"
    if wanted.vendor and here.vendor and wanted.vendor != here.vendor:
        return "incompatible"
    if wanted.with_policy("forbid") & here.features or wanted.features - here.features:
        return "incompatible"
    more = here.features - wanted.features - wanted.with_policy("force", "optional", "disable")
    if not more:
        return "identical"
    return "incompatible" if wanted.strict else "superset"


def described(here: Processor) -> Cpu | None:
    """A host's processor as a named model and what it has beside it; None for one that no model is like."""
    match = contained(here)
    if match is None:
        return None
    return _cpu(
        match.model.name, match.model.vendor, dict.fromkeys(sorted(here.features - match.model.features), "require")
    )


def baseline(given: Sequence[Wanted], *, expand: bool = False, migratable: bool = False,
             known: Collection[str] | None = None) -> Cpu:  # fmt: skip
    """The nearest of the `known` models to what all have, with what must be added or taken away.

    Raises InvalidXML, Unsupported.
    """
    if not given:
        raise InvalidXML("name at least one CPU", element="cpu")
    cpus = [one.processor for one in given]
    vendors = {one.vendor for one in cpus if one.vendor}
    if len(vendors) > 1:
        raise Unsupported(f"CPUs of {' and '.join(sorted(vendors))} have no common baseline")
    features = frozenset.intersection(*(one.features for one in cpus))
    if migratable:
        features -= NOT_MIGRATABLE
    common = replace(_oldest(cpus), features=features, vendor=next(iter(vendors), None))
    match = nearest(common, list(named_models()) if known is None else known)
    if match is None:
        raise Unsupported("no named model is common to these CPUs")
    policies = dict.fromkeys(sorted(features if expand else match.on), "require")
    return _cpu(match.model.name, match.model.vendor, policies | dict.fromkeys(sorted(match.off), "disable"))


def _oldest(cpus: Sequence[Processor]) -> Processor:
    """The one of which the others have most: the common CPU is of its generation."""
    return min(cpus, key=lambda one: sum(len(one.features - other.features) for other in cpus))


def _cpu(model: str, vendor: str, policies: dict[str, str]) -> Cpu:
    return Cpu(mode="custom", match="exact", model=CpuModelName(name=model, fallback="forbid"),
               vendor=next((name for name, code in VENDORS.items() if code == vendor), None),
               features=[CpuFeature(name=user_feature(name), policy=policy) for name, policy in policies.items()])  # fmt: skip
