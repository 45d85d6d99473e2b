"""The mock's firewall keeps the contract of all firewalls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from contract.firewall_contract import CONTRACT, Rig
from frontinus.mock.firewall import MemoryFirewall


class MockRig:
    link = "tap0"

    def __init__(self) -> None:
        self.memory = MemoryFirewall()
        self.firewall = self.memory

    def chains(self, link: str) -> set[str]:
        return set(self.memory.rules[link].chains) if link in self.memory.rules else set()

    def show(self, address: str) -> None:
        self.memory.learn(self.link, {address: None})


@pytest.mark.parametrize("clause", CONTRACT, ids=lambda clause: clause.__name__)
async def test_contract(clause: Callable[[Rig], Awaitable[None]]) -> None:
    rig = MockRig()
    await clause(rig)
    assert not rig.memory.in_force
