"""Where engines keep their sockets, and adapters their configuration and state."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


def default_socket(*, session: bool) -> Path:
    """The manage socket of the system's engine, or of this user's own."""
    if not session:
        return Path("/run/frontinus/frontinus.sock")
    return Path(os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/frontinus-{os.getuid()}") / "frontinus" / "frontinus.sock"


@dataclass(frozen=True)
class Places:
    """Where an adapter's configuration and state are."""

    config: Path
    state: Path


def adapter_places(name: str, socket: Path) -> Places:
    """Those of an adapter beside the engine whose socket this is: the system's, this user's own, or one below a root."""
    run = socket.parent
    if run == default_socket(session=False).parent:
        return Places(Path(f"/etc/frontinus-{name}.toml"), Path(f"/var/lib/frontinus/{name}"))
    if run == default_socket(session=True).parent:
        home = Path.home()
        config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
        state = Path(os.environ.get("XDG_STATE_HOME") or home / ".local/state")
        return Places(config / f"frontinus/{name}.toml", state / f"frontinus/{name}")
    return Places(run.parent / f"state/{name}/{name}.toml", run.parent / f"state/{name}")
