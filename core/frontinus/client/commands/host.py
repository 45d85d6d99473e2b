"""The engine and its host."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from frontinus.api.engine import Engine
from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.client.commands.base import XPATH, Command, Output, arg, flag, read
from frontinus.client.commands.tuning import listed


async def _version(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    version = await engine.version()
    out.value(version)
    out.line(f"Frontinus {version.frontinus}, API {version.api}")
    out.line(f"Running hypervisor: {version.hypervisor} {'.'.join(map(str, version.hypervisor_version))}")


async def _nodeinfo(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    host = await engine.host()
    out.value(host)
    out.pairs([
        ("CPU model", host.cpu_model), ("CPU(s)", host.cpus), ("CPU frequency", f"{host.cpu_mhz} MHz"),
        ("CPU socket(s)", host.sockets), ("Core(s) per socket", host.cores), ("Thread(s) per core", host.threads),
        ("NUMA cell(s)", host.numa_nodes), ("Memory size", f"{host.memory // 1024} KiB"),
    ], width=20)  # fmt: skip


async def _hostname(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.text((await engine.host()).hostname)


async def _capabilities(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.xml(await engine.capabilities(), options)


async def _domcapabilities(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    found = await engine.domain_capabilities(options.emulatorbin, options.arch, options.machine, options.virttype)
    out.xml(found, options)


async def _nodecpustats(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    found = await engine.node_cpu_stats(options.cpu)
    out.value(found)
    rows = [("user", found.user), ("system", found.kernel), ("idle", found.idle), ("iowait", found.iowait)]
    total = sum(value for _, value in rows) or 1
    for name, value in rows:
        out.line(f"{name}:".ljust(15) + (f"{value * 100 / total:5.1f}%" if options.percent else f"{value:>20}"))


async def _nodememstats(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    found = await engine.node_memory_stats(options.cell)
    out.value(found)
    for name in ("total", "free", "buffers", "cached"):
        if (value := getattr(found, name)) is not None:
            out.line(f"{name.ljust(7)}: {value // 1024:>20} KiB")


async def _nodecpumap(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    found = await engine.node_cpu_map()
    out.value(found)
    each = "".join("y" if number in found.online else "-" for number in range(found.present))
    bits = listed(found.online) if options.pretty else each
    out.pairs([("CPUs present", found.present), ("CPUs online", len(found.online)), ("CPU map", bits)])


async def _freecell(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    if options.all:
        nodes = range((await engine.host()).numa_nodes)
        free = [(await engine.node_memory_stats(node)).free for node in nodes]
        out.value(free)
        for node in nodes:
            out.line(f"{node:5d}: {free[node] // 1024:10d} KiB")
        out.line("--------------------")
        out.line(f"Total: {sum(free) // 1024:10d} KiB")
        return
    found = await engine.node_memory_stats(options.cellno)
    out.value(found.free)
    out.line(f"{'Total' if options.cellno is None else options.cellno}: {found.free // 1024} KiB")


def _pages_of(options: argparse.Namespace) -> int | None:
    return None if options.pagesize is None else options.pagesize * 1024


async def _freepages(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    nodes: Sequence[int | None] = range((await engine.host()).numa_nodes) if options.all else [options.cellno]
    found = [await engine.free_pages(node) for node in nodes]
    out.value(found)
    wanted = _pages_of(options)
    for one in found:
        if options.all:
            out.line(f"Node {one.node}:")
        for page, count in sorted(one.pages.items()):
            if wanted in (None, page):
                out.line(f"{page // 1024}KiB: {count}")
        if options.all:
            out.line()


async def _allocpages(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    nodes: Sequence[int | None] = range((await engine.host()).numa_nodes) if options.all else [options.cellno]
    for node in nodes:
        out.value(await engine.allocate_pages(options.pagesize * 1024, options.pagecount, node, options.add))


async def _sysinfo(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.text(await engine.node_sysinfo())


async def _memory_tune(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    from frontinus.api.node import NodeMemoryParameters

    given = {
        name: value for name in ("pages_to_scan", "sleep_millisecs") if (value := getattr(options, name)) is not None
    }
    if options.merge_across_nodes is not None:
        given["merge_across_nodes"] = bool(options.merge_across_nodes)
    if given:
        await engine.set_node_memory_parameters(NodeMemoryParameters(**given))
        return
    found = await engine.node_memory_parameters()
    out.value(found)
    for name in found.__struct_fields__:
        if (value := getattr(found, name)) is not None:
            out.line(f"shm_{name}".ljust(24) + f"{int(value)}")


async def _maxvcpus(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    from lxml import etree

    text = await engine.domain_capabilities(None, None, None, options.type)
    most = etree.fromstring(text.encode()).find("vcpu")
    out.text((most.get("max") if most is not None else None) or "0")


async def _hypervisor_models(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    from lxml import etree

    text = await engine.domain_capabilities(options.emulator, options.arch, options.machine, options.virttype)
    models = etree.fromstring(text.encode()).findall("cpu/mode[@name='custom']/model")
    names = [model.text or "" for model in models if options.all or model.get("usable") != "no"]
    out.value(names)
    for name in names:
        out.line(name)


async def _cpu_models(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    found = await engine.cpu_models(options.arch)
    out.value(found)
    for name in found:
        out.line(name)


COMPARED = {
    "incompatible": "CPU described in {} is incompatible with {}",
    "identical": "CPU described in {} is identical to {}",
    "superset": "{1} is a superset of CPU described in {0}",
}


def _compared(result: str, options: argparse.Namespace, out: Output, provider: str) -> int:
    """The result in virsh's words; an incompatible CPU is a failure, and an error where that was asked for."""
    if options.error and result == "incompatible":
        raise Unsupported(COMPARED[result].format(options.file, provider))
    out.value(result)
    words = COMPARED[result].format(options.file, provider)
    out.line(words[:1].upper() + words[1:])
    return int(result == "incompatible")


async def _cpu_compare(engine: Engine, options: argparse.Namespace, out: Output) -> int:
    return _compared(await engine.compare_cpu(read(options.file)), options, out, "host CPU")


async def _hypervisor_cpu_compare(engine: Engine, options: argparse.Namespace, out: Output) -> int:
    result = await engine.compare_hypervisor_cpu(read(options.file), options.emulator, options.arch, options.machine,
                                                 options.virttype)  # fmt: skip
    return _compared(result, options, out, "the CPU provided by hypervisor on the host")


def _cpus(file: str) -> list[str]:
    """Every <cpu> of a file of documents, one after the other: of hosts, of domain capabilities, or bare."""
    from lxml import etree

    text = re.sub(r"<\?xml[^>]*\?>", "", read(file))
    try:
        root = etree.fromstring(f"<all>{text}</all>".encode(), etree.XMLParser(resolve_entities=False))
    except etree.XMLSyntaxError as error:
        raise InvalidXML(f"{file}: {error}") from None
    inside = ("domainCapabilities", "capabilities", "cpu")
    found = [node for node in root.iter(*inside) if not any(up.tag in inside for up in node.iterancestors())]
    return [etree.tostring(node, encoding="unicode", with_tail=False) for node in found]


async def _cpu_baseline(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.text(await engine.baseline_cpu(_cpus(options.file), options.features, options.migratable))


async def _hypervisor_cpu_baseline(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.text(await engine.baseline_hypervisor_cpu(_cpus(options.file), options.emulator, options.arch, options.machine,
                                                  options.virttype, options.features, options.migratable))  # fmt: skip


HYPERVISOR = (arg("--virttype"), arg("--emulator", complete="file"), arg("--arch"), arg("--machine"))
STRICT = (flag("--error", help="tell of an incompatible CPU as of an error"), flag("--validate", help="as always"))

COMMANDS = (
    Command("version", "show versions", (flag("--daemon", help="of the engine, as always"),), _version),
    Command("nodeinfo", "show what the host is", (), _nodeinfo),
    Command("hostname", "print the host's name", (), _hostname),
    Command("capabilities", "print the host's capabilities as XML", XPATH, _capabilities),
    Command("domcapabilities", "print what guests can have as XML", (
        arg("--virttype"), arg("--emulatorbin", complete="file"), arg("--arch"), arg("--machine"), *XPATH), _domcapabilities),
    Command("nodecpustats", "show the time of the host's CPUs", (
        arg("cpu", nargs="?", type=int), flag("--percent")), _nodecpustats),
    Command("nodememstats", "show the host's memory", (arg("cell", nargs="?", type=int),), _nodememstats),
    Command("nodecpumap", "show which CPUs of the host are online", (flag("--pretty", help="as a list"),), _nodecpumap),
    Command("freecell", "show the host's free memory", (
        arg("cellno", nargs="?", type=int), flag("--all", help="of every node")), _freecell),
    Command("freepages", "show free pages of the host by their size", (
        arg("--cellno", type=int, help="of one NUMA node"), arg("--pagesize", type=int, help="KiB"),
        flag("--all", help="of every node")), _freepages),
    Command("allocpages", "set how many huge pages the host keeps", (
        arg("pagesize", type=int, help="KiB"), arg("pagecount", type=int), arg("--cellno", type=int, help="on one NUMA node"),
        flag("--add", help="so many more"), flag("--all", help="on every node")), _allocpages),
    Command("sysinfo", "print the host's SMBIOS data as XML", (), _sysinfo),
    Command("node-memory-tune", "show or set the merging of same pages", (
        arg("--shm-pages-to-scan", dest="pages_to_scan", type=int),
        arg("--shm-sleep-millisecs", dest="sleep_millisecs", type=int),
        arg("--shm-merge-across-nodes", dest="merge_across_nodes", type=int, help="0 or 1")), _memory_tune),
    Command("cpu-models", "list the CPU models of an architecture", (arg("arch"),), _cpu_models),
    Command("maxvcpus", "print how many vCPUs a guest can have", (arg("type", nargs="?", help="kvm or qemu"),), _maxvcpus),
    Command("hypervisor-cpu-models", "list the CPU models that guests can have here", (
        *HYPERVISOR, flag("--all", help="those too that this host lacks something for")), _hypervisor_models),
    Command("cpu-compare", "compare a CPU with the host's", (arg("file", complete="file"), *STRICT), _cpu_compare),
    Command("cpu-baseline", "what CPUs have in common", (
        arg("file", complete="file"), flag("--features"), flag("--migratable")), _cpu_baseline),
    Command("hypervisor-cpu-compare", "compare a CPU with what guests can have here", (
        arg("file", complete="file"), *HYPERVISOR, *STRICT), _hypervisor_cpu_compare),
    Command("hypervisor-cpu-baseline", "what guests can have on several hosts", (
        arg("file", complete="file"), *HYPERVISOR, flag("--features"), flag("--migratable")), _hypervisor_cpu_baseline),
)  # fmt: skip
