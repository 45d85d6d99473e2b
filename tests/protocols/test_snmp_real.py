"""A real QEMU guest seen by net-snmp's clients, through the agent that the daemon itself supervises."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from frontinus_snmp.main import main
from guest_image import GuestImage
from support.real import guest_image, place
from support.snmp import PASSWORDS, VM, parsed, run, v3
from trial import Daemon

__all__ = ["guest_image", "place"]
pytestmark = pytest.mark.needs("root", "qemu-system-x86_64", "snmpbulkwalk", "snmptrapd")
UUID = "e3f3b3a3-f4f4-4555-8666-97979797a7a7"
XML = """<domain type='qemu'>
  <name>polled</name><uuid>{uuid}</uuid><memory unit='MiB'>192</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}</kernel><initrd>{initrd}</initrd><cmdline>{cmdline}</cmdline></os>
  <features><acpi/></features>
  <devices>
    <disk type='file'><driver name='qemu' type='raw'/><source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
    <interface type='user'><mac address='52:54:00:12:34:56'/><model type='virtio'/></interface>
    <serial type='pty'/>
  </devices>
</domain>"""


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def definition(place: Path, image: GuestImage) -> str:
    (place / "disk.img").write_bytes(bytes(2**20))
    for name, source in (("kernel", image.kernel), ("initrd", image.initrd)):
        (place / name).write_bytes(source.read_bytes())
    return XML.format(uuid=UUID, kernel=place / "kernel", initrd=place / "initrd", disk=place / "disk.img",
                      cmdline=image.cmdline("idle"))  # fmt: skip


class Manager:
    """A network manager: polls with snmpbulkwalk, receives with snmptrapd."""

    def __init__(self, port: int, trapped: Path) -> None:
        self.port, self._trapped = port, trapped

    async def walk(self, root: str = VM) -> Mapping[str, str]:
        code, said = await run("snmpbulkwalk", "-On", "-Oe", "-t", "3", *v3(), f"127.0.0.1:{self.port}", root)
        return parsed(said) if code == 0 else {}

    async def sees(self, name: str, value: str) -> Mapping[str, str]:
        """Poll until an object has a value."""
        return await self.until(lambda found: found.get(name) == value)

    async def until(self, condition: Callable[[Mapping[str, str]], bool]) -> Mapping[str, str]:
        async with asyncio.timeout(60):
            while True:
                if condition(found := await self.walk()):
                    return found
                await asyncio.sleep(0.2)

    async def told(self, number: int) -> str:
        """Wait for a notification of VM-MIB; its line."""
        async with asyncio.timeout(30):
            while True:
                for line in self._trapped.read_text().splitlines():
                    if f"OID: .{VM}.0.{number}\t" in line + "\t":
                        return line
                await asyncio.sleep(0.05)


@pytest.fixture
async def daemon(place: Path) -> AsyncIterator[Daemon]:
    """A daemon that supervises the agent, as the adapters' user."""
    (place / "frontinus.toml").write_text('adapters = ["snmp"]\nadapter_user = "nobody"\n')
    daemon = Daemon(place, "--config", str(place / "frontinus.toml"))
    await daemon.start()
    try:
        yield daemon
        async with daemon.engine() as engine:
            for guest in await engine.guests(active=True):
                await engine.destroy(guest.uuid)
    finally:
        await daemon.stop()


@pytest.fixture
async def manager(
    place: Path, daemon: Daemon, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> AsyncIterator[Manager]:
    """The daemon's agent gets its configuration and a user while it runs, and so does snmptrapd."""
    port, trap_port = free_port(), free_port()
    passwords = tmp_path / "passwords"
    passwords.write_bytes(b"\n".join(PASSWORDS))
    (place / "state/snmp").mkdir()
    (place / "state/snmp/snmp.toml").write_text(
        f'listen = ["127.0.0.1:{port}"]\nmax_age = 0.5\nnotify = [{{to = "127.0.0.1:{trap_port}", user = "monitor"}}]\n'
    )
    fd = os.open(passwords, os.O_RDONLY)  # adduser closes it
    assert (
        main(
            ["--state", str(place / "state/snmp"), "adduser", "monitor", "--password-fd", str(fd), "--owner", "nobody"]
        )
        == 0
    )
    engine_id = capfd.readouterr().out.split()[-1]
    (tmp_path / "snmptrapd.conf").write_text(
        f"createUser -e 0x{engine_id} monitor SHA-256 {PASSWORDS[0].decode()} AES {PASSWORDS[1].decode()}\nauthUser log monitor\n"
    )
    trapped = tmp_path / "trapped"
    receiver = await asyncio.create_subprocess_exec(
        "snmptrapd", "-f", "-C", "-c", str(tmp_path / "snmptrapd.conf"), "-On", "-Oe", "-Lf", str(trapped),
        f"udp:127.0.0.1:{trap_port}", env={**os.environ, "MIBS": "", "SNMP_PERSISTENT_DIR": str(tmp_path)},
    )  # fmt: skip
    try:
        manager = Manager(port, trapped)
        await manager.sees(f"{VM}.1.2.0", "INTEGER: 0")
        yield manager
    finally:
        receiver.terminate()
        await receiver.wait()


async def test_a_real_guest_is_polled_and_tells(
    manager: Manager, daemon: Daemon, place: Path, guest_image: GuestImage
) -> None:
    vm = f"{VM}.1.4.1"
    async with daemon.engine() as engine:
        await engine.define(definition(place, guest_image))
        off = await manager.sees(f"{vm}.6.1", "INTEGER: 11")
        assert off[f"{vm}.2.1"] == 'STRING: "polled"' and off[f"{vm}.17.1"] == "Counter64: 0"
        assert off[f"{vm}.3.1"].split(": ")[1].split() == [
            UUID.upper().replace("-", "")[n : n + 2] for n in range(0, 32, 2)
        ]
        await engine.start("polled")
        on = await manager.sees(f"{vm}.6.1", "INTEGER: 4")
        line = await manager.told(1)
        assert f'.{vm}.2.1 = STRING: "polled"' in line and f".{vm}.6.1 = INTEGER: 4" in line
        assert on[f"{vm}.13.1"] == f"INTEGER: {192 * 1024}" and on[f"{VM}.1.1.1.0"] == 'STRING: "QEMU"'
        used = f"{vm}.17.1"
        found = await manager.until(lambda found: int(found[used].split()[1]) > int(on[used].split()[1]))
        assert found[f"{VM}.1.7.1.6.1.1"] == f'STRING: "{place / "disk.img"}"'
        assert found[f"{VM}.1.7.1.11.1.1"] == "INTEGER: 1024" and f"{VM}.1.7.1.13.1.1" in found
        assert found[f"{VM}.1.8.1.4.1.1"] == 'STRING: "virtio"'
        assert found[f"{VM}.1.8.1.5.1.1"].split(": ")[1].split() == ["52", "54", "00", "12", "34", "56"]
        await engine.suspend("polled")
        await manager.sees(f"{vm}.6.1", "INTEGER: 8")
        await manager.told(4)
        await engine.destroy("polled")
        await manager.sees(f"{vm}.6.1", "INTEGER: 11")
        await manager.told(3)
        await engine.undefine("polled")
        await manager.sees(f"{VM}.1.2.0", "INTEGER: 0")
        assert f".{vm}.8.1 = INTEGER: 2" in await manager.told(10)
