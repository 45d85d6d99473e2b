"""Commands of users, checked against a schema before they are sent."""

from __future__ import annotations

import pytest

from frontinus.api.errors import InvalidValue
from frontinus.domain.qapi import Case, Entity, Member, Schema
from frontinus.qemu.monitor.client import Command
from frontinus.qemu.passthrough import check

SCHEMA = Schema([
    Entity(name="cmd", meta_type="command", arg_type="1"),
    Entity(name="bare", meta_type="command", arg_type="0"),
    Entity(name="union", meta_type="command", arg_type="2"),
    Entity(name="device_add", meta_type="command", arg_type="1"),
    Entity(name="EVENT", meta_type="event", arg_type="0"),
    Entity(name="0", meta_type="object"),
    Entity(name="1", meta_type="object", members=(Member("must", "str"), Member("may", "str", default=None))),
    Entity(name="2", meta_type="object", tag="kind", members=(Member("kind", "3"),), variants=(Case("a", "1"),)),
])  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [Command("bare"), Command("cmd", {"must": 1}), Command("cmd", {"must": 1, "may": 2}),
     Command("union", {"kind": "a", "must": 5}), Command("device_add", {"must": 1, "addr": 2})],
)  # fmt: skip
def test_accepted(command: Command) -> None:
    check(command, SCHEMA)


@pytest.mark.parametrize(
    ("command", "field"),
    [(Command("other"), "command"), (Command("EVENT"), "command"), (Command("1"), "command"), (Command("cmd"), "must"),
     (Command("cmd", {"must": 1, "x": 1}), "x"), (Command("bare", {"x": 1}), "x")],
)  # fmt: skip
def test_refused(command: Command, field: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        check(command, SCHEMA)
    assert caught.value.details["field"] == field
