"""The protocol layer of a disk's graph: the block driver that reaches a file, a device or a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.domain.devices.block.image import Image
from frontinus.domain.devices.block.source import Host, Source
from frontinus.domain.host import HostFacts

Props = dict[str, object]


@dataclass(frozen=True)
class Objects:
    """Ids of the objects that were emitted for an image: secrets of login, key and cookies, TLS, reservations."""

    auth: str | None = None
    encryption: str | None = None
    cookies: str | None = None
    tls: str | None = None
    reservations: str | None = None
    opened: str | None = None
    """The name by which QEMU finds a file or device that was opened for it."""


def protocol_props(host: HostFacts, image: Image, objects: Objects, *, floppy: bool = False,
                   removable: bool = False, aio: str | None = None) -> Props:  # fmt: skip
    """Driver and properties for where an image is. `removable`: a block device may be a CD-ROM drive of this host.

    Raises Unsupported for storage that has no block driver, InvalidXML for a name that does not fit its protocol.
    """
    source = image.source
    if image.type == "network":
        build = PROTOCOLS.get(source.protocol or "")
        if build is None:
            raise Unsupported(f"<source>: protocol '{source.protocol}' is not supported")
        return {"driver": source.protocol, **build(host, image, objects)}
    if image.type == "dir":
        return {"driver": "vvfat", "dir": source.dir, "floppy": floppy, "rw": not image.read_only}
    if image.type == "nvme":
        if source.address is None:
            raise InvalidXML("<source> of an nvme disk: <address> is missing", element="source")
        return {"driver": "nvme", "device": source.address.name, "namespace": source.namespace}
    if image.type == "vhostvdpa":
        return {"driver": "virtio-blk-vhost-vdpa", "path": objects.opened}
    if image.type not in ("file", "block"):
        raise Unsupported(f"<source>: storage of type '{image.type}' is not a file, device or server")
    driver = "file"
    if image.type == "block":
        driver = "host_cdrom" if removable and source.dev in host.cdroms else "host_device"
    return {
        "driver": driver,
        "filename": objects.opened or source.local_path,
        "aio": aio,
        "pr-manager": objects.reservations,
    }


def _socket(host: Host) -> Props:
    """QEMU's SocketAddress."""
    if host.transport == "unix":
        return {"type": "unix", "path": host.socket}
    return {"type": "inet", **_inet(host)}


def _inet(host: Host) -> Props:
    """QEMU's InetSocketAddress."""
    if host.transport not in (None, "tcp"):
        raise Unsupported(f"<host>: transport '{host.transport}' is not supported")
    return {"host": host.name, "port": str(host.port or 0)}


def _only(source: Source) -> Host:
    if len(source.hosts) != 1:
        raise InvalidXML(f"<source>: protocol '{source.protocol}' takes exactly one <host>", element="source")
    return source.hosts[0]


def _split(source: Source) -> tuple[str, str]:
    try:
        return source.split_name()
    except ValueError as error:
        raise InvalidXML(str(error), element="source") from None


def _user(image: Image) -> str | None:
    return image.auth.username if image.auth else None


def _nbd(host: HostFacts, image: Image, objects: Objects) -> Props:
    source = image.source
    return {
        "server": _socket(_only(source)),
        "export": source.name,
        "tls-creds": objects.tls,
        "tls-hostname": source.tls_hostname,
        "reconnect-delay": source.reconnect_delay,
    }


def _iscsi(host: HostFacts, image: Image, objects: Objects) -> Props:
    target, _, lun = (image.source.name or "").partition("/")
    if lun and not lun.isdigit():
        raise InvalidXML(f"<source>: name '{image.source.name}' does not end in /LUN", element="source")
    server = _only(image.source)
    name = f"[{server.name}]" if ":" in (server.name or "") else server.name
    return {
        "portal": f"{name}:{server.port or 0}",
        "target": target,
        "lun": int(lun or 0),
        "transport": "tcp",
        "user": _user(image),
        "password-secret": objects.auth,
        "initiator-name": image.source.initiator,
    }


def _rbd(host: HostFacts, image: Image, objects: Objects) -> Props:
    pool, name = _split(image.source)
    librbd = image.encryption is not None and image.encryption.engine == "librbd"
    return {
        "pool": pool,
        "image": name,
        "snapshot": image.source.snapshot,
        "conf": image.source.config,
        "server": [_inet(server) for server in image.source.hosts] or None,
        "encrypt": {"format": image.encryption.format, "key-secret": objects.encryption}
        if image.encryption is not None and librbd else None,
        "user": _user(image),
        "auth-client-required": ["cephx", "none"] if image.auth else None,
        "key-secret": objects.auth,
    }  # fmt: skip


def _gluster(host: HostFacts, image: Image, objects: Objects) -> Props:
    volume, path = _split(image.source)
    return {
        "volume": volume,
        "path": path,
        "server": [_socket(server) for server in image.source.hosts],
        "debug": host.gluster_debug,
    }


def _curl(host: HostFacts, image: Image, objects: Objects) -> Props:
    source = image.source
    return {
        "url": url(source),
        "username": _user(image),
        "password-secret": objects.auth,
        "sslverify": source.ssl_verify,
        "cookie-secret": objects.cookies,
        "timeout": source.timeout,
        "readahead": source.readahead,
    }


def url(source: Source) -> str:
    """The address of a file on a web, FTP or TFTP server. Its name is a path as it is, not yet quoted."""
    server = _only(source)
    name = f"[{server.name}]" if ":" in (server.name or "") else server.name
    path = quote((source.name or "").removeprefix("/"), safe="/;@&=+$,:!*'()")
    query = f"?{source.query}" if source.query else ""
    return f"{source.protocol}://{name}:{server.port or 0}/{path}{query}"


def cookie_header(source: Source) -> str:
    """All cookies as one header."""
    return "; ".join(f"{cookie.name}={cookie.value or ''}" for cookie in source.cookies)


def _ssh(host: HostFacts, image: Image, objects: Objects) -> Props:
    user = image.source.username or _user(image)
    return {"path": image.source.name, "server": _inet(_only(image.source)), "user": user}


def _nfs(host: HostFacts, image: Image, objects: Objects) -> Props:
    source = image.source
    return {
        "server": {"host": _only(source).name, "type": "inet"},
        "path": source.name,
        "user": account(source.user, host.users),
        "group": account(source.group, host.groups),
    }


def account(name: str | None, known: Mapping[str, int]) -> int | None:
    """The number of a user or group given by number, by number behind a plus sign, or by name."""
    if name is None:
        return None
    digits = name.removeprefix("+")
    if name in known:
        return known[name]
    if not digits.isdigit():
        raise InvalidXML(f"<identity>: there is no '{name}' on this host", element="identity")
    return int(digits)


def _sheepdog(host: HostFacts, image: Image, objects: Objects) -> Props:
    return {"server": _socket(_only(image.source)), "vdi": image.source.name}


def _vxhs(host: HostFacts, image: Image, objects: Objects) -> Props:
    return {"tls-creds": objects.tls, "vdisk-id": image.source.name, "server": _inet(_only(image.source))}


PROTOCOLS: dict[str, Callable[[HostFacts, Image, Objects], Props]] = {
    "nbd": _nbd, "iscsi": _iscsi, "rbd": _rbd, "gluster": _gluster, "ssh": _ssh, "nfs": _nfs, "sheepdog": _sheepdog,
    "vxhs": _vxhs, **dict.fromkeys(("http", "https", "ftp", "ftps", "tftp"), _curl),
}  # fmt: skip
"""How each protocol's block driver is told its place, in QEMU's words."""
