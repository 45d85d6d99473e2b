"""pywbem, pywbemcli and sblim's wbemcli walk a running guest and all around it, alike, and see the same."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest
from pywbem import CIMInstanceName

from guest_image import GuestImage
from support.cim import Provider, provider
from support.cim_clients import ByPywbem, ByPywbemcli, ByWbemcli
from support.console import Console
from support.real import daemon, guest_image, place
from trial import Daemon

__all__ = ["daemon", "guest_image", "place"]
pytestmark = [pytest.mark.needs("root", "qemu-system-x86_64", "wbemcli"),
              pytest.mark.filterwarnings("ignore::pywbem.ToleratedServerIssueWarning")]  # fmt: skip
SPACES = ("root/virt", "root/interop", "root/cimv2")
GUEST = """<domain type='qemu'><name>walked</name><memory unit='MiB'>128</memory><vcpu>2</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{place}/kernel</kernel><initrd>{place}/initrd</initrd>
<cmdline>{cmdline}</cmdline></os><features><acpi/></features><cpu mode='maximum'/><devices>
<disk type='file'><driver name='qemu' type='raw'/><source file='{place}/disk.img'/><target dev='vda' bus='virtio'/></disk>
<interface type='user'><mac address='52:54:00:00:0a:01'/><model type='virtio'/></interface>
<graphics type='vnc' port='-1'/><serial type='pty'/></devices></domain>"""


class Where(NamedTuple):
    """A path in a form that all clients' texts can be brought to: keys with the reference that they are within, if any."""

    space: str
    cls: str
    keys: frozenset[tuple[str, str, str]]


Class = tuple[str, str]
"""Namespace and name."""


@dataclass
class Seen:
    """What a client saw: instances by class, the names of properties that say something, what is near, associations read."""

    named: dict[Class, frozenset[Where]] = field(default_factory=dict)
    whole: dict[Where, frozenset[str]] = field(default_factory=dict)
    near: dict[Where, frozenset[Where]] = field(default_factory=dict)
    linked: dict[Class, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """What is to be walked: every class that has instances, with how many; which of them are associations', which abstract."""

    counts: Mapping[Class, int]
    kinds: frozenset[str]
    links: frozenset[str]

    def of_links(self) -> list[Class]:
        return [one for one in self.counts if one[1] in self.links]

    def is_own(self, where: Where) -> bool:
        """Whether every client can get it by its path: not one of an association, whose path has paths in it."""
        return where.cls in self.kinds


class Walker(Protocol):
    """A client that walks, always in the same way."""

    async def walk(self, task: Task) -> Seen: ...


def of_path(path: CIMInstanceName) -> Where:
    keys: set[tuple[str, str, str]] = set()
    for name, value in path.keybindings.items():
        if isinstance(value, CIMInstanceName):
            keys.add((name, "", value.classname))
            keys |= {(name, inner, str(one)) for inner, one in value.keybindings.items()}
        else:
            keys.add(("", name, str(value)))
    return Where(path.namespace, path.classname, frozenset(keys))


class WalksByPywbem(ByPywbem):
    async def walk(self, task: Task) -> Seen:
        return await asyncio.to_thread(self._walk, task)

    def _walk(self, task: Task) -> Seen:
        seen, paths = Seen(), dict[Where, CIMInstanceName]()
        connection = self.cim.connection()
        try:
            for space, cls in task.counts:
                found = {of_path(path): path for path in connection.EnumerateInstanceNames(cls, namespace=space)}
                seen.named[space, cls] = frozenset(found)
                paths |= {where: path for where, path in found.items() if task.is_own(where)}
            for where, path in paths.items():
                properties = connection.GetInstance(path).properties.values()
                seen.whole[where] = frozenset(prop.name for prop in properties if prop.value not in (None, "", []))
                seen.near[where] = frozenset(of_path(other) for other in connection.AssociatorNames(path))
            for space, cls in task.of_links():
                seen.linked[space, cls] = len(connection.EnumerateInstances(cls, namespace=space))
        finally:
            connection.close()
        return seen


class WalksByPywbemcli(ByPywbemcli):
    """Between commands stands one that there is not: the session says so, and what it printed can be told apart."""

    async def walk(self, task: Task) -> Seen:
        seen, texts = Seen(), dict[Where, str]()
        names = await self._session(f"instance enumerate {cls} -n {space} --no" for space, cls in task.counts)
        for one, text in zip(task.counts, names, strict=True):
            found = {
                of_path(CIMInstanceName.from_wbem_uri(line)): line
                for line in text.splitlines()
                if line.startswith("//")
            }
            seen.named[one] = frozenset(found)
            texts |= {where: line.partition(":")[2] for where, line in found.items() if task.is_own(where)}
        whole = await self._session(f"instance get '{texts[where]}' -n {where.space}" for where in texts)
        near = await self._session(f"instance associators '{texts[where]}' -n {where.space} --no" for where in texts)
        for where, got, others in zip(texts, whole, near, strict=True):
            said = re.findall(r"^   (\w+) =\s*(NULL;|\"\";|\{ *\};)?", got, re.MULTILINE)
            seen.whole[where] = frozenset(name for name, nothing in said if not nothing)
            seen.near[where] = frozenset(
                of_path(CIMInstanceName.from_wbem_uri(line)) for line in others.splitlines() if line.startswith("//")
            )
        read = await self._session(f"instance enumerate {cls} -n {space}" for space, cls in task.of_links())
        seen.linked = {one: text.count("instance of ") for one, text in zip(task.of_links(), read, strict=True)}
        return seen

    async def _session(self, commands: Iterable[str]) -> list[str]:
        """What each command printed."""
        lines = [f"{command}\nnext-{number}\n" for number, command in enumerate(commands)]
        said = await self.run(self.argv, "".join(lines))
        printed = re.split(r"Usage:[^\n]*\n+Error: No such command 'next-\d+'\.\n", said)
        assert len(printed) == len(lines) + 1, said[-3000:]
        assert not (errors := re.findall(r"^Error:.*", "".join(printed), re.MULTILINE)), errors[:5]
        return printed[:-1]


class WalksByWbemcli(ByWbemcli):
    """It cannot read paths of associations, which it writes without the colon behind a namespace, but it shows them."""

    PATH = re.compile(r"[^/\s]*/(root/\w+):(\w+)\.(.*)")
    KEY = re.compile(r'(\w+)=(?:localhost/root/(?:virt|interop|cimv2):?((?:KVM|CIM)_\w+)\.|"((?:[^"\\]|\\.)*)")')

    def _place(self, line: str) -> Where:
        found = self.PATH.fullmatch(line.strip())
        assert found is not None, line
        role, keys = "", set[tuple[str, str, str]]()
        for name, cls, value in self.KEY.findall(found[3]):
            if cls:
                role = name
                keys.add((role, "", cls))
            else:
                keys.add((role, name, value))
        return Where(found[1], found[2], frozenset(keys))

    async def walk(self, task: Task) -> Seen:
        seen, own = Seen(), dict[Where, str]()
        for one, text in zip(task.counts, await self._each("ein", task.counts), strict=True):
            found = {self._place(line): line for line in text.splitlines()}
            seen.named[one] = frozenset(found)
            own |= {p: line.partition(f"/{p.space}:")[2].strip() for p, line in found.items() if task.is_own(p)}
        objects = [(where.space, text) for where, text in own.items()]
        whole, near = await self._each("gi", objects), await self._each("ain", objects)
        for where, got, others in zip(own, whole, near, strict=True):
            seen.whole[where] = frozenset(re.findall(r'^-(\w+)=(?!""$).', got, re.MULTILINE))
            seen.near[where] = frozenset(self._place(line) for line in others.splitlines())
        read = await self._each("ei", task.of_links())
        seen.linked = {
            one: len(re.findall(r"^[^-\s]\S*/root/\w+:", text, re.MULTILINE))
            for one, text in zip(task.of_links(), read, strict=True)
        }
        return seen

    async def _each(self, operation: str, objects: Iterable[Class]) -> list[str]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.ask(operation, space, about)) for space, about in objects]
        return [task.result() for task in tasks]


WALKERS = {"pywbem": WalksByPywbem, "pywbemcli": WalksByPywbemcli, "wbemcli": WalksByWbemcli}


async def all_there_is(cim: Provider) -> Task:
    """By the provider's own account."""
    registry, counts = cim.service.registry, dict[Class, int]()
    await cim.world.settled()
    await cim.world.refresh()
    for space in SPACES:
        for name in await cim.ask("EnumerateClassNames", DeepInheritance=True, namespace=space):
            nodes = sum(len(list(kind.every(cim.world))) for kind in registry.below(name, space))
            pairs = sum(len(list(registry.all_pairs(cim.world, link))) for link in registry.links_below(name, space))
            if nodes + pairs:
                counts[space, name] = nodes + pairs
    return Task(counts, frozenset(registry.kinds), frozenset(registry.links))


@pytest.fixture
async def cim(daemon: Daemon, place: Path, tmp_path: Path) -> AsyncIterator[Provider]:
    async with provider(tmp_path, daemon.socket, max_age=0.5) as made:
        yield made


async def test_bounds_are_those_of_this_host_and_its_qemu(cim: Provider, daemon: Daemon) -> None:
    async with daemon.engine() as engine:
        host, most = await engine.host(), re.findall(r"maxCpus=['\"](\d+)", await engine.capabilities())
    found = {
        one["InstanceID"]: one for one in await cim.ask("EnumerateInstances", "KVM_ProcResourceAllocationSettingData")
    }
    assert found["Maximum"]["VirtualQuantity"] == max(map(int, most)) >= 255
    found = {
        one["InstanceID"]: one for one in await cim.ask("EnumerateInstances", "KVM_MemResourceAllocationSettingData")
    }
    assert found["Maximum"]["VirtualQuantity"] == host.memory // 1024 > 0


async def test_three_clients_see_the_same(cim: Provider, daemon: Daemon, place: Path, guest_image: GuestImage) -> None:
    (place / "disk.img").write_bytes(bytes(2**20))
    for name, source in (("kernel", guest_image.kernel), ("initrd", guest_image.initrd)):
        (place / name).write_bytes(source.read_bytes())
    async with daemon.engine() as engine:
        await engine.define(GUEST.format(place=place, cmdline=guest_image.cmdline("idle")))
        await engine.start("walked")
        async with Console(engine, "walked") as console:
            await console.ready()
        task = await all_there_is(cim)
        assert len(task.counts) > 150 and task.counts["root/virt", "KVM_LogicalDisk"] == 1
        seen: dict[str, Seen] = {}
        for name, walker in WALKERS.items():
            began = time.monotonic()
            seen[name] = await walker(cim).walk(task)
            print(f"{name}: {len(seen[name].whole)} instances in {time.monotonic() - began:.1f} s")
    first = seen["pywbem"]
    assert {one: len(found) for one, found in first.named.items()} == task.counts
    assert first.linked == {one: task.counts[one] for one in task.of_links()}
    assert all(first.near[where] for where in first.whole if where.cls == "KVM_ComputerSystem")
    for name, other in seen.items():
        for what in ("named", "whole", "near", "linked"):
            expected, found = getattr(first, what), getattr(other, what)
            assert {key: found.get(key) for key in expected if found.get(key) != expected[key]} == {}, (name, what)
            assert found.keys() == expected.keys(), (name, what)
