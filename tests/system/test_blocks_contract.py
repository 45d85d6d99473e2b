"""QEMU keeps the contract of work on the block graph."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from contract.blocks_contract import BlocksContract
from frontinus.domain.devices.block.disk import Disk, number_layers
from frontinus.ports import RunningGuest
from frontinus.qemu.blocks import QemuBlocks
from support.guests import completed, host, qemu72
from support.qemu_rig import DISK, USER, QemuRig

NAMES = {"storage1": "frontinus-1-storage", "format1": "frontinus-1-format"}
XML = "<disk type='file'><driver name='qemu' type='raw'/><source file='/disk.raw'/><target dev='vda' bus='virtio'/></disk>"


class QemuBlocksRig:
    """The guest of the other contract, its nodes named as the engine names them."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.rig = QemuRig(place)
        self.guest = completed(XML)
        self.guest.devices.disks[0].alias = self.rig.disk
        number_layers(self.guest.devices.disks)

    @property
    def disk(self) -> Disk:
        return self.guest.devices.disks[0]

    async def launch(self) -> RunningGuest:
        plan = self.rig.plan()
        argv = tuple(self._renamed(word) for word in plan.argv)
        return await self.rig.launch(plan=replace(plan, argv=argv))

    @staticmethod
    def _renamed(word: str) -> str:
        for old, new in NAMES.items():
            word = word.replace(old, new)
        return word

    def planner(self) -> QemuBlocks:
        return QemuBlocks(self.guest, qemu72(), host())

    def image(self, name: str) -> str:
        path = self.place / f"{name}.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), str(DISK)], check=True)
        os.chown(path, USER.uid, USER.gid)
        return str(path)


class TestQemuBlocks(BlocksContract):
    @pytest.fixture
    async def rig(self, place: Path) -> AsyncIterator[QemuBlocksRig]:
        rig = QemuBlocksRig(place)
        yield rig
        await rig.rig.close()
