"""Which firmware a guest gets that leaves the choice to us: the first descriptor of the host that fits."""

from __future__ import annotations

from fnmatch import fnmatchcase

from frontinus.api.errors import Unsupported
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.features import Features, Smm
from frontinus.domain.guest import Guest
from frontinus.domain.host import Firmware, HostFacts
from frontinus.domain.osboot import Loader, Nvram, Os

INTERFACES = {"bios": "bios", "efi": "uefi"}
ARCHITECTURES = {"x86_64": ("x86_64",), "i686": ("i386", "i686")}
"""Names that descriptors have for a guest's architecture."""
VARIABLES = "host-uefi-vars"
"""The feature of firmware that leaves its variables to QEMU."""
SEV_ES = 0x4
"""Bit of the SEV policy that asks for encrypted registers."""


def with_firmware(guest: Guest, caps: Capabilities, host: HostFacts) -> Guest:
    """The guest as it starts: loader, variable store and its template filled in. Raises Unsupported if none fits."""
    os = guest.os
    if os.firmware is not None and not (os.loader and os.loader.path):
        chosen = select(guest, caps, host)
        started = guest.clone()
        _apply(started, chosen, host)
        return started
    known = next((f for f in host.firmware if os.loader and os.loader.path and f.executable == os.loader.path), None)
    return _described(guest, known) if known is not None else guest


def _described(guest: Guest, firmware: Firmware) -> Guest:
    """A guest whose user names the firmware, with what its descriptor says of the formats and of the template."""
    loader, nvram = guest.os.loader, guest.os.nvram
    formatted = loader is not None and loader.format is None and firmware.executable_format != "raw"
    templated = nvram is not None and nvram.path and not nvram.template and firmware.nvram_template
    if not formatted and not templated:
        return guest
    started = guest.clone()
    loader, nvram = started.os.loader, started.os.nvram
    if loader is not None and formatted:
        loader.format = firmware.executable_format
    if nvram is not None and templated:
        nvram.template = firmware.nvram_template
        nvram.template_format = firmware.nvram_format if firmware.nvram_format != "raw" else None
    return started


def select(guest: Guest, caps: Capabilities, host: HostFacts) -> Firmware:
    """The first descriptor that fits. Raises Unsupported."""
    machine = caps.canonical_machine(guest.machine)
    name = machine.name if machine else guest.machine or ""
    for firmware in host.firmware:
        if _fits(guest, name, firmware):
            return firmware
    wanted = "".join(f", {f.name} {'on' if f.enabled else 'off'}" for f in guest.os.features)
    raise Unsupported(f"<os firmware='{guest.os.firmware}'>: no firmware of this host fits {name}{wanted}")


def _fits(guest: Guest, machine: str, firmware: Firmware) -> bool:
    return (
        INTERFACES[guest.os.firmware or "bios"] in firmware.interfaces
        and any(
            arch in ARCHITECTURES.get(guest.arch or "", ()) and fnmatchcase(machine, pattern)
            for arch, pattern in firmware.targets
        )
        and _shaped(guest.os, firmware)
        and _featured(guest, firmware)
    )


def _shaped(os: Os, firmware: Firmware) -> bool:
    """Whether the image is laid out as this guest needs it: variables apart, unless it keeps none."""
    if firmware.device != "flash":
        return firmware.device == "memory" and (os.varstore is not None) == (VARIABLES in firmware.features)
    if os.varstore is not None:
        return False
    stateless = bool(os.loader and os.loader.stateless)
    wanted = (os.loader.format if os.loader else None) or (os.nvram.format if os.nvram else None) or "raw"
    return firmware.mode == ("stateless" if stateless else "split") and firmware.executable_format == wanted


def _featured(guest: Guest, firmware: Firmware) -> bool:
    has = firmware.features
    power, smm = guest.power, guest.features.smm if guest.features else None
    if power and ((power.suspend_to_mem and "acpi-s3" not in has) or (power.suspend_to_disk and "acpi-s4" not in has)):
        return False
    if guest.os.loader and guest.os.loader.secure and "secure-boot" not in has:
        return False
    if smm is not None and not smm.state and "requires-smm" in has:
        return False
    if any(feature.enabled != (feature.name in has) for feature in guest.os.features):
        return False
    security = guest.launch_security
    if security is None or security.type not in ("sev", "sev-snp", "tdx"):
        return True
    if security.type == "tdx":
        return "intel-tdx" in has
    if security.type == "sev-snp":
        return "amd-sev-snp" in has
    return "amd-sev" in has and not ((security.policy or 0) & SEV_ES and "amd-sev-es" not in has)


def _apply(guest: Guest, firmware: Firmware, host: HostFacts) -> None:
    """Write what was chosen into the guest."""
    os = guest.os
    loader = os.loader = os.loader or Loader()
    loader.path = firmware.executable
    if firmware.device == "memory":
        loader.type = "rom"
        if os.varstore is not None:
            os.varstore.template = os.varstore.template or firmware.nvram_template
            os.varstore.path = os.varstore.path or store_path(guest, host, "json")
        return
    loader.type, loader.readonly = "pflash", True
    if firmware.executable_format != "raw":
        loader.format = firmware.executable_format
    if "requires-smm" in firmware.features:
        loader.secure = True
        guest.features = guest.features or Features()
        guest.features.smm = guest.features.smm or Smm()
        guest.features.smm.state = True
    if firmware.mode == "split" and firmware.nvram_template:
        nvram = os.nvram = os.nvram or Nvram()
        if nvram.template is None:
            nvram.template = firmware.nvram_template
            nvram.template_format = firmware.nvram_format if firmware.nvram_format != "raw" else None
        if nvram.format is None and nvram.path is None and nvram.source is None:
            nvram.format = nvram.template_format
        if nvram.path is None and nvram.source is None:
            nvram.path = store_path(guest, host, nvram.format)


def store_path(guest: Guest, host: HostFacts, image: str | None = None) -> str:
    """Where a guest's variable store is kept when its user names no place."""
    return f"{host.paths.nvram}/{guest.name}_VARS.{image if image in ('qcow2', 'json') else 'fd'}"
