"""Memory backends: the objects that hold guest memory, for the machine, its NUMA cells and memory devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.domain.memory import MemoryBacking
from frontinus.domain.plan import Folder
from frontinus.domain.tuning import NumaTune
from frontinus.qemu.argv.context import Context, Item

Props = dict[str, object]
SMALL_PAGE = 4096
POLICIES = {"strict": "bind", "preferred": "preferred", "interleave": "interleave"}
ALIGNMENT = 2**20
"""Bytes that every piece of guest memory on x86 is a multiple of."""


def aligned(size: int) -> int:
    """A size rounded up to what QEMU and guests expect."""
    return -(-size // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class Piece:
    """One piece of guest memory. `node` is the guest cell it belongs to, `nodes` and `page` what a device says itself.

    `system` marks the memory of a machine without cells, whose name in a migration stream must not change.
    """

    id: str
    size: int
    node: int | None = None
    nodes: Sequence[int] | None = None
    page: int | None = None
    path: str | None = None
    access: str | None = None
    discard: bool | None = None
    model: str | None = None
    align: int | None = None
    pmem: bool = False
    system: bool = False


@dataclass(frozen=True)
class Backend:
    """The object for a piece. `needed` is false where QEMU's own memory would do; `context` places preallocation."""

    props: Props
    needed: bool
    context: Props | None = None


def emit_backend(ctx: Context, backend: Backend) -> None:
    """Emit a backend behind the thread context that it uses."""
    if backend.context is not None:
        ctx.props("object", backend.context)
    ctx.props("object", backend.props)


def memory_backend(ctx: Context, piece: Piece) -> Backend:
    """The backend of a piece, from its own wishes, its cell's and the guest's. Raises InvalidXML, Unsupported."""
    backing = ctx.guest.memory_backing or MemoryBacking()
    cell = ctx.guest.cell(piece.node)
    access = piece.access or (cell.access if cell else None) or backing.access
    discard = next((wish for wish in (piece.discard, cell.discard if cell else None, backing.discard or None)
                    if wish is not None), None)  # fmt: skip
    page, asked = _page(ctx, piece, backing)
    kind, props = _kind(ctx, piece, backing, page, access, discard)
    prealloc = _prealloc(ctx, piece, backing, page)
    if kind == "memory-backend-epc" or prealloc:
        props |= {"prealloc": True, "prealloc-threads": backing.allocation_threads if prealloc else None}
    if piece.model == "virtio-mem" and ctx.caps.has_property("memory-backend-file", "reserve"):
        props["reserve"] = False
    props |= {"size": piece.size, "align": piece.align, "pmem": True if piece.pmem else None}
    nodes, policy = _placement(ctx, piece)
    if nodes and policy:
        props |= {"host-nodes": list(nodes), "policy": policy}
    context: Props | None = None
    if nodes and props.get("prealloc") and ctx.caps.has_type("thread-context"):
        context = {"qom-type": "thread-context", "id": f"tc-{piece.id}", "node-affinity": list(nodes)}
        props["prealloc-context"] = context["id"]
    tune = ctx.guest.numa_tune or NumaTune()
    placed = piece.nodes is not None or tune.cell(piece.node) is not None
    needed = bool(asked or placed or piece.path or access or backing.source in ("file", "memfd"))
    return Backend({"qom-type": kind, "id": piece.id, **props}, needed, context)


def _page(ctx: Context, piece: Piece, backing: MemoryBacking) -> tuple[int | None, bool]:
    """The huge page size of a piece (None: ordinary pages), and whether it was asked for by name for this piece."""
    if piece.path or piece.model == "sgx-epc":
        return None, False
    size, asked = piece.page, piece.page is not None
    if size is None and backing.hugepages is not None and backing.hugepages.applies_to(piece.node):
        size, asked = backing.hugepages.size_for(piece.node) or 0, backing.hugepages.names(piece.node)
    if size == 0:
        size = ctx.host.default_hugepage or min(ctx.host.hugepages, default=0)
        if not size:
            raise Unsupported("<hugepages>: this host has no huge pages mounted")
    return (None, False) if size in (None, SMALL_PAGE) else (size, asked)


def _kind(ctx: Context, piece: Piece, backing: MemoryBacking, page: int | None, access: str | None,
          discard: bool | None) -> tuple[str, Props]:  # fmt: skip
    """The type of the backend and the properties that are its own."""
    share = {"shared": True, "private": False}.get(access or "")
    stable = {"x-use-canonical-path-for-ramblock-id": False} if piece.system else {}
    if piece.model == "sgx-epc":
        return "memory-backend-epc", {}
    if not piece.path and backing.source == "memfd":
        if not ctx.caps.has_type("memory-backend-memfd"):
            raise Unsupported("<memoryBacking>: this QEMU has no memory from memfd")
        huge = {"hugetlb": True, "hugetlbsize": page} if page else {}
        return "memory-backend-memfd", {**huge, "share": share, **stable}
    if not (page or piece.path or access or backing.source == "file"):
        return "memory-backend-ram", {}
    path = piece.path or (_huge_folder(ctx, page) if page else _ram_file(ctx, piece.id))
    return "memory-backend-file", {
        "mem-path": path, "discard-data": None if piece.path else discard, "share": share, **stable,
    }  # fmt: skip


def _huge_folder(ctx: Context, page: int) -> str:
    mount = ctx.host.hugepages.get(page)
    if mount is None:
        raise InvalidXML(f"<hugepages>: no mount of huge pages of {page // 1024} KiB on this host", element="page")
    return _folder(ctx, mount)


def _ram_file(ctx: Context, name: str) -> str:
    return f"{_folder(ctx, ctx.host.paths.ram)}/{name}"


def _folder(ctx: Context, parent: str) -> str:
    """The guest's own folder below a shared one."""
    path = f"{parent}/{ctx.host.paths.short_name(ctx.guest.id, ctx.guest.name)}"
    if Folder(path) not in ctx.resources:
        ctx.need(Folder(path))
    return path


def _prealloc(ctx: Context, piece: Piece, backing: MemoryBacking, page: int | None) -> bool:
    """Whether the memory is allocated before the guest runs. Persistent memory that is a device needs none."""
    if piece.model == "virtio-mem" or Item("mem-prealloc") in ctx.items:
        return False
    if backing.allocation == "immediate":
        return True
    return bool(page) or (piece.model == "nvdimm" and not piece.pmem)


def _placement(ctx: Context, piece: Piece) -> tuple[Sequence[int] | None, str | None]:
    """Host nodes that a piece's memory must come from, and QEMU's policy; no policy where cgroups do it alone."""
    tune = ctx.guest.numa_tune or NumaTune()
    nodes = piece.nodes if piece.nodes is not None else tune.nodes(piece.node, ctx.host.auto_nodes)
    missing = set(nodes or ()) - {node.id for node in ctx.host.nodes}
    if missing and ctx.host.nodes:
        raise Unsupported(f"<numatune> or <nodemask>: NUMA node {min(missing)} is not there on this host")
    return nodes, POLICIES.get(tune.mode(piece.node))
