"""Where a disk's bytes are: the <source> that disks, backing stores, mirrors and variable stores share.

Which attributes have a meaning depends on the storage type, which stands in the parent element.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from frontinus.domain.devices.base import SecurityLabel
from frontinus.xml import Model, Variants, many, one, xml
from frontinus.xml.codecs import Hex2, Hex4, HexFree, Int, UInt32, Uuid, YesNo, integer, one_of

TYPES = ("file", "block", "dir", "network", "volume", "nvme", "vhostuser", "vhostvdpa")
FORMATS = (
    "raw", "dir", "bochs", "cloop", "dmg", "iso", "vpc", "vdi", "fat", "vhd", "ploop",
    "cow", "qcow", "qcow2", "qed", "vmdk",
)  # fmt: skip
BACKED = frozenset({"cow", "qcow", "qcow2", "qed", "vmdk"})
"""Formats that can name a backing image."""
PORTS: dict[str, int | None] = {
    "nbd": 10809, "rbd": None, "sheepdog": 7000, "gluster": 24007, "iscsi": 3260, "http": 80, "https": 443, "ftp": 21,
    "ftps": 990, "tftp": 69, "ssh": 22, "vxhs": 9999, "nfs": None,
}  # fmt: skip
"""Default port of each network protocol."""
ONE_HOST = frozenset(PORTS) - {"rbd", "gluster"}
WEB = frozenset({"http", "https"})
SECURE = frozenset({"https", "ftps"})
CURL = frozenset({"http", "https", "ftp", "ftps"})
WITH_AUTH = frozenset({"iscsi", "http", "https", "ftp", "ftps", "ssh", "rbd"})
WITH_TLS = frozenset({"nbd", "vxhs"})
WITH_VOLUME = frozenset({"gluster", "rbd"})
"""Protocols whose name is volume/path (pool/image)."""
SECRET_TYPES = ("volume", "ceph", "iscsi", "tls", "vtpm")
AUTH_SECRETS = {"iscsi": "iscsi", "rbd": "ceph"}
"""The only type of secret that a protocol takes."""

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


class Auth(Model, tag="auth"):
    """A login at the storage's server: the user, and the secret that holds the password."""

    username: str | None = xml("@username")
    type: str | None = xml("@type", one_of("chap", "ceph"))
    secret_type: str | None = xml("secret/@type")
    secret_uuid: str | None = xml("secret/@uuid", Uuid)
    secret_usage: str | None = xml("secret/@usage")


class EncryptionSecret(Model, tag="secret"):
    """The secret that holds an image's passphrase."""

    type: str | None = xml("@type", one_of("passphrase"))
    uuid: str | None = xml("@uuid", Uuid)
    usage: str | None = xml("@usage")


class Encryption(Model, tag="encryption"):
    """How an image is encrypted, and who decrypts it."""

    format: str = xml("@format", one_of("default", "qcow", "luks", "luks2"), required=True)
    engine: str | None = xml("@engine", one_of("qemu", "librbd"))
    secrets: list[EncryptionSecret] = many("secret", EncryptionSecret)
    cipher: str | None = xml("cipher/@name")
    cipher_size: int | None = xml("cipher/@size", UInt32)
    cipher_mode: str | None = xml("cipher/@mode")
    cipher_hash: str | None = xml("cipher/@hash")
    ivgen: str | None = xml("ivgen/@name")
    ivgen_hash: str | None = xml("ivgen/@hash")


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
    protocol: str | None = xml("@protocol", one_of(*PORTS))
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

    def split_name(self) -> tuple[str, str]:
        """Volume and path of gluster, pool and image of rbd. Raises ValueError where the name has no two parts."""
        volume, slash, path = (self.name or "").partition("/")
        if not slash or not volume:
            raise ValueError(f"<source>: name '{self.name}' is not of the form volume/image")
        return volume, path

    def complete(self, type: str) -> None:
        """Drop what has no meaning for `type` and fill in defaults: ports, the LUN of iSCSI, management of NVMe."""
        for field in TYPED_FIELDS - FIELDS_BY_TYPE[type]:
            setattr(self, field, [] if field in self._lists else None)
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

    def _complete_network(self) -> None:
        if self.protocol not in WEB:
            self.query, self.cookies = None, []
        if self.protocol not in SECURE:
            self.ssl_verify = None
        if self.protocol not in CURL:
            self.readahead = self.timeout = None
        if self.protocol != "nbd":
            self.reconnect_delay = None
        if self.protocol != "nfs":
            self.user = self.group = None
        if self.protocol != "ssh":
            self.username = self.keyfile = self.agent_socket = self.known_hosts = None
        if self.protocol == "iscsi" and self.name and "/" not in self.name:
            self.name += "/0"
        for host in self.hosts:
            if host.transport in (None, "tcp"):
                host.transport = None
                host.port = host.port or PORTS.get(self.protocol or "")
            elif host.transport == "unix":
                host.port = None

    def check(self, type: str) -> Iterator[str]:
        """Every reason why this place cannot be."""
        yield from self._check_place(type)
        if self.auth is not None:
            yield from check_auth(self.auth)
            if type == "network" and self.protocol is not None:
                yield from check_login(self.auth, self.protocol)
        if self.encryption is not None:
            yield from check_encryption(self.encryption)
        if self.reservations is not None:
            yield from _check_reservations(self.reservations)
        yield from _check_slices(self.slices)
        yield from check_labels(self.seclabels)
        if self.data_store is not None:
            yield from self.data_store.check()

    def _check_place(self, type: str) -> Iterator[str]:
        if type == "network":
            yield from self._check_network()
        elif type == "nvme":
            yield from self._check_nvme()
        elif type == "vhostuser":
            if self.kind != "unix" or not self.path:
                yield "<source> of a vhostuser disk: type='unix' and a path are needed"
            if self.reconnect and not self.reconnect_timeout:
                yield "<reconnect>: the timeout is missing or zero"
        elif type == "vhostvdpa" and not self.dev:
            yield "<source> of a vhostvdpa disk: attribute 'dev' is missing"
        elif type == "volume" and bool(self.pool) != bool(self.volume):
            yield "<source>: 'pool' and 'volume' are needed together"

    def _check_network(self) -> Iterator[str]:
        if self.protocol is None:
            yield "<source>: attribute 'protocol' is missing"
            return
        if not self.name and self.protocol != "nbd":
            yield "<source>: attribute 'name' is missing"
        elif self.protocol in WITH_VOLUME and not re.match(r"[^/]+/", self.name or ""):
            yield f"<source>: name '{self.name}' is not of the form volume/image"
        if self.protocol == "iscsi" and not re.fullmatch(r"[^/]*/\d+", self.name or "/0"):
            yield f"<source>: name '{self.name}' does not end in /LUN"
        if self.protocol in ONE_HOST and len(self.hosts) != 1:
            yield f"<source>: protocol '{self.protocol}' takes exactly one <host>"
        if self.protocol == "gluster" and not self.hosts:
            yield "<source>: protocol 'gluster' needs a <host>"
        if self.tls and self.protocol not in WITH_TLS:
            yield f"<source>: TLS is not supported for protocol '{self.protocol}'"
        if self.snapshot and self.protocol != "rbd":
            yield "<snapshot> of a source is only for protocol 'rbd'"
        if self.config and self.protocol != "rbd":
            yield "<config> of a source is only for protocol 'rbd'"
        for host in self.hosts:
            yield from self._check_host(host)
        yield from _check_cookies(self.cookies)

    def _check_host(self, host: Host) -> Iterator[str]:
        transport = host.transport or "tcp"
        if transport == "unix":
            if not host.socket:
                yield "<host>: transport 'unix' needs a socket"
            if self.protocol not in ("nbd", "gluster", "sheepdog"):
                yield f"<host>: protocol '{self.protocol}' has no transport 'unix'"
            return
        if host.socket:
            yield f"<host>: transport '{transport}' has no socket"
        if not host.name:
            yield "<host>: attribute 'name' is missing"
        if transport == "rdma":
            yield "<host>: transport 'rdma' is not supported"
        if self.protocol == "nfs" and host.port:
            yield "<host>: protocol 'nfs' takes no port"

    def _check_nvme(self) -> Iterator[str]:
        if self.kind != "pci":
            yield "<source> of an nvme disk: type='pci' is needed"
        if not self.namespace:
            yield "<source> of an nvme disk: a namespace from 1 on is needed"
        if self.address is None:
            yield "<source> of an nvme disk: <address> is missing"


class DataStore(Model, tag="dataStore"):
    """Where a qcow2 image has its data, if not in itself: a raw image beside it."""

    type: str = xml("@type", one_of(*TYPES), default="file")
    format: str | None = xml("format/@type", one_of(*FORMATS))
    source: Source | None = one("source", Source)

    def check(self) -> Iterator[str]:
        """Reasons why data cannot be kept so."""
        if self.format != "raw":
            yield "<dataStore>: its format is 'raw'"
        if self.source is None or self.source.is_empty(self.type):
            yield "<dataStore>: <source> is missing"
        elif self.source.data_store is not None:
            yield "<dataStore>: it has none itself"
        else:
            yield from self.source.check(self.type)


STORES.update(dict.fromkeys(TYPES, DataStore))


def check_login(auth: Auth, protocol: str) -> Iterator[str]:
    """Reasons why a login is not for a protocol."""
    if protocol not in WITH_AUTH:
        yield f"<auth> is not supported for protocol '{protocol}'"
    if auth.secret_type not in SECRET_TYPES:
        yield f"<auth>: unknown type '{auth.secret_type}' of <secret>"
    elif auth.secret_type != AUTH_SECRETS.get(protocol, auth.secret_type):
        yield f"<auth>: a secret of type '{auth.secret_type}' is not for protocol '{protocol}'"


def check_auth(auth: Auth) -> Iterator[str]:
    """Reasons why a login is incomplete."""
    if not auth.username:
        yield "<auth>: attribute 'username' is missing"
    if (auth.secret_uuid is None) == (auth.secret_usage is None):
        yield "<auth>: <secret> needs either uuid or usage"


def check_encryption(encryption: Encryption) -> Iterator[str]:
    """Reasons why an encryption cannot be, whatever the image's format."""
    if encryption.format in ("default", "qcow"):
        yield "<encryption>: the old encryption of qcow and qcow2 is not supported"
    if encryption.format == "luks2" and encryption.engine in (None, "qemu"):
        yield "<encryption>: format 'luks2' is not supported by engine 'qemu'"
    if encryption.cipher is not None:
        yield "<encryption>: <cipher> is read from the image and cannot be given"
    if encryption.ivgen is not None and encryption.cipher is None:
        yield "<encryption>: <ivgen> without <cipher>"
    if not encryption.secrets:
        yield "<encryption>: <secret> is missing"
    if len(encryption.secrets) > 1 and encryption.engine != "librbd":
        yield "<encryption>: only engine 'librbd' takes more than one <secret>"
    for secret in encryption.secrets:
        if secret.type is None or (secret.uuid is None) == (secret.usage is None):
            yield "<encryption>: <secret> needs a type, and either uuid or usage"


def _check_reservations(reservations: Reservations) -> Iterator[str]:
    given = (reservations.type, reservations.path, reservations.mode)
    if reservations.managed is None:
        yield "<reservations>: attribute 'managed' is missing"
    elif (not reservations.managed or any(given)) and not all(given):
        yield "<reservations>: a <source> with type, path and mode is needed"
    if reservations.type not in (None, "unix"):
        yield f"<reservations>: type '{reservations.type}' of <source> is not supported, only unix"
    if reservations.mode not in (None, "client"):
        yield f"<reservations>: mode '{reservations.mode}' of <source> is not supported, only client"


def _check_slices(slices: list[Slice]) -> Iterator[str]:
    if len(slices) > 1:
        yield "<slices>: only one slice is possible"
    if any(not part.size for part in slices):
        yield "<slice>: size is zero"


def check_labels(labels: list[SecurityLabel]) -> Iterator[str]:
    """Reasons why the labels of one device or image contradict each other."""
    models = [label.model for label in labels]
    for model in {model for model in models if models.count(model) > 1}:
        yield f"<seclabel>: more than one label of model '{model}'"
    for label in labels:
        if label.label and label.relabel is False:
            yield "<seclabel>: a label cannot be given where relabelling is off"


def _check_cookies(cookies: list[Cookie]) -> Iterator[str]:
    """By RFC 6265, section 4.1.1."""
    names = [cookie.name for cookie in cookies]
    for name in {name for name in names if names.count(name) > 1}:
        yield f"<cookies>: cookie '{name}' is given twice"
    for cookie in cookies:
        if not re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", cookie.name):
            yield f"<cookies>: '{cookie.name}' is no name of a cookie"
        if not re.fullmatch(r'(")?[!#-+\--:<-\[\]-~]*(?(1)")', cookie.value or ""):
            yield f"<cookies>: the value of cookie '{cookie.name}' has characters that are not allowed"
