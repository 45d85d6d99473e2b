"""A tree of files that stands in for another machine."""

from __future__ import annotations

from pathlib import Path

from frontinus.linux import topology


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def server(root: Path, *, sockets: int = 2, cores: int = 4, threads: int = 2) -> Path:
    """A machine with a NUMA node in each socket."""
    per_socket = cores * threads
    files = {
        f"{topology.CPUS}/online": f"0-{sockets * per_socket - 1}",
        "proc/meminfo": "MemTotal: 8388608 kB\nMemFree: 1024 kB\nHugePages_Total: 7\nHugepagesize: 2048 kB",
        "proc/cpuinfo": "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: A: fine CPU\n"
        "cpu MHz\t\t: 2599.98\n\nprocessor\t: 1",
        "proc/mounts": "none /dev/huge\\040pages hugetlbfs rw,relatime,pagesize=2M 0 0\n"
        "none /mnt/1g hugetlbfs rw,pagesize=1024M 0 0\nnone /mnt/again hugetlbfs rw,pagesize=2M 0 0\n/dev/a / ext4 rw 0 0",
    }
    for cpu in range(sockets * per_socket):
        topo = f"{topology.CPUS}/cpu{cpu}/topology"
        files[f"{topo}/physical_package_id"] = str(cpu // per_socket)
        files[f"{topo}/core_id"] = str(cpu % per_socket // threads)
    for node in range(sockets):
        folder = f"{topology.NODES}/node{node}"
        files[f"{folder}/meminfo"] = f"Node {node} MemTotal: {2048 + node} kB\nNode {node} MemFree: 1 kB"
        files[f"{folder}/cpulist"] = f"{node * per_socket}-{(node + 1) * per_socket - 1}"
        files[f"{folder}/distance"] = "10 21" if node == 0 else "21 10"
        files[f"{folder}/hugepages/hugepages-2048kB/nr_hugepages"] = str(5 + node)
        files[f"{folder}/hugepages/hugepages-1048576kB/nr_hugepages"] = "0"
    return tree(root, files)
