"""A real guest's life through the daemon's socket, as a user of the command line or an adapter sees it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import FrontinusError, HostFailed, HypervisorFailed, StorageFailed, Unsupported, WrongState
from frontinus.api.events import GuestEvent, LifecycleEvent, RebootEvent
from frontinus.api.views import GuestView, Snapshot
from guest_image import GuestImage
from support import real_console, traces
from support.unplugged import detach
from support.waiting import until
from trial import Daemon

BOOT = 300.0
"""Seconds that a guest may take to boot under TCG on a loaded machine."""

XML = """<domain type='qemu'>
  <name>{name}</name><memory unit='MiB'>192</memory><vcpu current='1'>2</vcpu>
  <os><type arch='x86_64' machine='{machine}'>hvm</type>
    <kernel>{kernel}</kernel><initrd>{initrd}</initrd><cmdline>{cmdline}</cmdline></os>
  <features><acpi/><apic/></features><cpu mode='maximum'/>
  <devices>
    <disk type='file'><driver name='qemu' type='raw'/><source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
    <interface type='user'><model type='virtio'/></interface>
    <serial type='pty'/>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <graphics type='vnc' autoport='yes'/><video><model type='vga'/></video>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    {more}
  </devices>
</domain>"""


def guest_xml(place: Path, image: GuestImage, name: str = "real", machine: str = "q35", more: str = "") -> str:
    """A small guest whose files its own user can reach."""
    disk = place / f"{name}.img"
    if not disk.exists():
        disk.write_bytes(bytes(8 * 2**20))
    for file, source in (("kernel", image.kernel), ("initrd", image.initrd)):
        if not (place / file).exists():
            (place / file).write_bytes(source.read_bytes())
    return XML.format(name=name, machine=machine, kernel=place / "kernel", initrd=place / "initrd", disk=disk,
                      cmdline=image.cmdline("idle"), more=more)  # fmt: skip


class Watcher:
    """Collects events; `until` waits for one."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.seen: list[GuestEvent] = []
        self._news = asyncio.Condition()
        self._ready = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async for item in self.engine.watch():
            self._ready.set()
            if not isinstance(item, Snapshot):
                async with self._news:
                    self.seen.append(item)
                    self._news.notify_all()

    async def ready(self) -> Watcher:
        await self._ready.wait()
        return self

    def lifecycle(self) -> list[tuple[str, str]]:
        return [(e.kind, e.detail) for e in self.seen if isinstance(e, LifecycleEvent)]

    async def until(self, kind: str, seconds: float = BOOT, detail: str | None = None) -> None:
        """Wait for a lifecycle event of a kind (and detail), or an event class by name."""

        def there() -> bool:
            if detail is not None:
                return (kind, detail) in self.lifecycle()
            return any(kind == (e.kind if isinstance(e, LifecycleEvent) else type(e).__name__) for e in self.seen)

        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(there)

    def close(self) -> None:
        self._task.cancel()


@pytest.fixture
async def engine(daemon: Daemon) -> AsyncIterator[Engine]:
    async with daemon.engine() as engine:
        yield engine


@pytest.fixture
async def watcher(engine: Engine) -> AsyncIterator[Watcher]:
    watcher = await Watcher(engine).ready()
    yield watcher
    watcher.close()


async def expect(engine: Engine, guest: str, wanted: str, say: str = "") -> None:
    """Wait for a text on the guest's console, after typing another."""
    with socket.socket(fileno=await engine.open_console(guest)) as console:
        console.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(console, say.encode())
        text = b""
        async with asyncio.timeout(BOOT):
            while wanted.encode() not in text:
                data = await loop.sock_recv(console, 65536)
                assert data, f"the console ended: {text[-500:]!r}"
                text += data


async def boot(engine: Engine, guest: str) -> None:
    """Wait until the guest is up."""
    await real_console.boot(engine, guest)


async def started(engine: Engine, place: Path, image: GuestImage, machine: str = "q35") -> GuestView:
    await engine.define(guest_xml(place, image, machine=machine))
    return await engine.start("real")


@pytest.mark.parametrize("machine", ["q35", "pc"])
async def test_boot_and_acpi_shutdown(
    engine: Engine, watcher: Watcher, place: Path, guest_image: GuestImage, machine: str
) -> None:
    view = await started(engine, place, guest_image, machine)
    assert (view.state, view.reason, view.id) == ("running", "booted", 1)
    assert view.machine != machine and view.machine.startswith("pc-")
    await boot(engine, "real")
    await engine.shutdown("real", "acpi")
    await watcher.until("stopped")
    assert watcher.lifecycle() == [
        ("defined", "added"),
        ("started", "booted"),
        ("shutdown", "guest"),
        ("stopped", "shutdown"),
    ]
    assert traces.left(str(place / "state")) == {}
    assert (place / "real.img").stat().st_uid == 0


async def test_isolation_of_the_process(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    await started(engine, place, guest_image)
    pid = traces.qemu(place)
    proc = Path(f"/proc/{pid}")
    status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line)
    assert (
        int(status["Uid"].split()[0]) >= 1_900_000_000
        and int(status["CapEff"], 16) == 0
        and int(status["CapBnd"], 16) == 0
    )
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    argv = (proc / "cmdline").read_bytes().decode().split("\0")
    assert argv[argv.index("-sandbox") + 1].startswith("on,") and "-nodefaults" in argv and "-no-user-config" in argv
    targets = traces.descriptors(pid)
    strange = {
        t for t in targets if not t.startswith(("socket:", "anon_inode:", "pipe:", "/memfd:", "/dev/pt", str(place)))
    }
    assert strange <= {"/dev/null", "/dev/urandom", "/dev/net/tun", "/dev/kvm"}, strange


async def test_pause_reset_reboot(engine: Engine, watcher: Watcher, place: Path, guest_image: GuestImage) -> None:
    await started(engine, place, guest_image)
    await engine.suspend("real")
    assert (await engine.guest("real")).state == "paused"
    await engine.resume("real")
    await boot(engine, "real")
    await engine.reset("real")
    await watcher.until("RebootEvent")
    await boot(engine, "real")
    await engine.reboot("real", "acpi")
    await boot(engine, "real")
    assert (await engine.guest("real")).state == "running"
    assert sum(isinstance(e, RebootEvent) for e in watcher.seen) >= 2
    assert ("stopped", "shutdown") not in watcher.lifecycle()


async def test_managed_save_keeps_the_guest(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    await started(engine, place, guest_image)
    await boot(engine, "real")
    await engine.managed_save("real")
    assert (await engine.guest("real")).managed_save
    view = await engine.start("real")
    assert (view.state, view.reason, view.managed_save) == ("running", "restored", False)
    await expect(engine, "real", "still-42", say="\necho still-$((40+2))\n")


async def test_save_to_a_file_and_restore(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    await started(engine, place, guest_image)
    file = place / "real.save"
    await engine.save("real", str(file))
    assert "<name>real</name>" in await engine.saved_xml(str(file))
    assert (await engine.restore(str(file), paused=True)).state == "paused"
    await engine.destroy("real")
    file.write_bytes(file.read_bytes()[: 2**20])
    with pytest.raises((HypervisorFailed, StorageFailed)):
        await engine.restore(str(file))
    assert (await engine.guest("real")).state == "shutoff"


async def test_devices_come_and_go(engine: Engine, watcher: Watcher, place: Path, guest_image: GuestImage) -> None:
    await started(engine, place, guest_image)
    await boot(engine, "real")
    extra = place / "extra.img"
    extra.write_bytes(bytes(2**20))
    disk = f"<disk type='file'><driver name='qemu' type='raw'/><source file='{extra}'/><target dev='vdb' bus='virtio'/></disk>"
    await engine.attach_device("real", disk, live=True, config=True)
    await watcher.until("DeviceAddedEvent")
    live, kept = await engine.guest_xml("real"), await engine.guest_xml("real", ["inactive"])
    assert "vdb" in live and "vdb" in kept
    assert [b.name for b in (await engine.stats(["real"], ["block"]))[0].blocks] == ["vda", "vdb"]
    assert extra.stat().st_uid >= 1_900_000_000
    await detach(engine, "real", disk, config=True)
    assert "vdb" not in await engine.guest_xml("real") + await engine.guest_xml("real", ["inactive"])
    await until(lambda: extra.stat().st_uid == 0)  # what is given up late is given back a moment later
    nic = "<interface type='user'><mac address='52:54:00:11:22:33'/><model type='virtio'/></interface>"
    await engine.attach_device("real", nic, live=True)
    assert "52:54:00:11:22:33" not in await engine.guest_xml("real", ["inactive"])
    await detach(engine, "real", nic)
    await watcher.until("DeviceRemovedEvent")


async def test_medium_of_a_cdrom_changes(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    first, second = place / "first.iso", place / "second.iso"
    for file in (first, second):
        file.write_bytes(bytes(2**20))
    cdrom = "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>{}<target dev='sdc' bus='sata'/><readonly/></disk>"
    more = cdrom.format(f"<source file='{first}'/>")
    await engine.define(guest_xml(place, guest_image, more=more))
    await engine.start("real")
    await engine.update_device("real", cdrom.format(f"<source file='{second}'/>"), live=True)
    assert str(second) in await engine.guest_xml("real")
    await engine.update_device("real", cdrom.format(""), live=True)
    assert str(second) not in await engine.guest_xml("real")


async def test_memory_vcpus_and_disk_size(
    engine: Engine, watcher: Watcher, place: Path, guest_image: GuestImage
) -> None:
    await started(engine, place, guest_image)
    await boot(engine, "real")
    await engine.set_memory("real", 160 * 2**20, live=True)
    await watcher.until("BalloonChangeEvent")
    await engine.set_vcpus("real", 2, live=True)
    assert (await engine.guest("real")).vcpus == 2
    await engine.block_resize("real", "vda", 16 * 2**20)
    assert (place / "real.img").stat().st_size == 16 * 2**20


async def test_screenshot_keys_nmi_monitor(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    await started(engine, place, guest_image)
    image = await engine.screenshot("real")
    assert image.mime == "image/png" and image.data.startswith(b"\x89PNG")
    await engine.send_keys("real", ["KEY_LEFTCTRL", 46])
    await engine.inject_nmi("real")
    answer = json.loads(await engine.monitor_command("real", '{"execute":"query-status"}'))
    assert answer["return"]["status"] == "running"
    assert "VM status" in await engine.monitor_command("real", "info status", hmp=True)
    assert (await engine.guest("real")).tainted == ("custom-monitor",)
    with pytest.raises(FrontinusError):
        await engine.monitor_command("real", '{"execute":"no-such-command"}')


async def test_agent(engine: Engine, watcher: Watcher, place: Path, agent_image: GuestImage) -> None:
    await engine.define(guest_xml(place, agent_image))
    await engine.start("real")
    await watcher.until("AgentEvent")
    answer = json.loads(await engine.agent_command("real", '{"execute":"guest-ping"}', BOOT))
    assert answer == {"return": {}}
    await engine.shutdown("real", "agent")
    await watcher.until("stopped")


async def test_guest_outlives_a_crash_of_the_daemon(daemon: Daemon, place: Path, guest_image: GuestImage) -> None:
    async with daemon.engine() as engine:
        view = await started(engine, place, guest_image)
        await boot(engine, "real")
        await engine.suspend("real")
    await daemon.kill()
    await daemon.start()
    async with daemon.engine() as engine:
        again = await engine.guest("real")
        assert (again.id, again.state, again.reason) == (view.id, "paused", "user")
        await engine.resume("real")
        watcher = await Watcher(engine).ready()
        await engine.shutdown("real", "acpi")
        await watcher.until("stopped")
        watcher.close()


async def test_crash_of_qemu_is_told(engine: Engine, watcher: Watcher, place: Path, guest_image: GuestImage) -> None:
    await started(engine, place, guest_image)
    os.kill(traces.qemu(place), 9)
    await watcher.until("stopped")
    assert watcher.lifecycle()[-1] == ("stopped", "crashed")
    assert (await engine.start("real")).state == "running"


async def test_impossible_starts_leave_nothing(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    await engine.define(guest_xml(place, guest_image))
    (place / "real.img").unlink()
    with pytest.raises((HostFailed, HypervisorFailed)) as caught:
        await engine.start("real")
    assert "real.img" in caught.value.message + str(caught.value.details)
    assert (await engine.guest("real")).state == "shutoff"
    assert traces.left(str(place / "state")) == {}
    assert list((place / "state").glob("domain-*")) == []
    with pytest.raises(WrongState):
        await engine.suspend("real")


async def test_passwords_are_never_arguments(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    more = "<graphics type='vnc' autoport='yes' passwd='geheim42'/>"
    xml = guest_xml(place, guest_image).replace("<graphics type='vnc' autoport='yes'/>", more)
    await engine.define(xml)
    await engine.start("real")
    assert "geheim42" not in await engine.guest_xml("real")
    assert "geheim42" in await engine.guest_xml("real", ["secure"])
    assert all("geheim42" not in argv for argv in traces.processes(str(place)).values())


def frontinus(daemon: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("frontinus")), "--socket", str(daemon.socket), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)


async def test_command_line(daemon: Daemon, place: Path, guest_image: GuestImage) -> None:
    file = place / "real.xml"
    file.write_text(guest_xml(place, guest_image))

    async def run(*words: str) -> str:
        done = await asyncio.to_thread(frontinus, daemon, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "defined" in await run("define", str(file))
    assert "started" in await run("start", "real")
    assert (await run("domstate", "real", "--reason")).strip() == "running (booted)"
    stats = json.loads(await run("--json", "domstats", "real"))["real"]
    assert stats["state.state"] == 1 and stats["block.0.name"] == "vda" and stats["balloon.current"] == 192 * 1024
    assert "/dev/pts/" in await run("ttyconsole", "real")
    assert "<domainCapabilities>" in await run("domcapabilities")
    assert "<capabilities>" in await run("capabilities")
    await run("destroy", "real")
    done = await asyncio.to_thread(frontinus, daemon, "destroy", "real")
    assert (done.returncode, "is not running" in done.stderr) == (1, True)
    await run("undefine", "real")


async def test_unsupported_device_is_named(engine: Engine, place: Path, guest_image: GuestImage) -> None:
    with pytest.raises((Unsupported, FrontinusError)) as caught:
        await engine.define(guest_xml(place, guest_image, more="<watchdog model='diag288'/>"))
    assert "watchdog" in caught.value.message
