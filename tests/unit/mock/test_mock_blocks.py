"""The mock keeps the contract of work on the block graph."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.blocks_contract import BlocksContract
from frontinus.domain.definition import parse_guest
from frontinus.domain.devices.block.disk import Disk, number_layers
from frontinus.domain.host import HostFacts, Paths
from frontinus.mock.blocks import MockBlocks
from frontinus.mock.capabilities import capabilities
from frontinus.mock.hypervisor import MockHypervisor
from frontinus.ports import RunningGuest
from support.guests import document

XML = "<disk type='file'><driver name='qemu' type='raw'/><source file='/disk.raw'/><target dev='vda' bus='virtio'/></disk>"


class MockBlocksRig:
    def __init__(self, folder: Path) -> None:
        self.hypervisor = MockHypervisor()
        self.host = HostFacts(paths=Paths(state=str(folder)))
        self.guest = parse_guest(document(XML))
        self.guest.id = 1
        self.guest.devices.disks[0].alias = "virtio-disk0"
        number_layers(self.guest.devices.disks)

    @property
    def disk(self) -> Disk:
        return self.guest.devices.disks[0]

    async def launch(self) -> RunningGuest:
        plan = self.hypervisor.plan(self.guest, capabilities(), self.host)
        return await self.hypervisor.launch(plan, {}, None)

    def planner(self) -> MockBlocks:
        return MockBlocks()

    def image(self, name: str) -> str:
        return f"/{name}.qcow2"


class TestMockBlocks(BlocksContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> MockBlocksRig:
        return MockBlocksRig(tmp_path)
