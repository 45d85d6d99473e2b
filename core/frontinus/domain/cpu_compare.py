"""Comparing CPUs: a described one with the host's, and what several have in common. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.cpu import Cpu, CpuFeature, CpuModelName
from frontinus.domain.cpu_models import Processor, named_models, nearest, processor, qemu_feature
from frontinus.domain.host import HostFacts
from frontinus.xml import DocumentError, document

Result = Literal["incompatible", "identical", "superset"]
HAS = (None, "require", "force")
"""Policies of features that the described CPU has; the others say that it has not, or may."""


def parse_cpu(xml: str) -> Processor:
    """The processor that a <cpu> describes, of a host or a guest, alone or inside of <capabilities>. Raises InvalidXML."""
    try:
        root = document(xml)
    except DocumentError as error:
        raise InvalidXML(str(error)) from None
    cpu = root if root.tag == "cpu" else root.find("host/cpu" if root.tag == "capabilities" else "cpu")
    if cpu is None:
        raise InvalidXML("there is no <cpu>", element="cpu")
    name = (cpu.findtext("model") or "").strip()
    model = named_models().get(name)
    if name and model is None:
        raise InvalidXML(f"unknown CPU model '{name}'", element="model")
    features = set(model.features) if model else set()
    for feature in cpu.findall("feature"):
        known = qemu_feature(feature.get("name") or "")
        if feature.get("policy") in HAS:
            features.add(known)
        else:
            features.discard(known)
    vendor = VENDORS.get((cpu.findtext("vendor") or "").strip()) or (model.vendor if model else None)
    return Processor(frozenset(features), vendor, model.family if model else None, model.model if model else None, True)


VENDORS = {"Intel": "GenuineIntel", "AMD": "AuthenticAMD", "Hygon": "HygonGenuine"}


def of_host(caps: Capabilities, host: HostFacts) -> Processor:
    """The best processor that guests can get here. Raises Unsupported where QEMU does not tell."""
    props = caps.host_cpu.get("kvm" if host.kvm else "tcg") or caps.host_cpu.get("tcg")
    if props is None:
        raise Unsupported("QEMU does not tell what the host's processor is")
    return processor(props, sure=not host.kvm)


def compare(wanted: Processor, caps: Capabilities, host: HostFacts) -> Result:
    """Whether the host can give this processor."""
    here = of_host(caps, host)
    if wanted.vendor and here.vendor and wanted.vendor != here.vendor:
        return "incompatible"
    if wanted.features - here.features:
        return "incompatible"
    return "identical" if wanted.features == here.features else "superset"


def baseline(given: Sequence[Processor], caps: Capabilities, *, expand: bool) -> Cpu:
    """The nearest named model to what all have, with what must be added or taken away. Raises InvalidXML, Unsupported."""
    if not given:
        raise InvalidXML("name at least one CPU", element="cpu")
    vendors = {one.vendor for one in given if one.vendor}
    if len(vendors) > 1:
        raise Unsupported(f"CPUs of {' and '.join(sorted(vendors))} have no common baseline")
    features = frozenset.intersection(*(one.features for one in given))
    first = given[0]
    generation = {(one.family, one.model) for one in given}
    same = len(generation) == 1
    common = Processor(features, first.vendor or (vendors.pop() if vendors else None), first.family if same else None,
                       first.model if same else None, True)  # fmt: skip
    match = nearest(common, list(named_models()))
    if match is None:
        raise Unsupported("no named model is common to these CPUs")
    policies = dict.fromkeys(sorted(match.on), "require") | dict.fromkeys(sorted(match.off), "disable")
    if expand:
        policies = dict.fromkeys(sorted(features), "require") | dict.fromkeys(sorted(match.off), "disable")
    return Cpu(mode="custom", match="exact", model=CpuModelName(name=match.model.name, fallback="forbid"),
               vendor=next((name for name, code in VENDORS.items() if code == match.model.vendor), None),
               features=[CpuFeature(name=name, policy=policy) for name, policy in policies.items()])  # fmt: skip
