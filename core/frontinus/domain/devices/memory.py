"""The <memory> device: memory modules that are plugged in, persistent memory, and enclaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device, DimmAddress, VirtioOptions, no_virtio_options
from frontinus.domain.devices.rules import lacks, placed, virtio_options
from frontinus.domain.reasons import Lacking
from frontinus.xml import Flag, Size, xml
from frontinus.xml.codecs import CpuSet, HexFree, Uuid, YesNo, integer, one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts

DRIVERS = {
    "dimm": "pc-dimm", "nvdimm": "nvdimm", "virtio-pmem": "virtio-pmem-pci", "virtio-mem": "virtio-mem-pci",
    "sgx-epc": "sgx-epc",
}  # fmt: skip
"""QEMU's device of each model; that of an enclave's memory is added by the machine."""
MODULES, FILES, VIRTIO = ("dimm", "nvdimm"), ("nvdimm", "virtio-pmem"), ("virtio-pmem", "virtio-mem")
OWN = {
    "nodes": ("dimm", "virtio-mem", "sgx-epc"), "page": ("dimm", "virtio-mem"), "path": FILES,
    "align": ("nvdimm",), "pmem": ("nvdimm",), "uuid": ("nvdimm",), "label": ("nvdimm",), "readonly": ("nvdimm",),
    "block": ("virtio-mem",), "requested": ("virtio-mem",), "current": ("virtio-mem",),
    "dynamic_slots": ("virtio-mem",), "base": ("virtio-mem", "virtio-pmem"),
}  # fmt: skip
"""Which models a field means something for; elsewhere it is dropped."""
FLAGS = ("pmem", "readonly")
PAGE = 4096
SMALLEST_LABEL = 128 * 1024
SMALLEST_BLOCK = 2 * 2**20
"""The size of the host's transparent huge pages on x86: no smaller part of memory is given back."""


class MemoryDevice(Device, VirtioOptions, tag="memory"):
    """A <memory> element of <devices>. All sizes are bytes; `nodes` are the host's, `node` is the guest's."""

    model: str = xml("@model", one_of(*DRIVERS), required=True)
    access: str | None = xml("@access", one_of("shared", "private"))
    discard: bool | None = xml("@discard", YesNo)
    uuid: str | None = xml("uuid", Uuid)
    nodes: tuple[int, ...] | None = xml("source/nodemask", CpuSet)
    page: int | None = xml("source/pagesize", Size())
    path: str | None = xml("source/path")
    align: int | None = xml("source/alignsize", Size())
    pmem: bool = xml("source/pmem", Flag)
    dynamic_slots: bool | None = xml("target/@dynamicMemslots", YesNo)
    size: int = xml("target/size", Size(), required=True)
    node: int | None = xml("target/node", integer(0, 2**31 - 1))
    label: int | None = xml("target/label/size", Size())
    readonly: bool = xml("target/readonly", Flag)
    block: int | None = xml("target/block", Size())
    requested: int | None = xml("target/requested", Size())
    current: int | None = xml("target/current", Size(), live=True)
    base: int | None = xml("target/address/@base", HexFree)

    @property
    def is_module(self) -> bool:
        """Whether it sits in a slot for memory modules."""
        return self.model in MODULES

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        for field, models in OWN.items():
            if self.model not in models:
                setattr(self, field, False if field in FLAGS else None)
        for field in ("page", "align", "label", "base"):
            setattr(self, field, getattr(self, field) or None)
        if self.model == "virtio-pmem":
            self.access = self.access or "shared"
        if self.model == "virtio-mem" and self.requested is None:
            self.requested = 0

    def prepare(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        if self.model == "virtio-mem" and self.current is None:
            self.current = 0

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        name = f"<memory> of model '{self.model}'"
        if not caps.has_type(DRIVERS[self.model]):
            yield Lacking(f"{name} is not supported by this QEMU")
        yield from placed(name, self.address, *self._address_kinds())
        if not self.size:
            yield f"{name}: <size> is zero"
        if self.nodes == ():
            yield f"{name}: <nodemask> names no node"
        if self.model in FILES:
            yield from self._check_file(name)
        if self.model == "nvdimm":
            yield from self._check_nvdimm(name, caps)
        if self.model == "virtio-pmem":
            yield from self._check_pmem(name)
        if self.model == "virtio-mem":
            yield from self._check_virtio_mem(name)
        if self.model in VIRTIO:
            yield from virtio_options(self, caps)
        else:
            yield from no_virtio_options(self, name)
        yield from self._check_node(name, guest)
        if isinstance(self.address, DimmAddress):
            yield from self._check_slot(name, self.address, guest)
        yield from self._check_range(name, guest)
        if guest.devices.memories[0] is self:
            yield from check_space(guest)

    @property
    def start(self) -> int | None:
        """Where the guest finds the memory, where that is fixed."""
        return self.address.base if isinstance(self.address, DimmAddress) else self.base

    def _check_range(self, name: str, guest: Guest) -> Iterator[str]:
        for other in guest.devices.memories:
            if other is self or not self.start or not other.start:
                continue
            if self.start < other.start + other.size and other.start < self.start + self.size:
                yield f"{name}: at 0x{self.start:x} it overlaps another <memory>"

    def _address_kinds(self) -> tuple[str, ...]:
        if self.is_module:
            return ("dimm",)
        return () if self.model == "sgx-epc" else ("pci",)

    def _check_file(self, name: str) -> Iterator[str]:
        if not self.path:
            yield f"{name}: <source> needs a <path>"
        if self.discard:
            yield f"{name}: its contents cannot be discarded"

    def _check_nvdimm(self, name: str, caps: Capabilities) -> Iterator[str]:
        if self.uuid is not None:
            yield f"{name}: <uuid> is of POWER machines"
        if self.label is not None and self.label < SMALLEST_LABEL:
            yield f"{name}: <label> has at least {SMALLEST_LABEL // 1024} KiB"
        if self.label is not None and self.label >= self.size:
            yield f"{name}: <label> is smaller than the memory"
        if self.readonly and lacks(caps, "nvdimm", "unarmed"):
            yield Lacking(f"{name}: 'readonly' is not supported by this QEMU")
        for field, wanted in (("align", self.align), ("pmem", self.pmem)):
            if wanted and lacks(caps, "memory-backend-file", field):
                yield Lacking(f"{name}: '{field}' is not supported by this QEMU")

    def _check_pmem(self, name: str) -> Iterator[str]:
        if self.access != "shared":
            yield f"{name}: access is 'shared', what the guest writes is in the file"
        if self.node is not None:
            yield f"{name} belongs to no <node>"
        if (self.base or 0) % PAGE:
            yield f"{name}: its address is a multiple of {PAGE}"

    def _check_virtio_mem(self, name: str) -> Iterator[str]:
        block, requested = self.block or 0, self.requested or 0
        if block < SMALLEST_BLOCK or block & (block - 1):
            yield f"{name}: <block> is a power of two and at least {SMALLEST_BLOCK // 1024} KiB"
            return
        if requested > self.size:
            yield f"{name}: <requested> is not more than <size>"
        if self.size % block:
            yield f"{name}: <size> is a multiple of <block>"
        if requested % block:
            yield f"{name}: <requested> is a multiple of <block>"
        if (self.base or 0) % block:
            yield f"{name}: its address is a multiple of <block>"

    def _check_node(self, name: str, guest: Guest) -> Iterator[str]:
        if self.node is None and guest.cells and self.model not in ("virtio-pmem", "sgx-epc"):
            yield f"{name}: <node> is missing, the guest has NUMA nodes"
        if self.node is not None and self.node >= max(len(guest.cells), 1):
            yield f"{name}: the guest has no NUMA node {self.node}"

    def _check_slot(self, name: str, address: DimmAddress, guest: Guest) -> Iterator[str]:
        slots = guest.memory_slots or 0
        if address.slot is not None and address.slot >= slots:
            yield f"{name}: slot {address.slot} is not one of {slots}"
        for other in guest.devices.memories:
            if other is self or not isinstance(other.address, DimmAddress) or address.slot is None:
                continue
            if address.slot == other.address.slot:
                yield f"{name}: slot {address.slot} is taken twice"


def check_space(guest: Guest) -> Iterator[str]:
    """Reasons why the guest's memory devices do not fit between its memory at start and its maximum."""
    plugged = [device for device in guest.devices.memories if device.model != "sgx-epc"]
    if not plugged:
        return
    if not guest.max_memory:
        yield "<memory> devices need <maxMemory>"
        return
    if not guest.cells:
        yield "<memory> devices need at least one NUMA node in <cpu>"
    if len(plugged) > (guest.memory_slots or 0):
        yield f"<maxMemory>: {guest.memory_slots or 0} slots are too few for {len(plugged)} <memory> devices"
    if sum(device.size for device in plugged) > guest.max_memory - guest.initial_memory:
        yield "<maxMemory>: too little for all <memory> devices"
