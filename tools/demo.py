"""`make run`: the daemon with one small real guest, shown live until Ctrl-C; then all of it is gone again.

Everything lives in one private folder under /tmp, so neither /etc/frontinus nor a daemon that runs already is touched.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from accelerator import accelerator
from demo_show import show, ways_in
from frontinus.api import Engine, FrontinusError
from frontinus.client.remote import connect
from guest_image import READY, GuestImage, GuestImageError, build
from progress import step

NAME = "demo"
DISK_SIZE = "64M"
DAEMON_DEADLINE = 20.0  # seconds for the daemon to get ready, and to stop
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
    <interface type='user'><model type='virtio'/></interface>
    <serial type='pty'/>
    <console type='pty'><target type='serial' port='0'/></console>
    <graphics type='vnc' autoport='yes' listen='127.0.0.1'/>
    <video><model type='virtio'/></video>
    <memballoon model='virtio'><stats period='2'/></memballoon>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>
"""


class DemoFailed(Exception):
    """The demo cannot go on; the message says why."""


def main() -> int:
    """Prepare what needs no daemon, then show the demo until a signal comes."""
    parser = argparse.ArgumentParser(description="Run frontinusd with a small real guest and show it.")
    parser.add_argument("--seconds", type=float, help="end by itself so long after the guest is up")
    options = parser.parse_args()
    try:
        with step("Building the guest's kernel and initrd"):
            image = build()
        with step("Trying whether KVM boots it"):
            kind = accelerator(image)
        return asyncio.run(_until_signal(image, kind, options.seconds))
    except (DemoFailed, GuestImageError, FrontinusError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # before there was anything to clean up
        return 130


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
        async with daemon(folder) as engine, guest(engine, definition(files, image, kind)):
            reach = ways_in(NAME, manage_socket(folder), await engine.guest_xml(NAME))
            await show(engine, reach, seconds)


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
    """Processes, but for this one, that have the folder on their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if os.fsencode(folder) in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
        except OSError:  # it ended meanwhile
            continue
    return found


def guest_files(folder: Path, image: GuestImage) -> dict[str, str]:
    """Copies of kernel and initrd, and a new disk, by their names in the definition."""
    place = folder / "guest"
    place.mkdir()
    place.chmod(0o755)
    shutil.copyfile(image.kernel, place / "vmlinuz")
    shutil.copyfile(image.initrd, place / "initrd.gz")
    disk = place / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), DISK_SIZE], check=True)
    return {"kernel": str(place / "vmlinuz"), "initrd": str(place / "initrd.gz"), "disk": str(disk)}


def definition(files: dict[str, str], image: GuestImage, kind: str) -> str:
    """The guest's XML for an accelerator, "kvm" or "tcg"."""
    machine = {"kvm": {"type": "kvm", "cpu": "host-passthrough"}, "tcg": {"type": "qemu", "cpu": "maximum"}}[kind]
    return DEFINITION.format(name=NAME, cmdline=image.cmdline("load"), **machine, **files)


# --- the daemon and the guest


@asynccontextmanager
async def daemon(folder: Path) -> AsyncIterator[Engine]:
    """frontinusd with all its state under the folder, and a connection to it; stopped afterwards."""
    log = folder / "frontinusd.log"
    argv = [str(Path(sys.executable).with_name("frontinusd")), "--root", str(folder)]
    with notify_socket(folder / "ready") as ready, log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            env={**os.environ, "NOTIFY_SOCKET": str(folder / "ready")},
            start_new_session=True,  # Ctrl-C is for us: the guest is stopped before the daemon
        )  # fmt: skip
        try:
            with step("Starting frontinusd"):
                await _wait_until_ready(process, ready, log)
            async with await connect(manage_socket(folder)) as engine:
                yield engine
        finally:
            with step("Stopping frontinusd"):
                await _stop(process)


@contextmanager
def notify_socket(path: Path) -> Iterator[socket.socket]:
    """Where the daemon says READY=1, as it does to systemd."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as ready:
        ready.bind(str(path))
        yield ready


async def _wait_until_ready(process: asyncio.subprocess.Process, ready: socket.socket, log: Path) -> None:
    told = asyncio.ensure_future(asyncio.get_running_loop().sock_recv(ready, 4096))
    ended = asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait({told, ended}, timeout=DAEMON_DEADLINE, return_when=asyncio.FIRST_COMPLETED)
        if not told.done():
            raise DemoFailed(f"frontinusd did not get ready:\n{_tail(log)}")
    finally:
        told.cancel()
        ended.cancel()


def manage_socket(folder: Path) -> Path:
    return folder / "run/frontinus.sock"


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), DAEMON_DEADLINE)
        except TimeoutError:
            process.kill()
            await process.wait()


@asynccontextmanager
async def guest(engine: Engine, xml: str) -> AsyncIterator[None]:
    """The guest, booted; destroyed and forgotten afterwards."""
    await engine.define(xml)
    try:
        with step("Starting the guest"):
            await engine.start(NAME)
        with step("Waiting for its kernel to come up"):
            await asyncio.wait_for(_ready(engine), BOOT_DEADLINE)
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
        await reader.readuntil(READY.encode())
    finally:
        transport.close()
