"""Where a disk's bytes are: the <source> that disks, backing stores, mirrors and variable stores share.

Which attributes have a meaning depends on the storage type, which stands in the parent element.
"""

from __future__ import annotations

from collections.abc import Iterable

from frontinus.domain.devices.base import SecurityLabel
from frontinus.domain.devices.block.credentials import Auth, Encryption
from frontinus.domain.devices.block.protocols import NO_PROTOCOL, PROTOCOLS, SPECIAL_FIELDS
from frontinus.xml import Model, Variants, many, one, xml
from frontinus.xml.codecs import Hex2, Hex4, HexFree, Int, UInt32, YesNo, integer, one_of

TYPES = ("file", "block", "dir", "network", "volume", "nvme", "vhostuser", "vhostvdpa")
FORMATS = (
    "raw", "dir", "bochs", "cloop", "dmg", "iso", "vpc", "vdi", "fat", "vhd", "ploop",
    "cow", "qcow", "qcow2", "qed", "vmdk",
)  # fmt: skip
BACKED = frozenset({"cow", "qcow", "qcow2", "qed", "vmdk"})
"""Formats that can name a backing image."""

FIELDS_BY_TYPE: dict[str, frozenset[str]] = {
    "file": frozenset({"file", "fdgroup", "startup_policy"}),
    "block": frozenset({"dev", "startup_policy"}),
    "dir": frozenset({"dir", "startup_policy"}),
    "volume": frozenset({"pool", "volume", "mode", "startup_policy"}),
    "network": frozenset({
        "protocol", "name", "query", "tls", "tls_hostname", "hosts", "user", "group", "username",
        "keyfile", "agent_socket", "known_hosts", "snapshot", "config",
        "initiator", "ssl_verify", "cookies", "readahead", "timeout", "reconnect_delay", "startup_policy",
    }),
    "nvme": frozenset({"kind", "managed", "namespace", "address", "startup_policy"}),
    "vhostuser": frozenset({"kind", "path", "reconnect", "reconnect_timeout", "startup_policy"}),
    "vhostvdpa": frozenset({"dev", "startup_policy"}),
}  # fmt: skip
"""The fields that mean something for a storage type; those of every type (labels, slices...) are not listed."""
TYPED_FIELDS = frozenset().union(*FIELDS_BY_TYPE.values())


class Host(Model, tag="host"):
    """A server of network storage. TCP is not written."""

    name: str | None = xml("@name")
    port: int | None = xml("@port", integer(0, 65535))
    transport: str | None = xml("@transport", one_of("tcp", "unix", "rdma"))
    socket: str | None = xml("@socket")


class Reservations(Model, tag="reservations"):
    """SCSI persistent reservations through a helper: ours (managed), or one that listens at `path`."""

    managed: bool | None = xml("@managed", YesNo)
    type: str | None = xml("source/@type")
    path: str | None = xml("source/@path")
    mode: str | None = xml("source/@mode")
    migration: bool | None = xml("@migration", YesNo)


class Slice(Model, tag="slice"):
    """The part of the storage that holds the image. Bytes."""

    type: str = xml("@type", one_of("storage"), required=True)
    offset: int = xml("@offset", Int, required=True)
    size: int = xml("@size", Int, required=True)


class Cookie(Model, tag="cookie"):
    """An HTTP cookie. Its value is a secret."""

    name: str = xml("@name", required=True)
    value: str | None = xml("")


class Function(Model, tag="address"):
    """A PCI function of this host."""

    domain: int = xml("@domain", Hex4, default=0)
    bus: int = xml("@bus", Hex2, default=0)
    slot: int = xml("@slot", Hex2, default=0)
    function: int = xml("@function", HexFree, default=0)

    @property
    def name(self) -> str:
        """As Linux names it."""
        return f"{self.domain:04x}:{self.bus:02x}:{self.slot:02x}.{self.function:x}"


STORES: dict[str, type[Model]] = {}
"""The model of a <dataStore>, which holds a source itself."""


class Source(Model, tag="source"):
    """The place of an image. `index` names its node in the running guest: target[index] in block jobs."""

    file: str | None = xml("@file")
    fdgroup: str | None = xml("@fdgroup")
    dev: str | None = xml("@dev")
    dir: str | None = xml("@dir")
    kind: str | None = xml("@type")
    managed: bool | None = xml("@managed", YesNo)
    namespace: int | None = xml("@namespace", UInt32)
    path: str | None = xml("@path")
    protocol: str | None = xml("@protocol", one_of(*PROTOCOLS))
    name: str | None = xml("@name")
    query: str | None = xml("@query")
    tls: bool | None = xml("@tls", YesNo)
    tls_hostname: str | None = xml("@tlsHostname")
    pool: str | None = xml("@pool")
    volume: str | None = xml("@volume")
    mode: str | None = xml("@mode", one_of("host", "direct"))
    startup_policy: str | None = xml("@startupPolicy", one_of("mandatory", "requisite", "optional"))
    index: int | None = xml("@index", UInt32, live=True)
    hosts: list[Host] = many("host", Host)
    username: str | None = xml("identity/@username")
    keyfile: str | None = xml("identity/@keyfile")
    agent_socket: str | None = xml("identity/@agentsock")
    known_hosts: str | None = xml("knownHosts/@path")
    user: str | None = xml("identity/@user")
    group: str | None = xml("identity/@group")
    snapshot: str | None = xml("snapshot/@name")
    config: str | None = xml("config/@file")
    initiator: str | None = xml("initiator/iqn/@name")
    ssl_verify: bool | None = xml("ssl/@verify", YesNo)
    cookies: list[Cookie] = many("cookies/cookie", Cookie, secret=True)
    readahead: int | None = xml("readahead/@size", Int)
    timeout: int | None = xml("timeout/@seconds", Int)
    reconnect: bool | None = xml("reconnect/@enabled", YesNo)
    reconnect_timeout: int | None = xml("reconnect/@timeout", UInt32)
    reconnect_delay: int | None = xml("reconnect/@delay", UInt32)
    slices: list[Slice] = many("slices/slice", Slice)
    seclabels: list[SecurityLabel] = many("seclabel", SecurityLabel)
    auth: Auth | None = one("auth", Auth)
    encryption: Encryption | None = one("encryption", Encryption)
    reservations: Reservations | None = one("reservations", Reservations)
    address: Function | None = one("address", Function)
    data_store: DataStore | None = one("dataStore", Variants("type", STORES, default="file"))

    def is_empty(self, type: str) -> bool:
        """Whether there is nothing here: a drive without medium."""
        place = {"file": self.file or self.fdgroup, "block": self.dev, "dir": self.dir, "network": self.protocol,
                 "volume": self.pool or self.volume}  # fmt: skip
        return type in place and not place[type]

    @property
    def local_path(self) -> str | None:
        """The path on this host, for the types that have one."""
        return self.file or self.dev or self.dir

    @property
    def reached_path(self) -> str | None:
        """The same; None where callers' descriptors lead to it, whatever it is named."""
        return self.local_path if self.fdgroup is None else None

    def split_name(self) -> tuple[str, str]:
        """Volume and path of gluster, pool and image of rbd. Raises ValueError where the name has no two parts."""
        volume, slash, path = (self.name or "").partition("/")
        if not slash or not volume:
            raise ValueError(f"<source>: name '{self.name}' is not of the form volume/image")
        return volume, path

    def complete(self, type: str) -> None:
        """Drop what has no meaning for `type` and fill in defaults: ports, the LUN of iSCSI, management of NVMe."""
        self._drop(TYPED_FIELDS - FIELDS_BY_TYPE[type])
        if self.data_store is not None and self.data_store.source is not None:
            self.data_store.source.complete(self.data_store.type)
        for field in ("file", "dev", "dir", "fdgroup", "readahead", "timeout", "reconnect_delay"):
            setattr(self, field, getattr(self, field) or None)
        if type == "network":
            self._complete_network()
        if type == "nvme" and self.managed is None:
            self.managed = True
        for label in self.seclabels:
            label.relabel = label.relabel is not False
        labels = [label for label in self.seclabels if label.label or not label.relabel]
        self.seclabels = labels if type != "network" else []
        for encryption in filter(None, [self.encryption]):
            encryption.engine = encryption.engine or "qemu"

    def _drop(self, fields: Iterable[str]) -> None:
        for field in fields:
            setattr(self, field, [] if field in self._lists else None)

    def _complete_network(self) -> None:
        known = PROTOCOLS.get(self.protocol or "", NO_PROTOCOL)
        self._drop(SPECIAL_FIELDS - known.fields)
        if self.protocol == "iscsi" and self.name and "/" not in self.name:
            self.name += "/0"
        for host in self.hosts:
            if host.transport in (None, "tcp"):
                host.transport = None
                host.port = host.port or known.port
            elif host.transport == "unix":
                host.port = None


class DataStore(Model, tag="dataStore"):
    """Where a qcow2 image has its data, if not in itself: a raw image beside it."""

    type: str = xml("@type", one_of(*TYPES), default="file")
    format: str | None = xml("format/@type", one_of(*FORMATS))
    source: Source | None = one("source", Source)


STORES.update(dict.fromkeys(TYPES, DataStore))
