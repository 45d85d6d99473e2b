"""pywbem, pywbemcli and sblim's wbemcli: each leads a real guest through its life, and walks every class while it runs."""

from __future__ import annotations

import asyncio
import os
import re
import select
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest
from pywbem import CIMInstanceName, Uint16

from guest_image import GuestImage
from support.cim import PASSWORD, Provider, provider
from support.real import daemon, guest_image, place
from trial import Daemon

__all__ = ["daemon", "guest_image", "place"]
pytestmark = [pytest.mark.needs("root", "qemu-system-x86_64", "wbemcli"),
              pytest.mark.filterwarnings("ignore::pywbem.ToleratedServerIssueWarning")]  # fmt: skip
MANAGEMENT = "KVM_VirtualSystemManagementService"
SPACES = ("root/virt", "root/interop", "root/cimv2")
ENABLED, DISABLED, SHUT_DOWN, QUIESCE, RESET = 2, 3, 4, 9, 11
Counts = Mapping[tuple[str, str], int]
"""Instances by namespace and class."""


class Client(Protocol):
    """What a client has to be able to do. Methods are given texts, as a command line has them, and answer what they return."""

    async def call(self, path: CIMInstanceName, method: str, **given: str | list[str]) -> int: ...

    async def value(self, path: CIMInstanceName, name: str) -> int: ...

    async def walk(self, wanted: Counts) -> Counts:
        """How many instances of each class are there; every one of them is looked at, where it can be."""
        ...


class ByPywbem:
    def __init__(self, cim: Provider) -> None:
        self._cim = cim

    async def call(self, path: CIMInstanceName, method: str, **given: str | list[str]) -> int:
        typed = {name: Uint16(text) if name == "RequestedState" else text for name, text in given.items()}
        if "AffectedSystem" in typed:
            typed["AffectedSystem"] = CIMInstanceName.from_wbem_uri(str(typed["AffectedSystem"]))
        value, _ = await self._cim.ask("InvokeMethod", method, path, **typed)
        return int(value)

    async def value(self, path: CIMInstanceName, name: str) -> int:
        return int((await self._cim.ask("GetInstance", path, PropertyList=[name]))[name])

    async def walk(self, wanted: Counts) -> Counts:
        return await asyncio.to_thread(self._walk, wanted)

    def _walk(self, wanted: Counts) -> Counts:
        """Each instance again by its path (of associations the first), and once of each class what it is associated with."""
        found = {}
        connection = self._cim.connection()
        try:
            for space, cls in wanted:
                instances = connection.EnumerateInstances(cls, namespace=space)
                found[space, cls] = len(instances)
                for instance in instances if cls in self._cim.service.registry.kinds else instances[:1]:
                    again = connection.GetInstance(instance.path)
                    assert again.path.keybindings == instance.path.keybindings
                    assert set(again.properties) == set(instance.properties), instance.path
                if instances and cls not in self._cim.service.registry.links:
                    pairs = connection.References(instances[0].path)
                    near = connection.Associators(instances[0].path)
                    assert bool(pairs) or not near, instances[0].path
        finally:
            connection.close()
        return found


class Command:
    """A client that is a program."""

    async def run(self, argv: list[str], feed: str | None = None) -> str:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "COLUMNS": "500", "PYWBEMCLI_WARN": "0", "PYTHONWARNINGS": "ignore"})  # fmt: skip
        said, _ = await asyncio.wait_for(process.communicate((feed or "").encode()), 120)
        assert process.returncode == 0, said.decode()
        return said.decode()


class ByPywbemcli(Command):
    """Walks in one session, which reads commands from its standard input: each start of the program costs half a second."""

    def __init__(self, cim: Provider) -> None:
        self._argv = [str(Path(sys.executable).with_name("pywbemcli")), "-s", f"https://127.0.0.1:{cim.port}", "-u", "admin",
                      "-p", PASSWORD, "--no-verify", "-d", "root/virt"]  # fmt: skip

    async def call(self, path: CIMInstanceName, method: str, **given: str | list[str]) -> int:
        words = [f"{name}={','.join(text) if isinstance(text, list) else text}" for name, text in given.items()]
        options = [word for text in words for word in ("-p", text)]
        said = await self.run([*self._argv, "instance", "invokemethod", _local(path), method, *options])
        return int(re.findall(r"^ReturnValue=(\d+)", said, re.MULTILINE)[0])

    async def value(self, path: CIMInstanceName, name: str) -> int:
        said = await self.run([*self._argv, "instance", "get", _local(path), "--pl", name])
        return int(re.findall(rf"^ *{name} = (\d+);", said, re.MULTILINE)[0])

    async def walk(self, wanted: Counts) -> Counts:
        lines = [f"instance enumerate {cls} -n {space} -s" for space, cls in wanted]
        said = await self.run(self._argv, "\n".join(lines) + "\n")
        counts = [int(number) for number in re.findall(r"(\d+) (?:CIMInstance\(s\)|objects) returned", said)]
        assert len(counts) == len(wanted), said[-3000:]
        return dict(zip(wanted, counts, strict=True))


class ByWbemcli(Command):
    """Calls methods by cmx, which shows the answer as it came: its cm fails at arrays of references in answers."""

    def __init__(self, cim: Provider) -> None:
        self._url, self._turns = cim.url(), asyncio.Semaphore(3)
        self._associations = cim.service.registry.links

    async def call(self, path: CIMInstanceName, method: str, **given: str | list[str]) -> int:
        words = [f"{name}={','.join(text) if isinstance(text, list) else text}" for name, text in given.items()]
        said = await self._ask("cmx", path.namespace, _local(path), f"{method}.{','.join(words)}")
        return int(re.findall(r"<RETURNVALUE[^>]*>\s*<VALUE>(\d+)", said)[0])

    async def value(self, path: CIMInstanceName, name: str) -> int:
        return int(await self._ask("gp", path.namespace, _local(path), name))

    async def walk(self, wanted: Counts) -> Counts:
        async with asyncio.TaskGroup() as group:
            tasks = {one: group.create_task(self._class(*one)) for one in wanted}
        return {one: task.result() for one, task in tasks.items()}

    async def _class(self, space: str, cls: str) -> int:
        """The paths of all instances of a class, all of the first one, and what that is associated with."""
        paths = (await self._ask("ein", space, cls)).splitlines()
        whole = await self._ask("ei", space, cls)
        assert bool(paths) == bool(whole.strip()), (cls, whole[:300])
        if paths and cls not in self._associations:  # paths of which it shows, but does not read
            first = paths[0].partition(f"/{space}:")[2]
            assert await self._ask("gi", space, first)
            await self._ask("ain", space, first)
        return len(paths)

    async def _ask(self, operation: str, space: str, about: str, *words: str) -> str:
        async with self._turns:
            return await self.run(["wbemcli", "-nl", "-noverify", operation, f"{self._url}/{space}:{about}", *words])


def _local(path: CIMInstanceName) -> str:
    """A path as command lines take it."""
    keys = ",".join(f'{name}="{value}"' for name, value in path.keybindings.items())
    return f"{path.classname}.{keys}"


CLIENTS: list[type[Any]] = [ByPywbem, ByPywbemcli, ByWbemcli]
WHOLE = (
    "instance of KVM_VirtualSystemSettingData {{ VirtualSystemIdentifier = \"{name}\"; Machine = \"q35\"; Arch = \"x86_64\"; "
    "EnableACPI = true; Kernel = \"{kernel}\"; Ramdisk = \"{initrd}\"; CommandLine = \"{cmdline}\"; "
    "VirtualSystemType = \"QEMU\"; }};"
)  # fmt: skip
PARTS = [
    f"instance of KVM_{kind}ResourceAllocationSettingData {{ {values} }};"
    for kind, values in (
        ("Mem", 'VirtualQuantity = 192; AllocationUnits = "byte*2^20";'),
        ("Proc", "VirtualQuantity = 1;"),
        ("Disk", 'Address = "DISK"; VirtualDevice = "vda"; BusType = "virtio";'),
        ("Net", 'NetworkType = "user"; ResourceSubType = "virtio";'),
        ("Console", 'SourceType = "pty";'),
        ("Graphics", 'ResourceSubType = "vnc"; Address = "127.0.0.1:-1";'),
    )
]


@pytest.fixture
async def cim(daemon: Daemon, place: Path, tmp_path: Path) -> AsyncIterator[Provider]:
    async with provider(tmp_path, daemon.socket, max_age=0.5) as made:
        yield made


def guest(name: str) -> CIMInstanceName:
    keys = {"CreationClassName": "KVM_ComputerSystem", "Name": name}
    return CIMInstanceName("KVM_ComputerSystem", keys, namespace="root/virt")


async def becomes(client: Client, name: str, wanted: int) -> None:
    async with asyncio.timeout(90):
        while True:
            if await client.value(guest(name), "EnabledState") == wanted:
                return
            await asyncio.sleep(0.3)


async def counts(cim: Provider) -> Counts:
    """Every class of which there could be instances, and how many there are by the provider's own account."""
    found = {}
    await cim.world.settled()
    await cim.world.refresh()
    for space in SPACES:
        for name in await cim.ask("EnumerateClassNames", DeepInheritance=True, namespace=space):
            registry = cim.service.registry
            if name in registry.kinds or name in registry.links:
                nodes = sum(len(list(kind.every(cim.world))) for kind in registry.below(name, space))
                found[space, name] = nodes + sum(
                    len(list(registry.all_pairs(cim.world, link))) for link in registry.links_below(name, space)
                )
    return found


def read_until(descriptor: int, words: bytes) -> None:
    said, end = b"", time.monotonic() + 120
    with os.fdopen(descriptor, "rb", buffering=0) as console:
        while words not in said and time.monotonic() < end:
            readable, _, _ = select.select([console], [], [], 1)
            said += console.read(4096) or b"" if readable else b""
    assert words in said, said[-500:]


@pytest.mark.parametrize("kind", CLIENTS, ids=lambda kind: kind.__name__)
async def test_a_client_leads_a_guest_and_walks_every_class(
    kind: type[Any], cim: Provider, daemon: Daemon, place: Path, guest_image: GuestImage
) -> None:
    client: Client = kind(cim)
    (place / "disk.img").write_bytes(bytes(2**20))
    for name, source in (("kernel", guest_image.kernel), ("initrd", guest_image.initrd)):
        (place / name).write_bytes(source.read_bytes())
    (service,) = await cim.ask("EnumerateInstanceNames", MANAGEMENT)
    name = "led"
    whole = WHOLE.format(
        name=name, kernel=place / "kernel", initrd=place / "initrd", cmdline=guest_image.cmdline("idle")
    )
    parts = [part.replace("DISK", str(place / "disk.img")) for part in PARTS]

    async def ask_for(state: int) -> None:
        assert await client.call(guest(name), "RequestStateChange", RequestedState=str(state)) in (0, 4096), state

    if kind is ByWbemcli:  # which loses what comes after the first of several embedded instances
        here = f"localhost/root/virt:KVM_VirtualSystemSettingData.InstanceID=KVM:{name}"
        assert await client.call(service, "DefineSystem", SystemSettings=whole, ResourceSettings=parts[:1]) == 0
        for part in parts[1:]:
            more = {"AffectedConfiguration": here, "ResourceSettings": part}
            assert await client.call(service, "AddResourceSettings", **more) == 0
    else:
        assert await client.call(service, "DefineSystem", SystemSettings=whole, ResourceSettings=parts) == 0
    async with daemon.engine() as engine:
        await ask_for(ENABLED)
        for state in (QUIESCE, ENABLED, RESET):
            await ask_for(state)
            await becomes(client, name, ENABLED if state == RESET else state)
        console = await engine.open_console(name, force=True)
        await asyncio.to_thread(read_until, console, b"frontinus-guest: ready")
        wanted = await counts(cim)
        if kind is not ByPywbem:  # a process or a line for each
            wanted = {which: count for which, count in wanted.items() if count}
        assert sum(1 for count in wanted.values() if count) > 90 and wanted["root/virt", "KVM_LogicalDisk"] == 1
        assert await client.walk(wanted) == wanted
        await ask_for(SHUT_DOWN)
        await becomes(client, name, DISABLED)
        await ask_for(ENABLED)
        await ask_for(DISABLED)
        await becomes(client, name, DISABLED)
        system = {
            ByPywbem: f"/root/virt:{_local(guest(name))}",
            ByWbemcli: f"localhost/root/virt:{_local(guest(name))}",
        }.get(kind, f"root/virt:{_local(guest(name))}")
        assert await client.call(service, "DestroySystem", AffectedSystem=system) == 0
        assert not await engine.guests()
    await cim.world.settled()
    assert guest(name) not in await cim.ask("EnumerateInstanceNames", "KVM_ComputerSystem")
