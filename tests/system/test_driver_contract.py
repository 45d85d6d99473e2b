"""QEMU keeps the contract of the hypervisor port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.hypervisor_contract import HypervisorContract
from guest_image import GuestImage
from support.qemu_rig import QemuRig


class TestQemu(HypervisorContract):
    @pytest.fixture
    async def rig(self, place: Path, guest_image: GuestImage) -> AsyncIterator[QemuRig]:
        rig = QemuRig(place, guest_image)
        yield rig
        await rig.close()
