"""The daemon's configuration: one TOML file, every field with a default, every mistake named."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from frontinus.api.errors import InvalidValue
from frontinus.domain.host import Paths

SYSTEM_FILE = Path("/etc/frontinus/frontinus.toml")


@dataclass(frozen=True)
class Config:
    """What an administrator can set.

    `hypervisor`: qemu or mock. `uid_range`: users for guests, one each. `group`: who may use the manage socket beside root;
    the monitor socket is open to all on the host. `adapters`: names to start, None for all that are installed
    (without a file, a trial under --root and a --session start none).
    `access`: who decides what callers may do: role (the socket that they came through), or polkit.
    `default_network`: whether the first start makes one; a trial under --root only does if its file says so.
    `guest_log_size`: bytes from which on a guest's log is turned over, 0 for never; `guest_log_backups`: how many are kept.
    `adapter_arguments`: further words for an adapter's command, by its name.
    """

    paths: Paths = field(default_factory=Paths)
    session: bool = False
    hypervisor: str = "qemu"
    emulator: str = "/usr/bin/qemu-system-x86_64"
    uid_range: tuple[int, int] = (1_900_000_000, 1_900_065_535)
    group: str = "frontinus"
    access: str = "role"
    adapters: tuple[str, ...] | None = None
    adapter_user: str = "frontinus"
    adapter_arguments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mock_guests: int = 0
    log_level: str = "INFO"
    log_format: str = "text"
    autostart: bool = True
    default_network: bool = True
    guest_log_size: int = 2 * 2**20
    guest_log_backups: int = 3

    @property
    def socket(self) -> Path:
        return Path(self.paths.run) / "frontinus.sock"

    @property
    def monitor_socket(self) -> Path:
        return Path(self.paths.run) / "frontinus-ro.sock"


def session_paths() -> Paths:
    """The places of a user's own engine (XDG base directories)."""
    home = Path.home()
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "frontinus"
    state = Path(os.environ.get("XDG_STATE_HOME") or home / ".local" / "state") / "frontinus"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "frontinus"
    run = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/frontinus-{os.getuid()}") / "frontinus"
    return Paths(
        config=str(config), state=str(state), run=str(run), log=str(state / "log"), cache=str(cache),
        nvram=str(state / "nvram"), ram=str(state / "ram"), shmem=str(state),
    )  # fmt: skip


def rooted_paths(root: Path) -> Paths:
    """Everything under one folder: for trials and tests."""
    return Paths(**{f.name: str(root / f.name) for f in fields(Paths)})


def load(file: Path | None, *, session: bool = False, root: Path | None = None) -> Config:
    """The configuration of a file, or of the usual one if it exists. Raises InvalidValue naming the field."""
    paths = rooted_paths(root) if root else session_paths() if session else Paths()
    chosen = file or (SYSTEM_FILE if not session and not root and SYSTEM_FILE.exists() else None)
    if chosen is None:
        # a trial or a user's own engine opens no ports beside the system's unless its file asks for it
        return Config(
            paths=paths, session=session, adapters=() if session or root else None, default_network=root is None
        )
    try:
        document = tomllib.loads(chosen.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InvalidValue(f"{chosen}: {error}", field="file") from None
    return _config(document, paths, session, chosen, default_network=root is None)


LEAST_LOG = 4096
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
KINDS: dict[str, tuple[type, str]] = {
    "hypervisor": (str, "a string"),
    "emulator": (str, "a path"), "group": (str, "a group's name"), "adapter_user": (str, "a user's name"),
    "mock_guests": (int, "a number"),
    "guest_log_size": (int, "a number of bytes, 0 for no limit"), "guest_log_backups": (int, "a number up to 100"),
    "log_level": (str, f"one of {', '.join(LEVELS)}"),
    "log_format": (str, "text or json"), "autostart": (bool, "true or false"),
    "default_network": (bool, "true or false"),
    "uid_range": (list, "two user ids, the lower one first"), "adapters": (list, "a list of names"),
    "access": (str, "role or polkit"),
    "paths": (dict, "a table"), "adapter_arguments": (dict, "a table of lists"),
}  # fmt: skip

RULES: Mapping[str, Callable[[Any], bool]] = {
    "log_level": lambda level: level in LEVELS,
    "log_format": lambda style: style in ("text", "json"),
    "access": lambda way: way in ("role", "polkit"),
    "mock_guests": lambda count: count >= 0,
    "guest_log_size": lambda size: size == 0 or size >= LEAST_LOG,
    "guest_log_backups": lambda count: 0 <= count <= 100,
    "uid_range": lambda ids: [type(uid) for uid in ids] == [int, int] and 0 < ids[0] <= ids[1],
    "adapters": lambda names: all(isinstance(name, str) for name in names),
}


def _config(document: dict[str, object], paths: Paths, session: bool, file: Path, *, default_network: bool) -> Config:
    values: dict[str, object] = {"default_network": default_network}
    for name, value in document.items():
        if name not in KINDS:
            raise InvalidValue(f"{file}: unknown field '{name}'", field=name)
        kind, words = KINDS[name]
        if not isinstance(value, kind) or (name in RULES and not RULES[name](value)):
            raise InvalidValue(f"{file}: '{name}' must be {words}", field=name)
        values[name] = tuple(value) if isinstance(value, list) else value
    if "adapter_arguments" in values:
        values["adapter_arguments"] = _arguments(values["adapter_arguments"], file)
    changed = values.pop("paths", {})
    assert isinstance(changed, dict)
    known = {f.name for f in fields(Paths)}
    for name, value in changed.items():
        if name not in known or not isinstance(value, str) or not value.startswith("/"):
            raise InvalidValue(
                f"{file}: 'paths.{name}' must be one of {', '.join(sorted(known))} and absolute", field=name
            )
    merged = Paths(**{**{name: getattr(paths, name) for name in known}, **changed})
    return Config(paths=merged, session=session, **values)  # type: ignore[arg-type]


def _arguments(table: object, file: Path) -> dict[str, tuple[str, ...]]:
    """The words of [adapter_arguments], by adapter."""
    assert isinstance(table, dict)
    for name, words in table.items():
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise InvalidValue(f"{file}: 'adapter_arguments.{name}' must be a list of strings", field=name)
    return {name: tuple(words) for name, words in table.items()}
