"""The provider's configuration: one TOML file, every mistake named, and nothing served unless all of it is sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from frontinus.client import toml
from frontinus.client.toml import Address, BadConfig, Network
from frontinus_cim.front import pam

LISTEN: Sequence[Address] = (("127.0.0.1", 5989),)


@dataclass(frozen=True)
class Config:
    """What an administrator can set.

    `certificate` and `key`: PEM files, None for one that the provider makes; `client_ca`: whose certificates name users.
    `max_age`: seconds that figures may be old. `connections`: how many clients at once. `destinations`: networks that
    indications may be sent to, any if there are none; `destination_ca`: whose certificates receivers may have. `pam`: who
    else may come in, None for nobody.
    """

    listen: Sequence[Address] = LISTEN
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    max_age: float = 5.0
    connections: int = 128
    destinations: Sequence[Network] = ()
    destination_ca: Path | None = None
    pam: pam.Settings | None = None


def load(path: Path) -> Config:
    """The configuration of a file; the defaults if there is none. Raises BadConfig."""
    reader = toml.read(path)
    if reader is None:
        return Config()
    table = reader.table("pam")
    config = Config(
        listen=reader.addresses("listen") or LISTEN,
        certificate=reader.path("certificate"), key=reader.path("key"),
        client_ca=reader.path("client_ca"), destination_ca=reader.path("destination_ca"),
        max_age=reader.number("max_age", Config.max_age, 0, 3600),
        connections=int(reader.number("connections", Config.connections, 1, 4096)),
        destinations=reader.networks("destinations"),
        pam=pam.Settings.of(table) if table else None,
    )  # fmt: skip
    reader.done()
    if (config.certificate is None) != (config.key is None):
        raise BadConfig(f"{path}: 'certificate' and 'key' go together")
    return config
