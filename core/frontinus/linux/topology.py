"""CPUs, memory and NUMA nodes of the host, from /sys and /proc. `root` stands in for / in tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from frontinus.domain.host import NumaNode

CPUS = "sys/devices/system/cpu"
NODES = "sys/devices/system/node"
KIB = 1024


@dataclass(frozen=True)
class Layout:
    """How online CPUs are laid out: nodes x sockets in each x cores in each x threads in each is their number."""

    cpus: int
    nodes: int
    sockets: int
    cores: int
    threads: int


def read_layout(root: Path) -> Layout:
    """The layout; where it is uneven, or hidden, one socket that holds all CPUs as cores, as other tools show it."""
    online = numbers(read(root / CPUS / "online") or "0")
    nodes = max(1, len(node_folders(root)))
    cores = {_place(root, cpu) for cpu in online}
    packages = {package for package, _ in cores}
    per_node = max(1, len(packages) // nodes)
    per_socket = max(1, len(cores) // max(1, len(packages)))
    per_core = max(1, len(online) // max(1, len(cores)))
    if nodes * per_node * per_socket * per_core == len(online):
        return Layout(len(online), nodes, per_node, per_socket, per_core)
    return Layout(len(online), 1, 1, len(online), 1)


def read_nodes(root: Path) -> tuple[NumaNode, ...]:
    """NUMA nodes; a kernel without them has one that holds everything."""
    folders = node_folders(root)
    if folders:
        return tuple(_node(number, folder) for number, folder in folders.items())
    cpus = tuple(numbers(read(root / CPUS / "online") or "0"))
    return (NumaNode(0, read_memory(root)["MemTotal"], cpus, (10,), _pages(root / "sys/kernel/mm/hugepages")),)


def read_memory(root: Path) -> dict[str, int]:
    """/proc/meminfo in bytes; counts of pages as they are."""
    return _meminfo(read(root / "proc/meminfo") or "MemTotal: 0 kB\nMemFree: 0 kB")


def read_hugepages(root: Path) -> dict[int, str]:
    """Mount points of hugetlbfs by page size in bytes; of several for a size the first."""
    default = read_memory(root).get("Hugepagesize", 0)
    found: dict[int, str] = {}
    for line in (read(root / "proc/mounts") or "").splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "hugetlbfs":
            sizes = [option.partition("=")[2] for option in options.split(",") if option.startswith("pagesize=")]
            found.setdefault(size(sizes[0]) if sizes else default, place.replace("\\040", " "))
    return found


def numbers(text: str) -> list[int]:
    """A list as the kernel writes it: 0-3,8 is 0 1 2 3 8."""
    found: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first:
            found += range(int(first), int(last or first) + 1)
    return found


def size(text: str) -> int:
    """A size as mount options have it: 2M, 1024M, 1G, 2048k, or plain bytes."""
    factor = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}.get(text[-1:].lower())
    return int(text[:-1]) * factor if factor else int(text)


def read(path: Path) -> str | None:
    """The text of a file of the kernel's, None if it is not there or not ours to read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def _place(root: Path, cpu: int) -> tuple[str, str]:
    """Package and core of a CPU; numbers of cores repeat in each package, and on some machines in each die."""
    folder = root / CPUS / f"cpu{cpu}/topology"
    return read(folder / "physical_package_id") or "0", read(folder / "core_id") or str(cpu)


def node_folders(root: Path) -> dict[int, Path]:
    """Folders of the NUMA nodes by number."""
    folders = {int(folder.name[4:]): folder for folder in (root / NODES).glob("node[0-9]*")}
    return dict(sorted(folders.items()))


def _node(number: int, folder: Path) -> NumaNode:
    memory = node_memory(number, folder).get("MemTotal", 0)
    distances = tuple(map(int, (read(folder / "distance") or "").split()))
    return NumaNode(
        number, memory, tuple(numbers(read(folder / "cpulist") or "")), distances, _pages(folder / "hugepages")
    )


def node_memory(number: int, folder: Path) -> dict[str, int]:
    """The memory of a node as /proc/meminfo tells the host's, bytes."""
    return _meminfo((read(folder / "meminfo") or "").replace(f"Node {number} ", ""))


def pools(folder: Path) -> dict[int, Path]:
    """Folders of the pools of huge pages by page size in bytes: hugepages-2048kB."""
    found = {int(pool.name[len("hugepages-") : -len("kB")]) * KIB: pool for pool in folder.glob("hugepages-*kB")}
    return dict(sorted(found.items()))


def _pages(folder: Path) -> dict[int, int]:
    """Huge pages of each size in a pool: hugepages-2048kB/nr_hugepages."""
    return {page: int(read(pool / "nr_hugepages") or 0) for page, pool in pools(folder).items()}


def _meminfo(text: str) -> dict[str, int]:
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        count, *unit = value.split()
        found[name] = int(count) * (KIB if unit else 1)
    return found
