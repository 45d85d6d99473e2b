"""Commands of users: checked against the schema of the very process that gets them, then passed on as they are."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from frontinus.api.errors import InvalidValue
from frontinus.domain.qapi import Schema
from frontinus.qemu.monitor.agent import parse_command
from frontinus.qemu.monitor.client import Command, Monitor, failed

SECONDS = 60.0


def check(command: Command, schema: Schema) -> None:
    """Raises InvalidValue for a command or an argument that this QEMU does not know, or one that is missing."""
    entity = schema.entity(command.execute)
    if entity is None or entity.meta_type != "command":
        raise InvalidValue(f"this QEMU has no command '{command.execute}'", field="command")
    takes = schema.entity(entity.arg_type or "")
    if takes is None or takes.tag is not None:
        return  # which members a union takes depends on its tag: QEMU looks itself
    known = {member.name for member in takes.members}
    for name in command.arguments:
        if name not in known and command.execute not in OPEN:
            raise InvalidValue(f"'{command.execute}' takes no argument '{name}'", field=name)
    for member in takes.members:
        if member.required and member.name not in command.arguments:
            raise InvalidValue(f"'{command.execute}' needs the argument '{member.name}'", field=member.name)


OPEN = frozenset({"device_add", "netdev_add", "object-add"})
"""Commands that take members beyond those in their schema."""


async def pass_through(monitor: Monitor, text: str, schema: Schema, fds: Sequence[int]) -> str:
    """Run a command given as JSON or by its bare name; the answer as JSON text, {"return": ...}."""
    command = parse_command(text)
    check(command, schema)
    (answer,) = await monitor.execute_many([command], deadline=SECONDS, fds=fds)
    if answer.error is not None:
        raise failed(command.execute, answer.error)
    return f'{{"return": {bytes(answer.raw).decode()}}}'


async def human(monitor: Monitor, line: str) -> str:
    """Run a command of the human monitor; what it prints."""
    return await monitor.ask(str, "human-monitor-command", {"command-line": line}, deadline=SECONDS)


async def schema_of(monitor: Monitor) -> Schema:
    """The schema of a running process: an upgrade of the binary does not change what runs."""
    return Schema.decode(await monitor.ask(msgspec.Raw, "query-qmp-schema"))
