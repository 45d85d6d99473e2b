"""Why a guest cannot boot as described: firmware, loader, variable store, boot order, SMBIOS."""

from __future__ import annotations

import re
from collections.abc import Iterator

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.guest import Guest
from frontinus.domain.osboot import Loader, Os
from frontinus.domain.reasons import Lacking
from frontinus.domain.sysinfo import Sysinfo

RESERVED_BLOBS = ("opt/ovmf/", "opt/org.qemu/")
ONE_TABLE = ("slic", "msdm")
"""ACPI tables of which a machine has one."""
BIOS_DATE = re.compile(r"(0?[1-9]|1[0-2])/(0?[1-9]|[12]\d|3[01])/(\d\d|\d{4})")


def check_os(guest: Guest, caps: Capabilities) -> Iterator[str]:
    """Reasons that lie in <os>."""
    os = guest.os
    if os.firmware is None or os.is_settled:
        yield from _manual(guest, os)
    else:
        yield from _automatic(os)
    if os.varstore is not None:
        yield from _variables(os, caps)
    if uses_uefi(os) and not guest.acpi:
        yield "<os>: UEFI needs <acpi/> in <features>"
    if os.loader and os.loader.secure:
        yield from _secure(guest)
    if os.bios_serial and not guest.devices.serials:
        yield "<bios useserial='yes'>: the guest has no serial port"
    if os.initrd and not os.kernel or os.cmdline and not os.kernel:
        yield "<os>: <initrd> and <cmdline> need <kernel>"
    if os.shim and not caps.has_option("machine", "shim"):
        yield Lacking("<shim>: this QEMU takes none")
    kinds = [table.type for table in os.acpi_tables]
    for kind in sorted({kind for kind in kinds if kind in ONE_TABLE and kinds.count(kind) > 1}):
        yield f"<table type='{kind}'>: there is more than one"
    if os.dtb:
        yield "<dtb>: a machine of x86 has no device tree"


def uses_uefi(os: Os) -> bool:
    """Whether the firmware is in flash, as UEFI is."""
    return os.firmware == "efi" or os.varstore is not None or (os.loader is not None and os.loader.type == "pflash")


def _variables(os: Os, caps: Capabilities) -> Iterator[str]:
    """A store that QEMU keeps is for firmware in memory, and takes the place of that in flash."""
    if os.nvram is not None:
        yield "<varstore>: there is an <nvram> too"
    if os.loader is not None and (os.loader.type == "pflash" or os.loader.stateless):
        yield "<varstore>: a loader of type pflash, or one without state, has none"
    if os.firmware != "efi" and not (os.loader and os.loader.path):
        yield "<varstore>: there is no <loader>, and no <os firmware='efi'>"
    if os.firmware != "efi" and not os.varstore_path:
        yield "<varstore>: attribute 'path' is missing"
    if not caps.has_type("uefi-vars-x64"):
        yield Lacking("<varstore> is not supported by this QEMU")


def _manual(guest: Guest, os: Os) -> Iterator[str]:
    if os.features and os.firmware is None:
        yield "<firmware>: features can only be chosen with <os firmware=...>"
    loader = os.loader
    if loader is None:
        if os.nvram is not None:
            yield "<nvram>: there is no <loader>"
        return
    if not loader.path:
        yield "<loader>: no path, and no <os firmware=...> to choose one"
    if loader.type != "pflash":
        if os.nvram is not None:
            yield "<nvram>: only a loader of type pflash has a variable store"
        if loader.stateless is False:
            yield "<loader stateless='no'>: only a loader of type pflash keeps state"
        if loader.secure:
            yield "<loader secure='yes'>: only a loader of type pflash can be secure"
    yield from _stateless(os, loader)


def _stateless(os: Os, loader: Loader) -> Iterator[str]:
    if loader.stateless and os.nvram is not None:
        yield "<nvram>: a stateless loader has no variable store"
    if os.nvram and os.nvram.source and os.nvram.type is None:
        yield "<nvram>: a <source> needs a type"


def _automatic(os: Os) -> Iterator[str]:
    """What is chosen for the user cannot be said by the user as well."""
    loader = os.loader
    wishes = {feature.name: feature.enabled for feature in os.features}
    if wishes.get("enrolled-keys") and wishes.get("secure-boot") is False:
        yield "<firmware>: enrolled-keys needs secure-boot"
    if os.nvram is not None and os.firmware != "efi":
        yield f"<nvram>: firmware='{os.firmware}' has no variable store"
    if os.nvram is not None and os.nvram.template:
        yield "<nvram template>: cannot be given with <os firmware=...>"
    if loader is None:
        return
    if loader.stateless is False and os.firmware == "bios":
        yield "<loader stateless='no'>: firmware='bios' keeps no state"
    if loader.path:
        yield "<loader>: a path cannot be given with <os firmware=...>"
    for name in ("readonly", "type"):
        if getattr(loader, name) is not None:
            yield f"<loader {name}>: cannot be given with <os firmware=...>"
    if loader.secure is False:
        yield "<loader secure='no'>: cannot be given with <os firmware=...>; disable the feature secure-boot instead"
    yield from _stateless(os, loader)


def _secure(guest: Guest) -> Iterator[str]:
    smm = guest.features.smm if guest.features else None
    if not guest.is_q35:
        yield "<loader secure='yes'>: only q35 machines can"
    if guest.arch != "x86_64":
        yield "<loader secure='yes'>: only guests of x86_64 can"
    if guest.os.firmware is None and not (smm and smm.state):
        yield "<loader secure='yes'>: <smm state='on'/> is missing in <features>"


def check_sysinfo(guest: Guest) -> Iterator[str]:
    """Reasons that lie in <sysinfo>."""
    kinds = [info.type for info in guest.sysinfos]
    for kind in sorted({kind for kind in kinds if kinds.count(kind) > 1}):
        yield f"<sysinfo type='{kind}'>: there is more than one"
    for info in guest.sysinfos:
        yield from _fwcfg(info) if info.type == "fwcfg" else _smbios(guest, info)
    if guest.os.smbios == "sysinfo" and "smbios" not in kinds:
        yield "<smbios mode='sysinfo'>: there is no <sysinfo type='smbios'>"


def _fwcfg(info: Sysinfo) -> Iterator[str]:
    for blob in info.blobs:
        if not blob.name.startswith("opt/") or blob.name.startswith(RESERVED_BLOBS):
            yield f"<entry name='{blob.name}'>: does not start with opt/, or with a prefix of QEMU's own there"
        if (blob.value is None) == (blob.file is None):
            yield f"<entry name='{blob.name}'>: needs either a value or a file"


def _smbios(guest: Guest, info: Sysinfo) -> Iterator[str]:
    uuid = info.system.get("uuid") if info.system else None
    if uuid is not None and uuid.lower() != guest.uuid:
        yield "<sysinfo>: the system's uuid is not the guest's <uuid>"
    date = info.bios.get("date") if info.bios else None
    if date is not None and not BIOS_DATE.fullmatch(date):
        yield f"<sysinfo>: the BIOS date '{date}' is not month/day/year"
