"""Every reason why an image's place cannot be."""

from __future__ import annotations

import re
from collections.abc import Iterator

from frontinus.domain.devices.base import SecurityLabel
from frontinus.domain.devices.block.credentials import check_auth, check_encryption, check_login
from frontinus.domain.devices.block.protocols import PROTOCOLS, Protocol
from frontinus.domain.devices.block.source import Cookie, DataStore, Host, Reservations, Slice, Source

Reasons = Iterator[str]


def check_source(source: Source, type: str) -> Reasons:
    """Every reason why this place cannot be."""
    yield from _place(source, type)
    if source.auth is not None:
        yield from check_auth(source.auth)
        if type == "network" and source.protocol is not None:
            yield from check_login(source.auth, source.protocol)
    if source.encryption is not None:
        yield from check_encryption(source.encryption)
    if source.reservations is not None:
        yield from _reservations(source.reservations)
    yield from _slices(source.slices)
    yield from _labels(source.seclabels)
    if source.data_store is not None:
        yield from _data_store(source.data_store)


def _place(source: Source, type: str) -> Reasons:
    if type == "network":
        yield from _network(source)
    elif type == "nvme":
        yield from _nvme(source)
    elif type == "vhostuser":
        if source.kind != "unix" or not source.path:
            yield "<source> of a vhostuser disk: type='unix' and a path are needed"
        if source.reconnect and not source.reconnect_timeout:
            yield "<reconnect>: the timeout is missing or zero"
    elif type == "vhostvdpa" and not source.dev:
        yield "<source> of a vhostvdpa disk: attribute 'dev' is missing"
    elif type == "volume" and bool(source.pool) != bool(source.volume):
        yield "<source>: 'pool' and 'volume' are needed together"


def _network(source: Source) -> Reasons:
    if source.protocol is None:
        yield "<source>: attribute 'protocol' is missing"
        return
    known = PROTOCOLS[source.protocol]
    if not source.name and known.named:
        yield "<source>: attribute 'name' is missing"
    elif known.volume and not re.match(r"[^/]+/", source.name or ""):
        yield f"<source>: name '{source.name}' is not of the form volume/image"
    if source.protocol == "iscsi" and not re.fullmatch(r"[^/]*/\d+", source.name or "/0"):
        yield f"<source>: name '{source.name}' does not end in /LUN"
    if known.one_host and len(source.hosts) != 1:
        yield f"<source>: protocol '{source.protocol}' takes exactly one <host>"
    if source.protocol == "gluster" and not source.hosts:
        yield "<source>: protocol 'gluster' needs a <host>"
    if source.tls and not known.tls:
        yield f"<source>: TLS is not supported for protocol '{source.protocol}'"
    if source.snapshot and source.protocol != "rbd":
        yield "<snapshot> of a source is only for protocol 'rbd'"
    if source.config and source.protocol != "rbd":
        yield "<config> of a source is only for protocol 'rbd'"
    for host in source.hosts:
        yield from _host(host, source.protocol, known)
    yield from _cookies(source.cookies)


def _host(host: Host, name: str, protocol: Protocol) -> Reasons:
    transport = host.transport or "tcp"
    if transport == "unix":
        if not host.socket:
            yield "<host>: transport 'unix' needs a socket"
        if not protocol.unix:
            yield f"<host>: protocol '{name}' has no transport 'unix'"
        return
    if host.socket:
        yield f"<host>: transport '{transport}' has no socket"
    if not host.name:
        yield "<host>: attribute 'name' is missing"
    if transport == "rdma":
        yield "<host>: transport 'rdma' is not supported"
    if name == "nfs" and host.port:
        yield "<host>: protocol 'nfs' takes no port"


def _nvme(source: Source) -> Reasons:
    if source.kind != "pci":
        yield "<source> of an nvme disk: type='pci' is needed"
    if not source.namespace:
        yield "<source> of an nvme disk: a namespace from 1 on is needed"
    if source.address is None:
        yield "<source> of an nvme disk: <address> is missing"


def _data_store(store: DataStore) -> Reasons:
    if store.format != "raw":
        yield "<dataStore>: its format is 'raw'"
    if store.source is None or store.source.is_empty(store.type):
        yield "<dataStore>: <source> is missing"
    elif store.source.data_store is not None:
        yield "<dataStore>: it has none itself"
    else:
        yield from check_source(store.source, store.type)


def _reservations(reservations: Reservations) -> Reasons:
    given = (reservations.type, reservations.path, reservations.mode)
    if reservations.managed is None:
        yield "<reservations>: attribute 'managed' is missing"
    elif (not reservations.managed or any(given)) and not all(given):
        yield "<reservations>: a <source> with type, path and mode is needed"
    if reservations.type not in (None, "unix"):
        yield f"<reservations>: type '{reservations.type}' of <source> is not supported, only unix"
    if reservations.mode not in (None, "client"):
        yield f"<reservations>: mode '{reservations.mode}' of <source> is not supported, only client"


def _slices(slices: list[Slice]) -> Reasons:
    if len(slices) > 1:
        yield "<slices>: only one slice is possible"
    if any(not part.size for part in slices):
        yield "<slice>: size is zero"


def _labels(labels: list[SecurityLabel]) -> Reasons:
    models = [label.model for label in labels]
    for model in {model for model in models if models.count(model) > 1}:
        yield f"<seclabel>: more than one label of model '{model}'"
    for label in labels:
        if label.label and label.relabel is False:
            yield "<seclabel>: a label cannot be given where relabelling is off"


def _cookies(cookies: list[Cookie]) -> Reasons:
    """By RFC 6265, section 4.1.1."""
    names = [cookie.name for cookie in cookies]
    for name in {name for name in names if names.count(name) > 1}:
        yield f"<cookies>: cookie '{name}' is given twice"
    for cookie in cookies:
        if not re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", cookie.name):
            yield f"<cookies>: '{cookie.name}' is no name of a cookie"
        if not re.fullmatch(r'(")?[!#-+\--:<-\[\]-~]*(?(1)")', cookie.value or ""):
            yield f"<cookies>: the value of cookie '{cookie.name}' has characters that are not allowed"
