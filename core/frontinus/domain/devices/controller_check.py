"""Every reason why a controller cannot be. Facts: which options each model has, and their ranges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import PciAddress
from frontinus.domain.devices.block.disk_check import has_iothread
from frontinus.domain.devices.queues import check_threads
from frontinus.domain.devices.rules import lacks, placed
from frontinus.domain.reasons import Lacking

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.devices.controller import Controller
    from frontinus.domain.guest import Guest

Reasons = Iterator[str]
VIRTIO = frozenset({"virtio", "virtio-transitional", "virtio-non-transitional"})
VIRTIO_SCSI = frozenset({"virtio-scsi", "virtio-transitional", "virtio-non-transitional"})
SCSI_TYPES = {
    "lsilogic": "lsi53c895a", "lsisas1068": "mptsas1068", "lsisas1078": "megasas", "vmpvscsi": "pvscsi",
    "dc390": "dc390", "am53c974": "am53c974", **dict.fromkeys(VIRTIO_SCSI, "virtio-scsi-pci"),
}  # fmt: skip
"""QEMU's type of each model of SCSI controller on x86."""
SCSI_FOREIGN = frozenset({"auto", "buslogic", "ibmvscsi", "ncr53c90"})
USB_TYPES = {
    "piix3-uhci": "piix3-usb-uhci", "piix4-uhci": "piix4-usb-uhci", "ehci": "usb-ehci",
    "ich9-ehci1": "ich9-usb-ehci1", "ich9-uhci1": "ich9-usb-uhci1", "ich9-uhci2": "ich9-usb-uhci2",
    "ich9-uhci3": "ich9-usb-uhci3", "vt82c686b-uhci": "vt82c686b-usb-uhci", "pci-ohci": "pci-ohci",
    "nec-xhci": "nec-usb-xhci", "qemu-xhci": "qemu-xhci",
}  # fmt: skip
"""QEMU's type of each model of USB controller."""
USB_DEFAULT = "piix3-uhci"
XHCI = frozenset({"nec-xhci", "qemu-xhci"})
XHCI_PORTS = 15
SERIAL_PORTS = 31
NVME_SERIAL = 20
"""Bytes of a controller's serial number (NVM Express Base Specification, Identify Controller)."""
PCI_MODELS = (
    "pci-root", "pcie-root", "pci-bridge", "dmi-to-pci-bridge", "pcie-to-pci-bridge", "pcie-root-port",
    "pcie-switch-upstream-port", "pcie-switch-downstream-port", "pci-expander-bus", "pcie-expander-bus",
)  # fmt: skip
MODELS = {
    "scsi": frozenset(SCSI_TYPES) | SCSI_FOREIGN,
    "usb": frozenset(USB_TYPES) | {"none"},
    "pci": frozenset(PCI_MODELS),
    "ide": frozenset({"piix3", "piix4", "ich6"}),
    "virtio-serial": VIRTIO,
}
"""Models of each type; types that are not listed have none."""
PLACES = {"ccid": ("usb",), "fdc": ("isa",), **dict.fromkeys(("scsi", "virtio-serial"), ("pci", "virtio-mmio"))}
"""Where controllers go that are not on PCI alone."""
ROOTS = frozenset({"pci-root", "pcie-root"})
PORTS = frozenset({"pcie-root-port", "pcie-switch-downstream-port"})
EXPANDERS = frozenset({"pci-expander-bus", "pcie-expander-bus"})
MODEL_NAMES = {
    "pci-bridge": ("pci-bridge",),
    "dmi-to-pci-bridge": ("i82801b11-bridge",),
    "pcie-to-pci-bridge": ("pcie-pci-bridge",),
    "pcie-root-port": ("pcie-root-port", "ioh3420"),
    "pcie-switch-upstream-port": ("x3130-upstream",),
    "pcie-switch-downstream-port": ("xio3130-downstream",),
    "pci-expander-bus": ("pxb",),
    "pcie-expander-bus": ("pxb-pcie",),
}
"""QEMU's devices for each model of PCI controller, the preferred one first. The roots are the machine's own."""
PCI_OPTIONS = {
    "chassis_nr": ("chassisNr", frozenset({"pci-bridge"}), range(1, 256)),
    "chassis": ("chassis", PORTS, range(256)),
    "port": ("port", PORTS, range(256)),
    "bus_nr": ("busNr", EXPANDERS, range(1, 255)),
    "target_index": ("index", frozenset(), range(31)),
    "hotplug": ("hotplug", PORTS | {"pci-root"}, range(2)),
    "node": ("node", EXPANDERS, range(2**31)),
    "memory_reserve": ("memReserve", frozenset({"pcie-root-port", "pcie-to-pci-bridge"}), range(2**32)),
    "pcihole64": ("pcihole64", ROOTS, range(2**63)),
}
"""Options of PCI controllers: the word for it, the models that have it, the values."""
NEEDED = {
    "pci-bridge": ("chassis_nr",), "pcie-root-port": ("chassis",), "pcie-switch-downstream-port": ("chassis",),
    "pci-expander-bus": ("bus_nr",), "pcie-expander-bus": ("bus_nr",),
}  # fmt: skip
TYPE_OPTIONS = {
    "serial": ("nvme",),
    "ports": ("usb", "virtio-serial"),
    "vectors": ("virtio-serial",),
    "master_port": ("usb",),
}
VIRTIO_SCSI_OPTIONS = ("queues", "cmd_per_lun", "max_sectors", "ioeventfd", "iothread")
VIRTIO_OPTIONS = ("driver_iommu", "driver_ats", "driver_packed", "driver_page_per_vq")


def check_controller(controller: Controller, guest: Guest, caps: Capabilities) -> Reasons:
    """Every reason, without naming the controller."""
    kind, model = controller.type, controller.model
    if kind in ("xenbus", "isa"):
        yield f"type '{kind}' is not of this hypervisor"
        return
    if model is not None and model not in MODELS.get(kind, ()):
        yield f"unknown model '{model}'"
        return
    yield from _twins(controller, guest)
    yield from _options(controller, guest, caps)
    if kind == "virtio-serial" and (controller.ports or 0) > SERIAL_PORTS:
        yield f"it has at most {SERIAL_PORTS} ports"
    if kind == "fdc" and controller.index:
        yield "this machine has only one floppy controller"
    yield from placed(f"<controller type='{kind}'>", controller.address, *PLACES.get(kind, ("pci",)))
    if kind == "ide":
        yield from _ide(controller, guest)
    elif kind == "scsi":
        yield from _scsi(controller, caps)
    elif kind == "usb":
        yield from _usb(controller, guest, caps)
    elif kind == "pci":
        yield from _pci(controller, guest, caps)
    elif kind == "nvme":
        yield from _nvme(controller, caps)
    elif kind == "sata" and not caps.has_type("ich9-ahci") and not (controller.index == 0 and guest.is_q35):
        yield Lacking("SATA is not supported by this QEMU")


def _twins(controller: Controller, guest: Guest) -> Reasons:
    twins = [c for c in guest.devices.controllers if c.type == controller.type and c.index == controller.index]
    if controller.type != "usb" and len(twins) > 1:
        yield "there is more than one with this index"


def _options(controller: Controller, guest: Guest, caps: Capabilities) -> Reasons:
    if controller.type != "scsi" or controller.model not in VIRTIO_SCSI:
        for name in VIRTIO_SCSI_OPTIONS:
            if getattr(controller, name) is not None:
                yield f"<driver>: '{name}' is only for virtio SCSI controllers"
        if controller.type != "virtio-serial":
            for name in VIRTIO_OPTIONS:
                if getattr(controller, name) is not None:
                    yield f"<driver>: '{name.removeprefix('driver_')}' is only for virtio controllers"
    yield from _threads(controller, guest, caps)
    for name, types in TYPE_OPTIONS.items():
        if getattr(controller, name) is not None and controller.type not in types:
            yield f"'{name}' is only for controllers of type {' and '.join(types)}"


def _threads(controller: Controller, guest: Guest, caps: Capabilities) -> Reasons:
    if not controller.iothread and not controller.threads:
        return
    if controller.model not in VIRTIO_SCSI:
        yield "<driver>: iothreads are only for virtio SCSI controllers"
        return
    if controller.iothread and controller.threads:
        yield "<driver>: either one iothread, or <iothreads>"
    if controller.address is not None and not isinstance(controller.address, PciAddress):
        yield "<driver>: an iothread needs a PCI address"
    if controller.iothread and not has_iothread(guest, controller.iothread):
        yield f"<driver>: there is no iothread {controller.iothread}"
    yield from check_threads(controller.threads, controller.queues, guest, caps, "virtio-scsi-pci")


def _ide(controller: Controller, guest: Guest) -> Reasons:
    if not guest.is_i440fx:
        yield "this machine has no IDE controller"
    elif controller.index != 0:
        yield "this machine has only one IDE controller"


def _scsi(controller: Controller, caps: Capabilities) -> Reasons:
    model = controller.model
    if model is None:
        yield Lacking("there is no default model with this QEMU")
    elif model in SCSI_FOREIGN:
        yield f"model '{model}' is not of this machine"
    elif not caps.has_type(SCSI_TYPES[model]):
        yield Lacking(f"model '{model}' is not supported by this QEMU")


def _usb(controller: Controller, guest: Guest, caps: Capabilities) -> Reasons:
    model = controller.model or ("piix3-uhci" if guest.is_i440fx else None)
    others = [c for c in guest.devices.controllers if c.type == "usb" and c is not controller]
    if model == "none":
        if others:
            yield "model 'none' turns USB off: there can be no other USB controller"
    elif not caps.has_type(USB_TYPES[model or USB_DEFAULT]):
        yield Lacking(f"model '{model or USB_DEFAULT}' is not supported by this QEMU")
    if controller.ports is not None and model not in XHCI:
        yield f"model '{model}' has a fixed number of ports"
    elif (controller.ports or 0) > XHCI_PORTS:
        yield f"model '{model}' has at most {XHCI_PORTS} ports"
    if controller.is_companion and not any(c.index == controller.index and not c.is_companion for c in others):
        yield "there is no master controller with this index"


def _nvme(controller: Controller, caps: Capabilities) -> Reasons:
    if not (caps.has_type("nvme") and caps.has_type("nvme-ns")):
        yield Lacking("NVMe is not supported by this QEMU")
    if not controller.serial or len(controller.serial.encode()) > NVME_SERIAL:
        yield f"its <serial> has 1 to {NVME_SERIAL} bytes"


def _pci(controller: Controller, guest: Guest, caps: Capabilities) -> Reasons:
    model, index = controller.model, controller.index or 0
    if model is None:
        yield "the model is missing"
        return
    if model in ROOTS:
        if index != 0:
            yield f"a {model} has index 0"
        if controller.address is not None:
            yield f"a {model} has no address"
        if model == "pcie-root" and not guest.is_q35 or model == "pci-root" and guest.is_q35:
            yield f"this machine has no {model}"
    elif not 0 < index <= 255:
        yield f"a {model} has an index from 1 to 255"
    if model == "pci-expander-bus" and not guest.is_i440fx:
        yield "a pci-expander-bus needs a machine of the i440fx family"
    if model == "pcie-expander-bus" and not guest.is_q35:
        yield "a pcie-expander-bus needs a machine of the q35 family"
    yield from _pci_options(controller, guest)
    yield from _pci_support(controller, caps)


def _pci_options(controller: Controller, guest: Guest) -> Reasons:
    model = controller.model or ""
    for name, (word, models, values) in PCI_OPTIONS.items():
        value = getattr(controller, name)
        if value is None:
            continue
        if model not in models:
            yield f"'{word}' is not an option of a {model}"
        elif value not in values:
            yield f"'{word}' must be in {values.start}..{values.stop - 1}"
    for name in NEEDED.get(model, ()):
        if getattr(controller, name) is None:
            yield f"'{PCI_OPTIONS[name][0]}' is missing for a {model}"
    cells = len(guest.cpu.numa.cells) if guest.cpu and guest.cpu.numa else 0
    if controller.node is not None and controller.node >= cells:
        yield f"NUMA node {controller.node} is not among the guest's {cells} cells"


def _pci_support(controller: Controller, caps: Capabilities) -> Reasons:
    names = MODEL_NAMES.get(controller.model or "", ())
    name = controller.model_name
    if name is not None and name not in names:
        yield f"<model>: '{name}' is not a {controller.model}"
    elif name is not None and not caps.has_type(name):
        yield Lacking(f"<model>: '{name}' is not supported by this QEMU")
    if controller.memory_reserve is not None and lacks(caps, name or "", "mem-reserve"):
        yield Lacking("'memReserve' is not supported by this QEMU")
    if controller.hotplug is not None:
        owner, prop = ("PIIX4_PM", "acpi-root-pci-hotplug") if controller.is_root else (name or "", "hotplug")
        if owner in caps.properties and not caps.has_property(owner, prop):
            yield Lacking("'hotplug' is not supported by this QEMU")
