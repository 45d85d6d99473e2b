"""net-snmp's snmptrapd, which receives notifications, and what it wrote."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from support.snmp import COMMUNITY, PASSWORDS
from support.waiting import until

THEIRS = bytes.fromhex("80001f8804746573742d72656365697665")
"""The receiver's engine: for informs it is the authority."""


@dataclass
class Receiving:
    """snmptrapd, and what it wrote."""

    port: int
    file: Path

    def lines(self, number: str) -> list[str]:
        """Lines that tell the notification of this name."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [line for line in lines if f"OID: .{number}\t" in line + "\t"]

    async def told(self, number: str, accept: Callable[[str], bool] = lambda line: True) -> str:
        await until(lambda: any(map(accept, self.lines(number))))
        return next(filter(accept, self.lines(number)))


def hears(port: int) -> bool:
    """Whether somebody has bound this port of UDP."""
    rows = [line.split() for line in Path("/proc/self/net/udp").read_text().splitlines()[1:]]
    return any(row[1].endswith(f":{port:04X}") for row in rows)


@contextlib.asynccontextmanager
async def receiving(folder: Path, port: int, engine_id: bytes = b"") -> AsyncIterator[Receiving]:
    """`engine_id`: ours, for traps as `monitor`; informs as `informer` and communities are received in any case."""
    auth, priv = (password.decode() for password in PASSWORDS)
    lines = (
        [f"createUser -e 0x{engine_id.hex()} monitor SHA-256 {auth} AES {priv}", "authUser log monitor"]
        if engine_id
        else []
    )
    lines += [f"createUser -e 0x{THEIRS.hex()} informer SHA-256 {auth} AES {priv}", "authUser log informer",
              f"authCommunity log {COMMUNITY.decode().replace(' ', '-')}", f"exactEngineID 0x{THEIRS.hex()}"]  # fmt: skip
    (folder / "snmptrapd.conf").write_text("\n".join(lines) + "\n")
    file = folder / "trapped"
    process = await asyncio.create_subprocess_exec(
        "snmptrapd", "-f", "-C", "-c", str(folder / "snmptrapd.conf"), "-On", "-Oe", "-Lf", str(file), f"udp:127.0.0.1:{port}",
        env={**os.environ, "MIBS": "", "SNMP_PERSISTENT_DIR": str(folder)}, stdin=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await until(lambda: file.exists() and "NET-SNMP" in file.read_text() and hears(port))
        yield Receiving(port, file)
    finally:
        process.terminate()
        await process.wait()
