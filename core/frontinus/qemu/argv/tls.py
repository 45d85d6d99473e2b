"""X.509 credentials as QEMU objects."""

from __future__ import annotations

from frontinus.api.errors import Unsupported
from frontinus.domain.plan import Label
from frontinus.qemu.argv.context import Context
from frontinus.qemu.argv.secrets import SecretUse, emit_secret
from frontinus.xml import element_named

ELEMENTS = {
    "vnc": "<graphics type='vnc'>", "spice": "<graphics type='spice'>", "chardev": "<source tls='yes'> of a character device",
    "nbd": "<source protocol='nbd'> of a disk", "vxhs": "<source protocol='vxhs'> of a disk", "backup": "<server> of a backup",
}  # fmt: skip
"""Who asks for credentials of a use."""


def tls_folder(ctx: Context, use: str) -> str:
    """Where the host keeps the credentials of a use (vnc, spice, chardev...). Raises Unsupported when it has none."""
    folder = ctx.host.tls.get(use) or ctx.host.tls.get("default")
    if folder is None:
        message = f"{ELEMENTS[use]}: TLS is asked for, but this host has no {use} certificates"
        raise Unsupported(message, element=element_named(message))
    return folder


def tls_credentials(ctx: Context, use: str, object_id: str, *, server: bool) -> str:
    """Emit the credentials of one connection; returns their id. A client always checks the server's certificate."""
    opener = ctx.host.tls_secrets.get(use)
    if opener is not None:
        emit_secret(ctx, f"{object_id}-secret0", SecretUse("tls", uuid=opener))
    ctx.props("object", {
        "qom-type": "tls-creds-x509",
        "id": object_id,
        "dir": tls_folder(ctx, use),
        "endpoint": "server" if server else "client",
        "verify-peer": use in ctx.host.tls_verify if server else True,
        "passwordid": f"{object_id}-secret0" if opener is not None else None,
    })  # fmt: skip
    let_read(ctx, tls_folder(ctx, use), server=server)
    return object_id


def let_read(ctx: Context, folder: str, *, server: bool) -> None:
    """Let QEMU read the credentials of one end in a folder: those that it must find, and those that it may."""
    end = "server" if server else "client"
    for name in ("", "/ca-cert.pem"):
        ctx.need(Label(f"{folder}{name}", readonly=True, shared=True))
    for name in (f"{end}-cert.pem", f"{end}-key.pem", "ca-crl.pem", "dh-params.pem"):
        ctx.need(Label(f"{folder}/{name}", readonly=True, shared=True, optional=True))
