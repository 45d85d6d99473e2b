"""What a guest can see of its hardware, asked over QMP: the same whatever release of QEMU runs it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

import releases
from frontinus.api.errors import HypervisorFailed
from frontinus.qemu.guest import QemuGuest
from frontinus.qemu.monitor.client import Command

ALL = os.environ.get("FRONTINUS_RELEASES") == "all"
"""Set by `make releases`. Without it the release that is farthest from the installed one stands for the others."""
SUITES = tuple(releases.SUITES) if ALL else ("bullseye",)
REQUIRED = ALL or os.environ.get("FRONTINUS_REQUIRE_SYSTEM") == "1"

SCALARS = re.compile(r"bool|u?int(8|16|32|64)?|str|string|size|OnOffAuto|on/off/auto")
HOST_SIDE = frozenset({
    "acceptlocal", "addr", "aio", "backend_defaults", "bootindex", "cpuid-0xb", "ioeventfd", "hotplugged", "id", "iothread",
    "legacy-addr", "legacy-iothread", "realized", "romfile", "parent_bus", "type", "werror", "rerror", "x-disable-pcie",
    "rombar", "failover_pair_id", "share-rw", "vhost", "vhostfd", "x-txtimer", "x-txburst", "tx", "emulator",
})  # fmt: skip
"""Properties that say how the host serves a device, not what the guest sees of it."""
SAID_OTHERWISE = frozenset({"hv-vendor-id", "ht", "xres", "yres"})
"""What QEMU itself says anew for old machine types. The vendor is only seen with Hyper-V's features, and ht was set for
several cores when the guest asked; only the picture's preferred size did change, from 1024x768 to 1280x800 in 7.0."""
UNSAID = {"logical_block_size": 0, "physical_block_size": 0}
"""Values that stand for the default."""

PATIENCE = 120.0
"""Seconds for some hundred answers, on a machine that has other work."""

Hardware = Mapping[str, Any]


def emulator(suite: str) -> Path:
    """The emulator of another release; unpacked where it is required, and the test is skipped where it cannot be had."""
    found = releases.cached(suite)
    if found is None and not REQUIRED:
        pytest.skip(f"the QEMU of {suite} is not unpacked: `make releases` does that")
    try:
        return found or releases.emulator(suite)
    except releases.ReleaseError as error:
        pytest.skip(str(error))


async def answers(guest: QemuGuest, commands: Iterable[Command]) -> list[Any]:
    """The decoded answers; None for a command that was refused."""
    found: list[Any] = []
    for answer in await guest.monitor.execute_many(list(commands), deadline=PATIENCE):
        try:
            found.append(answer.value(object))
        except HypervisorFailed:
            found.append(None)
    return found


async def hardware(guest: QemuGuest) -> Hardware:
    """All that is compared, by name: PCI, CPUs, memory, and the scalar properties of every device and of the CPU."""
    pci, cpus, modules, fast, named = await answers(guest, [
        Command("query-pci"), Command("query-hotpluggable-cpus"), Command("query-memory-devices"),
        Command("query-cpus-fast"), Command("qom-list", {"path": "/machine/peripheral"}),
    ])  # fmt: skip
    paths = {entry["name"]: f"/machine/peripheral/{entry['name']}" for entry in named if entry["name"] != "type"}
    paths["machine"] = "/machine"
    paths |= {f"cpu {n}": cpu["qom-path"] for n, cpu in enumerate(fast)}
    found: dict[str, Any] = {
        "devices": sorted((entry["name"], entry["type"]) for entry in named),
        "pci": [_function(device) for bus in pci for device in bus["devices"]],
        "cpus": sorted((sorted(cpu["props"].items()), "qom-path" in cpu, cpu["type"]) for cpu in cpus),
        "memory": [(m["type"], {k: v for k, v in m["data"].items() if k != "memdev"}) for m in modules],
    }
    return found | {name: await _properties(guest, path) for name, path in paths.items()}


def _function(device: Mapping[str, Any]) -> Mapping[str, Any]:
    """One PCI function: what it is, where it is, what it maps, what is behind it."""
    return {
        "at": (device["bus"], device["slot"], device["function"]),
        "class": device["class_info"].get("class"),
        "id": device["id"],
        "name": device["qdev_id"],
        "pin": device.get("irq_pin"),
        "regions": [{k: v for k, v in region.items() if k != "address"} for region in device["regions"]],
        "behind": [_function(other) for other in device.get("pci_bridge", {}).get("devices", [])],
    }


async def _properties(guest: QemuGuest, path: str) -> Mapping[str, Any]:
    (listed,) = await answers(guest, [Command("qom-list", {"path": path})])
    names = [p["name"] for p in listed if SCALARS.fullmatch(p["type"]) and p["name"] not in HOST_SIDE | SAID_OTHERWISE]
    values = await answers(guest, [Command("qom-get", {"path": path, "property": name}) for name in names])
    return {name: _plain(name, value) for name, value in zip(names, values, strict=True)}


def _plain(name: str, value: Any) -> Any:
    """A value that can be compared: some releases have two words for what others say in three. None: left to QEMU."""
    if UNSAID.get(name) == value:
        return None
    return {"on": True, "off": False, "auto": None}.get(value, value) if isinstance(value, str) else value


def compare(one: Hardware, other: Hardware) -> list[str]:
    """Where two differ; of properties, those that both releases have."""
    found = [f"{name}: only in one" for name in one.keys() ^ other.keys()]
    for name in one.keys() & other.keys():
        a, b = one[name], other[name]
        if isinstance(a, Mapping):
            found += [
                f"{name}: {key} is {a[key]!r} and {b[key]!r}" for key in a.keys() & b.keys() if differ(a[key], b[key])
            ]
        elif a != b:
            found.append(f"{name}: {a!r} and {b!r}")
    return sorted(found)


def differ(one: Any, other: Any) -> bool:
    """Whether two values of a property are not the same; what one leaves to QEMU the other may say."""
    return one is not None and other is not None and bool(one != other)
