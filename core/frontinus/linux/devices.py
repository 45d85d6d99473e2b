"""Devices of the host that a plan may speak of."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from frontinus.domain.host import UsbDevice
from frontinus.linux.topology import read

KVM_GET_API_VERSION = 0xAE00
KVM_API = 12
"""The one version that there is (Documentation/virt/kvm/api.rst)."""


def has_vfio(root: Path) -> bool:
    """Whether the kernel can pass PCI devices on: VFIO is there, and an IOMMU keeps devices apart."""
    groups = root / "sys/kernel/iommu_groups"
    return (root / "dev/vfio/vfio").exists() and groups.is_dir() and any(groups.iterdir())


def has_kvm(device: Path) -> bool:
    """Whether KVM is there and answers."""
    try:
        fd = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return fcntl.ioctl(fd, KVM_GET_API_VERSION) == KVM_API
    except OSError:
        return False
    finally:
        os.close(fd)


def read_usb(root: Path) -> tuple[UsbDevice, ...]:
    """USB devices."""
    bus = root / "sys/bus/usb/devices"
    found = []
    for folder in sorted(bus.iterdir()) if bus.is_dir() else ():
        places, ids = (
            (read(folder / "busnum"), read(folder / "devnum")),
            (read(folder / "idVendor"), read(folder / "idProduct")),
        )
        if all(places) and all(ids):
            numbers = [int(text or "") for text in places] + [int(text or "", 16) for text in ids]
            found.append(UsbDevice(*numbers))
    return tuple(found)


def read_scsi_generic(root: Path) -> dict[str, str]:
    """Names of generic SCSI devices by host:bus:target:unit."""
    folders = (root / "sys/class/scsi_generic").glob("sg*")
    return {(folder / "device").resolve().name: folder.name for folder in sorted(folders)}


def read_cdroms(root: Path) -> frozenset[str]:
    """Block devices that are CD-ROM drives."""
    return frozenset(f"/dev/{entry.name}" for entry in (root / "sys/block").glob("sr[0-9]*"))


def read_security_model(root: Path) -> str:
    """What labels processes and files here: selinux, apparmor, or none."""
    if (root / "sys/fs/selinux/enforce").exists():
        return "selinux"
    enabled = root / "sys/module/apparmor/parameters/enabled"
    return "apparmor" if enabled.is_file() and enabled.read_text().startswith("Y") else "none"


def read_render_nodes(root: Path) -> tuple[str, ...]:
    """Render nodes of GPUs, in the order of their numbers."""
    names = sorted((entry.name for entry in (root / "dev/dri").glob("renderD*")), key=lambda name: int(name[7:]))
    return tuple(f"/dev/dri/{name}" for name in names)


def read_accounts(file: Path) -> dict[str, int]:
    """Numbers by name, from /etc/passwd or /etc/group."""
    fields = (line.split(":") for line in (read(file) or "").splitlines())
    return {parts[0]: int(parts[2]) for parts in fields if len(parts) > 2 and parts[2].isdecimal()}


def first_program(*places: str) -> str:
    """The first of some places where a program is; the first of all if it is nowhere."""
    return next((place for place in places if os.access(place, os.X_OK)), places[0])
