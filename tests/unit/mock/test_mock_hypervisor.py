"""The mock keeps the contract of the hypervisor port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.hypervisor_contract import HypervisorContract
from frontinus.domain.definition import parse_guest
from frontinus.domain.host import HostFacts, Paths
from frontinus.mock.capabilities import capabilities
from frontinus.mock.hypervisor import MockGuest, MockHypervisor
from frontinus.ports import RunningGuest

XML = """<domain type="qemu"><name>rig</name><memory unit="MiB">128</memory><vcpu current="1">2</vcpu>
<os><type>hvm</type></os><devices>
<disk type="file"><source file="/disk"/><target dev="vda" bus="virtio"/><alias name="virtio-disk0"/></disk>
</devices></domain>"""


class MockRig:
    disk = "virtio-disk0"

    def __init__(self, folder: Path) -> None:
        self.hypervisor = MockHypervisor()
        self.host = HostFacts(paths=Paths(state=str(folder)))
        self.started = 0

    async def launch(self, incoming: int | None = None) -> MockGuest:
        self.started += 1
        guest = parse_guest(XML)
        guest.id = self.started
        guest.devices.disks[0].alias = self.disk
        plan = self.hypervisor.plan(guest, capabilities(), self.host, incoming=incoming is not None)
        return await self.hypervisor.launch(plan, {}, None, incoming)

    async def booted(self, guest: RunningGuest) -> None:
        return None


class TestMock(HypervisorContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[MockRig]:
        yield MockRig(tmp_path)
