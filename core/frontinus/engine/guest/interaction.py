"""Interaction with a running guest: screen, keys, consoles, agent, monitor."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from frontinus import untrusted
from frontinus.api.engine import Descriptor
from frontinus.api.errors import HostFailed, InvalidValue, NoSuchDevice, Unsupported, WrongState
from frontinus.api.options import MonitorEvent
from frontinus.api.views import Screenshot
from frontinus.domain.devices.character import Character
from frontinus.domain.keys import key_names
from frontinus.engine import runstate
from frontinus.engine.record import Record, Running
from frontinus.engine.world import World

MAX_KEYS = 16
MOST_PIXELS = 128 * 2**20
"""Bytes of a screenshot: a PPM of 7680 by 4320 has 100 MB."""
PSEUDO_TERMINAL = re.compile(r"/dev/pts/\d+")
PATIENCE = 5.0
"""Seconds for a guest's process to take a connection to a console."""


class Interaction:
    """The use cases of someone, or something, at the guest's keyboard."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._consoles: dict[tuple[str, str], socket.socket] = {}

    async def screenshot(self, guest: str, screen: int = 0) -> Screenshot:
        record = self.world.guests.find(guest)
        running = record.need_running()
        videos = [v for v in running.guest.devices.videos if v.model != "none"]
        if not videos:
            raise Unsupported(f"guest '{record.name}' has no video device")
        head, index = screen, 0
        while index < len(videos) - 1 and head >= (videos[index].heads or 1):
            head, index = head - (videos[index].heads or 1), index + 1
        path = Path(running.process.record.folder) / "screenshot"
        async with record.lock.hold("screenshot"):
            await running.process.screenshot(str(path), videos[index].alias if screen else None, head)
            data = await asyncio.to_thread(_take, path)
        return Screenshot(mime="image/png" if data.startswith(b"\x89PNG") else "image/x-portable-pixmap", data=data)

    async def send_keys(self, guest: str, keys: Sequence[int | str], codeset: str = "linux", hold_ms: int = 0) -> None:
        record = self.world.guests.find(guest)
        if not 1 <= len(keys) <= MAX_KEYS:
            raise InvalidValue(f"{len(keys)} keys: 1 to {MAX_KEYS} can be pressed together", field="keys")
        await record.need_running().process.send_keys(key_names(keys, codeset), hold_ms or None)

    async def inject_nmi(self, guest: str) -> None:
        await self.world.guests.find(guest).need_running().process.inject_nmi()

    async def open_console(self, guest: str, device: str | None = None, force: bool = False) -> Descriptor:
        record = self.world.guests.find(guest)
        chosen = _character(record, device)
        name = chosen.alias or ""
        held = self._consoles.get((record.uuid, name))
        if held is not None and held.fileno() != -1 and not _hung_up(held):
            if not force:
                raise WrongState(f"console '{name}' of guest '{record.name}' is open already", state="busy")
            held.shutdown(socket.SHUT_RDWR)
        end = await asyncio.to_thread(_open, chosen)
        ours, theirs = socket.socketpair()
        self._consoles[record.uuid, name] = ours
        self.world.spawn(self._serve((record.uuid, name), end, ours), f"console of {record.name}")
        return Descriptor(theirs.detach())

    async def _serve(self, console: tuple[str, str], end: int, ours: socket.socket) -> None:
        """Relay until the end; who forced it open meanwhile has put another in its place."""
        await _relay(end, ours)
        if self._consoles.get(console) is ours:
            del self._consoles[console]

    async def agent_command(self, guest: str, command: str, deadline: float = 5.0) -> str:
        if not 0 < deadline <= 600:
            raise InvalidValue("a deadline is between 0 and 600 seconds", field="deadline")
        return await self.world.guests.find(guest).need_running().process.agent_command(command, deadline)

    async def watch_monitor(self, guest: str | None = None) -> AsyncIterator[MonitorEvent]:
        uuid = self.world.guests.find(guest).uuid if guest is not None else None
        async for event in self.world.overhearing.watch(uuid):
            yield event

    async def monitor_command(self, guest: str, command: str, hmp: bool = False) -> str:
        return await self.monitor_command_with_files(guest, command, (), hmp)

    async def monitor_command_with_files(self, guest: str, command: str, files: Sequence[Descriptor],
                                         hmp: bool = False) -> str:  # fmt: skip
        record = self.world.guests.find(guest)
        running = record.need_running()
        if hmp and files:
            raise InvalidValue("the human monitor takes no descriptors", field="files")
        await self._taint(record, running, "custom-monitor")
        return await running.process.monitor_command(command, hmp=hmp, fds=files)

    async def _taint(self, record: Record, running: Running, why: str) -> None:
        if why not in running.tainted:
            running.tainted = (*running.tainted, why)
            await runstate.save_running(self.world.store, record)
            self.world.changed(record)


def _take(path: Path) -> bytes:
    """The picture that the guest's process wrote: in its own folder, where it can put anything else."""
    try:
        return untrusted.read(path, MOST_PIXELS)
    except OSError as error:
        raise HostFailed(f"cannot read the screenshot: {error.strerror}", what=str(path)) from None
    finally:
        path.unlink(missing_ok=True)


def _character(record: Record, device: str | None) -> Character:
    devices = record.need_running().guest.devices
    found: list[Character] = [*devices.consoles, *devices.serials, *devices.channels, *devices.parallels]
    for character in found:
        names = (character.alias, getattr(character, "name", None))
        if device is None or device in names:
            if character.type not in ("pty", "unix", "dev", "file"):
                raise Unsupported(f"a console of type '{character.type}' cannot be opened")
            return character
    raise NoSuchDevice(f"guest '{record.name}' has no console" + (f" '{device}'" if device else ""))


def _open(character: Character) -> int:
    path = character.source_path
    if not path:
        raise NoSuchDevice(f"device '{character.alias}' has no path on the host")
    if character.type == "pty" and not PSEUDO_TERMINAL.fullmatch(path):
        raise HostFailed(f"'{path}', which the guest's process names, is no pseudo-terminal", what=path)
    try:
        if character.type == "unix":
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(PATIENCE)
                peer.connect(path)
                return peer.detach()
        return os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise HostFailed(f"cannot open '{path}': {error.strerror}", what=path) from None


def _hung_up(end: socket.socket) -> bool:
    try:
        return end.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


async def _relay(device: int, client: socket.socket) -> None:
    """Carry bytes both ways until one side closes. Each direction stops reading while the other side is full."""
    os.set_blocking(device, False)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        tasks = {loop.create_task(_pump(device, client.fileno())), loop.create_task(_pump(client.fileno(), device))}
        _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
    finally:
        os.close(device)
        client.close()


async def _pump(source: int, target: int) -> None:
    while True:
        try:
            data = os.read(source, 4096)
        except BlockingIOError:
            await _ready(source, write=False)
            continue
        except OSError:
            return
        if not data:
            return
        while data:
            try:
                data = data[os.write(target, data) :]
            except BlockingIOError:
                await _ready(target, write=True)
            except OSError:
                return


async def _ready(fd: int, *, write: bool) -> None:
    """Wait for a descriptor on a duplicate of its own, so that two directions do not share one registration."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    own = os.dup(fd)
    add, remove = (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)
    add(own, _settle, future)
    try:
        await future
    finally:
        remove(own)
        os.close(own)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
