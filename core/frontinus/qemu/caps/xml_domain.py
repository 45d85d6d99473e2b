"""<domainCapabilities>: what a definition may ask of one binary, machine and accelerator. Pure.

The shape is the documented one of virConnectGetDomainCapabilities; what stands in it comes from the probe and the host.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatch

from lxml import etree

from frontinus.api.errors import InvalidValue, Unsupported
from frontinus.domain.capabilities import Capabilities, MachineType
from frontinus.domain.cpu.named import nearest, processor
from frontinus.domain.cpu.names import user_feature
from frontinus.domain.devices.hostdev import knows_iommufd
from frontinus.domain.firmware import INTERFACES, VARIABLES
from frontinus.domain.host import Firmware, HostFacts
from frontinus.domain.hyperv import ALL, PARTS, offered
from frontinus.qemu.caps.tree import VENDOR_NAMES, Element, child, enum, supported, write

ACCELERATORS = {"kvm": "kvm", "qemu": "tcg"}
Row = tuple[str, Callable[[Capabilities], bool]]


def has_type(*names: str) -> Callable[[Capabilities], bool]:
    """Whether one of some types exists."""
    return lambda caps: any(caps.has_type(name) for name in names)


def has_schema(*paths: str) -> Callable[[Capabilities], bool]:
    """Whether one of some schema paths exists."""
    return lambda caps: any(caps.has_schema(path) for path in paths)


def always(caps: Capabilities) -> bool:
    """What every QEMU has that we can use."""
    return True


def display(name: str) -> Callable[[Capabilities], bool]:
    """Whether a display is compiled in."""
    return has_schema(f"query-display-options/ret-type/type={name}")


MEMORY: Sequence[Row] = (("file", always), ("anonymous", always), ("memfd", has_type("memory-backend-memfd")))
VIRTIO_DISKS: Sequence[Row] = (
    ("virtio", has_type("virtio-blk-pci")), ("virtio-transitional", has_type("virtio-blk-pci-transitional")),
    ("virtio-non-transitional", has_type("virtio-blk-pci-non-transitional")),
)  # fmt: skip
BUSES: Sequence[Row] = (
    ("fdc", has_type("isa-fdc")), ("scsi", has_type("scsi-hd")), ("virtio", has_type("virtio-blk-pci")),
    ("usb", has_type("usb-storage")), ("sata", has_type("ich9-ahci")),
)  # fmt: skip
GRAPHICS: Sequence[Row] = (
    ("sdl", display("sdl")), ("vnc", lambda caps: caps.has_command("query-vnc")),
    ("spice", lambda caps: caps.has_command("query-spice")), ("egl-headless", display("egl-headless")),
    ("dbus", display("dbus")),
)  # fmt: skip
VIDEO: Sequence[Row] = (
    ("vga", has_type("VGA")), ("cirrus", has_type("cirrus-vga")), ("vmvga", has_type("vmware-svga")),
    ("qxl", has_type("qxl")), ("virtio", has_type("virtio-gpu-pci")), ("none", always),
    ("bochs", has_type("bochs-display")), ("ramfb", has_type("ramfb")),
)  # fmt: skip
HOSTDEV: Sequence[Row] = (
    ("usb", has_type("usb-host")),
    ("pci", has_type("vfio-pci")),
    ("scsi", has_type("scsi-generic")),
)
RNG_MODELS: Sequence[Row] = (
    ("virtio", has_type("virtio-rng-pci")), ("virtio-transitional", has_type("virtio-rng-pci-transitional")),
    ("virtio-non-transitional", has_type("virtio-rng-pci-non-transitional")),
)  # fmt: skip
RNG_BACKENDS: Sequence[Row] = (
    ("random", has_type("rng-random")), ("egd", has_type("rng-egd")), ("builtin", has_type("rng-builtin")))  # fmt: skip
FILESYSTEMS: Sequence[Row] = (("path", always), ("handle", always), ("virtiofs", has_type("vhost-user-fs-device")))
REDIRECTION: Sequence[Row] = (("usb", has_type("usb-redir")),)
CHANNELS: Sequence[Row] = (
    ("pty", always), ("unix", always), ("spicevmc", has_schema("chardev-add/arg-type/backend/type=spicevmc")))  # fmt: skip
CRYPTO_BACKENDS: Sequence[Row] = (
    ("builtin", has_type("cryptodev-backend-builtin")), ("lkcf", has_type("cryptodev-backend-lkcf")),
)  # fmt: skip
NETWORK_BACKENDS: Sequence[Row] = (("default", always), ("passt", has_schema("netdev_add/arg-type/type=stream")))
PANICS: Sequence[Row] = (("isa", has_type("pvpanic")), ("pvpanic", has_type("pvpanic-pci")), ("hyperv", always))
CONSOLES: Sequence[Row] = (
    *((name, always) for name in ("null", "vc", "pty", "dev", "file", "pipe", "stdio", "udp", "tcp", "unix")),
    ("qemu-vdagent", has_schema("chardev-add/arg-type/backend/type=qemu-vdagent")),
    ("dbus", has_schema("chardev-add/arg-type/backend/type=dbus")),
)  # fmt: skip
REST: Mapping[str, Mapping[str, Sequence[Row]]] = {
    "redirdev": {"bus": REDIRECTION},
    "channel": {"type": CHANNELS},
    "crypto": {
        "model": (("virtio", has_type("virtio-crypto-pci")),),
        "type": (("qemu", always),),
        "backendModel": CRYPTO_BACKENDS,
    },
    "interface": {"backendType": NETWORK_BACKENDS},
    "panic": {"model": PANICS},
    "console": {"type": CONSOLES},
}
"""Devices that are there where each of their choices has a value."""
SECURITY: Sequence[Row] = (
    ("sev", lambda caps: caps.sev is not None), ("sev-snp", lambda caps: caps.sev is not None and caps.has_type("sev-snp-guest")),
    ("tdx", lambda caps: caps.kvm and caps.has_type("tdx-guest")),
)  # fmt: skip
FIRMWARE_FEATURES = {"secureBoot": "secure-boot", "enrolledKeys": "enrolled-keys"}
TPM_MODELS = ("tpm-tis", "tpm-crb", "tpm-spapr")

VENDORS = (
    ("EPYC*", "AMD"), ("Opteron*", "AMD"), ("phenom", "AMD"), ("athlon", "AMD"), ("Dhyana", "Hygon"),
    ("YongFeng", "Zhaoxin"), ("qemu*", "unknown"), ("kvm*", "unknown"), ("pentium*", "unknown"), ("486", "unknown"),
    ("*", "Intel"),
)  # fmt: skip
"""Vendors by the names of QEMU's CPU models."""
NO_MODELS = frozenset({"host", "max", "base"})
"""What QEMU lists among its models but users reach by a mode."""
VERSIONED = re.compile(r"-v\d+$")
"""Models of one version; a name without is the machine type's alias of one, its canonical model."""


def describe(caps: Capabilities, host: HostFacts, machine: str | None = None, virt_type: str | None = None) -> str:
    """The document. Raises InvalidValue for an unknown machine, Unsupported for an accelerator that is not there."""
    kind = virt_type or ("kvm" if caps.kvm else "qemu")
    if kind not in ACCELERATORS or (kind == "kvm" and not caps.kvm):
        raise Unsupported(f"{caps.emulator} cannot run guests of type '{kind}' here")
    found = caps.canonical_machine(machine)
    if found is None:
        raise InvalidValue(f"{caps.emulator} has no machine '{machine}'", field="machine")
    root = etree.Element("domainCapabilities")
    child(root, "path", caps.emulator)
    child(root, "domain", kind)
    child(root, "machine", found.name)
    child(root, "arch", caps.arch)
    child(root, "vcpu", max=found.max_cpus)
    supported(root, "iothreads", caps.has_type("iothread"))
    _os(root, caps, found, host)
    _cpu(child(root, "cpu"), caps, host, ACCELERATORS[kind])
    enum(supported(root, "memoryBacking"), "sourceType", _there(MEMORY, caps))
    _devices(child(root, "devices"), caps, found, host)
    _features(child(root, "features"), caps, kind)
    return write(root)


def _there(rows: Sequence[Row], caps: Capabilities) -> Iterator[str]:
    return (name for name, test in rows if test(caps))


# --- firmware


def _fits(firmware: Firmware, machine: MachineType, arch: str) -> bool:
    return any(a == arch and fnmatch(machine.name, pattern) for a, pattern in firmware.targets)


def _os(root: Element, caps: Capabilities, machine: MachineType, host: HostFacts) -> None:
    """What of firmware can be asked for. Each comes from a descriptor on the host: without one, no choice is offered."""
    fitting = [f for f in host.firmware if _fits(f, machine, caps.arch)]
    uefi = [f for f in fitting if "uefi" in f.interfaces]
    os = supported(root, "os")
    enum(os, "firmware", [word for word, kind in INTERFACES.items() if any(kind in f.interfaces for f in fitting)])
    features = supported(os, "firmwareFeatures", bool(uefi))
    for name, feature in FIRMWARE_FEATURES.items() if uefi else ():
        there = {feature in f.features for f in uefi}
        enum(features, name, [word for word, has in (("yes", True), ("no", False)) if has in there])
    loader = supported(os, "loader")
    for path in dict.fromkeys(f.executable for f in fitting if f.device == "flash"):
        child(loader, "value", path)
    enum(loader, "type", ("rom", "pflash"))
    enum(loader, "readonly", ("yes", "no"))
    secure = any("requires-smm" in f.features for f in fitting)
    enum(loader, "secure", ("yes", "no") if secure else ("no",))
    supported(os, "varstore", caps.has_type("uefi-vars-x64") and any(VARIABLES in f.features for f in uefi))


# --- CPU


def _cpu(node: Element, caps: Capabilities, host: HostFacts, accel: str) -> None:
    passed = child(node, "mode", name="host-passthrough", supported=accel == "kvm")
    if accel == "kvm":
        enum(passed, "hostPassthroughMigratable", ("on", "off"))
    maximum = child(node, "mode", name="maximum", supported=True)
    enum(maximum, "maximumMigratable", ("on", "off"))
    listed = caps.cpu_models.get(accel, ())
    models = {m.name: m for m in listed if m.name not in NO_MODELS}
    _host_model(node, caps, host, accel, [name for name in models if not VERSIONED.search(name)])
    custom = child(node, "mode", name="custom", supported=bool(models))
    for model in models.values():
        usable = "unknown" if model.usable is None else model.usable
        vendor = _vendor(model.name)
        child(custom, "model", model.name, usable=usable, deprecated=model.deprecated or None, vendor=vendor,
              canonical=model.canonical)  # fmt: skip
        if model.blockers:
            blockers = child(custom, "blockers", model=model.name)
            for name in sorted({*map(user_feature, model.blockers)}):
                child(blockers, "feature", name=name)


def _vendor(model: str) -> str:
    name = VERSIONED.sub("", model)
    return next(vendor for pattern, vendor in VENDORS if fnmatch(name, pattern))


def _host_model(node: Element, caps: Capabilities, host: HostFacts, accel: str, models: Collection[str]) -> None:
    """The host's processor as a named model: with all that it has, so also what a guest that may migrate is not given."""
    properties = caps.host_cpu.get(f"{accel}.all") or caps.host_cpu.get(accel, {})
    found = nearest(processor(properties, sure=accel == "tcg"), models) if properties else None
    mode = child(node, "mode", name="host-model", supported=found is not None)
    if found is None:
        return
    child(mode, "model", found.model.name, fallback="forbid")
    child(mode, "vendor", VENDOR_NAMES.get(found.model.vendor, found.model.vendor))
    if accel == "kvm" and host.physical_bits:
        child(mode, "maxphysaddr", mode="passthrough", limit=host.physical_bits)
    for policy, names in (("require", found.on), ("disable", found.off)):
        for name in sorted(names):
            child(mode, "feature", policy=policy, name=user_feature(name))


# --- devices


def _devices(node: Element, caps: Capabilities, machine: MachineType, host: HostFacts) -> None:
    disk = supported(node, "disk")
    enum(disk, "diskDevice", ("disk", "cdrom", "floppy", "lun"))
    ide = ["ide"] if "i440fx" in machine.name or machine.name == "isapc" else []
    enum(disk, "bus", [*ide, *_there(BUSES, caps)])
    enum(disk, "model", _there(VIRTIO_DISKS, caps))
    enum(supported(node, "graphics"), "type", _there(GRAPHICS, caps))
    enum(supported(node, "video"), "modelType", _there(VIDEO, caps))
    hostdev = supported(node, "hostdev")
    enum(hostdev, "mode", ("subsystem",))
    enum(hostdev, "startupPolicy", ("default", "mandatory", "requisite", "optional"))
    enum(hostdev, "subsysType", _there(HOSTDEV, caps))
    enum(hostdev, "capsType", ())
    enum(hostdev, "pciBackend", ("default", "vfio") if caps.has_type("vfio-pci") and host.vfio else ())
    enum(hostdev, "iommufd", ("yes", "no") if knows_iommufd(caps) else ("no",))
    rng = supported(node, "rng", caps.has_type("virtio-rng-pci"))
    enum(rng, "model", _there(RNG_MODELS, caps))
    enum(rng, "backendModel", _there(RNG_BACKENDS, caps))
    enum(supported(node, "filesystem"), "driverType", _there(FILESYSTEMS, caps))
    _tpm(node, caps)
    for name, enums in REST.items():
        found = {member: list(_there(rows, caps)) for member, rows in enums.items()}
        part = supported(node, name, all(found.values()))
        for member, values in found.items() if all(found.values()) else ():
            enum(part, member, values)


def _tpm(node: Element, caps: Capabilities) -> None:
    models = [name for name in TPM_MODELS if name in caps.tpm_models]
    tpm = supported(node, "tpm", bool(models))
    if not models:
        return
    emulated = "emulator" in caps.tpm_types
    enum(tpm, "model", models)
    passthrough = ["passthrough"] if "passthrough" in caps.tpm_types else []
    enum(tpm, "backendModel", [*passthrough, *(("emulator", "external") if emulated else ())])
    if emulated:
        enum(tpm, "backendVersion", ("1.2", "2.0"))


# --- features


def _features(node: Element, caps: Capabilities, kind: str) -> None:
    supported(node, "gic", False)
    supported(node, "vmcoreinfo", caps.has_type("vmcoreinfo"))
    supported(node, "genid", caps.has_type("vmgenid"))
    supported(node, "backingStoreInput")
    supported(node, "backup", caps.has_command("blockdev-reopen"))
    supported(node, "async-teardown", caps.has_option("run-with", "async-teardown"))
    supported(node, "s390-pv", False)
    supported(node, "ps2", caps.has_option("machine", "i8042"))
    supported(node, "tdx", kind == "kvm" and caps.has_type("tdx-guest"))
    _sev(node, caps)
    _sgx(node, caps)
    if kind == "kvm":
        _hyperv(node, caps)
    secured = list(_there(SECURITY, caps)) if kind == "kvm" else []
    security = supported(node, "launchSecurity", bool(secured))
    if secured:
        enum(security, "sectype", secured)


def _sev(node: Element, caps: Capabilities) -> None:
    facts = caps.sev
    sev = supported(node, "sev", facts is not None)
    if facts is not None:
        child(sev, "cbitpos", facts.get("cbitpos"))
        child(sev, "reducedPhysBits", facts.get("reduced-phys-bits"))


def _sgx(node: Element, caps: Capabilities) -> None:
    facts = caps.sgx
    there = facts is not None and bool(facts.get("sgx"))
    sgx = supported(node, "sgx", there)
    if facts is None or not there:
        return
    for name in ("flc", "sgx1", "sgx2"):
        child(sgx, name, bool(facts.get(name)))
    sections = facts.get("sections")
    listed = [s for s in sections if isinstance(s, dict)] if isinstance(sections, list) else []
    child(sgx, "section_size", _kib(facts.get("section-size", sum(int(s["size"]) for s in listed))), unit="KiB")
    parts = child(sgx, "sections")
    for section in listed:
        child(parts, "section", node=section.get("node"), size=_kib(section.get("size")), unit="KiB")


def _kib(size: object) -> int:
    return size // 1024 if isinstance(size, int) else 0


def _hyperv(node: Element, caps: Capabilities) -> None:
    """Those that KVM turns on when it is asked for all; none are told where QEMU cannot be asked."""
    found = offered(caps)
    if found is None:
        return
    part = supported(node, "hyperv")
    enum(part, "features", [name for name in ALL if getattr(found, name)])
    usual = child(part, "defaults")
    if found.spinlocks:
        child(usual, "spinlocks", found.spinlocks.retries)
    for name, inside in PARTS.items():
        for word in inside if (one := getattr(found, name)) else ():
            child(usual, f"{name}_{word}", "on" if getattr(one, word) else "off")
    if found.vendor_id:
        child(usual, "vendor_id", found.vendor_id.value)
