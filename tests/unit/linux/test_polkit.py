"""The policy without an authority, and what rules on either kind of name come to."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from frontinus.api.identity import Identity
from frontinus.api.permissions import PERMISSIONS
from frontinus.linux import polkit
from frontinus.linux.polkit import Polkit, Verdict

NOWHERE = "unix:path=/nonexistent/bus"
ROOT, MANAGER, USER = Identity(uid=0, gid=0), Identity(uid=70_000, gid=1, groups=(7,)), Identity(uid=70_001, gid=1)


async def test_it_fails_closed() -> None:
    policy = Polkit(NOWHERE, managers=7)
    for name in ("guests", "destroy"):
        assert await policy.allows(ROOT, PERMISSIONS[name], {}) and await policy.allows(MANAGER, PERMISSIONS[name], {})
        assert not await policy.allows(USER, PERMISSIONS[name], {})
    assert not await Polkit(NOWHERE).allows(MANAGER, PERMISSIONS["guests"], {})
    assert await policy.allows(Identity(uid=os.getuid(), gid=0), PERMISSIONS["destroy"], {})


async def test_the_monitor_socket_stays_one() -> None:
    policy = Polkit(NOWHERE, managers=7)
    assert not await policy.allows(Identity(uid=0, gid=0, readonly=True), PERMISSIONS["destroy"], {})


@pytest.mark.parametrize(
    ("said", "read", "write"),
    [((True, None), True, True), ((False, None), False, False), ((None, True), True, True), ((None, False), False, False),
     ((True, False), False, True), ((False, True), False, True), ((None, None), True, False)],
)  # fmt: skip
async def test_rules_on_either_name_count(said: tuple[bool | None, bool | None], read: bool, write: bool) -> None:
    """Reading is yes unless a rule says no, changing no unless one says yes. None: nobody registered the action."""
    policy, asked = Polkit(NOWHERE), 0

    async def check(who: Identity, action: str, details: Mapping[str, str]) -> Verdict | None:
        nonlocal asked
        asked += 1
        verdict = said[0 if action.startswith("org.libvirt.api.") else 1]
        return None if verdict is None else Verdict(verdict)

    policy._authority.check = check  # type: ignore[method-assign]
    assert await policy.allows(USER, PERMISSIONS["guest"], {"domain_name": "a"}) is read
    assert await policy.allows(USER, PERMISSIONS["destroy"], {"domain_name": "a"}) is write
    before = asked
    assert await policy.allows(USER, PERMISSIONS["guest"], {"domain_name": "a"}) is read
    assert asked == before, "an answer that lasts was not remembered"
    policy._changed()
    await policy.allows(USER, PERMISSIONS["guest"], {"domain_name": "a"})
    assert asked > before


async def test_a_temporary_answer_is_not_remembered() -> None:
    policy, asked = Polkit(NOWHERE), 0

    async def check(who: Identity, action: str, details: Mapping[str, str]) -> Verdict | None:
        nonlocal asked
        asked += 1
        return Verdict(True, lasts=False)

    policy._authority.check = check  # type: ignore[method-assign]
    for _ in range(2):
        assert await policy.allows(USER, PERMISSIONS["destroy"], {})
    assert asked == 4


async def test_an_answer_that_was_overtaken_by_a_change_is_not_remembered() -> None:
    policy, allowed = Polkit(NOWHERE), True

    async def check(who: Identity, action: str, details: Mapping[str, str]) -> Verdict | None:
        verdict = Verdict(allowed)
        if allowed:
            policy._changed()  # the rules change while the answer is on its way
        return verdict

    policy._authority.check = check  # type: ignore[method-assign]
    await policy.allows(USER, PERMISSIONS["destroy"], {})
    allowed = False
    assert not await policy.allows(USER, PERMISSIONS["destroy"], {})


async def test_a_bus_that_does_not_answer_is_no_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polkit, "PATIENCE", 0.2)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "bus"))
        silent.listen()
        policy = Polkit(f"unix:path={tmp_path / 'bus'}")
        async with asyncio.timeout(60):
            subject = Identity(uid=70_001, gid=1, pid=os.getpid())
            assert not await policy.allows(subject, PERMISSIONS["destroy"], {})
