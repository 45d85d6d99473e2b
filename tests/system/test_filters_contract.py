"""nftables keeps the contract of all firewalls."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Awaitable, Callable

import pytest

from contract.firewall_contract import CONTRACT, Rig
from frontinus.linux.network.filters import BridgeFilters
from support.namespaces import own_network
from support.packets import arp, ip_tool, open_tap

pytestmark = pytest.mark.needs("ip", "nft")


class LinuxRig:
    link = "tap0"

    def __init__(self) -> None:
        self.firewall = BridgeFilters("test")
        self.tap = open_tap(self.link)
        ip_tool("link", "set", self.link, "up")

    def chains(self, link: str) -> set[str]:
        shown = subprocess.run(["nft", "-j", "list", "chains"], capture_output=True, text=True, check=True).stdout
        names = {one["chain"]["name"] for one in json.loads(shown)["nftables"] if "chain" in one}
        return {name for name in names if name.startswith(f"{link}/")}

    def show(self, address: str) -> None:
        os.write(self.tap, arp(address=address))


@pytest.mark.parametrize("clause", CONTRACT, ids=lambda clause: clause.__name__)
@own_network
async def test_contract(clause: Callable[[Rig], Awaitable[None]]) -> None:
    rig = LinuxRig()
    await clause(rig)
    await rig.firewall.close()
    assert subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout == ""
