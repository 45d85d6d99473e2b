"""File systems that a test has mounted."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

SECONDS = 60.0


def unmount(place: Path) -> None:
    """Take a file system away as soon as the last program is quite gone from it. Raises AssertionError if one stays."""
    deadline = time.monotonic() + SECONDS
    while (done := subprocess.run(["umount", place], capture_output=True, text=True, check=False)).returncode:
        assert "busy" in done.stderr and time.monotonic() < deadline, done.stderr
        time.sleep(0.05)
