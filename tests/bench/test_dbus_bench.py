"""The D-Bus service with 1000 defined guests of a real engine: what it answers a second, what a call costs it.

Where FRONTINUS_LIBVIRT_CHROOT names a folder with Debian's libvirt-daemon-system and libvirt-dbus, they are measured beside it, in
namespaces of their own, by the same client and in turn. Printed, never asserted: machines differ.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

from support.bus import Bus, ask, program
from trial import Daemon

GUESTS = int(os.environ.get("GUESTS", "1000"))
ROUNDS = 5
SECONDS = 0.6
"""How long a single method is called, a round."""
SUBSCRIBERS = 100
SIGNALS = 50
CHROOT = os.environ.get("FRONTINUS_LIBVIRT_CHROOT", "")
XML = """<domain type='qemu'><name>bench{number:04d}</name><uuid>{number:08x}-1111-2222-3333-444444444444</uuid>
<memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file'><driver name='qemu' type='raw'/><source file='/var/tmp/{number}.img'/><target dev='vda' bus='virtio'/></disk>
<interface type='user'><mac address='52:54:00:00:{high:02x}:{low:02x}'/><model type='virtio'/></interface></devices></domain>"""
PROPERTIES = "org.freedesktop.DBus.Properties"


@dataclass
class Side:
    """One of the two services: its bus, and the pid whose CPU is counted."""

    name: str
    address: str
    pid: int

    def cpu(self) -> float:
        """Seconds on a CPU of the service's process, all its threads (proc(5), schedstat)."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def path(number: int) -> str:
    return f"/org/libvirt/QEMU/domain/_{number:08x}_1111_2222_3333_444444444444"


CALLS: dict[str, Callable[[int], tuple[str, str, str, list[object]]]] = {
    "Get(Name)": lambda n: (path(n), f"{PROPERTIES}.Get", "ss", ["org.libvirt.Domain", "Name"]),
    "GetAll": lambda n: (path(n), f"{PROPERTIES}.GetAll", "s", ["org.libvirt.Domain"]),
    "GetXMLDesc": lambda n: (path(n), "org.libvirt.Domain.GetXMLDesc", "u", [0]),
    "ListDomains": lambda n: ("/org/libvirt/QEMU", "org.libvirt.Connect.ListDomains", "u", [0]),
}


async def rate(side: Side, client: MessageBus, call: str) -> tuple[float, float]:
    """Calls a second, one after the other, and CPU seconds of the service a call."""
    make, done, cpu, began = CALLS[call], 0, side.cpu(), time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        place, method, signature, body = make(done % GUESTS)
        await ask(client, "org.libvirt", place, method, signature, *body)
        done += 1
    return done / (time.perf_counter() - began), (side.cpu() - cpu) / done


async def define(client: MessageBus) -> None:
    for number in range(GUESTS):
        xml = XML.format(number=number, high=number >> 8, low=number & 255)
        await ask(client, "org.libvirt", "/org/libvirt/QEMU", "org.libvirt.Connect.DomainDefineXML", "s", xml)


@contextlib.asynccontextmanager
async def libvirt(folder: Path) -> AsyncIterator[Side | None]:
    """libvirtd and libvirt-dbus from a chroot, in namespaces of their own, on a bus whose socket we can reach."""
    if not CHROOT:
        yield None
        return
    script = Path(__file__).parents[1] / "support/libvirt_chroot.sh"
    process = await asyncio.create_subprocess_exec(
        "unshare", "--mount", "--net", "--ipc", "--uts", "--pid", "--fork", "--kill-child", "bash", str(script), CHROOT,
        str(folder), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(120):
            while (line := await process.stdout.readline()).strip() != b"ready":
                assert line, "libvirt did not start"
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal() and _is_its(entry)]
        yield Side("libvirt-dbus", f"unix:path={folder / 'bus'}", pids[0])
    finally:
        process.kill()
        await process.wait()


def _is_its(entry: Path) -> bool:
    with contextlib.suppress(OSError):
        return (entry / "comm").read_text().strip() == "libvirt-dbus"
    return False


async def test_a_thousand_guests(daemon: Daemon, place: Path, tmp_path: Path) -> None:
    bus = Bus(place)
    await bus.start()
    sockets = ["--socket", str(daemon.socket), "--monitor-socket", str(daemon.monitor_socket)]
    began = time.perf_counter()
    async with program(bus, place, "--session", *sockets) as service:
        await bus.named("org.libvirt")
        owned = time.perf_counter()
        async with libvirt(tmp_path) as reference:
            await compare(bus, service.pid, reference, owned - began)
    await bus.stop()


async def compare(bus: Bus, pid: int, reference: Side | None, start: float) -> None:
    print(f"\n\n{'from exec to name, s':<34} {start:8.2f}")
    sides = [Side("frontinus", bus.address, pid), *([reference] if reference else [])]
    clients = [await MessageBus(bus_address=side.address).connect() for side in sides]
    for client in clients:
        await define(client)
    for call in CALLS:
        rounds = [[await rate(s, c, call) for s, c in zip(sides, clients, strict=True)] for _ in range(ROUNDS)]
        say(call, [statistics.median(r[i][0] for r in rounds) for i in range(len(sides))],
            [statistics.median(r[i][1] for r in rounds) * 1e6 for i in range(len(sides))])  # fmt: skip
    await world(bus, clients)
    await subscribers(bus, clients[0])
    print(f"{'memory (PSS) of the adapter, MB':<34} {pss(pid):8.1f}   a bare interpreter {await bare():.1f}")
    for client in clients:
        client.disconnect()


def say(what: str, rates: list[float], costs: list[float]) -> None:
    text = f"{what:<34} {rates[0]:8.0f}/s {costs[0]:8.0f} us CPU"
    if len(rates) > 1:
        text += f"   libvirt-dbus {rates[1]:8.0f}/s {costs[1]:8.0f} us"
        text += f"   ratio {rates[0] / rates[1]:6.1f} CPU {costs[0] / costs[1]:.3f}"
    print(text, flush=True)


async def world(bus: Bus, clients: list[MessageBus]) -> None:
    """Everything at once: in one call of ours, by a list and a GetAll each of libvirt-dbus's."""
    ours = [await timed(ask(clients[0], "org.frontinus1", "/org/frontinus1",
                            "org.freedesktop.DBus.ObjectManager.GetManagedObjects")) for _ in range(ROUNDS * 2)]  # fmt: skip
    print(f"{'the whole world in one call, ms':<34} {statistics.median(ours) * 1e3:8.1f}   best {min(ours) * 1e3:.1f}")
    calls = [await timed(_busctl(bus, *words)) for _ in range(ROUNDS) for words in (WORLD, ONE)]
    net = statistics.median(calls[::2]) - statistics.median(calls[1::2])
    print(f"{'the same by busctl, less one call, ms':<34} {net * 1e3:8.1f}")
    for client in clients[1:]:
        print(f"{'libvirt-dbus, a call each, ms':<34} {await timed(_one_by_one(client)) * 1e3:8.1f}", flush=True)


WORLD = ("/org/frontinus1", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
ONE = ("/org/frontinus1", PROPERTIES, "Get", "ss", "org.frontinus1.Manager", "Version")


async def _busctl(bus: Bus, *words: str) -> None:
    """A client in C, that prints what it gets."""
    code, _ = await bus.busctl("call", "org.frontinus1", *words)
    assert code == 0


async def _one_by_one(client: MessageBus) -> None:
    (paths,) = await ask(client, "org.libvirt", "/org/libvirt/QEMU", "org.libvirt.Connect.ListDomains", "u", 0)
    for place in paths:
        await ask(client, "org.libvirt", place, f"{PROPERTIES}.GetAll", "s", "org.libvirt.Domain")


async def timed(call: Awaitable[object]) -> float:
    began = time.perf_counter()
    await call
    return time.perf_counter() - began


def counter(heard: list[int], index: int, done: asyncio.Event) -> Callable[[Message], None]:
    """A handler that counts one client's signals."""

    def count(message: Message) -> None:
        if message.message_type is MessageType.SIGNAL and message.member == "DomainEvent":
            heard[index] += 1
            if sum(heard) == SUBSCRIBERS * SIGNALS:
                done.set()

    return count


async def subscribers(bus: Bus, client: MessageBus) -> None:
    """Whether a hundred clients get every signal."""
    heard = [0] * SUBSCRIBERS
    done = asyncio.Event()
    listeners = []
    for index in range(SUBSCRIBERS):
        listener = await MessageBus(bus_address=bus.address).connect()

        listener.add_message_handler(counter(heard, index, done))
        await ask(listener, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.AddMatch", "s",
                  "type='signal',interface='org.libvirt.Connect'")  # fmt: skip
        listeners.append(listener)
    for number in range(SIGNALS):
        xml = XML.format(number=number, high=number >> 8, low=number & 255).replace("64</memory>", "65</memory>")
        await ask(client, "org.libvirt", "/org/libvirt/QEMU", "org.libvirt.Connect.DomainDefineXML", "s", xml)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(done.wait(), 60)
    print(
        f"{f'signals to {SUBSCRIBERS} clients':<34} {sum(heard)} of {SUBSCRIBERS * SIGNALS}, the least to one: {min(heard)}"
    )
    for listener in listeners:
        listener.disconnect()


def pss(pid: int) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024


async def bare() -> float:
    """PSS of this Python with nothing but asyncio imported."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import asyncio, sys; print(flush=True); sys.stdin.read()",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)  # fmt: skip
    assert process.stdout is not None and process.pid
    await process.stdout.readline()
    size = pss(process.pid)
    process.kill()
    await process.wait()
    return size


pytestmark = [pytest.mark.needs("root", "dbus-daemon"), pytest.mark.timeout(900)]
