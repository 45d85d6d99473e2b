"""Why a guest cannot be, outside its devices: every reason, as text that names the element."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.check.cpu import check_cpu
from frontinus.domain.check.features import check_clock, check_events, check_features
from frontinus.domain.check.memory import check_memory, check_numa
from frontinus.domain.check.os import check_os, check_sysinfo
from frontinus.domain.check.tuning import check_iothreads, check_tuning, check_vcpus
from frontinus.domain.devices.base import SecurityLabel
from frontinus.domain.devices.block.iotune import check_groups
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts
from frontinus.domain.reasons import Lacking
from frontinus.xml import Model

ARCHITECTURES = ("x86_64", "i686")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
VALUES = {
    "unsigned": (re.compile(r"\d{1,20}"), "no number from zero on"),
    "signed": (re.compile(r"[+-]?\d{1,19}"), "no number"),
    "bool": (re.compile(r"true|false"), "neither true nor false"),
}
"""What the value of an overridden property looks like, by its type; a string may be anything."""
SINGLE = frozenset({
    "genid", "emulatorpin", "emulatorsched", "iommu", "memballoon", "nvram", "redirfilter", "resource", "vsock", "pstore",
})  # fmt: skip
KERNEL_HASHES = "object-add/arg-type/qom-type=sev-guest/kernel-hashes"
SECURITY_OBJECTS = {"sev": "sev-guest", "sev-snp": "sev-snp-guest", "tdx": "tdx-guest"}


def check_guest(guest: Guest, caps: Capabilities, host: HostFacts) -> Iterator[str]:
    """Every reason why this definition cannot be, whatever the host; some need to know the emulator."""
    yield from _identity(guest)
    yield from _machine(guest, caps)
    yield from check_os(guest, caps)
    yield from check_sysinfo(guest)
    yield from check_memory(guest, caps)
    yield from check_numa(guest, caps)
    yield from check_vcpus(guest, caps)
    yield from check_cpu(guest, caps)
    yield from check_iothreads(guest, caps)
    yield from check_groups(guest.throttle_groups)
    yield from check_tuning(guest)
    yield from check_features(guest, caps)
    yield from check_clock(guest, caps)
    yield from check_events(guest, caps)
    yield from _security(guest, caps)
    yield from _labels(guest, guest)
    yield from _passthrough(guest)
    yield from _id_map(guest)
    yield from _singles(guest)


def _identity(guest: Guest) -> Iterator[str]:
    if not guest.name.strip():
        yield "<name> is empty"
    if "/" in guest.name or "\n" in guest.name:
        yield "<name> contains a slash or a line break"
    if guest.bootloader:
        yield "<bootloader>: QEMU has none"
    if guest.title and "\n" in guest.title:
        yield "<title> contains a line break"
    if guest.genid and not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", guest.genid):
        yield f"<genid>: '{guest.genid}' is not a UUID"
    if guest.resource and guest.resource.partition and not guest.resource.partition.startswith("/"):
        yield "<resource>: the partition does not start with a slash"
    tag = guest.resource.fibre_channel if guest.resource else None
    if tag is not None and not (0 < len(tag) <= 128 and tag.isprintable()):
        yield "<fibrechannel appid>: not 1 to 128 printable characters"


def check_start(guest: Guest, caps: Capabilities, host: HostFacts) -> Iterator[str]:
    """Every reason why a definition that may be fine elsewhere cannot run here."""
    if guest.type not in ("kvm", "qemu"):
        yield f"<domain type='{guest.type}'>: this is no guest for QEMU on Linux"
    if guest.type == "kvm" and not (caps.kvm and host.kvm):
        yield Lacking("<domain type='kvm'>: there is no KVM on this host, or this QEMU lacks it")
    if guest.type == "qemu" and not caps.tcg:
        yield Lacking("<domain type='qemu'>: this QEMU cannot emulate a processor")
    if guest.arch not in ARCHITECTURES:
        yield f"<os><type arch='{guest.arch}'>: only x86_64 and i686 are supported"
    if guest.key_wrap:
        yield "<keywrap>: only processors of s390 wrap keys"
    if guest.cpu_tune and (guest.cpu_tune.caches or guest.cpu_tune.memory) and guest.type != "kvm":
        yield "<cachetune> and <memorytune>: only for KVM guests"
    if guest.launch_security and guest.launch_security.type in ("sev", "sev-snp") and caps.sev is None:
        yield f"<launchSecurity type='{guest.launch_security.type}'>: QEMU finds no processor here that can"
    kind = SECURITY_OBJECTS.get(guest.launch_security.type) if guest.launch_security else "object"
    if kind is None or not (kind == "object" or caps.has_type(kind)):
        yield Lacking("<launchSecurity>: this QEMU cannot")


def _machine(guest: Guest, caps: Capabilities) -> Iterator[str]:
    if guest.os_type != "hvm":
        yield f"<os><type>: '{guest.os_type}' is not hvm" if guest.os_type else "<os><type> is missing"
    if guest.arch in ARCHITECTURES and caps.canonical_machine(guest.machine) is None and _own_emulator(guest, caps):
        yield Lacking(f"<os><type machine='{guest.machine}'>: this QEMU has no such machine")


def _own_emulator(guest: Guest, caps: Capabilities) -> bool:
    """Whether the capabilities are those of the guest's emulator."""
    return guest.devices.emulator in (None, caps.emulator)


def _security(guest: Guest, caps: Capabilities) -> Iterator[str]:
    security = guest.launch_security
    if security is None:
        return
    if security.type == "s390-pv":
        yield "<launchSecurity type='s390-pv'>: only processors of s390 have it"
    if security.type in ("sev", "sev-snp") and security.policy is None:
        yield "<launchSecurity>: <policy> is missing"
    if security.kernel_hashes is not None and not caps.has_schema(KERNEL_HASHES):
        yield Lacking("<launchSecurity kernelHashes>: this QEMU cannot measure the kernel")


def _labels(model: Model, guest: Guest) -> Iterator[str]:
    """Labels of the guest and, by walking down, of everything in it."""
    parts = list(model.models())
    if labels := [part for part in parts if isinstance(part, SecurityLabel)]:
        models = Counter(label.model for label in labels if label.model or model is not guest)
        for name in (name for name, count in models.items() if count > 1):
            yield f"<seclabel>: two labels of model '{name or 'any'}' in one place"
        if model is guest:
            if len(labels) > 1 and not all(label.model for label in labels):
                yield "<seclabel>: of several labels, each names its model"
            for label in labels:
                yield from _guest_label(label)
        elif any(not relabels(own) and own.model == label.model for own in guest.seclabels for label in labels):
            yield "<seclabel>: a label of its own, but the guest's label of this model forbids relabelling"
    for part in parts:
        yield from _labels(part, guest)


def relabels(label: SecurityLabel) -> bool:
    """Whether a label of the guest has its files relabelled: one that we choose does, unless it says otherwise."""
    return label.type in (None, "dynamic") if label.relabel is None else label.relabel


def _guest_label(label: SecurityLabel) -> Iterator[str]:
    kind = label.type or "dynamic"
    if kind == "dynamic" and label.relabel is False:
        yield "<seclabel type='dynamic'>: relabel='no' is impossible"
    if kind == "none" and label.relabel:
        yield "<seclabel type='none'>: relabel='yes' is impossible"
    if kind == "static" and not label.label:
        yield "<seclabel type='static'>: <label> is missing"


def _id_map(guest: Guest) -> Iterator[str]:
    if guest.id_map is None:
        return
    if not guest.id_map.uids or not guest.id_map.gids:
        yield "<idmap>: users and groups are mapped together"
    for name, ranges in (("uid", guest.id_map.uids), ("gid", guest.id_map.gids)):
        if ranges and ranges[0].start != 0:
            yield f"<{name}>: the first range starts with root, 0"


def _singles(guest: Guest) -> Iterator[str]:
    """What can be there once only; the reader has kept the others aside."""
    for part in filter(None, (guest, guest.devices, guest.cpu_tune)):
        for unknown in part.kept:
            if unknown.name in SINGLE and not unknown.path:
                yield f"<{unknown.name}>: there is more than one"


def _passthrough(guest: Guest) -> Iterator[str]:
    for variable in guest.commandline.environment if guest.commandline else ():
        if not VARIABLE.fullmatch(variable.name):
            yield f"<qemu:env name='{variable.name}'>: not a name of letters, digits and underscores"
    for device in guest.override.devices if guest.override else ():
        for one in device.properties:
            if one.type == "remove" and one.value is not None:
                yield f"<qemu:property name='{one.name}' type='remove'>: has no value"
            pattern, lack = VALUES.get(one.type, (None, ""))
            if pattern is not None and not pattern.fullmatch(one.value or ""):
                yield f"<qemu:property name='{one.name}'>: '{one.value or ''}' is {lack}"
