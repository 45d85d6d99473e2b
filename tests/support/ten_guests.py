"""Ten guests that have, together, nearly every device of QEMU 5.2: the ones that every release must show the same."""

from __future__ import annotations

from collections.abc import Mapping

from support.whole_guest import text

PC, Q35 = "pc-i440fx-5.2", "pc-q35-5.2"
"""Machine types that all of them have."""

PARTS = {
    "memory": "<memory unit='MiB'>256</memory>",
    "features": "<acpi/><apic/>",
    "more": "<cpu mode='custom'><model>Nehalem</model><feature policy='disable' name='vmx'/></cpu>",
}
"""What a guest says outside its devices unless it says otherwise."""


def nics(*models: str) -> str:
    return "".join(
        f"<interface type='user'><mac address='52:54:00:00:00:{number:02x}'/><model type='{model}'/></interface>"
        for number, model in enumerate(models)
    )


def disk(name: str, bus: str, more: str = "", device: str = "disk") -> str:
    """A disk on a file, or a drive without a medium."""
    source = f"<driver type='raw'/><source file='{{place}}/{name}'/>" if device == "disk" else ""
    return f"<disk type='file' device='{device}'>{source}<target dev='{name}' bus='{bus}'/>{more}</disk>"


def controllers(kind: str, *models: str) -> str:
    return "".join(f"<controller type='{kind}' index='{n}' model='{model}'/>" for n, model in enumerate(models))


DISKS = (disk("vda", "virtio", "<serial>one</serial>") + disk("sda", "scsi", "<wwn>5000c50015ea71ac</wwn>")
         + disk("sdb", "sata") + disk("sdc", "sata", device="cdrom") + disk("sdd", "usb")
         + controllers("scsi", "virtio-scsi", "vmpvscsi", "lsisas1078", "lsisas1068", "virtio-non-transitional")
         + "<filesystem><source dir='{place}/share'/><target dir='tag'/></filesystem>")  # fmt: skip
OLD_DISKS = (disk("hda", "ide") + disk("hdb", "ide", device="cdrom") + disk("fda", "fdc", device="floppy")
             + disk("sda", "scsi") + controllers("scsi", "lsilogic", "am53c974", "dc390"))  # fmt: skip
BRIDGES = (controllers("pci", "pcie-root", "pcie-root-port", "pcie-switch-upstream-port", "pcie-switch-downstream-port",
                       "pcie-to-pci-bridge", "pcie-expander-bus")
           + "<controller type='usb' model='ich9-ehci1'/><controller type='usb' model='ich9-uhci1'/>"
           "<controller type='usb' index='1' model='qemu-xhci' ports='8'/>" + nics("rtl8139")
           + "<controller type='usb' index='2' model='pci-ohci'/><controller type='usb' index='3' model='piix3-uhci'/>"
           "<controller type='pci' model='pcie-root-port'><model name='ioh3420'/></controller>"
           + "".join(f"<controller type='pci' model='{model}'/>" for model in ("dmi-to-pci-bridge", "pci-bridge")))  # fmt: skip
DESKTOP = """<graphics type='vnc'><listen type='socket'/></graphics><video><model type='vga' vram='32768'/></video>
<sound model='ich6'><codec type='duplex'/></sound><sound model='ac97'/><input type='tablet' bus='usb'/>
<input type='keyboard' bus='virtio'/><input type='mouse' bus='virtio'/><hub type='usb'/><sound model='es1370'/>
<sound model='sb16'/><sound model='usb'/><input type='keyboard' bus='usb'/><input type='mouse' bus='usb'/>
<input type='tablet' bus='virtio'/><video><model type='virtio' heads='2'/></video><watchdog model='ib700'/>
<redirdev type='unix' bus='usb'><source mode='bind' path='{place}/redir'/></redirdev>
<smartcard mode='passthrough' type='null'/>"""
GENERATION = "<genid>43dc0cf8-809b-4adb-9bea-a9abb5f3d90e</genid>"
SUNDRIES = """<serial type='null'/><serial type='null'><target port='1'/></serial>
<console type='null'><target type='virtio' port='1'/></console>
<channel type='null'><target type='virtio' name='org.example.one'/></channel>
<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng><watchdog model='i6300esb'/><panic model='isa'/>
<memballoon model='virtio' autodeflate='on'/><serial type='null'><target type='pci-serial'/></serial>
<serial type='null'><target type='usb-serial'/></serial><parallel type='null'/><video><model type='bochs'/></video>
<rng model='virtio-transitional'><backend model='builtin'/></rng>
<iommu model='intel'><driver intremap='on' caching_mode='on'/></iommu>
<crypto model='virtio' type='qemu'><backend model='builtin'/></crypto>"""
MODULES = """<memory model='dimm'><target><size unit='MiB'>128</size><node>1</node></target></memory>
<memory model='nvdimm'><source><path>{place}/nvdimm</path></source><target><size unit='MiB'>128</size>
<node>0</node></target></memory><memory model='virtio-mem'><target><size unit='MiB'>128</size><node>0</node>
<block unit='MiB'>2</block>
<requested unit='MiB'>64</requested></target></memory><memory model='virtio-pmem' access='shared'><source>
<path>{place}/pmem</path></source><target><size unit='MiB'>16</size></target></memory>
<controller type='pci' model='pcie-expander-bus'><target busNr='180'><node>1</node></target></controller>"""
CELLS = """<vcpu current='2'>4</vcpu><cpu mode='custom'><model>Nehalem</model>
<topology sockets='2' cores='2' threads='1'/><numa><cell id='0' cpus='0-1' memory='64' unit='MiB'/>
<cell id='1' cpus='2-3' memory='64' unit='MiB'/></numa></cpu>"""

GUESTS: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "least of all": (PC, "<memballoon model='none'/>", {}),
    "least of all with PCI Express": (Q35, "<memballoon model='none'/>", {}),
    "disks": (Q35, DISKS, {}),
    "disks of old": (PC, OLD_DISKS, {}),
    "network cards": (Q35, nics("virtio", "e1000e", "virtio-non-transitional", "vmxnet3", "usb-net"), {}),
    "network cards of old": (
        PC,
        nics("virtio", "e1000", "rtl8139", "pcnet", "ne2k_pci", "i82550", "tulip", "virtio-transitional"),
        {},
    ),
    "bridges and ports": (Q35, BRIDGES, {}),
    "a desktop": (PC, DESKTOP, {"more": GENERATION + PARTS["more"]}),
    "ports and sundries": (Q35, SUNDRIES, {"features": "<acpi/><apic/><ioapic driver='qemu'/>"}),
    "cells and memory": (Q35, MODULES, {"more": CELLS, "memory": "<maxMemory slots='8' unit='MiB'>4096</maxMemory>"}),
}
"""Machine type, devices, and what is not as in PARTS."""


def document(machine: str, devices: str, parts: Mapping[str, str]) -> str:
    """The definition of such a guest. {place} in it stands for a folder."""
    return text(machine=machine, **{**PARTS, **parts}).replace("</domain>", f"<devices>{devices}</devices></domain>")
