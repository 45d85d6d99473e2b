"""How a person reaches the demo's guest; what does not answer is not offered."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

from demo_config import COMMUNITY, Place

DEADLINE = 30.0  # seconds for an adapter to start, on a loaded machine
VM_MIB = "1.3.6.1.2.1.236"
AGAIN = 0.1  # seconds between two tries at an adapter that may not listen yet

Rows = list[tuple[str, str]]
"""What, and the command or address for it."""


async def ways_in(name: str, place: Place, xml: str) -> Rows:
    """The ways that answered, for the guest `name` whose running definition is `xml`."""
    tried = (
        _command_line(name, place.socket), _prometheus(name, place.prometheus), _dbus(place.bus),
        _snmp(name, place.snmp), _screen(xml),
    )  # fmt: skip
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
    words = (
        f"--bus={address} --print-reply --dest=org.libvirt /org/libvirt/QEMU org.libvirt.Connect.ListDomains uint32:0"
    )
    return await _tool("D-Bus", "dbus-send", words, "object path") if address else []


async def _snmp(name: str, port: int) -> Rows:
    return await _tool("SNMP", "snmpwalk", f"-v2c -c {COMMUNITY} 127.0.0.1:{port} {VM_MIB}", f'"{name}"')


async def _tool(what: str, program: str, words: str, shows: str) -> Rows:
    """A command that a person will use, offered when its answer shows what it should; nothing where there is no such tool."""
    path = shutil.which(program)
    if path is None:
        return []
    last = b""

    async def answers() -> bool:
        nonlocal last
        process = await asyncio.create_subprocess_exec(
            path, *words.split(),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        last, _ = await process.communicate()
        return shows in last.decode(errors="replace")

    if await _in_time(answers):
        return [(what, f"{program} {words}")]
    return [(what, f"does not answer: {last.decode(errors='replace').strip()[:200]}")]


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
