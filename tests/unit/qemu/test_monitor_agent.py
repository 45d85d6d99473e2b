from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from frontinus.api.errors import AgentUnavailable, HypervisorFailed, InvalidValue
from frontinus.qemu.monitor.agent import agent_command, parse_command
from frontinus.qemu.monitor.client import Command

Answers = dict[str, Callable[[dict[str, object]], bytes]]


def agent(command: dict[str, object]) -> bytes:
    """How the real one answers a sync."""
    arguments = command["arguments"]
    assert isinstance(arguments, dict)
    return b"\xff" + json.dumps({"return": arguments["id"]}).encode() + b"\n"


@asynccontextmanager
async def guest(path: Path, **answers: Callable[[dict[str, object]], bytes]) -> AsyncIterator[list[str]]:
    """An agent behind a socket; the commands that it got."""
    got: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            command = json.loads(line.lstrip(b"\xff"))
            got.append(command["execute"])
            answer = answers.get(command["execute"].replace("-", "_"))
            if answer is not None and (data := answer(command)) is not None:
                writer.write(data)
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield got
    finally:
        server.close()


async def test_command_after_sync(tmp_path: Path) -> None:
    def ping(command: dict[str, object]) -> bytes:
        return json.dumps({"return": {"echo": command.get("arguments")}}).encode() + b"\n"

    async with guest(tmp_path / "ga", guest_sync_delimited=agent, guest_ping=ping) as got:
        answer = await agent_command(str(tmp_path / "ga"), Command("guest-ping", {"a": 1}), 5)
        assert json.loads(answer) == {"return": {"echo": {"a": 1}}}
        assert got == ["guest-sync-delimited", "guest-ping"]


async def test_answers_to_earlier_callers_are_thrown_away(tmp_path: Path) -> None:
    def after_others(command: dict[str, object]) -> bytes:
        return b'{"return": "stale"}\n{"err\xff{"return": 5}\n{"return": 6}\nxyz\xff\n' + agent(command)

    fresh = lambda c: b'{"return": "fresh"}\n'  # noqa: E731
    async with guest(tmp_path / "ga", guest_sync_delimited=after_others, guest_info=fresh):
        assert await agent_command(str(tmp_path / "ga"), Command("guest-info"), 5) == '{"return": "fresh"}'


async def test_agents_own_words(tmp_path: Path) -> None:
    no = lambda c: b'{"error": {"class": "CommandNotFound", "desc": "no such thing"}}\n'  # noqa: E731
    async with guest(tmp_path / "ga", guest_sync_delimited=agent, guest_x=no):
        with pytest.raises(HypervisorFailed, match="no such thing") as caught:
            await agent_command(str(tmp_path / "ga"), Command("guest-x"), 5)
        assert caught.value.details["class"] == "CommandNotFound"


async def test_nobody_answers(tmp_path: Path) -> None:
    async with guest(tmp_path / "ga") as got:
        with pytest.raises(AgentUnavailable, match="does not answer"):
            await agent_command(str(tmp_path / "ga"), Command("guest-ping"), 0.1)
        assert got == ["guest-sync-delimited"]  # the command itself was never sent
    with pytest.raises(AgentUnavailable, match="No such file"):
        await agent_command(str(tmp_path / "none"), Command("guest-ping"), 5)


async def test_command_is_not_answered(tmp_path: Path) -> None:
    async with guest(tmp_path / "ga", guest_sync_delimited=agent):
        with pytest.raises(AgentUnavailable, match=r"guest-exec within 0\.1 s"):
            await agent_command(str(tmp_path / "ga"), Command("guest-exec"), 0.1)
        assert await agent_command(str(tmp_path / "ga"), Command("guest-shutdown"), 0.1) == '{"return": {}}'


async def test_answer_that_is_no_json(tmp_path: Path) -> None:
    async with guest(tmp_path / "ga", guest_sync_delimited=agent, guest_x=lambda c: b"<xml/>\n"):
        with pytest.raises(HypervisorFailed, match="no JSON"):
            await agent_command(str(tmp_path / "ga"), Command("guest-x"), 5)


def test_commands_as_users_write_them() -> None:
    assert parse_command(" guest-info ") == Command("guest-info")
    assert parse_command('{"execute": "guest-x", "arguments": {"a": [1]}}') == Command("guest-x", {"a": [1]})
    for text in ("{", '{"arguments": {}}', '{"execute": 5}'):
        with pytest.raises(InvalidValue):
            parse_command(text)
