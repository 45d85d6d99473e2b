"""A client of the guest agent. Its channel has no end that shows: whoever speaks must first find a common beginning.

Each command therefore follows a guest-sync-delimited with a number of its own: what came before its answer was meant
for an earlier, impatient caller and is thrown away. The connection lives for one command, so a guest that never
answers holds nothing.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Mapping

import msgspec

from frontinus.api.errors import AgentUnavailable, HypervisorFailed, InvalidValue
from frontinus.qemu.monitor.client import Command, Fault, failed
from frontinus.qemu.monitor.wire import Wire

SYNC_SECONDS = 5.0
"""How long the agent may take to show that it is there, within the caller's deadline."""
SILENT = frozenset({"guest-shutdown", "guest-suspend-ram", "guest-suspend-disk", "guest-suspend-hybrid"})
"""Commands that a successful agent does not answer; a failure is told soon."""
SILENT_SECONDS = 3.0
NOTHING = '{"return": {}}'
START = b"\xff"
"""What comes before an answer to guest-sync-delimited, and never in JSON."""


class _Reply(msgspec.Struct, rename={"result": "return"}):
    result: msgspec.Raw = msgspec.Raw(b"")
    error: Fault | None = None


def parse_command(text: str) -> Command:
    """A command as users write it: JSON, or a bare name. Raises InvalidValue."""
    if not text.lstrip().startswith("{"):
        return Command(text.strip())
    try:
        return msgspec.json.decode(text, type=Command)
    except msgspec.MsgspecError as error:
        raise InvalidValue(f"this is no command: {error}", field="command") from error


async def agent_command(path: str, command: Command, deadline: float) -> str:
    """Run a command of the guest agent behind a socket; its answer as JSON text, {"return": ...}.

    Raises AgentUnavailable when nobody answers, HypervisorFailed with the agent's own words.
    """
    connection = _Connection()
    try:
        async with asyncio.timeout(min(deadline, SYNC_SECONDS)):
            await connection.open(path)
            await connection.sync()
    except TimeoutError:
        connection.close()
        raise AgentUnavailable("the guest agent does not answer") from None
    except OSError as error:
        connection.close()
        raise AgentUnavailable(f"the guest agent's channel cannot be reached: {error.strerror}") from error
    except BaseException:
        connection.close()
        raise
    try:
        return await connection.run(command, deadline)
    finally:
        connection.close()


class _Connection:
    """One command's connection."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._wire: Wire | None = None

    async def open(self, path: str) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, path)
        except BaseException:
            sock.close()
            raise
        self._wire = Wire(sock, self._lines.put_nowait, lambda reason: self._lines.put_nowait(None))

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()

    async def sync(self) -> None:
        """Find the beginning: our number comes back after the delimiter."""
        number = secrets.randbelow(1 << 31)
        self._send(START, Command("guest-sync-delimited", {"id": number}))
        while True:
            before, found, line = (await self._line()).rpartition(START)
            if found and _is_number(line, number):
                return

    async def run(self, command: Command, deadline: float) -> str:
        """Send the command proper and take its answer."""
        self._send(b"", command)
        silent = command.execute in SILENT
        try:
            async with asyncio.timeout(min(deadline, SILENT_SECONDS) if silent else deadline):
                reply = msgspec.json.decode(await self._line(), type=_Reply)
        except (TimeoutError, AgentUnavailable) as error:
            if silent:
                return NOTHING
            if isinstance(error, AgentUnavailable):
                raise
            raise AgentUnavailable(f"the guest agent did not answer {command.execute} within {deadline:g} s") from None
        except msgspec.MsgspecError as error:
            raise HypervisorFailed(f"the guest agent's answer is no JSON: {error}") from error
        if reply.error is not None:
            raise failed(command.execute, reply.error)
        return f'{{"return": {bytes(reply.result).decode()}}}'

    def _send(self, prefix: bytes, command: Command) -> None:
        assert self._wire is not None
        self._wire.send(prefix + msgspec.json.encode(command) + b"\n")

    async def _line(self) -> bytes:
        line = await self._lines.get()
        if line is None:
            raise AgentUnavailable("the guest agent's channel was closed")
        return line


def _is_number(line: bytes, number: int) -> bool:
    try:
        answer: Mapping[str, object] = msgspec.json.decode(line, type=dict[str, object])
    except msgspec.MsgspecError:
        return False
    return answer.get("return") == number
