"""A bare QEMU: the reference that the engine's figures are measured against, in the same run.

Minimal on purpose: asyncio, json, one socket a guest, everything at once, no model, no checks.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

GUEST_STATS: dict[str, object] = {
    "execute": "qom-get",
    "arguments": {"path": "/machine/peripheral/balloon0", "property": "guest-stats"},
}


class BareGuest:
    """QEMU as a script starts it: spawn, handshake, cont, wait for running."""

    def __init__(self, folder: Path, name: str, disk: Path) -> None:
        self.socket = folder / f"{name}.qmp"
        self.argv = [
            "qemu-system-x86_64", "-name", name, "-machine", "q35", "-accel", "tcg", "-m", "32", "-nodefaults",
            "-no-user-config", "-display", "none", "-S", "-qmp", f"unix:{self.socket},server=on,wait=off",
            "-blockdev", json.dumps({"driver": "file", "filename": str(disk), "node-name": "f"}),
            "-blockdev", json.dumps({"driver": "raw", "file": "f", "node-name": "d"}),
            "-device", "virtio-blk-pci,drive=d", "-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n",
            "-device", "virtio-balloon-pci,id=balloon0",
        ]  # fmt: skip

    async def start(self, *, paused: bool = False) -> None:
        """Returns when QEMU says that the guest runs, or answers while it is paused."""
        self.process = await asyncio.create_subprocess_exec(*self.argv, stderr=asyncio.subprocess.DEVNULL)
        while True:
            try:
                self.reader, self.writer = await asyncio.open_unix_connection(str(self.socket), limit=2**22)
                break
            except OSError:
                await asyncio.sleep(0.001)
        await self.reader.readline()
        await self.ask("qmp_capabilities")
        if not paused:
            await self.ask("cont")
            while not (await self.ask("query-status"))["running"]:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        self.threads = [c["thread-id"] for c in await self.ask("query-cpus-fast")]

    async def ask(self, *commands: str | dict[str, object]) -> Any:
        """Send commands in one write; the answer of the last."""
        asked = [{"execute": c} if isinstance(c, str) else c for c in commands]
        self.writer.write(b"".join(json.dumps(c).encode() for c in asked))
        answer: object = None
        left = len(commands)
        while left:
            message = json.loads(await self.reader.readline())
            if "return" in message:
                answer, left = message["return"], left - 1
            elif "error" in message:
                raise AssertionError(message)
        return answer

    async def figures(self) -> None:
        """What full statistics need: the same QMP commands that the engine sends, the same files of /proc."""
        await self.ask("query-blockstats", "query-block", "query-balloon", GUEST_STATS, "query-iothreads")
        pid = self.process.pid
        for name in (f"/proc/{pid}/stat", f"/proc/{pid}/statm", *(f"/proc/{pid}/task/{t}/{f}" for t in self.threads
                                                                 for f in ("stat", "schedstat"))):  # fmt: skip
            fd = os.open(name, os.O_RDONLY)
            os.read(fd, 4096)
            os.close(fd)

    async def stop(self) -> None:
        self.writer.close()
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()
