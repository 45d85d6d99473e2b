"""Why a guest cannot have the memory that it asks for: sizes, backing, NUMA cells and where they come from."""

from __future__ import annotations

from collections.abc import Iterator

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.guest import Guest
from frontinus.domain.memory import HugePages
from frontinus.domain.numa import Bandwidth, Cell, Interconnects, Latency
from frontinus.domain.reasons import Lacking

ADDRESSABLE = 2**52
MOST_SLOTS = 256
IN_SLOTS = ("dimm", "nvdimm")
OUTSIDE = ("sgx-epc", "virtio-pmem")
"""Memory devices that take no part in memory hotplug."""


def check_memory(guest: Guest, caps: Capabilities) -> Iterator[str]:
    """Reasons that lie in sizes and in <memoryBacking>."""
    if not guest.memory:
        yield "<memory> is missing, and no NUMA cell has memory"
    if max(guest.memory or 0, guest.max_memory or 0) > ADDRESSABLE:
        yield f"<memory>: more than the {ADDRESSABLE // 2**50} PiB that a processor can address"
    if guest.max_memory is not None:
        yield from _hotplug(guest)
    elif any(device.model not in OUTSIDE for device in guest.devices.memories):
        yield "<memory> device: <maxMemory> is missing"
    backing = guest.memory_backing
    if backing is None:
        return
    if backing.hugepages is not None:
        yield from _hugepages(guest, backing.hugepages)
        if backing.source == "anonymous":
            yield "<hugepages>: not with memory of source anonymous"
        if backing.allocation == "ondemand":
            yield "<hugepages>: not with allocation on demand"
    if backing.source == "memfd" and not caps.has_type("memory-backend-memfd"):
        yield Lacking("<source type='memfd'>: this QEMU has no memory from memfd")
    if backing.allocation_threads and not caps.has_property("memory-backend-file", "prealloc-threads"):
        yield Lacking("<allocation threads>: this QEMU knows no threads for it")


def _hotplug(guest: Guest) -> Iterator[str]:
    most = guest.max_memory or 0
    if not guest.cells:
        yield "<maxMemory>: memory can only be plugged into a guest with NUMA cells"
    if most < guest.initial_memory:
        yield "<maxMemory>: less than the memory at start"
    if (guest.memory_slots or 0) > MOST_SLOTS:
        yield f"<maxMemory slots='{guest.memory_slots}'>: a machine has at most {MOST_SLOTS} slots"
    slots = sum(1 for device in guest.devices.memories if device.model in IN_SLOTS)
    if slots > (guest.memory_slots or 0):
        yield f"<maxMemory slots='{guest.memory_slots or 0}'>: there are {slots} devices for slots"


def _hugepages(guest: Guest, hugepages: HugePages) -> Iterator[str]:
    pages, cells = hugepages.pages, len(guest.cells)
    if sum(1 for page in pages if not page.nodes) > 1:
        yield "<hugepages>: two <page> without nodeset"
    if any(not page.size for page in pages):
        yield "<page>: size is missing or zero"
    named = [node for page in pages for node in page.nodes or ()]
    for node in sorted({node for node in named if named.count(node) > 1}):
        yield f"<page nodeset>: node {node} is in two sets"
    for node in sorted({node for node in named if node >= cells}):
        yield f"<page nodeset>: the guest has no node {node}"


def check_numa(guest: Guest, caps: Capabilities) -> Iterator[str]:
    """Reasons that lie in NUMA cells and <numatune>."""
    cells = guest.cells
    if guest.has_hmat and not caps.has_schema("set-numa-node/arg-type/type=hmat-lb"):
        yield Lacking("<numa>: this QEMU cannot describe memory performance")
    if cells:
        yield from _cells(guest, cells)
        for cell in cells:
            yield from _distances(cell, len(cells))
            yield from _caches(cell)
        if guest.interconnects:
            yield from _links(cells, guest.interconnects)
    yield from _numatune(guest)


def _cells(guest: Guest, cells: list[Cell]) -> Iterator[str]:
    if [cell.id for cell in cells] != list(range(len(cells))):
        yield "<numa>: the ids of cells are not 0, 1, 2..."
    if any(cell.cpus == () for cell in cells):
        yield "<cell cpus>: names no CPU; a cell without CPUs has no such attribute"
    if any(cell.memory is None for cell in cells):
        yield "<cell>: memory is missing"
    named = [vcpu for cell in cells for vcpu in cell.cpus or ()]
    for vcpu in sorted({vcpu for vcpu in named if named.count(vcpu) > 1}):
        yield f"<cell cpus>: CPU {vcpu} is in two cells"
    if named and max(named) >= (guest.vcpus or 1):
        yield f"<cell cpus>: CPU {max(named)} is beyond <vcpu>"
    if guest.has_hmat and not named:
        yield "<numa>: a description of memory performance needs a cell with CPUs"


def _distances(cell: Cell, cells: int) -> Iterator[str]:
    ids = [sibling.id for sibling in cell.distances]
    if len(set(ids)) != len(ids):
        yield f"<distances>: cell {cell.id} names a sibling twice"
    for sibling in cell.distances:
        if sibling.id >= cells:
            yield f"<sibling id='{sibling.id}'>: there is no such cell"
        if (sibling.id == cell.id) != (sibling.value == 10):
            yield f"<sibling id='{sibling.id}'>: 10 is the distance of a cell to itself, and only that"


def _caches(cell: Cell) -> Iterator[str]:
    levels = sorted(cache.level for cache in cell.caches)
    if levels != list(range(1, len(levels) + 1)) or len(levels) > 3:
        yield f"<cache>: the levels of cell {cell.id} are not 1, 2, 3 without a gap"


def _links(cells: list[Cell], links: Interconnects) -> Iterator[str]:
    seen: set[tuple[object, ...]] = set()
    every: list[Latency | Bandwidth] = [*links.latencies, *links.bandwidths]
    for link in every:
        what = f"<{link.tag} initiator='{link.initiator}' target='{link.target}'>"
        key = (link.tag, link.initiator, link.target, link.cache, link.type)
        if key in seen:
            yield f"{what}: said twice"
        seen.add(key)
        if max(link.initiator, link.target) >= len(cells):
            yield f"{what}: there is no such cell"
            continue
        if not cells[link.initiator].cpus:
            yield f"{what}: the initiator has no CPUs"
        if link.cache and link.cache not in {cache.level for cache in cells[link.target].caches}:
            yield f"{what}: the target has no cache of level {link.cache}"


def _numatune(guest: Guest) -> Iterator[str]:
    tune = guest.numa_tune
    if tune is None:
        return
    memory, cells = tune.memory, [cell.cell for cell in tune.cells]
    if memory is not None and memory.placement == "static" and not memory.nodes:
        yield "<numatune>: static placement needs a nodeset"
    if memory is not None and memory.placement == "auto" and cells:
        yield "<memnode>: not with automatic placement"
    if len(set(cells)) != len(cells):
        yield "<memnode>: a cell is named twice"
    for number in cells:
        if number >= len(guest.cells):
            yield f"<memnode cellid='{number}'>: the guest has no such cell"
    overall = memory.mode if memory else None
    for cell in tune.cells:
        if not cell.nodes:
            yield f"<memnode cellid='{cell.cell}'>: the nodeset is empty"
        if overall is not None and (cell.mode == "restrictive") != (overall == "restrictive"):
            yield "<numatune>: restrictive is a mode for all memory or for none"
