"""Images on SSH and web servers that nbdkit reaches for QEMU, one process an image, on a socket in the guest's folder.

On SSH servers it logs in by a key file, an agent or a password and knows servers by a file, none of which QEMU's own
driver can. On web and FTP servers it stands in where this QEMU is built without its own driver.
"""

from __future__ import annotations

from collections.abc import Iterator

from frontinus.api.errors import Unsupported
from frontinus.domain.devices.block.image import Image
from frontinus.domain.devices.block.protocols import CURL
from frontinus.domain.plan import Helper, Label, Use
from frontinus.qemu.argv.block.protocols import cookie_header, url
from frontinus.qemu.argv.context import Context

PASSWORD_FD, COOKIE_FD = 10, 11
"""The descriptors from which it reads the password and the cookies."""
READAHEAD = "readahead"
BY_CURL = CURL | {"tftp"}


def serves(ctx: Context, image: Image) -> bool:
    """Whether an image is reached by nbdkit. A password alone is no reason where it is missing: the user's agent may do."""
    source = image.source
    if image.protocol in BY_CURL:
        native = ctx.caps.has_schema(f"blockdev-add/arg-type/driver={image.protocol}")
        return not native and _has(ctx, "curl")
    if image.protocol != "ssh":
        return False
    return bool(source.keyfile or source.known_hosts or source.agent_socket or (_password(image) and _has(ctx, "ssh")))


def _has(ctx: Context, plugin: str) -> bool:
    return ctx.host.nbdkit is not None and plugin in ctx.host.nbdkit_parts


def emit(ctx: Context, image: Image) -> None:
    """Have it run, and let it at the files that it reads. Raises Unsupported where the host has none."""
    if ctx.host.nbdkit is None or not _has(ctx, "ssh" if image.protocol == "ssh" else "curl"):
        raise Unsupported("<source protocol='ssh'>: keyfile, agentsock and knownHosts need nbdkit with its plugin for SSH "
                          "on this host")  # fmt: skip
    source = image.source
    for path in (source.keyfile, source.known_hosts):
        if path:
            ctx.need(Label(path, readonly=True, shared=True))
    password = _password(image)
    argv = (ctx.host.nbdkit, "--foreground", "--unix", socket(ctx, image), *_options(ctx, image), *_plugin(image))
    ctx.need(Helper(
        f"nbdkit-{image.name}", argv, socket(ctx, image), secrets={PASSWORD_FD: password} if password else {},
        texts={COOKIE_FD: cookie_header(source)} if source.cookies else {},
        env={"SSH_AUTH_SOCK": source.agent_socket} if source.agent_socket else {},
    ))  # fmt: skip


def socket(ctx: Context, image: Image) -> str:
    """Where it listens for QEMU."""
    return f"{ctx.folder}/{image.name}-nbdkit.sock"


def _options(ctx: Context, image: Image) -> Iterator[str]:
    if image.read_only or image.protocol in BY_CURL:
        yield "--readonly"
    if image.source.readahead and READAHEAD in ctx.host.nbdkit_parts:
        yield f"--filter={READAHEAD}"


def _plugin(image: Image) -> Iterator[str]:
    """The plugin and its parameters."""
    said = _ssh(image) if image.protocol == "ssh" else _curl(image)
    yield "ssh" if image.protocol == "ssh" else "curl"
    yield from (f"{name}={value}" for name, value in said.items() if value is not None)


def _ssh(image: Image) -> dict[str, object]:
    source, (server, *_) = image.source, image.source.hosts
    return {
        "host": server.name,
        "port": server.port,
        "path": source.name,
        "user": source.username or (image.auth.username if image.auth else None),
        "identity": source.keyfile,
        "known-hosts": source.known_hosts,
        "password": f"-{PASSWORD_FD}" if _password(image) else None,
    }


def _curl(image: Image) -> dict[str, object]:
    source = image.source
    return {
        "url": url(source),
        "protocols": source.protocol,
        "user": image.auth.username if image.auth else None,
        "password": f"-{PASSWORD_FD}" if _password(image) else None,
        "cookie": f"-{COOKIE_FD}" if source.cookies else None,
        "sslverify": "false" if source.ssl_verify is False else None,
        "timeout": source.timeout,
    }


def _password(image: Image) -> Use | None:
    """The secret that holds the password."""
    auth = image.auth
    return ("iscsi", auth.secret_uuid, auth.secret_usage) if auth and (auth.secret_uuid or auth.secret_usage) else None
