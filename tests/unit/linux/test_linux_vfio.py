"""Passing PCI functions and mediated devices: taken and given back, on a kernel of our own making."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from frontinus.api.errors import HostFailed
from frontinus.domain.plan import Vfio
from frontinus.linux.labels import Labels
from frontinus.linux.setup import Setup, Undo
from frontinus.linux.users import Users
from frontinus.linux.vfio import Passed
from frontinus.ports.resources import Credentials

CARD, SOUND, BRIDGE = "0000:01:00.0", "0000:01:00.1", "0000:00:01.0"
DEVICES = "sys/bus/pci/devices"


class Kernel:
    """The part of sysfs that binds drivers, as a folder: what is written has the effect that it has in the kernel."""

    def __init__(self, root: Path) -> None:
        self.root, self.log, self.has_vfio = root, [], True
        self.has_cdev = False
        self.log: list[str] = []
        self.home: dict[str, str | None] = {}
        for place in ("sys/bus/pci/devices", "sys/kernel/iommu_groups", "dev/vfio"):
            (root / place).mkdir(parents=True)

    def add(self, name: str, group: int | None, driver: str | None) -> None:
        device = self.root / DEVICES / name
        device.mkdir()
        (device / "driver_override").write_text("")
        self.home[name] = driver
        if group is not None:
            members = self.root / f"sys/kernel/iommu_groups/{group}/devices"
            members.mkdir(parents=True, exist_ok=True)
            (members / name).symlink_to(device)
            (device / "iommu_group").symlink_to(members.parent)
        self._bind(name, driver)

    def _bind(self, name: str, driver: str | None) -> None:
        device = self.root / DEVICES / name
        (device / "driver").unlink(missing_ok=True)
        if driver is not None:
            folder = self.root / "sys/bus/pci/drivers" / driver
            folder.mkdir(parents=True, exist_ok=True)
            (device / "driver").symlink_to(folder)
            if driver == "vfio-pci" and self.has_cdev:
                (device / "vfio-dev/vfio5").mkdir(parents=True, exist_ok=True)
                (self.root / "dev/vfio/devices").mkdir(exist_ok=True)
                (self.root / "dev/vfio/devices/vfio5").touch()
            if driver in ("vfio-pci", "mlx5_vfio_pci"):
                (self.root / "dev/vfio" / (device / "iommu_group").resolve().name).touch()

    def write(self, path: Path, value: str) -> None:
        self.log.append(f"{path.name} {value.strip()}".strip())
        if path.name == "driver_override":
            path.write_text(value.strip())
        elif path.name == "unbind":
            self._bind(value, None)
        elif path.name == "drivers_probe":
            wanted = (self.root / DEVICES / value / "driver_override").read_text() or self.home[value]
            if wanted != "vfio-pci" or self.has_vfio:
                self._bind(value, wanted)

    def driver(self, name: str) -> str | None:
        link = self.root / DEVICES / name / "driver"
        return link.resolve().name if link.is_symlink() else None


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    kernel = Kernel(tmp_path)
    kernel.add(CARD, 7, "e1000e")
    kernel.add(BRIDGE, 7, "pcieport")
    return kernel


def maker(kernel: Kernel) -> Passed:
    return Passed(Labels(Users(kernel.root / "users", None, None)), kernel.root, kernel.write)


def taken(kernel: Kernel, name: str = CARD, *, managed: bool = True) -> list[Undo]:
    """What a set-up by the engine's own user leaves to undo."""
    setup, passed, device = Setup(None, ""), maker(kernel), Vfio(f"/{DEVICES}/{name}", managed)
    records = passed.intend(device, setup)
    passed.make(device, records, setup)
    return records


def test_a_managed_function_is_taken_and_given_back(kernel: Kernel) -> None:
    records = taken(kernel)
    assert records == [{"kind": "driver", "path": f"/{DEVICES}/{CARD}", "driver": "e1000e"}]
    assert kernel.driver(CARD) == "vfio-pci"
    assert kernel.log == ["driver_override vfio-pci", f"unbind {CARD}", f"drivers_probe {CARD}"]
    for _ in range(2):  # again: an undo is idempotent
        maker(kernel).undo(records[0])
        assert kernel.driver(CARD) == "e1000e" and not (kernel.root / DEVICES / CARD / "driver_override").read_text()


def test_with_iommufd_its_own_node_is_opened_and_no_group_is_given(kernel: Kernel) -> None:
    kernel.has_cdev = True
    passed, setup = maker(kernel), Setup(Credentials(uid=7, gid=7), "")
    device = Vfio(f"/{DEVICES}/{CARD}", True, fd=9)
    records = passed.intend(device, setup)
    assert [record["kind"] for record in records] == ["driver"]
    passed.make(device, records, setup)
    node = kernel.root / "dev/vfio/devices/vfio5"
    assert os.path.sameopenfile(setup.fds[9], (fd := os.open(node, os.O_RDONLY)))
    assert fcntl.fcntl(setup.fds[9], fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
    os.close(fd)
    setup.close()


def test_a_kernel_without_iommufd_has_no_node_and_the_device_is_given_back(kernel: Kernel) -> None:
    passed, setup, device = maker(kernel), Setup(None, ""), Vfio(f"/{DEVICES}/{CARD}", True, fd=9)
    with pytest.raises(HostFailed, match=f"{CARD} has no node in /dev/vfio/devices"):
        passed.make(device, passed.intend(device, setup), setup)
    assert kernel.driver(CARD) == "e1000e" and not setup.fds


def test_a_driver_of_its_own_takes_a_function(kernel: Kernel) -> None:
    passed, setup, device = maker(kernel), Setup(None, ""), Vfio(f"/{DEVICES}/{CARD}", True, "mlx5_vfio_pci")
    records = passed.intend(device, setup)
    passed.make(device, records, setup)
    assert kernel.driver(CARD) == "mlx5_vfio_pci" and records[0]["by"] == "mlx5_vfio_pci"
    passed.undo(records[0])
    assert kernel.driver(CARD) == "e1000e"


def test_one_without_a_driver_is_left_without(kernel: Kernel) -> None:
    kernel.add(SOUND, 8, None)
    records = taken(kernel, SOUND)
    assert kernel.driver(SOUND) == "vfio-pci"
    maker(kernel).undo(records[0])
    assert kernel.driver(SOUND) is None


def test_one_that_the_user_manages_is_left_alone(kernel: Kernel) -> None:
    with pytest.raises(HostFailed, match="belongs to the host's driver e1000e"):
        taken(kernel, managed=False)
    taken(kernel)
    assert taken(kernel, managed=False) == taken(kernel) == [], "bound already: nothing to do, nothing to undo"


def test_a_group_is_given_whole_or_not_at_all(kernel: Kernel) -> None:
    kernel.add(SOUND, 7, "snd_hda_intel")
    with pytest.raises(HostFailed, match=f"shares its IOMMU group 7 with {SOUND} .snd_hda_intel."):
        taken(kernel)
    assert kernel.log == [] and kernel.driver(CARD) == "e1000e"


def test_without_vfio_the_device_is_the_hosts_again(kernel: Kernel) -> None:
    kernel.has_vfio = False
    with pytest.raises(HostFailed, match="vfio-pci does not take"):
        taken(kernel)
    assert kernel.driver(CARD) == "e1000e"


def test_what_is_not_there_is_said(kernel: Kernel) -> None:
    with pytest.raises(HostFailed, match="no device 0000:09:00.0"):
        taken(kernel, "0000:09:00.0")
    kernel.add(SOUND, None, None)
    with pytest.raises(HostFailed, match="no IOMMU group"):
        taken(kernel, SOUND)
    maker(kernel).undo({"kind": "driver", "path": f"/{DEVICES}/0000:09:00.0", "driver": "x"})


def test_a_mediated_device_needs_no_driver(kernel: Kernel) -> None:
    mdev = kernel.root / "sys/bus/mdev/devices/u"
    mdev.mkdir(parents=True)
    (kernel.root / "sys/kernel/iommu_groups/9/devices").mkdir(parents=True)
    (mdev / "iommu_group").symlink_to(kernel.root / "sys/kernel/iommu_groups/9")
    (kernel.root / "dev/vfio/9").touch()
    passed, setup, device = maker(kernel), Setup(None, ""), Vfio("/sys/bus/mdev/devices/u")
    passed.make(device, passed.intend(device, setup), setup)
    assert kernel.log == []
