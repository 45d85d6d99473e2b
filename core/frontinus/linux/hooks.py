"""The administrator's programs: run with the name of an object and what happens to it, its XML on standard input.

HOOKS/KIND and every executable in HOOKS/KIND.d, in the order of their names; one that fails refuses.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from frontinus.api.errors import HostFailed
from frontinus.linux.failing import failing

SECONDS = 30.0
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


def programs(folder: Path, kind: str) -> Iterator[Path]:
    """The programs of a kind of object."""
    several = folder / f"{kind}.d"
    for path in (folder / kind, *(sorted(several.iterdir()) if several.is_dir() else ())):
        if path.is_file() and os.access(path, os.X_OK):
            yield path


def run(folder: Path, kind: str, name: str, operation: str, stage: str, xml: str) -> None:
    """Run all of them. Raises HostFailed with the words of the one that fails."""
    for program in programs(folder, kind):
        with failing("run", str(program)):
            try:
                done = subprocess.run([str(program), name, operation, stage, "-"], input=xml.encode(), capture_output=True,
                                      env=ENVIRONMENT, timeout=SECONDS, check=False)  # fmt: skip
            except subprocess.TimeoutExpired:
                raise HostFailed(f"the hook {program} did not end within {SECONDS:g} s", what=str(program)) from None
        if done.returncode:
            words = done.stderr.decode(errors="replace").strip()[-500:]
            raise HostFailed(f"the hook {program} refuses {operation} of '{name}': {words}", what=str(program))
