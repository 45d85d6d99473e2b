"""Where engines keep their sockets."""

from __future__ import annotations

import os
from pathlib import Path


def default_socket(*, session: bool) -> Path:
    """The manage socket of the system's engine, or of this user's own."""
    if not session:
        return Path("/run/frontinus/frontinus.sock")
    return Path(os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/frontinus-{os.getuid()}") / "frontinus" / "frontinus.sock"
