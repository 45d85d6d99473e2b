"""Where the demo's daemon and its adapters are, and their configuration: loopback only, nothing under /etc."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

COMMUNITY = "demonstration"
"""Anyone on this host may read the demo's figures; SNMPv2c has no secrets anyway."""
ADAPTER_USER = "nobody"
DAEMON = """
adapter_user = "{user}"
default_network = true

[adapter_arguments]
prometheus = ["--listen", "127.0.0.1:{prometheus}"]
snmp = ["--config", "{snmp}/snmp.toml", "--state", "{snmp}"]
"""
SNMP = """
listen = ["127.0.0.1:{port}"]

[v2c]
enabled = true
community_file = "{folder}/community"
sources = ["127.0.0.1/32"]
view = "all"
"""


@dataclass(frozen=True)
class Place:
    """The daemon's socket, the adapters' ports on loopback, and the address of the demo's own bus if there is one."""

    socket: Path
    prometheus: int
    snmp: int
    bus: str | None = None


def configure(folder: Path, place: Place) -> Path:
    """Write the configuration; the daemon's file."""
    snmp = folder / "snmp"
    snmp.mkdir(mode=0o700)
    (snmp / "snmp.toml").write_text(SNMP.format(port=place.snmp, folder=snmp))
    (snmp / "community").write_text(COMMUNITY)
    (snmp / "community").chmod(0o600)
    if os.geteuid() == 0:
        user = pwd.getpwnam(ADAPTER_USER)
        for path in (snmp, *snmp.iterdir()):
            os.chown(path, user.pw_uid, user.pw_gid)
    config = folder / "frontinus.toml"
    config.write_text(DAEMON.format(user=ADAPTER_USER, prometheus=place.prometheus, snmp=snmp))
    return config
