"""The provider's configuration: one TOML file, every mistake named, and nothing served unless all of it is sound."""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Address = tuple[str, int]
LISTEN: Sequence[Address] = (("127.0.0.1", 5989),)


class BadConfig(Exception):
    """The configuration cannot be used; the message names the field."""


@dataclass(frozen=True)
class Config:
    """What an administrator can set.

    `certificate` and `key`: PEM files, None for one that the provider makes; `client_ca`: whose certificates name users.
    `max_age`: seconds that figures may be old. `connections`: how many clients at once. `destinations`: networks that
    indications may be sent to, any if there are none; `destination_ca`: whose certificates receivers may have.
    """

    listen: Sequence[Address] = LISTEN
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    max_age: float = 5.0
    connections: int = 128
    destinations: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network] = ()
    destination_ca: Path | None = None


@dataclass(frozen=True)
class Places:
    """Where the configuration and the state are."""

    config: Path
    state: Path


def places(socket: Path) -> Places:
    """Those that belong to the engine whose socket this is."""
    run = socket.parent
    if run == Path("/run/frontinus"):
        return Places(Path("/etc/frontinus-cim.toml"), Path("/var/lib/frontinus/cim"))
    session = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/frontinus-{os.getuid()}") / "frontinus"
    if run == session:
        home = Path.home()
        config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
        state = Path(os.environ.get("XDG_STATE_HOME") or home / ".local/state")
        return Places(config / "frontinus/cim.toml", state / "frontinus/cim")
    return Places(run.parent / "state/cim/cim.toml", run.parent / "state/cim")


FIELDS: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "listen": (list, "a list of addresses such as 127.0.0.1:5989"), "certificate": (str, "a path"), "key": (str, "a path"),
    "client_ca": (str, "a path"), "destination_ca": (str, "a path"), "max_age": ((int, float), "a number of seconds, at most 3600"),
    "connections": (int, "a number from 1 to 4096"), "destinations": (list, "a list of networks such as 192.0.2.0/24"),
}  # fmt: skip


def load(path: Path) -> Config:
    """The configuration of a file; the defaults if there is none. Raises BadConfig."""
    try:
        document = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return Config()
    except (OSError, ValueError) as error:
        raise BadConfig(f"{path}: {error}") from None
    for name, value in document.items():
        if name not in FIELDS:
            raise BadConfig(f"{path}: unknown field '{name}'")
        kind, words = FIELDS[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise BadConfig(f"{path}: '{name}' must be {words}")
    config = Config(
        listen=tuple(_address(path, text) for text in document.get("listen", ())) or LISTEN,
        certificate=_path(document.get("certificate")), key=_path(document.get("key")),
        client_ca=_path(document.get("client_ca")), destination_ca=_path(document.get("destination_ca")),
        max_age=float(document.get("max_age", Config.max_age)),
        connections=document.get("connections", Config.connections),
        destinations=tuple(_network(path, text) for text in document.get("destinations", ())),
    )  # fmt: skip
    if (config.certificate is None) != (config.key is None):
        raise BadConfig(f"{path}: 'certificate' and 'key' go together")
    for name, sound in (("max_age", 0 <= config.max_age <= 3600), ("connections", 1 <= config.connections <= 4096)):
        if not sound:
            raise BadConfig(f"{path}: '{name}' must be {FIELDS[name][1]}")
    return config


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _address(file: Path, text: object) -> Address:
    host, _, port = str(text).rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise BadConfig(f"{file}: 'listen': '{text}' is no address and port in numbers") from None
    if not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise BadConfig(f"{file}: 'listen': '{text}' has no port")
    return host, int(port)


def _network(file: Path, text: object) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(str(text))
    except ValueError as error:
        raise BadConfig(f"{file}: 'destinations': {error}") from None
