"""A message bus of the demo's own, for the D-Bus adapter: the host's buses are left alone."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

DEADLINE = 10.0  # seconds to start listening
CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"""


@asynccontextmanager
async def bus(folder: Path) -> AsyncIterator[str | None]:
    """The address of a bus that ends with the demo; None where there is no dbus-daemon."""
    program = shutil.which("dbus-daemon")
    if program is None:
        yield None
        return
    config, address = folder / "bus.conf", f"unix:path={folder}/bus"
    config.write_text(CONFIG.format(socket=folder / "bus"))
    process = await asyncio.create_subprocess_exec(
        program, f"--config-file={config}", "--nofork", "--nopidfile", "--nosyslog", "--print-address=1",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE):
            listens = await process.stdout.readline()
        yield address if listens else None
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
