"""Confidential guests: the object that encrypts memory."""

from __future__ import annotations

from frontinus.api.errors import Unsupported
from frontinus.domain.launch_security import LaunchSecurity
from frontinus.domain.plan import SecretFile
from frontinus.qemu.argv.context import Context

OBJECTS = {"sev": "sev-guest", "sev-snp": "sev-snp-guest", "tdx": "tdx-guest"}


def build(ctx: Context) -> None:
    """Emit the object."""
    security = ctx.guest.launch_security
    if security is None:
        return
    kind = OBJECTS.get(security.type)
    if kind is None or not ctx.caps.has_type(kind):
        raise Unsupported(f"<launchSecurity type='{security.type}'>: this QEMU cannot")
    {"sev": _sev, "sev-snp": _snp, "tdx": _tdx}[security.type](ctx, kind, security)


def _bits(ctx: Context, security: LaunchSecurity) -> dict[str, object]:
    """Where the encryption bit is: as the guest says, or as the processor does."""
    host = ctx.caps.sev or {}
    return {
        "cbitpos": security.cbitpos if security.cbitpos is not None else host.get("cbitpos"),
        "reduced-phys-bits": security.reduced_phys_bits if security.reduced_phys_bits is not None
        else host.get("reduced-phys-bits"),
    }  # fmt: skip


def _sev(ctx: Context, kind: str, security: LaunchSecurity) -> None:
    files: dict[str, object] = {}
    blobs = (("dh-cert-file", "dh_cert", security.dh_cert), ("session-file", "session", security.session))
    for option, name, text in blobs:
        if text:
            path = f"{ctx.folder}/{name}.base64"
            ctx.need(SecretFile(path, text.encode()))
            files[option] = path
    ctx.props("object", {"qom-type": kind, "id": "lsec0", **_bits(ctx, security), "policy": security.policy,
                         **files, "kernel-hashes": security.kernel_hashes})  # fmt: skip


def _snp(ctx: Context, kind: str, security: LaunchSecurity) -> None:
    ctx.props("object", {
        "qom-type": kind, "id": "lsec0", **_bits(ctx, security), "kernel-hashes": security.kernel_hashes,
        "author-key-enabled": security.author_key,
        "vcek-disabled": None if security.vcek is None else not security.vcek,
        "policy": security.policy, "guest-visible-workarounds": security.guest_visible_workarounds,
        "id-block": security.id_block, "id-auth": security.id_auth, "host-data": security.host_data,
    })  # fmt: skip


def _tdx(ctx: Context, kind: str, security: LaunchSecurity) -> None:
    service = security.quote_generation_service
    ctx.props("object", {
        "qom-type": kind, "id": "lsec0", "attributes": security.policy, "mrconfigid": security.mr_config_id,
        "mrowner": security.mr_owner, "mrownerconfig": security.mr_owner_config,
        "quote-generation-socket": {"type": "unix", "path": service} if service else None,
    })  # fmt: skip
