"""Logs of a real guest: small while it prints on and on, whole over the death of the engine."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from guest_image import READY, GuestImage
from support.real_console import expect
from support.waiting import until
from system.test_guest_life import guest_xml
from trial import Daemon

SIZE = 8192
LINES = 1500
PRINT = f"\ni=0; while [ $i -lt {LINES} ]; do echo line-$i-of-many-that-fill-the-log; i=$((i+1)); done; echo all-$((40+2))\n"


def joined(log: Path) -> str:
    """What was printed in all. Raises FileNotFoundError while a backup becomes an older one."""
    backups = sorted(log.parent.glob(f"{log.name}.*"), key=lambda path: int(path.suffix[1:]), reverse=True)
    return b"".join(path.read_bytes() for path in (*backups, log)).decode(errors="replace")


def has_all(log: Path) -> bool:
    with suppress(FileNotFoundError):
        return "all-42" in joined(log)
    return False


def blocks_come_out(folder: Path) -> bool:
    """Whether the file system of this folder loses nothing at a turn."""
    return any(line.split()[1:3] == [str(mount), kind] for line in Path("/proc/mounts").read_text().splitlines()
               for mount in [next(p for p in (folder, *folder.parents) if p.is_mount())] for kind in ("ext4", "xfs"))  # fmt: skip


async def test_a_console_that_prints_on_and_on(place: Path, probed: Path, guest_image: GuestImage) -> None:
    (place / "frontinus.toml").write_text(f"guest_log_size = {SIZE}\nguest_log_backups = 100\n")
    (place / "console").mkdir()
    console, own = place / "console/serial.log", place / "log/guests/real.log"
    daemon = Daemon(place, "--config", str(place / "frontinus.toml"))
    await daemon.start()
    try:
        async with daemon.engine() as engine:
            xml = guest_xml(place, guest_image)
            await engine.create(
                xml.replace("<serial type='pty'/>", f"<serial type='pty'><log file='{console}'/></serial>")
            )
            await expect(engine, "real", READY)
            await expect(engine, "real", "line-9-", PRINT)
        await daemon.kill()  # nobody turns anything over now; QEMU writes on
        await until(lambda: console.stat().st_size > 2 * SIZE or has_all(console), 120)
        await daemon.start()
        async with daemon.engine() as engine:
            await until(lambda: has_all(console), 120)
            await expect(engine, "real", "all-42", PRINT)
            await until(lambda: console.stat().st_size < SIZE, 120)
            printed = re.findall(r"line-(\d+)-of-many-that-fill-the-log\r?\n", joined(console))
            if blocks_come_out(place):
                assert printed == [str(number) for number in range(LINES)] * 2
            assert {"serial.log", "serial.log.0", "serial.log.1"} <= {path.name for path in console.parent.iterdir()}
            with own.open("ab") as qemu:
                qemu.write(b"a word of QEMU's\n" * SIZE)
            await until(lambda: own.with_name("real.log.0").exists() and own.stat().st_size < SIZE)
            await engine.destroy("real")
    finally:
        await daemon.stop()
