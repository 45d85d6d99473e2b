"""Guests that need no boot, with marks on their disk and in their memory that QEMU itself is told to make."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Self

from lxml import etree

from frontinus.api.engine import Engine
from support.disks import MIB, bare_xml, disk, image

SCRATCH = 0x3FF
"""The scratch register of the first serial port: no firmware touches it, a saved state has it, it is zero after a start."""


class Marked:
    """A guest with one disk, vda."""

    def __init__(self, engine: Engine, name: str, place: Path) -> None:
        self.engine, self.name, self.place = engine, name, place

    @classmethod
    async def defined(cls, engine: Engine, name: str, place: Path, size: int = 2 * MIB, emulator: str = "") -> Self:
        """`emulator`: another than the installed one."""
        guest = cls(engine, name, place)
        other = f"<emulator>{emulator}</emulator>" if emulator else ""
        disks = disk(image(guest.path("qcow2"), size))
        await engine.define(bare_xml(f"{other}{disks}<serial type='null'/>", name))
        return guest

    def path(self, name: str) -> Path:
        return self.place / f"{self.name}.{name}"

    async def state(self) -> str:
        return (await self.engine.guest(self.name)).state

    async def hmp(self, command: str) -> str:
        return await self.engine.monitor_command(self.name, command, hmp=True)

    async def qmp(self, execute: str, **arguments: object) -> None:
        await self.engine.monitor_command(self.name, json.dumps({"execute": execute, "arguments": arguments}))

    async def write(self, byte: int, at: int = 0, length: int = 64) -> None:
        """Write to the disk, by QEMU while it runs; KiB."""
        command = f"write -P {byte} {at}k {length}k"
        if (await self.engine.guest(self.name)).active:
            said = await self.hmp(f'qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "{command}"')
            assert not said.strip(), said
        else:
            subprocess.run(
                ["qemu-io", "-f", "qcow2", "-c", command, str(await self.top())], check=True, capture_output=True
            )

    async def remember(self, byte: int) -> None:
        """Put a mark where only the guest's memory has it."""
        await self.hmp(f"o /b {SCRATCH} {byte}")

    async def memory(self) -> int:
        return int((await self.hmp(f"i /b {SCRATCH}")).split("=")[1], 0)

    async def layers(self) -> list[Path]:
        """The disk's images from the top down, as far as they are known."""
        root = etree.fromstring(await self.engine.guest_xml(self.name))
        found = root.find("devices/disk")
        return [Path(str(s.get("file"))) for s in found.iter("source")] if found is not None else []

    async def top(self) -> Path:
        return (await self.layers())[0]

    async def on_disk(self) -> int:
        """The first byte of the disk. A guest that runs is stopped for a moment: all is in its images then."""
        if await self.state() == "running":
            await self.engine.suspend(self.name)
            await self.engine.resume(self.name)
        return first_byte(await self.top())


def first_byte(path: Path) -> int:
    """What a guest sees at the beginning of an image."""
    argv = ["qemu-io", "-U", "-r", "-f", "qcow2", "-c", "read -v 0 16", str(path)]
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    found = re.search(r"^0+:\s+([0-9a-f]{2})", said, re.MULTILINE)
    assert found is not None, said
    return int(found[1], 16)
