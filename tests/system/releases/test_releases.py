"""Other releases of QEMU: each is probed, and shows ten guests the same hardware as the installed one does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

import releases
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.complete import complete
from frontinus.domain.definition import parse_guest
from frontinus.domain.guest import Guest
from frontinus.domain.host import Paths
from frontinus.linux.host import probe_facts
from frontinus.qemu.caps.probe import DEVICES, probe
from frontinus.qemu.caps.replies import from_sessions
from frontinus.qemu.caps.transcript import read
from frontinus.qemu.caps.user import probe_user
from frontinus.qemu.driver import QemuHypervisor
from support.releases import SUITES, Hardware, compare, emulator, hardware
from support.started import paths_in, started
from support.ten_guests import GUESTS, PC, Q35, document, nics

INSTALLED = "/usr/bin/qemu-system-x86_64"


@pytest.fixture(scope="module", params=SUITES)
def other(request: pytest.FixtureRequest) -> Path:
    """The emulator of another release."""
    return emulator(request.param)


@pytest.fixture(scope="module")
def caps(other: Path) -> Capabilities:
    return from_sessions(read(probe(str(other), probe_user())), str(other))


def test_it_is_probed(other: Path, caps: Capabilities) -> None:
    suite = other.parent.name
    assert caps.emulator == str(other) and caps.arch == "x86_64" and caps.tcg
    assert suite == "sid" or ".".join(map(str, caps.version)).startswith(releases.SUITES[suite] + ".")
    assert all(caps.canonical_machine(name) is not None for name in (PC, Q35))
    assert len(set(DEVICES) & set(caps.properties)) > len(DEVICES) * 0.8
    assert caps.cpu_models["tcg"] and caps.has_command("query-pci")


def defined(paths: Paths, machine: str, devices: str, parts: Mapping[str, str]) -> Guest:
    """The guest as the installed release completes it: that is what is stored and moves from host to host."""
    caps = asyncio.run(QemuHypervisor(INSTALLED, paths).capabilities())
    return complete(parse_guest(document(machine, devices, parts)), caps, probe_facts(paths))


def make_files(guest: Guest, place: Path) -> None:
    """What the guest's disks and memory devices stand on."""
    sizes = {each.source.file: 1 for each in guest.devices.disks if each.source and each.source.file}
    (place / "share").mkdir(exist_ok=True)
    (place / "share").chmod(0o777)
    for path, size in {**sizes, f"{place}/nvdimm": 128, f"{place}/pmem": 16}.items():
        with Path(path).open("wb") as file:
            file.truncate(size << 20)


async def seen(definition: Guest, emulator: str, paths: Paths, number: int) -> Hardware:
    """Start the guest on a release, look at it, end it."""
    async with started(definition, emulator, paths, number) as running:
        return await hardware(running)


@pytest.mark.parametrize("name", GUESTS)
def test_a_guest_sees_the_same_hardware(other: Path, place: Path, name: str) -> None:
    machine, devices, parts = GUESTS[name]
    paths = paths_in(place)
    guest = defined(paths, machine, devices.replace("{place}", str(place)), parts)
    make_files(guest, place)
    here = asyncio.run(seen(guest, INSTALLED, paths, 1))
    there = asyncio.run(seen(guest, str(other), paths, 2))
    assert here["pci"] and here["cpus"] and len(here["cpu 0"]) > 50
    found = compare(here, there)
    assert not found, "\n".join(found)


def test_another_machine_is_noticed(place: Path) -> None:
    """The comparison above would be worth nothing if it saw no difference between two guests."""
    paths = paths_in(place)
    one, other = (
        asyncio.run(seen(defined(paths, PC, nics(model), {}), INSTALLED, paths, 1)) for model in ("e1000", "rtl8139")
    )
    assert {line.partition(":")[0] for line in compare(one, other)} == {"devices", "pci"}
