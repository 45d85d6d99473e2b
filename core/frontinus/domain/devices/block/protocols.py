"""Protocols of network storage: what each needs of a <source>, and what it may say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

WEB = frozenset({"http", "https"})
CURL = WEB | {"ftp", "ftps"}


@dataclass(frozen=True, slots=True)
class Protocol:
    """One protocol. `fields`: what only some protocols know and others drop."""

    port: int | None = None
    """The default port."""
    fields: frozenset[str] = frozenset()
    one_host: bool = True
    """There is exactly one server."""
    unix: bool = False
    """The server may listen on a unix socket."""
    auth: bool = False
    auth_secret: str | None = None
    """The only type of secret that it takes."""
    tls: bool = False
    volume: bool = False
    """The name is volume/path (pool/image)."""
    named: bool = True
    """There is no source without a name."""


_WEB = frozenset({"query", "cookies"})
_CURL = frozenset({"readahead", "timeout"})
_TLS = frozenset({"ssl_verify"})
_SSH = frozenset({"username", "keyfile", "agent_socket", "known_hosts"})

PROTOCOLS: Mapping[str, Protocol] = {
    "nbd": Protocol(10809, frozenset({"reconnect_delay"}), unix=True, tls=True, named=False),
    "rbd": Protocol(None, one_host=False, auth=True, auth_secret="ceph", volume=True),
    "sheepdog": Protocol(7000, unix=True),
    "gluster": Protocol(24007, one_host=False, unix=True, volume=True),
    "iscsi": Protocol(3260, auth=True, auth_secret="iscsi"),
    "http": Protocol(80, _WEB | _CURL, auth=True),
    "https": Protocol(443, _WEB | _CURL | _TLS, auth=True),
    "ftp": Protocol(21, _CURL, auth=True),
    "ftps": Protocol(990, _CURL | _TLS, auth=True),
    "tftp": Protocol(69),
    "ssh": Protocol(22, _SSH, auth=True),
    "vxhs": Protocol(9999, tls=True),
    "nfs": Protocol(None, frozenset({"user", "group"})),
}
NO_PROTOCOL = Protocol(named=False, one_host=False)
"""Where none is said yet."""
SPECIAL_FIELDS = frozenset[str]().union(*(protocol.fields for protocol in PROTOCOLS.values()))
