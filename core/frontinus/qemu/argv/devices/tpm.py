"""The guest's TPM, and swtpm, which emulates it beside QEMU."""

from __future__ import annotations

from pathlib import PurePosixPath

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.domain.devices.chardev import CharEnd, CharSource
from frontinus.domain.devices.tpm import EmulatorBackend, ExternalBackend, PassthroughBackend, Profile, Tpm
from frontinus.domain.plan import Helper, Use
from frontinus.qemu.argv.address import address_props, alias_of
from frontinus.qemu.argv.chardev import chardev, fd_set
from frontinus.qemu.argv.context import Context

CHARDEV = "chrtpm"
SWTPM, SETUP = "/usr/bin/swtpm", "/usr/bin/swtpm_setup"
CIPHER = "aes-256-cbc"
REMOVE_DISABLED = "cmdarg-profile-remove-disabled"
KEY, MIGRATION_KEY = 3, 4
"""Descriptors on which swtpm reads the passphrase of its state."""


def build(ctx: Context) -> None:
    """Emit the TPM."""
    for device in ctx.guest.devices.tpms:
        tpm(ctx, device)


def tpm(ctx: Context, device: Tpm) -> None:
    """Emit one TPM: what stands behind it, then the chip."""
    alias, backend = alias_of(device), device.backend
    props: dict[str, object] = {}
    if isinstance(backend, PassthroughBackend):
        props = _host_chip(ctx, backend, alias)
    elif isinstance(backend, (EmulatorBackend, ExternalBackend)):
        path = _emulator(ctx, backend) if isinstance(backend, EmulatorBackend) else backend.path
        source = CharSource(type="unix", sources=[CharEnd(mode="connect", path=path)])
        props = {"chardev": chardev(ctx, source, CHARDEV, alias=alias)}
    kind = backend.kind if backend else None
    ctx.props("tpmdev", {"type": kind, "id": f"tpm-{alias}", **props})
    ctx.props("device", {
        "driver": device.model, "tpmdev": f"tpm-{alias}", "id": alias, **address_props(ctx, device),
    })  # fmt: skip


def _host_chip(ctx: Context, backend: PassthroughBackend, alias: str) -> dict[str, object]:
    """The chip and the file that cancels its command, both opened for QEMU."""
    device = PurePosixPath(backend.device or "")
    if device.parent != PurePosixPath("/dev") or not device.name.startswith("tpm"):
        raise InvalidXML(f"<tpm>: '{device}' is no TPM of this host", element="device")
    return {
        "path": fd_set(ctx, str(device), f"{alias}-tpm", device=True),
        "cancel-path": fd_set(ctx, f"/sys/class/tpm/{device.name}/device/cancel", f"{alias}-cancel", device=True),
    }


def _emulator(ctx: Context, backend: EmulatorBackend) -> str:
    """List swtpm; returns its socket."""
    guest = ctx.guest
    socket = str(ctx.host.rig.get("swtpm_socket") or f"{ctx.folder}/swtpm.sock")
    own = f"{ctx.host.paths.state}/swtpm/{guest.uuid}"
    folder = f"{own}/{'tpm2' if backend.version == '2.0' else 'tpm1.2'}"
    if backend.source_type == "dir" and backend.source_path:
        folder = backend.source_path
    log = f"{own}/swtpm.log"
    _check_profile(ctx, backend.profile)
    secrets: dict[int, Use] = (
        dict.fromkeys((KEY, MIGRATION_KEY), ("vtpm", backend.secret, None)) if backend.secret else {}
    )
    ctx.need(Helper(
        "swtpm", swtpm(backend, socket, folder, log), socket, folders=(own, folder),
        setup=swtpm_setup(backend, folder, log, f"{guest.name}:{guest.uuid}"), secrets=secrets,
    ))  # fmt: skip
    return socket


def _check_profile(ctx: Context, profile: Profile | None) -> None:
    """Raises Unsupported for a profile that this host's swtpm_setup cannot take."""
    if profile is not None and "cmdarg-profile" not in ctx.host.can("swtpm_setup"):
        raise Unsupported("<profile>: this host's swtpm_setup knows no profiles")
    if profile is not None and profile.remove_disabled and REMOVE_DISABLED not in ctx.host.can("swtpm_setup"):
        raise Unsupported("<profile removeDisabled=>: this host's swtpm_setup cannot do that")


def swtpm(backend: EmulatorBackend, socket: str, folder: str, log: str) -> tuple[str, ...]:
    """The command line of the emulator. It ends with QEMU's connection."""
    state = f"dir={folder},mode=0600"
    if backend.source_type == "file":
        state = f"backend-uri=file://{backend.source_path}"
    level = f",level={backend.debug}" if backend.debug is not None else ""
    words = [SWTPM, "socket", "--ctrl", f"type=unixio,path={socket},mode=0600", "--tpmstate", state]
    words += ["--log", f"file={log}{level}", "--terminate"]
    if backend.version == "2.0":
        words.append("--tpm2")
    if backend.secret:
        words += ["--key", f"pwdfd={KEY},mode={CIPHER}", "--migration-key", f"pwdfd={MIGRATION_KEY},mode={CIPHER}"]
    return tuple(words)


def swtpm_setup(backend: EmulatorBackend, folder: str, log: str, name: str) -> tuple[str, ...]:
    """The command line that manufactures a chip before its first start, and later leaves its state alone."""
    place = f"file://{backend.source_path}" if backend.source_type == "file" else folder
    words = [SETUP, "--tpm-state", place, "--vmid", name, "--logfile", log, "--createek", "--lock-nvram"]
    if backend.version == "2.0":
        words.append("--tpm2")
    if backend.banks:
        words += ["--pcr-banks", ",".join(backend.banks)]
    if backend.secret:
        words += ["--pwdfile-fd", str(KEY), "--cipher", CIPHER]
    if backend.profile is not None:
        words += ["--profile-name", backend.profile.source or backend.profile.name or ""]
        words += (
            ["--profile-remove-disabled", backend.profile.remove_disabled] if backend.profile.remove_disabled else []
        )
    return (*words, "--not-overwrite")
