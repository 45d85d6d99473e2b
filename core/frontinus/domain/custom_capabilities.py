"""<qemu:capabilities>: what a probe found, for one guest's command line taken for granted or left out of account.

Names are libvirt's, of what QEMU releases differ in; each stands for the facts of a probe that our planning looks at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from frontinus.api.errors import Unsupported
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.passthrough import QemuCapabilities

T = TypeVar("T")

TYPES: Mapping[str, tuple[str, ...]] = {
    **{name: (name,) for name in (
        "VGA", "am53c974", "bochs-display", "cirrus-vga", "dc390", "e1000", "ich9-ahci", "ich9-intel-hda", "ich9-usb-ehci1",
        "intel-iommu", "iothread", "ivshmem-doorbell", "ivshmem-plain", "megasas", "memory-backend-memfd", "mptsas1068",
        "nec-usb-xhci", "nvdimm", "pc-dimm", "pci-bridge", "pcie-pci-bridge", "pcie-root-port", "piix3-usb-uhci",
        "pr-manager-helper", "pvscsi", "pxb", "pxb-pcie", "qemu-xhci", "qxl", "ramfb", "rng-builtin", "rng-egd", "rng-random",
        "rtl8139", "scsi-block", "thread-context", "usb-audio", "usb-hub", "usb-kbd", "usb-redir", "usb-storage", "vfio-pci",
        "vhost-user-blk", "vhost-user-gpu", "vhost-user-vga", "virtio-gpu-gl-pci", "virtio-iommu-pci", "virtio-mem-pci",
        "virtio-pmem-pci", "virtio-scsi-pci", "virtio-vga", "virtio-vga-gl", "vmcoreinfo", "vmgenid", "vmware-svga")},
    "lsi": ("lsi53c895a",), "vhost-scsi": ("vhost-scsi-pci",), "vhost-user-fs": ("vhost-user-fs-device", "vhost-user-fs-pci"),
    "vhost-vsock": ("vhost-vsock-pci",), "virtio-gpu": ("virtio-gpu-pci",), "virtio-rng": ("virtio-rng-pci",),
    "virtio-keyboard": ("virtio-keyboard-pci",), "virtio-mouse": ("virtio-mouse-pci",), "virtio-net": ("virtio-net-pci",),
    "virtio-tablet": ("virtio-tablet-pci",), "virtio-input-host": ("virtio-input-host-pci",), "drive-nvme": ("nvme",),
}  # fmt: skip
PROPERTIES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "acpi-index": (("virtio-blk-pci", "acpi-index"),),
    "confidential-guest-support": (("none-machine", "confidential-guest-support"),),
    "cpu.migratable": (("max-x86_64-cpu", "migratable"),), "disable-s3": (("PIIX4_PM", "disable_s3"),),
    "disable-s4": (("PIIX4_PM", "disable_s4"),), "ich9-disable-s3": (("ICH9-LPC", "disable_s3"),),
    "ich9-disable-s4": (("ICH9-LPC", "disable_s4"),), "kvm-pit-lost-tick-policy": (("kvm-pit", "lost_tick_policy"),),
    "memory-backend-file.prealloc-threads": (("memory-backend-file", "prealloc-threads"),),
    "memory-backend-file.reserve": (("memory-backend-file", "reserve"),), "usb-host.hostdevice": (("usb-host", "hostdevice"),),
    "vfio-pci.display": (("vfio-pci", "display"),), "virtio-blk-pci.scsi": (("virtio-blk-pci", "scsi"),),
    "virtio-gpu.virgl": (("virtio-gpu-pci", "virgl"),), "virtio-mem-pci.prealloc": (("virtio-mem-pci", "prealloc"),),
    "virtio-net.failover": (("virtio-net-pci", "failover"),), "virtio-net.rss": (("virtio-net-pci", "rss"),),
    "virtio-blk.queue-size": (("virtio-blk-pci", "queue-size"),), "pcie-root-port.hotplug": (("pcie-root-port", "hotplug"),),
}  # fmt: skip
SCHEMA: Mapping[str, tuple[str, ...]] = {
    "aio.io_uring": ("blockdev-add/arg-type/driver=file/aio=io_uring",),
    "blockdev.nbd.tls-hostname": ("blockdev-add/arg-type/driver=nbd/tls-hostname",),
    "chardev.qemu-vdagent": ("chardev-add/arg-type/backend/type=qemu-vdagent",),
    "device.json+hotplug": ("device_add/feature:json-cli-hotplug",),
    "display-dbus": ("query-display-options/ret-type/type=dbus",),
    "egl-headless": ("query-display-options/ret-type/type=egl-headless",),
    "iothread.thread-pool-max": ("object-add/arg-type/qom-type=iothread/thread-pool-max",),
    "netdev.json": ("netdev_add/arg-type/type=dgram",), "netdev.stream": ("netdev_add/arg-type/type=stream",),
    "netdev.vhost-vdpa": ("netdev_add/arg-type/type=vhost-vdpa",), "numa.hmat": ("set-numa-node/arg-type/type=hmat-lb",),
    "object.qapified": ("object-add/arg-type/qom-type=secret",), "sdl": ("query-display-options/ret-type/type=sdl",),
    "sev-guest-kernel-hashes": ("object-add/arg-type/qom-type=sev-guest/kernel-hashes",),
}  # fmt: skip
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "set-action": ("set-action",), "compat-deprecated": ("set-action",), "spice": ("query-spice",), "vnc": ("query-vnc",),
    "blockdev-reopen": ("blockdev-reopen",),
}  # fmt: skip
OPTIONS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "fsdev.multidevs": (("fsdev", "multidevs"),), "i8042": (("machine", "i8042"),), "machine-hpet": (("machine", "hpet"),),
    "run-with.async-teardown": (("run-with", "async-teardown"),), "seccomp-sandbox": (("sandbox", "elevateprivileges"),),
    "smp-dies": (("smp-opts", "dies"),), "vnc-power-control": (("vnc", "power-control"),),
}  # fmt: skip
SETTLED = frozenset({
    "balloon", "blockdev", "boot-index", "boot-menu", "chardev", "device", "device-qxl-vga", "domid", "drive", "drive-boot",
    "drive-format", "drive-serial", "enable-kvm", "fsdev", "hda-duplex", "kqemu", "kvm", "mem-path", "migrate-qemu-exec",
    "migrate-qemu-fd", "migrate-qemu-tcp", "migrate-qemu-unix", "monitor-json", "name", "netdev", "no-reboot", "nodefconfig",
    "pci-device", "pci-multibus", "pci-multifunction", "rtc", "smbios-type", "smp-topology", "uuid", "vga", "vga-none", "vga-qxl",
    "vhost-net", "vnc-colon", "vnet-hdr", "xen-domid",
})  # fmt: skip
"""What all releases that run here have, or none: nobody asks any more, so that it is taken for granted changes nothing."""
TABLES = (TYPES, PROPERTIES, SCHEMA, COMMANDS, OPTIONS)


def customized(caps: Capabilities, wish: QemuCapabilities | None) -> Capabilities:
    """The probe as this guest wants it taken. Raises Unsupported for a name that stands for nothing that is looked at."""
    if wish is None:
        return caps
    known = SETTLED.union(*TABLES)
    if strange := sorted({*wish.add, *wish.remove} - known):
        raise Unsupported(f"<qemu:capabilities>: nothing here depends on '{strange[0]}'", element="capabilities")
    return replace(
        caps,
        types=caps.types - _facts(TYPES, wish.remove) | _facts(TYPES, wish.add),
        commands=caps.commands - _facts(COMMANDS, wish.remove) | _facts(COMMANDS, wish.add),
        options=_with(caps.options, _facts(OPTIONS, wish.add), _facts(OPTIONS, wish.remove)),
        properties={owner: {name: caps.properties.get(owner, {}).get(name, "") for name in names} for owner, names in _with(
            caps.properties, _facts(PROPERTIES, wish.add), _facts(PROPERTIES, wish.remove)).items()},
        granted=caps.granted - _facts(SCHEMA, wish.remove) | _facts(SCHEMA, wish.add),
        denied=caps.denied - _facts(SCHEMA, wish.add) | _facts(SCHEMA, wish.remove),
    )  # fmt: skip


def _facts(table: Mapping[str, Sequence[T]], names: Sequence[str]) -> frozenset[T]:
    """What some names stand for in a table."""
    return frozenset(fact for name in names for fact in table.get(name, ()))


def _with(known: Mapping[str, object], added: frozenset[tuple[str, str]],
          removed: frozenset[tuple[str, str]]) -> dict[str, frozenset[str]]:  # fmt: skip
    """Members by owner, some added and some removed."""
    found = {owner: frozenset(members) for owner, members in known.items() if isinstance(members, (Mapping, frozenset))}
    for owner, member in removed:
        found[owner] = found.get(owner, frozenset()) - {member}
    for owner, member in added:
        found[owner] = found.get(owner, frozenset()) | {member}
    return found
