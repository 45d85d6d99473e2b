"""The engine and its host."""

from __future__ import annotations

import argparse

from frontinus.api.engine import Engine
from frontinus.client.commands.base import Command, Output, arg


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
    ])  # fmt: skip


async def _hostname(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.text((await engine.host()).hostname)


async def _capabilities(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.text(await engine.capabilities())


async def _domcapabilities(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.text(await engine.domain_capabilities(options.emulatorbin, options.arch, options.machine, options.virttype))


COMMANDS = (
    Command("version", "show versions", (), _version),
    Command("nodeinfo", "show what the host is", (), _nodeinfo),
    Command("hostname", "print the host's name", (), _hostname),
    Command("capabilities", "print the host's capabilities as XML", (), _capabilities),
    Command("domcapabilities", "print what guests can have as XML", (
        arg("--emulatorbin", complete="file"), arg("--arch"), arg("--machine"), arg("--virttype")), _domcapabilities),
)  # fmt: skip
