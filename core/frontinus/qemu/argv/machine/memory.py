"""The guest's memory: -m, its backend, locking; I/O threads; NUMA cells with distances and HMAT."""

from __future__ import annotations

from frontinus.domain.numa import Bandwidth, Cell, Interconnects, Latency
from frontinus.qemu.argv.context import Context
from frontinus.qemu.argv.machine.backend import Backend, Piece, aligned, emit_backend, memory_backend
from frontinus.qemu.argv.machine.machine import default_ram
from frontinus.xml.codecs import format_ranges

HIERARCHY = ("memory", "first-level", "second-level", "third-level")
ASSOCIATIVITY = {"none": "none", "direct": "direct", "full": "complex"}
WRITES = {"none": "none", "writeback": "write-back", "writethrough": "write-through"}


def build(ctx: Context) -> None:
    """Emit memory and what hangs on it."""
    _size(ctx)
    _system_backend(ctx)
    backing = ctx.guest.memory_backing
    ctx.props("overcommit", {"mem-lock": bool(backing and backing.locked)})


def build_late(ctx: Context) -> None:
    """Emit what must follow the CPUs: I/O threads and cells."""
    _iothreads(ctx)
    if ctx.guest.cells:
        _cells(ctx, ctx.guest.cells)


def _size(ctx: Context) -> None:
    guest = ctx.guest
    size = start_size(ctx)
    if not guest.max_memory:
        ctx.text("m", f"size={size // 1024}k")
        return
    slots = f",slots={guest.memory_slots}" if guest.memory_slots else ""
    ctx.text("m", f"size={size // 1024}k{slots},maxmem={aligned(guest.max_memory) // 1024}k")


def start_size(ctx: Context) -> int:
    """Bytes of memory at start without memory devices, as QEMU is told."""
    cells = ctx.guest.cells
    return sum(aligned(cell.memory or 0) for cell in cells) if cells else aligned(ctx.guest.initial_memory)


def _system_backend(ctx: Context) -> None:
    """The memory of a guest without cells: an object where the machine names its own, else options of old."""
    if ctx.guest.cells:
        return
    name = default_ram(ctx)
    if name is not None:
        emit_backend(ctx, memory_backend(ctx, Piece(name, start_size(ctx), system=True)))
    else:
        _old_options(ctx, memory_backend(ctx, Piece("ram", start_size(ctx))))


def _old_options(ctx: Context, backend: Backend) -> None:
    """-mem-prealloc and -mem-path, of QEMU before machines had memory-backend."""
    if backend.props.get("prealloc"):
        ctx.flag("mem-prealloc")
    path = backend.props.get("mem-path")
    if path is not None:
        ctx.text("mem-path", str(path))


def _iothreads(ctx: Context) -> None:
    for thread in ctx.guest.all_iothreads():
        poll = thread.poll
        ctx.props("object", {
            "qom-type": "iothread", "id": f"iothread{thread.id}",
            "thread-pool-min": thread.pool_min, "thread-pool-max": thread.pool_max,
            "poll-max-ns": poll.max if poll else None, "poll-grow": poll.grow if poll else None,
            "poll-shrink": poll.shrink if poll else None,
        })  # fmt: skip
    main = ctx.guest.default_iothread
    if main is not None:
        ctx.props("object", {"qom-type": "main-loop", "id": "main-loop", "thread-pool-min": main.pool_min,
                             "thread-pool-max": main.pool_max})  # fmt: skip


def _cells(ctx: Context, cells: list[Cell]) -> None:
    backends = [memory_backend(ctx, Piece(f"ram-node{n}", aligned(cell.memory or 0), node=n))
                for n, cell in enumerate(cells)]  # fmt: skip
    machine = ctx.caps.canonical_machine(ctx.guest.machine)
    hmat = ctx.guest.has_hmat
    by_object = hmat or any(b.needed for b in backends) or not (machine is None or machine.numa_mem_supported)
    if not by_object:
        _old_options(ctx, memory_backend(ctx, Piece("ram", start_size(ctx))))
    for number, (cell, backend) in enumerate(zip(cells, backends, strict=True)):
        words = ["node", f"nodeid={number}"]
        words += [f"cpus={run}" for run in format_ranges(cell.cpus).split(",")] if cell.cpus else []
        words += [f"initiator={initiator(ctx, number)}"] if hmat else []
        if cell.memory and by_object:
            emit_backend(ctx, backend)
            words.append(f"memdev=ram-node{number}")
        elif cell.memory:
            words.append(f"mem={aligned(cell.memory) // 2**20}")
        ctx.text("numa", ",".join(words))
    _distances(ctx, cells)
    if hmat:
        _hmat(ctx, cells)


def initiator(ctx: Context, cell: int) -> int:
    """The cell with CPUs that is nearest to a cell: itself, or by the links, or the first that has CPUs."""
    cells = ctx.guest.cells
    if cells[cell].cpus:
        return cell
    links = ctx.guest.interconnects or Interconnects()
    latencies = [(link.value, link.initiator) for link in links.latencies if link.target == cell and not link.cache]
    if latencies:
        return min(latencies)[1]
    bandwidths = [(-(b.value or 0), b.initiator) for b in links.bandwidths if b.target == cell and not b.cache]
    if bandwidths:
        return min(bandwidths)[1]
    return next((number for number, other in enumerate(cells) if other.cpus), 0)


def _distances(ctx: Context, cells: list[Cell]) -> None:
    """All distances, as soon as one is given: QEMU wants the whole table."""
    given = {(here, d.id): d.value for here, cell in enumerate(cells) for d in cell.distances}
    if not given:
        return
    for source in range(len(cells)):
        for target in range(len(cells)):
            value = given.get((source, target)) or given.get((target, source)) or (10 if source == target else 20)
            ctx.text("numa", f"dist,src={source},dst={target},val={value}")


def _hmat(ctx: Context, cells: list[Cell]) -> None:
    links = ctx.guest.interconnects or Interconnects()
    for latency in links.latencies:
        ctx.text("numa", f"{_link(latency)}-latency,latency={latency.value}")
    for width in links.bandwidths:
        ctx.text("numa", f"{_link(width)}-bandwidth,bandwidth={(width.value or 0) // 1024}K")
    for number, cell in enumerate(cells):
        for cache in cell.caches:
            size = (cache.size.bytes or 0) // 1024 if cache.size else 0
            words = [f"hmat-cache,node-id={number},size={size}K,level={cache.level}"]
            words += [f"associativity={ASSOCIATIVITY[cache.associativity]}", f"policy={WRITES[cache.policy]}"]
            words += [f"line={cache.line.bytes}"] if cache.line and cache.line.bytes else []
            ctx.text("numa", ",".join(words))


def _link(link: Latency | Bandwidth) -> str:
    """What latency and bandwidth have in common."""
    level = HIERARCHY[link.cache or 0]
    return f"hmat-lb,initiator={link.initiator},target={link.target},hierarchy={level},data-type={link.type}"
