"""What the mock's emulator can do: a small emulator of our own that has every device of the model."""

from __future__ import annotations

from functools import cache

from frontinus.domain.capabilities import Capabilities, CpuModel, MachineType

TYPES = """
virtio-blk-pci virtio-net-pci virtio-scsi-pci virtio-serial-pci virtio-balloon-pci virtio-rng-pci virtio-gpu-pci virtio-vga
virtio-keyboard-pci virtio-mouse-pci virtio-tablet-pci virtio-9p-pci vhost-vsock-pci virtio-iommu-pci virtio-crypto-pci
VGA cirrus-vga vmware-svga qxl-vga qxl bochs-display ramfb e1000 e1000e rtl8139 pcnet ne2k_pci ide-hd ide-cd scsi-hd scsi-cd
usb-storage usb-tablet usb-mouse usb-kbd usb-hub usb-redir usb-host ich9-ahci ahci lsi53c895a megasas piix3-usb-uhci
ich9-usb-ehci1 ich9-usb-uhci1 ich9-usb-uhci2 ich9-usb-uhci3 nec-usb-xhci qemu-xhci pci-bridge pcie-root-port
pcie-pci-bridge i82801b11-bridge pxb pxb-pcie ioh3420 x3130-upstream xio3130-downstream isa-serial isa-parallel pci-serial
usb-serial virtconsole virtserialport pvpanic i6300esb ib700 tpm-tis tpm-crb intel-iommu pc-dimm nvdimm intel-hda hda-duplex
hda-micro hda-output AC97 ES1370 sb16 secret memory-backend-ram memory-backend-file memory-backend-memfd rng-random rng-egd
rng-builtin iothread vmgenid vmcoreinfo
""".split()


@cache
def capabilities() -> Capabilities:
    """The mock emulator's facts."""
    machines = [
        MachineType("pc-i440fx-7.2", "pc", max_cpus=255, default=True, hotpluggable_cpus=True, default_ram_id="pc.ram"),
        MachineType("pc-q35-7.2", "q35", max_cpus=288, hotpluggable_cpus=True, default_ram_id="pc.ram"),
    ]
    models = tuple(CpuModel(name, usable=True) for name in ("qemu64", "max", "Nehalem", "Skylake-Server", "EPYC"))
    return Capabilities(
        emulator="/usr/bin/qemu-system-x86_64", arch="x86_64", version=(7, 2, 0), package="mock", kvm=False,
        machines={machine.name: machine for machine in machines}, cpu_models={"tcg": models},
        types=frozenset(TYPES),
    )  # fmt: skip
