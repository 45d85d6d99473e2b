"""Images on SSH servers that nbdkit reaches for QEMU: it logs in by a key file or a password and knows servers by a file,
none of which QEMU's own driver can. One process for each image, on a socket in the guest's private folder.
"""

from __future__ import annotations

from collections.abc import Iterator

from frontinus.api.errors import Unsupported
from frontinus.domain.devices.image import Image
from frontinus.domain.plan import Helper, Label
from frontinus.qemu.argv.context import Context

PASSWORD_FD = 10
"""The descriptor from which it reads the password."""


def serves(ctx: Context, image: Image) -> bool:
    """Whether an image is reached by nbdkit. A password alone is no reason where it is missing: the user's agent may do."""
    if image.protocol != "ssh":
        return False
    return bool(image.source.keyfile or image.source.known_hosts or (_password(image) and ctx.host.nbdkit))


def emit(ctx: Context, image: Image) -> None:
    """Have it run, and let it at the files that it reads. Raises Unsupported where the host has none."""
    if ctx.host.nbdkit is None:
        raise Unsupported(
            "<source protocol='ssh'>: keyfile and knownHosts need nbdkit with its plugin for SSH on this host"
        )
    for path in (image.source.keyfile, image.source.known_hosts):
        if path:
            ctx.need(Label(path, readonly=True, shared=True))
    password = _password(image)
    readonly = ("--readonly",) if image.read_only else ()
    argv = (ctx.host.nbdkit, "--foreground", "--unix", socket(ctx, image), *readonly, "ssh", *_arguments(image))
    secrets = {PASSWORD_FD: password} if password else {}
    ctx.need(Helper(f"nbdkit-{image.name}", argv, socket(ctx, image), secrets=secrets))


def socket(ctx: Context, image: Image) -> str:
    """Where it listens for QEMU."""
    return f"{ctx.folder}/{image.name}-nbdkit.sock"


def _arguments(image: Image) -> Iterator[str]:
    source, (server, *_) = image.source, image.source.hosts
    said = {
        "host": server.name,
        "port": server.port,
        "path": source.name,
        "user": source.username or (image.auth.username if image.auth else None),
        "identity": source.keyfile,
        "known-hosts": source.known_hosts,
        "password": f"-{PASSWORD_FD}" if _password(image) else None,
    }
    return (f"{name}={value}" for name, value in said.items() if value is not None)


def _password(image: Image) -> str | None:
    """The UUID of the secret that holds the password."""
    return image.auth.secret_uuid if image.auth else None
