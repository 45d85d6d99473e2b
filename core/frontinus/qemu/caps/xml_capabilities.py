"""<capabilities>: the host, and the kinds of guests that its emulator runs. Pure.

The shape is the documented one of virConnectGetCapabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lxml import etree

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.cpu.compare import described, physical
from frontinus.domain.host import HostFacts, NumaNode
from frontinus.qemu.caps.tree import VENDOR_NAMES, Element, child, write

KIB = 1024
ARCHITECTURES: Mapping[str, Sequence[tuple[str, int]]] = {
    "x86_64": (("i686", 32), ("x86_64", 64)),
    "i386": (("i686", 32),),
    "aarch64": (("armv7l", 32), ("aarch64", 64)),
}
"""The guests of an emulator, by its target: name and word size."""
FEATURES: Sequence[tuple[str, Mapping[str, str]]] = (
    ("cpuselection", {}), ("deviceboot", {}), ("disksnapshot", {"default": "on", "toggle": "no"}))  # fmt: skip


def describe(caps: Capabilities, host: HostFacts) -> str:
    """The document."""
    root = etree.Element("capabilities")
    _host(child(root, "host"), caps, host)
    for arch, bits in ARCHITECTURES.get(caps.arch, ((caps.arch, 64),)):
        _guest(child(root, "guest"), caps, arch, bits)
    return write(root)


def _host(node: Element, caps: Capabilities, host: HostFacts) -> None:
    cpu = child(node, "cpu")
    child(cpu, "arch", host.arch)
    here = physical(caps, host)
    known = described(here) if here else None
    if known and known.model:
        child(cpu, "model", known.model.name)
    if host.cpu_vendor:
        child(cpu, "vendor", VENDOR_NAMES.get(host.cpu_vendor, host.cpu_vendor))
    if host.cpu_numbers:
        child(cpu, "signature", **dict(zip(("family", "model", "stepping"), host.cpu_numbers, strict=True)))
    for feature in known.features if known else ():
        child(cpu, "feature", name=feature.name)
    for size in sorted({size for n in host.nodes for size in n.pages} | set(host.hugepages)):
        child(cpu, "pages", unit="KiB", size=size // KIB)
    if host.nodes:
        cells = child(child(node, "topology"), "cells", num=len(host.nodes))
        for cell in host.nodes:
            _cell(cells, cell, host.nodes)


def _cell(cells: Element, node: NumaNode, nodes: Sequence[NumaNode]) -> None:
    cell = child(cells, "cell", id=node.id)
    child(cell, "memory", node.memory // KIB, unit="KiB")
    for size, count in sorted(node.pages.items()):
        child(cell, "pages", count, unit="KiB", size=size // KIB)
    if node.distances:
        distances = child(cell, "distances")
        for other, value in zip(nodes, node.distances, strict=False):
            child(distances, "sibling", id=other.id, value=value)
    cpus = child(cell, "cpus", num=len(node.cpus))
    for number in node.cpus:
        child(cpus, "cpu", id=number)


def _guest(node: Element, caps: Capabilities, name: str, bits: int) -> None:
    child(node, "os_type", "hvm")
    arch = child(node, "arch", name=name)
    child(arch, "wordsize", bits)
    child(arch, "emulator", caps.emulator)
    _machines(arch, caps)
    for kind, there in (("qemu", caps.tcg), ("kvm", caps.kvm)):
        if there:
            child(arch, "domain", type=kind)
    features = child(node, "features")
    if caps.arch in ("x86_64", "i386"):
        if bits == 32:
            child(features, "pae")
            child(features, "nonpae")
        child(features, "acpi", default="on", toggle="yes")
        child(features, "apic", default="on", toggle="no")
    for feature, attributes in FEATURES:
        child(features, feature, **attributes)


def _machines(arch: Element, caps: Capabilities) -> None:
    """Every machine by its name, and again by its alias."""
    for machine in caps.machines.values():
        facts = {"maxCpus": machine.max_cpus, "deprecated": machine.deprecated or None}
        if machine.name == "none":
            continue
        child(arch, "machine", machine.name, **facts)
        if machine.alias:
            child(arch, "machine", machine.alias, canonical=machine.name, **facts)
