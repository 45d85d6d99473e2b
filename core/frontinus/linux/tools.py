"""What helper programs of this host can do: some tell it, of others their help does."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

SECONDS = 30
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
PLUGINS = ("usr/lib/x86_64-linux-gnu/nbdkit", "usr/lib64/nbdkit", "usr/lib/nbdkit")
"""Where nbdkit has its plugins and filters."""


def options(program: str) -> frozenset[str]:
    """The long options that a program's help names; none for one that is not there or does not answer."""
    return frozenset(re.findall(r"--[a-z][a-z0-9-]+", _said(program, "--help")))


def features(program: str) -> frozenset[str]:
    """What swtpm and its kin print as their features."""
    try:
        told = json.loads(_said(program, "--print-capabilities"))
        return frozenset(feature for feature in told["features"] if isinstance(feature, str))
    except (ValueError, KeyError, TypeError):
        return frozenset()


def nbdkit_parts(root: Path) -> frozenset[str]:
    """Names of nbdkit's plugins and filters."""
    files = (path for folder in PLUGINS for path in (root / folder).glob("*/nbdkit-*.so"))
    return frozenset(path.name.removeprefix("nbdkit-").rpartition("-")[0] for path in files)


def _said(program: str, option: str) -> str:
    if not os.access(program, os.X_OK):
        return ""
    try:
        done = subprocess.run([program, option], stdin=subprocess.DEVNULL, capture_output=True, env=ENVIRONMENT,
                              timeout=SECONDS, check=False)  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout + done.stderr).decode(errors="replace")
