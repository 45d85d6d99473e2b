"""`make run`: the daemon with one small real guest, shown live until Ctrl-C; then all of it is gone again.

Everything lives in one private folder under /tmp, so neither /etc/frontinus nor a daemon that runs already is touched.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from accelerator import accelerator
from demo_bus import bus
from demo_config import Place, configure
from demo_net import Network, chosen, free_port
from demo_show import show
from demo_ways import ways_in
from frontinus.api import Engine, FrontinusError
from guest_image import READY, GuestImage, GuestImageError, build
from progress import step
from trial import Daemon, DaemonFailed

NAME = "demo"
DISK_SIZE = "64M"
BOOT_DEADLINE = 120.0  # seconds for the guest to boot; 4 on an idle machine

DEFINITION = """
<domain type='{type}'>
  <name>{name}</name>
  <title>A small guest that keeps itself a little busy</title>
  <memory unit='MiB'>192</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{initrd}</initrd>
    <cmdline>{cmdline}</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='{cpu}'/>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='{disk}'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    {interface}
    <serial type='pty'/>
    <console type='pty'><target type='serial' port='0'/></console>
    <graphics type='vnc' autoport='yes' listen='127.0.0.1'/>
    <video><model type='virtio'/></video>
    <memballoon model='virtio'><stats period='2'/></memballoon>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>
"""


STARTED = (b"qemu-system", b"swtpm", b"bin/frontinusd", b"dbus-daemon", b"dnsmasq")
"""Words of the command lines of what the demo starts."""


class GuestFailed(Exception):
    """The guest did not come up."""


def main() -> int:
    """Prepare what needs no daemon, then show the demo until a signal comes."""
    parser = argparse.ArgumentParser(description="Run frontinusd with a small real guest and show it.")
    parser.add_argument("--seconds", type=float, help="end by itself so long after the guest is up")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until there is an event loop
    try:
        with step("Building the guest's kernel and initrd"):
            image = build()
        with step("Trying whether KVM boots it"):
            kind = accelerator(image)
        return asyncio.run(_until_signal(image, kind, options.seconds))
    except (DaemonFailed, GuestFailed, GuestImageError, FrontinusError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # before there was anything to clean up
        return 0


async def _until_signal(image: GuestImage, kind: str, seconds: float | None) -> int:
    """Run the demo as a task that the first SIGINT or SIGTERM cancels; further ones do not disturb the cleaning up."""
    task = asyncio.create_task(_demonstrate(image, kind, seconds))
    signalled = False

    def stop() -> None:
        nonlocal signalled
        if not signalled:
            signalled = True
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not signalled:
            raise
    return 0


async def _demonstrate(image: GuestImage, kind: str, seconds: float | None) -> None:
    with private_folder() as folder:
        files = guest_files(folder, image)
        async with (
            bus(folder) as address,
            daemon(
                folder, place := Place(folder / "run/frontinus.sock", free_port(9177), free_port(1161), address)
            ) as started,
            started.engine() as engine,
            guest(engine, definition(files, image, kind, await chosen(engine))),
        ):
            with step("Trying the ways in"):
                ways = await ways_in(NAME, place, await engine.guest_xml(NAME))
            await show(engine, ways, seconds)


# --- the folder and what is in it


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder that is gone afterwards, with every process that was started on it."""
    folder = Path(tempfile.mkdtemp(prefix="frontinus-demo-"))
    folder.chmod(0o711)  # the guest's own user must get through to its files
    try:
        yield folder
    finally:
        for pid in users_of(folder):  # only where the engine could not do it
            print(f"demo: process {pid} was left over and is killed", file=sys.stderr)
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder)


def users_of(folder: Path) -> list[int]:
    """Emulators and daemons (not a person's programs) that have the folder on their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            argv = path.read_bytes()
        except OSError:  # it ended meanwhile
            continue
        if os.fsencode(folder) in argv and any(name in argv for name in STARTED):
            found.append(int(path.parent.name))
    return found


def guest_files(folder: Path, image: GuestImage) -> dict[str, str]:
    """Copies of kernel and initrd, and a new disk, by their names in the definition."""
    place = folder / "guest"
    place.mkdir()
    place.chmod(0o755)
    copy = image.copy_to(place)
    disk = place / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), DISK_SIZE], check=True)
    return {"kernel": str(copy.kernel), "initrd": str(copy.initrd), "disk": str(disk)}


def definition(files: dict[str, str], image: GuestImage, kind: str, net: Network) -> str:
    """The guest's XML for an accelerator, "kvm" or "tcg"."""
    machine = {"kvm": {"type": "kvm", "cpu": "host-passthrough"}, "tcg": {"type": "qemu", "cpu": "maximum"}}[kind]
    return DEFINITION.format(
        name=NAME, cmdline=image.cmdline("load", **net.words), interface=net.xml, **machine, **files
    )


# --- the daemon and the guest


@asynccontextmanager
async def daemon(folder: Path, place: Place) -> AsyncIterator[Daemon]:
    """frontinusd with all its state under the folder; stopped afterwards."""
    config = configure(folder, place)
    buses = {"DBUS_SESSION_BUS_ADDRESS": place.bus} if place.bus else {}
    daemon = Daemon(folder, "--config", str(config), environment=buses)
    starting = asyncio.ensure_future(daemon.start())
    try:
        with step("Starting frontinusd"):
            await asyncio.shield(starting)
        yield daemon
    finally:
        with step("Stopping frontinusd"):
            await _stop_networks(daemon, starting)
            await daemon.stop()


async def _stop_networks(daemon: Daemon, starting: asyncio.Future[None]) -> None:
    """Networks outlive their engine, so they are stopped before it; one that only now gets ready has its own too."""
    with suppress(DaemonFailed, FrontinusError):
        await starting
        async with daemon.engine() as engine:
            for network in await engine.networks(active=True):
                await engine.destroy_network(network.uuid)


@asynccontextmanager
async def guest(engine: Engine, xml: str) -> AsyncIterator[None]:
    """The guest, booted; destroyed and forgotten afterwards."""
    await engine.define(xml)
    try:
        with step("Starting the guest"):
            await engine.start(NAME)
        with step("Waiting for its kernel to come up"):
            await _ready(engine)
        yield
    finally:
        with step("Stopping the guest"):
            if (await engine.guest(NAME)).active:
                await engine.destroy(NAME)
            await engine.undefine(NAME)


async def _ready(engine: Engine) -> None:
    """Read the guest's console until it says that it is up."""
    descriptor = await engine.open_console(NAME)
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
    )
    try:
        await asyncio.wait_for(reader.readuntil(READY.encode()), BOOT_DEADLINE)
    except TimeoutError:
        raise GuestFailed(f"the guest's kernel did not come up within {BOOT_DEADLINE:.0f} s") from None
    except asyncio.IncompleteReadError as error:
        raise GuestFailed(f"the guest ended:\n{error.partial.decode(errors='replace')[-2000:]}") from None
    finally:
        transport.close()


if __name__ == "__main__":
    sys.exit(main())
