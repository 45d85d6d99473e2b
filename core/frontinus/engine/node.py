"""The host: its figures, its kernel's settings, its security, its CPU models."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from lxml import etree

from frontinus.api.errors import InvalidValue, Unsupported
from frontinus.api.node import (
    CpuComparison,
    CpuMap,
    FreePages,
    NodeCpuStats,
    NodeMemoryParameters,
    NodeMemoryStats,
    SecurityModel,
)
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.check.cpu import known_features
from frontinus.domain.cpu import compare as cpu_compare
from frontinus.engine.world import World
from frontinus.xml import format_document


class NodeDesk:
    """The use cases on the host."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def node_cpu_stats(self, cpu: int | None = None) -> NodeCpuStats:
        return self.world.node.cpu_stats(cpu)

    async def node_memory_stats(self, node: int | None = None) -> NodeMemoryStats:
        return self.world.node.memory_stats(node)

    async def node_cpu_map(self) -> CpuMap:
        return self.world.node.cpu_map()

    async def node_sysinfo(self) -> str:
        if self.world.host.sysinfo is None:
            raise Unsupported("this host has no SMBIOS data")
        return format_document(self.world.host.sysinfo)

    async def node_security_model(self) -> SecurityModel:
        return self.world.security_model

    async def node_memory_parameters(self) -> NodeMemoryParameters:
        return self.world.node.memory_parameters()

    async def set_node_memory_parameters(self, values: NodeMemoryParameters) -> None:
        await asyncio.to_thread(self.world.node.set_memory_parameters, values)

    async def free_pages(self, node: int | None = None) -> FreePages:
        return self.world.node.free_pages(node)

    async def allocate_pages(self, size: int, count: int, node: int | None = None, add: bool = False) -> int:
        if not 0 <= count < 2**40:
            raise InvalidValue("a count of pages is not negative", field="count")
        return await asyncio.to_thread(self.world.node.allocate_pages, size, count, node, add=add)

    async def cpu_models(self, arch: str | None = None) -> list[str]:
        caps = await self.world.hypervisor.capabilities(None)
        if arch not in (None, caps.arch, *({"i686"} if caps.arch == "x86_64" else set())):
            raise Unsupported(f"architecture '{arch}' is not one that {caps.emulator} has ({caps.arch})")
        text = self.world.hypervisor.describe_guests(caps, self.world.host)
        nodes = etree.fromstring(text.encode()).findall("cpu/mode[@name='custom']/model")
        return [node.text or "" for node in nodes]

    async def compare_cpu(self, xml: str) -> CpuComparison:
        caps = await self.world.hypervisor.capabilities(None)
        wanted = cpu_compare.parse_cpu(xml, known_features(caps))
        here = cpu_compare.physical(caps, self.world.host) or cpu_compare.for_guests(caps)
        return cpu_compare.compare(wanted, here, self.world.host.arch)

    async def baseline_cpu(self, xmls: Sequence[str], expand: bool = False, migratable: bool = False) -> str:
        caps = await self.world.hypervisor.capabilities(None)
        cpus = [cpu_compare.parse_cpu(xml, known_features(caps)) for xml in xmls]
        return format_document(cpu_compare.baseline(cpus, expand=expand, migratable=migratable))

    async def compare_hypervisor_cpu(self, xml: str, emulator: str | None = None, arch: str | None = None,
                                     machine: str | None = None, virt_type: str | None = None) -> CpuComparison:  # fmt: skip
        caps = await self._binary(emulator, arch, machine, virt_type)
        wanted = cpu_compare.parse_cpu(xml, known_features(caps))
        return cpu_compare.compare(wanted, cpu_compare.for_guests(caps, virt_type), caps.arch)

    async def baseline_hypervisor_cpu(self, xmls: Sequence[str], emulator: str | None = None, arch: str | None = None,
                                      machine: str | None = None, virt_type: str | None = None, expand: bool = False,
                                      migratable: bool = False) -> str:  # fmt: skip
        caps = await self._binary(emulator, arch, machine, virt_type)
        cpus = [cpu_compare.parse_cpu(xml, known_features(caps)) for xml in xmls]
        models = {model.name for listed in caps.cpu_models.values() for model in listed}
        return format_document(cpu_compare.baseline(cpus, expand=expand, migratable=migratable, known=models))

    async def _binary(
        self, emulator: str | None, arch: str | None, machine: str | None, virt_type: str | None
    ) -> Capabilities:
        """What an emulator can, if it has the machine and runs guests of the type. Raises InvalidValue, Unsupported."""
        caps = await self.world.hypervisor.capabilities(emulator)
        if arch not in (None, caps.arch):
            raise Unsupported(f"architecture '{arch}' is not one that {caps.emulator} has ({caps.arch})")
        if machine or virt_type:
            self.world.hypervisor.describe_guests(caps, self.world.host, machine, virt_type)
        return caps
