"""How a person reaches the demo's guest; what does not answer is not offered."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

DEADLINE = 30.0  # seconds for an adapter to start, on a loaded machine
AGAIN = 0.1  # seconds between two tries at an adapter that may not listen yet
PROMETHEUS_PORT = 9177

Rows = list[tuple[str, str]]
"""What, and the command or address for it."""


@dataclass(frozen=True)
class Place:
    """Where the demo's daemon and its adapters are."""

    socket: Path
    prometheus: int
    bus: str | None = None


def free_port(wanted: int = PROMETHEUS_PORT) -> int:
    """The wanted port of the loopback address, or another one where that is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    return wanted


async def ways_in(name: str, place: Place, xml: str) -> Rows:
    """The ways that answered, for the guest `name` whose running definition is `xml`."""
    tried = (_command_line(name, place.socket), _prometheus(name, place.prometheus), _dbus(place.bus), _screen(xml))
    return [row for rows in await asyncio.gather(*tried) for row in rows]


async def _command_line(name: str, path: Path) -> Rows:
    program = Path(sys.executable).with_name("frontinus")
    process = await asyncio.create_subprocess_exec(
        str(program), "list", "--name", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "FRONTINUS_SOCKET": str(path)},
    )  # fmt: skip
    output, _ = await process.communicate()
    if name not in output.decode().split():
        return [("command line", f"does not answer (exit code {process.returncode})")]
    client = _shortest(program)
    return [
        ("in a shell", f"export FRONTINUS_SOCKET={path}"),
        ("list", f"{client} list --all"),
        ("figures", f"{client} domstats {name}"),
        ("definition", f"{client} dumpxml {name}"),
        ("news", f"{client} event --all --loop"),
        ("console", f"{client} console {name}"),
    ]


async def _prometheus(name: str, port: int) -> Rows:
    url = f"http://127.0.0.1:{port}/metrics"

    def answers() -> bool:
        with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            return f'"{name}"' in answer.read().decode()
        return False

    works = await _in_time(lambda: asyncio.to_thread(answers))
    return [("Prometheus", f"curl {url}" if works else f"{url} does not answer")]


async def _dbus(address: str | None) -> Rows:
    """The adapter is on the bus when dbus-send, which a person will use, gets its list of guests."""
    program = shutil.which("dbus-send")
    if address is None or program is None:
        return []
    command = (
        f"dbus-send --bus={address} --print-reply --dest=org.libvirt /org/libvirt/QEMU org.libvirt.Connect.ListDomains"
    )

    async def answers() -> bool:
        process = await asyncio.create_subprocess_exec(
            program, *command.split()[1:], "uint32:0",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        output, _ = await process.communicate()
        return b"object path" in output

    works = await _in_time(answers)
    return [("D-Bus", f"{command} uint32:0" if works else f"{address} does not answer")]


async def _screen(xml: str) -> Rows:
    graphics = ElementTree.fromstring(xml).find("devices/graphics[@type='vnc']")
    if graphics is None:
        return []
    host, port = graphics.get("listen", ""), graphics.get("port", "")
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
    except OSError as error:
        return [("screen", f"VNC at {host} port {port} does not answer: {error}")]
    greeting = await reader.read(3)
    writer.close()
    return [("screen", f"vncviewer {host}::{port}")] if greeting == b"RFB" else []


async def _in_time(answers: Callable[[], Awaitable[bool]]) -> bool:
    """Ask again until it answers; False if it does not within the deadline."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DEADLINE):
            while True:
                if await answers():
                    return True
                await asyncio.sleep(AGAIN)
    return False


def _shortest(path: Path) -> Path:
    """The path as a person here would type it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
