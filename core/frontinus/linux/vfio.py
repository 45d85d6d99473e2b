"""Devices of the host for guests: PCI functions taken from the host's driver for VFIO, and given back; groups opened.

The kernel hands out whole IOMMU groups. A function is taken by its driver_override, so that no other device of its kind
is touched. Sources: Documentation/driver-api/vfio.rst, Documentation/ABI/testing/sysfs-bus-pci.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from frontinus.api.errors import HostFailed
from frontinus.domain.plan import VFIO_DRIVER, Label, Vfio
from frontinus.linux.failing import failing
from frontinus.linux.labels import Labels
from frontinus.linux.setup import Maker, Setup, Undo, text

HARMLESS = frozenset({VFIO_DRIVER, "pci-stub", "pcieport"})
"""Drivers that the rest of a group may have: they do no DMA."""
Write = Callable[[Path, str], None]


def _write(path: Path, value: str) -> None:
    path.write_text(value)


class Passed(Maker[Vfio]):
    """Prepares devices that QEMU reaches by VFIO. `root` and `write` stand in for the kernel in tests."""

    kinds = ("driver",)

    def __init__(self, labels: Labels, root: Path = Path("/"), write: Write = _write) -> None:
        self._labels, self._root, self._write = labels, root, write

    def intend(self, resource: Vfio, setup: Setup) -> list[Undo]:
        device = self._place(resource.path)
        if not device.is_dir():
            raise HostFailed(f"the host has no device {device.name}", what=resource.path)
        group = self._group(device)
        records: list[Undo] = []
        driver = _driver(device)
        if resource.managed and driver != resource.driver:
            by = {"by": resource.driver} if resource.driver != VFIO_DRIVER else {}
            records.append({"kind": "driver", "path": resource.path, "driver": driver, **by})
        elif _is_pci(device) and driver != resource.driver:
            raise HostFailed(f"{device.name} belongs to the host's driver {driver or '(none)'}: bind it to "
                             f"{resource.driver}, or say "
                             "managed='yes'", what=resource.path)  # fmt: skip
        if others := list(self._others(device, group)):
            raise HostFailed(f"{device.name} shares its IOMMU group {group.name} with {', '.join(others)}, in use by the "
                             "host: the guest must have all or none", what=resource.path)  # fmt: skip
        if setup.who is not None and resource.fd is None:
            records.append({"kind": "grant", "path": self._node(group), "to": setup.who.uid})
        return records

    def make(self, resource: Vfio, records: list[Undo], setup: Setup) -> None:
        device = self._place(resource.path)
        taken = [record for record in records if record["kind"] == "driver"]
        try:
            if taken:
                with failing("take from the host", device.name):
                    self._bind(device, resource.driver)
            if resource.fd is not None:
                setup.fds[resource.fd] = self._open(device)
                return
            node = self._node(self._group(device))
            self._labels.make(Label(node), [record for record in records if record not in taken], setup)
        except HostFailed:
            for record in taken:
                self.undo(record)
            raise

    def undo(self, record: Mapping[str, object]) -> None:
        device = self._place(text(record, "path"))
        if not device.is_dir():
            return
        with failing("give back to the host", device.name):
            self._write(device / "driver_override", "\n")
            if _driver(device) == record.get("by", VFIO_DRIVER):
                self._write(device / "driver/unbind", device.name)
            if record.get("driver") is not None and _driver(device) is None:
                self._write(self._place("/sys/bus/pci/drivers_probe"), device.name)

    def _bind(self, device: Path, driver: str) -> None:
        self._write(device / "driver_override", driver)
        if _driver(device) is not None:
            self._write(device / "driver/unbind", device.name)
        self._write(self._place("/sys/bus/pci/drivers_probe"), device.name)
        if _driver(device) != driver:
            raise HostFailed(f"{driver} does not take {device.name}: is the kernel's module loaded?", what=device.name)

    def _open(self, device: Path) -> int:
        """The device's own node, which it has while a driver of VFIO has it. Raises HostFailed."""
        with contextlib.suppress(FileNotFoundError, StopIteration):
            name = next((device / "vfio-dev").iterdir()).name
            node = self._place(f"/dev/vfio/devices/{name}")
            with failing("open", str(node)):
                return os.open(node, os.O_RDWR | os.O_CLOEXEC)
        raise HostFailed(f"{device.name} has no node in /dev/vfio/devices: this kernel has no iommufd for it (VFIO_DEVICE_CDEV)",
                         what=device.name)  # fmt: skip

    def _others(self, device: Path, group: Path) -> Iterator[str]:
        """Who else of the group would do DMA beside the guest."""
        for other in sorted((group / "devices").iterdir()):
            driver = _driver(other)
            if other.name != device.name and driver is not None and driver not in HARMLESS:
                yield f"{other.name} ({driver})"

    def _group(self, device: Path) -> Path:
        with contextlib.suppress(OSError):
            return (device / "iommu_group").resolve(strict=True)
        raise HostFailed(f"{device.name} has no IOMMU group: the IOMMU is off, in firmware or on the kernel's command line",
                         what=device.name)  # fmt: skip

    def _node(self, group: Path) -> str:
        return str(self._place(f"/dev/vfio/{group.name}"))

    def _place(self, path: str) -> Path:
        return self._root / path.lstrip("/")


def _is_pci(device: Path) -> bool:
    return (device / "driver_override").exists()


def _driver(device: Path) -> str | None:
    """The driver that a device is bound to."""
    link = device / "driver"
    return link.resolve().name if link.exists() else None
