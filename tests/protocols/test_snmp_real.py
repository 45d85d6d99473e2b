"""A real QEMU guest seen by net-snmp's clients, through the agent that the daemon itself supervises."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from frontinus_snmp.main import main
from frontinus_snmp.roots import ROOT
from guest_image import GuestImage
from support.ports import free_port
from support.real import guest_image, place
from support.snmp import PASSWORDS, VM, parsed, run, v3
from support.trapped import THEIRS, Receiving, receiving
from trial import Daemon

__all__ = ["guest_image", "place"]
pytestmark = pytest.mark.needs("root", "qemu-system-x86_64", "snmpbulkwalk", "snmptrapd")
FRN = ".".join(map(str, ROOT))
UUID = "e3f3b3a3-f4f4-4555-8666-97979797a7a7"
XML = """<domain type='qemu'>
  <name>polled</name><uuid>{uuid}</uuid><memory unit='MiB'>192</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}</kernel><initrd>{initrd}</initrd><cmdline>{cmdline}</cmdline></os>
  <features><acpi/></features>
  <devices>
    <disk type='file'><driver name='qemu' type='raw'/><source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
    <interface type='user'><mac address='52:54:00:12:34:56'/><model type='virtio'/></interface>
    <serial type='pty'/><memballoon model='virtio'/>
  </devices>
</domain>"""


def definition(place: Path, image: GuestImage) -> str:
    (place / "disk.img").write_bytes(bytes(2**20))
    for name, source in (("kernel", image.kernel), ("initrd", image.initrd)):
        (place / name).write_bytes(source.read_bytes())
    return XML.format(uuid=UUID, kernel=place / "kernel", initrd=place / "initrd", disk=place / "disk.img",
                      cmdline=image.cmdline("idle"))  # fmt: skip


class Manager:
    """A network manager: polls with snmpbulkwalk, sets with snmpset, receives with snmptrapd."""

    def __init__(self, port: int, trapped: Receiving) -> None:
        self.port, self.trapped = port, trapped

    async def walk(self, root: str = VM) -> Mapping[str, str]:
        code, said = await run("snmpbulkwalk", "-On", "-Oe", "-t", "3", *v3(), f"127.0.0.1:{self.port}", root)
        return parsed(said) if code == 0 else {}

    async def sees(self, name: str, value: str) -> Mapping[str, str]:
        """Poll until an object has a value."""
        return await self.until(lambda found: found.get(name) == value)

    async def until(self, condition: Callable[[Mapping[str, str]], bool], root: str = VM) -> Mapping[str, str]:
        async with asyncio.timeout(60):
            while True:
                if condition(found := await self.walk(root)):
                    return found
                await asyncio.sleep(0.2)

    async def put(self, *variables: str) -> None:
        """Set, which must succeed."""
        code, said = await run("snmpset", "-On", "-t", "60", "-r", "0", *v3(), f"127.0.0.1:{self.port}", *variables)
        assert code == 0, said

    async def told(self, number: int, times: int = 1) -> str:
        """Wait for a notification of VM-MIB, told that often; its last line."""
        async with asyncio.timeout(60):
            while len(lines := self.trapped.lines(f"{VM}.0.{number}")) < times:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return lines[-1]


@pytest.fixture
async def daemon(place: Path) -> AsyncIterator[Daemon]:
    """A daemon that supervises the agent, as the adapters' user, whose group may manage."""
    (place / "frontinus.toml").write_text('adapters = ["snmp"]\nadapter_user = "nobody"\ngroup = "nogroup"\n')
    daemon = Daemon(place, "--config", str(place / "frontinus.toml"))
    await daemon.start()
    try:
        yield daemon
        async with daemon.engine() as engine:
            for guest in await engine.guests(active=True):
                await engine.destroy(guest.uuid)
    finally:
        await daemon.stop()


def add(state: Path, name: str, *options: str) -> None:
    """frontinus-snmp adduser, with the passwords on a descriptor, which it closes."""
    reading, writing = os.pipe()
    os.write(writing, b"\n".join(PASSWORDS))
    os.close(writing)
    assert (
        main(["--state", str(state), "adduser", name, "--password-fd", str(reading), "--owner", "nobody", *options])
        == 0
    )


@pytest.fixture
async def manager(
    place: Path, daemon: Daemon, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> AsyncIterator[Manager]:
    """The daemon's agent gets its configuration and users while it runs, and so does snmptrapd: traps, and informs."""
    port, trap_port, state = free_port(), free_port(), place / "state/snmp"
    state.mkdir()
    to = f'to = "127.0.0.1:{trap_port}"'
    (state / "snmp.toml").write_text(
        f'listen = ["127.0.0.1:{port}"]\nmax_age = 0.5\nnotify = [{{{to}, user = "monitor"}},'
        f' {{{to}, user = "informer", inform = true, engine = "{THEIRS.hex()}", timeout = 5}}]\n'
    )
    add(state, "informer", "--engine", THEIRS.hex())
    add(state, "monitor", "--write-view", "everything")
    engine_id = bytes.fromhex(capfd.readouterr().out.split()[-1])
    async with receiving(tmp_path, trap_port, engine_id) as trapped:
        manager = Manager(port, trapped)
        await manager.sees(f"{VM}.1.2.0", "INTEGER: 0")
        yield manager


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
        line = await manager.told(1, times=2)  # a trap and an inform
        assert f'.{vm}.2.1 = STRING: "polled"' in line and f".{vm}.6.1 = INTEGER: 4" in line
        assert on[f"{vm}.13.1"] == f"INTEGER: {192 * 1024}" and on[f"{VM}.1.1.1.0"] == 'STRING: "QEMU"'
        used = f"{vm}.17.1"
        before = int(on[used].split()[1])
        found = await manager.until(lambda found: used in found and int(found[used].split()[1]) > before)
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


@pytest.mark.needs("snmpset", "prometheus-snmp-exporter")
async def test_a_real_guest_is_steered_and_judged_by_monitoring(
    manager: Manager, daemon: Daemon, place: Path, tmp_path: Path, guest_image: GuestImage
) -> None:
    """By snmpset through its life; check_snmp and the SNMP exporter of Prometheus follow."""
    state, action = f"{FRN}.1.4.1.2.1", f"{FRN}.1.4.1.4.1"
    async with daemon.engine() as engine:
        await engine.define(definition(place, guest_image))
        await manager.sees(f"{VM}.1.4.1.6.1", "INTEGER: 11")
        await manager.put(action, "i", "2", f"{FRN}.1.4.1.5.1", "i", "1")  # start, and from now on with the host
        assert (await engine.guest("polled")).active and (await engine.guest("polled")).autostart
        await checked(0, manager.port, f"{VM}.1.4.1.2.1", "-r", "polled")
        await checked(0, manager.port, state, "-c", "1:1")
        await scraped(tmp_path, manager.port, 'vmOperState{vmIndex="1",vmName="polled"} 4')
        await manager.put(action, "i", "4")  # pause
        assert "CRITICAL" in await checked(2, manager.port, state, "-c", "1:1")
        await manager.put(state, "i", "1", f"{FRN}.1.5.1.1.1", "u", str(128 * 1024))  # run, with less memory
        assert (await engine.guest("polled")).state == "running"
        await manager.put(action, "i", "10")  # save
        assert (await engine.guest("polled")).managed_save
        await manager.told(5)
        await manager.told(6)
        await manager.put(action, "i", "2")
        await manager.told(7)
        await checked(0, manager.port, state, "-c", "1:1")
        found = await manager.until(lambda found: f"{FRN}.1.7.1.3.1.1" in found, f"{FRN}.1.7")
        assert found[f"{FRN}.1.7.1.1.1.1"] == 'STRING: "vda"' and found[f"{FRN}.1.7.1.3.1.1"].startswith("Counter64: ")
        await manager.put(action, "i", "9")
        await manager.put(f"{FRN}.1.4.1.20.1", "i", "6")
        assert not await engine.guests()


async def checked(wanted: int, port: int, oid: str, *options: str) -> str:
    """What check_snmp says as soon as it ends so: the agent may not show yet what its answer promised."""
    async with asyncio.timeout(60):
        while (found := await check(port, oid, *options))[0] != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    return found[1]


async def check(port: int, oid: str, *options: str) -> tuple[int, str]:
    """check_snmp's exit code and line; what it calls SHA and AES are the first kinds of these,
    so here it passes on others' names."""
    auth, priv = (password.decode() for password in PASSWORDS)
    access = ["-P", "3", "-L", "authPriv", "-U", "monitor", "-a", "SHA-256", "-A", auth, "-x", "AES", "-X", priv]
    return await run(
        "/usr/lib/nagios/plugins/check_snmp",
        "-H",
        "127.0.0.1",
        "-p",
        str(port),
        "-t",
        "20",
        *access,
        "-o",
        oid,
        *options,
    )


async def fetched(port: int, path: str) -> str:
    """What a web server answers; nothing while it does not listen."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return ""
    writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    said = (await reader.read()).decode()
    writer.close()
    return said


async def scraped(folder: Path, port: int, wanted: str) -> None:
    """Wait until prometheus-snmp-exporter says something of our agent."""
    auth, priv = (password.decode() for password in PASSWORDS)
    (folder / "snmp.yml").write_text(f"""guests:
  walk: [{VM}.1.4]
  version: 3
  auth: {{security_level: authPriv, username: monitor, password: {auth}, auth_protocol: SHA256, priv_protocol: AES,
          priv_password: {priv}}}
  metrics:
  - name: vmOperState
    oid: {VM}.1.4.1.6
    type: gauge
    indexes: [{{labelname: vmIndex, type: gauge}}]
    lookups: [{{labels: [vmIndex], labelname: vmName, oid: {VM}.1.4.1.2, type: DisplayString}}]
""")
    web = free_port()
    exporter = await asyncio.create_subprocess_exec(
        "prometheus-snmp-exporter", f"--config.file={folder / 'snmp.yml'}", f"--web.listen-address=127.0.0.1:{web}",
        stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(120):
            while wanted not in await fetched(web, f"/snmp?target=127.0.0.1:{port}&module=guests"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    finally:
        exporter.terminate()
        await exporter.wait()
