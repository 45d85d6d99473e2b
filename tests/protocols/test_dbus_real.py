"""A real QEMU guest driven through its life over D-Bus, by the tools that scripts use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from guest_image import GuestImage
from support.bus import Bus, Signals, ask, data, listen, program
from support.real import daemon, guest_image, place
from trial import Daemon

__all__ = ["daemon", "guest_image", "place"]
pytestmark = pytest.mark.needs("root", "qemu-system-x86_64", "dbus-daemon", "busctl", "gdbus")
UUID = "22222222-3333-4444-5555-666666666666"
PATH = "/org/libvirt/QEMU/domain/_22222222_3333_4444_5555_666666666666"
XML = """<domain type='qemu'>
  <name>bused</name><uuid>{uuid}</uuid><memory unit='MiB'>192</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}</kernel><initrd>{initrd}</initrd><cmdline>{cmdline}</cmdline></os>
  <features><acpi/></features>
  <devices>
    <disk type='file'><driver name='qemu' type='raw'/><source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
    <interface type='user'><model type='virtio'/></interface>
    <serial type='pty'/><video><model type='vga'/></video><graphics type='vnc' autoport='yes'/>
  </devices>
</domain>"""
RNG = "<rng model='virtio'><backend model='random'>/dev/urandom</backend><alias name='ua-luck'/></rng>"


@pytest.fixture
async def bus(place: Path, daemon: Daemon) -> AsyncIterator[Bus]:
    """A bus with the service of a real engine on it."""
    bus = Bus(place)
    await bus.start()
    sockets = ["--socket", str(daemon.socket), "--monitor-socket", str(daemon.monitor_socket)]
    try:
        async with program(bus, place, "--session", *sockets):
            await bus.named("org.libvirt")
            yield bus
    finally:
        await bus.stop()


def definition(place: Path, image: GuestImage) -> str:
    (place / "disk.img").write_bytes(bytes(2**20))
    for name, source in (("kernel", image.kernel), ("initrd", image.initrd)):
        (place / name).write_bytes(source.read_bytes())
    return XML.format(uuid=UUID, kernel=place / "kernel", initrd=place / "initrd", disk=place / "disk.img",
                      cmdline=image.cmdline("idle"))  # fmt: skip


async def told(signals: Signals, *body: object) -> None:
    """Wait for the event of a guest that begins so."""
    while (await signals.next("DomainEvent")).body[: len(body)] != list(body):
        pass


async def test_a_real_guest_lives_on_the_bus(bus: Bus, place: Path, guest_image: GuestImage) -> None:
    async def busctl(path: str, interface: str, member: str, *words: str) -> object:
        call = ["call", "org.libvirt", path, f"org.libvirt.{interface}", member]
        code, said = await bus.busctl("--json=short", *call, *words)
        assert code == 0, said
        return data(said)[0] if said else None  # type: ignore[index]

    async def gdbus(member: str, *words: str) -> str:
        code, said = await bus.gdbus("org.libvirt", PATH, f"org.libvirt.Domain.{member}", *words)
        assert code == 0, said
        return said

    async with bus.client() as client:
        signals = await listen(client, "type='signal',sender='org.libvirt'")
        xml = definition(place, guest_image)
        assert await busctl("/org/libvirt/QEMU", "Connect", "DomainDefineXML", "s", xml) == PATH
        await busctl(PATH, "Domain", "Create", "u", "0")
        await told(signals, PATH, 2, 0)
        assert await busctl(PATH, "Domain", "GetState", "u", "0") == [1, 1]
        stats = await gdbus("GetStats", "0", "0")
        assert "'block.0.name': <<'vda'>>" in stats and "'vcpu.0.time': <<uint64" in stats
        await gdbus("AttachDevice", RNG, "1")
        assert (await signals.next("DeviceAdded")).body == ["ua-luck"]
        assert "ua-luck" in str(await busctl(PATH, "Domain", "GetXMLDesc", "u", "0"))
        await gdbus("SendKey", "0", "0", "[28]", "0")
        await busctl(PATH, "Domain", "Suspend")
        await told(signals, PATH, 3, 0)
        await busctl(PATH, "Domain", "Resume")
        await told(signals, PATH, 4, 0)
        await busctl(PATH, "Domain", "ManagedSave", "u", "0")
        await told(signals, PATH, 5, 4)
        assert await busctl(PATH, "Domain", "HasManagedSaveImage", "u", "0") is True
        await gdbus("Create", "0")
        await told(signals, PATH, 2)
        assert await busctl(PATH, "Domain", "GetState", "u", "0") in ([1, 3], [1, 5])
        await busctl(PATH, "Domain", "Destroy", "u", "0")
        await told(signals, PATH, 5, 1)
        await busctl(PATH, "Domain", "Undefine", "u", "0")
        assert await busctl("/org/libvirt/QEMU", "Connect", "ListDomains", "u", "0") == []


async def test_a_picture_and_a_console_come_as_descriptors(bus: Bus, place: Path, guest_image: GuestImage) -> None:
    guest = f"/org/frontinus1/guest/_{UUID.replace('-', '_')}"
    async with bus.client(fds=True) as client:

        async def call(path: str, member: str, signature: str = "", *body: object) -> list:  # type: ignore[type-arg]
            return await ask(client, "org.frontinus1", path, f"org.frontinus1.{member}", signature, *body)

        await call("/org/frontinus1", "Manager.Define", "sb", definition(place, guest_image), False)
        await call(guest, "Guest.Start", "bb", False, False)
        code, said = await bus.gdbus("org.frontinus1", guest, "org.frontinus1.Guest.Screenshot", "0")
        assert code == 0 and "image/" in said and "handle 0" in said
        code, said = await bus.gdbus("org.frontinus1", guest, "org.frontinus1.Guest.OpenConsole", "", "false")
        assert code == 0 and "handle 0" in said
        await call(guest, "Guest.Destroy", "b", False)
