"""Devices beyond disks, networks, characters and graphics: what is refused, with a reason that names it."""

from __future__ import annotations

import pytest

from frontinus.api.errors import InvalidXML
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.devices.rules import acpi_index
from support.device_cases import CASES, CELLS
from support.devices import CAPS, CONTROLLERS, OLD, PCI, PORT, guest_with, only, reasons

DRIVE = "<address type='drive' controller='0' bus='0' target='0' unit='0'/>"
WITHOUT_USB = "<controller type='usb' index='0' model='none'/>"
ACPI = "<features><acpi/></features>"
MDEV = "<source><address uuid='53764d0e-85a0-42b4-af5c-2046b460b1dc'/></source>"
SLOT = "<address type='dimm' slot='1' base='0x1000000'/>"


def fs(attributes: str = "", driver: str = "", source: str = "<source dir='/a'/>", rest: str = "") -> str:
    return f"<filesystem {attributes}>{driver}{source}<target dir='t'/>{rest}{PCI}</filesystem>"


def hostdev(attributes: str, source: str, rest: str = "") -> str:
    return f"<hostdev {attributes}>{source}{rest}</hostdev>"


def memory(model: str, target: str, source: str = "", rest: str = "", attributes: str = "") -> str:
    return f"<memory model='{model}' {attributes}>{source}<target>{target}</target>{rest}</memory>"


SIZE = "<size unit='MiB'>64</size>"
VIRTIOFS = "<driver type='virtiofs'/>"
PCI_SOURCE = "<source><address domain='0' bus='6' slot='1' function='0'/></source>"
SCSI_SOURCE = "<source><adapter name='scsi_host0'/><address bus='0' target='0' unit='0'/></source>"
EXTERNAL = "<backend type='external'><source type='unix' mode='connect' path='/p'/></backend>"
BLOCKS = f"{SIZE}<node>0</node><block unit='MiB'>2</block>"

REFUSED: dict[str, tuple[str, str, dict[str, str]]] = {
    "fs type": (fs("type='ram'", source="<source usage='1'/>"), "type 'ram'", {}),
    "fs source": (fs(source=""), "needs a directory", {}),
    "fs driver": (fs(driver="<driver type='handle'/>"), "driver 'handle'", {}),
    "9p mode": (fs(attributes="fmode='600'"), "need accessmode 'mapped'", {}),
    "9p boot": (fs(rest="<boot order='1'/>"), "booting", {}),
    "9p socket": (fs(source="<source socket='/s'/>"), "a socket is for", {}),
    "9p idmap": (fs(rest="<idmap><uid start='0' target='0' count='1'/></idmap>"), "<idmap>", {}),
    "virtiofs memory": (fs(driver=VIRTIOFS), "shared memory", {}),
    "virtiofs private cell": (
        fs(driver=VIRTIOFS), "shared memory",
        {"head": "<memoryBacking><access mode='shared'/></memoryBacking>"
                 "<cpu><numa><cell id='0' cpus='0' memory='512' unit='MiB' memAccess='private'/></numa></cpu>"}),
    "virtiofs access": (fs("accessmode='mapped'", VIRTIOFS), "accessmode 'passthrough' alone", {}),
    "virtiofs model": (fs("model='virtio'", VIRTIOFS), "has no 'model'", {}),
    "virtiofs multidevs": (fs("multidevs='warn'", VIRTIOFS), "has no 'multidevs'", {}),
    "virtiofs twice": (fs(driver=VIRTIOFS) * 2, "target 't' is used twice", {}),
    "ps2 tablet": ("<input type='tablet' bus='ps2'/>", "cannot be on bus 'ps2'", {}),
    "xen mouse": ("<input type='mouse' bus='xen'/>", "cannot be on bus 'xen'", {}),
    "usb passthrough": ("<input type='passthrough' bus='usb'/>", "cannot be on bus 'usb'", {}),
    "evdev on a bus": ("<input type='evdev' bus='virtio'><source dev='/d'/></input>", "cannot be on bus", {}),
    "passthrough source": (f"<input type='passthrough'>{PCI}</input>", "needs 'evdev'", {}),
    "evdev source": ("<input type='evdev'/>", "needs 'dev'", {}),
    "mouse source": (f"<input type='mouse' bus='usb'><source evdev='/d'/>{PORT}</input>", "'evdev' is for", {}),
    "transitional input": (
        f"<input type='keyboard' bus='virtio' model='virtio-non-transitional'>{PCI}</input>", "does not exist", {}),
    "model of a ps2 mouse": ("<input type='mouse' bus='ps2' model='virtio'/>", "is for bus 'virtio'", {}),
    "usb input on pci": (f"<input type='tablet'>{PCI}</input>", "of type usb", {}),
    "input without usb": ("<input type='tablet'/>", "no USB", {"controllers": WITHOUT_USB}),
    "no tpm backend": ("<tpm model='tpm-tis'/>", "exactly one <backend>", {}),
    "two tpm backends": (f"<tpm>{EXTERNAL}{EXTERNAL}</tpm>", "exactly one <backend>", {}),
    "two tpms": (f"<tpm>{EXTERNAL}</tpm><tpm>{EXTERNAL}</tpm>", "only one is possible", {}),
    "crb 1.2": ("<tpm model='tpm-crb'><backend type='emulator' version='1.2'/></tpm>", "no version 1.2", {}),
    "spapr tpm": (f"<tpm model='tpm-spapr'>{EXTERNAL}</tpm>", "POWER", {}),
    "banks of 1.2": ("<tpm><backend type='emulator'><active_pcr_banks><sha1/></active_pcr_banks></backend></tpm>",
                     "of version 2.0", {}),
    "comma": ("<tpm><backend type='emulator'><source type='file' path='/tpm,mode=0666'/></backend></tpm>", "with a comma", {}),
    "unknown bank": ("<tpm><backend type='emulator' version='2.0'><active_pcr_banks><md5/></active_pcr_banks>"
                     "</backend></tpm>", "unknown PCR bank 'md5'", {}),
    "external without path": ("<tpm><backend type='external'/></tpm>", "needs a <source>", {}),
    "caps mode": (hostdev("mode='capabilities' type='misc'", "<source><char>/c</char></source>"), "containers", {}),
    "pci twice": (hostdev("type='pci'", PCI_SOURCE) * 2, "there twice", {}),
    "pci driver": (hostdev("type='pci'", "<driver name='kvm'/>" + PCI_SOURCE), "driver 'kvm'", {}),
    "pci on usb": (hostdev("type='pci'", PCI_SOURCE, PORT), "pci or unassigned", {}),
    "pci source": (hostdev("type='pci'", "<source/>"), "<address> of the host's device is missing", {}),
    "pci slot": (hostdev("type='pci'", "<source><address slot='32'/></source>"), "no device 0000:00:20.0", {}),
    "pci filter": (hostdev("type='pci'", "<source writeFiltering='no'><address bus='6'/></source>"),
                   "writeFiltering", {}),
    "pci policy": (hostdev("type='pci'", "<source startupPolicy='optional'><address bus='6'/></source>"),
                   "startupPolicy", {}),
    "pci model": (hostdev("type='pci' model='virtio'", PCI_SOURCE), "has no model", {}),
    "pci sgio": (hostdev("type='pci' sgio='filtered'", PCI_SOURCE), "'sgio' and 'rawio'", {}),
    "teaming": (hostdev("type='pci'", PCI_SOURCE, "<teaming type='persistent'/>"), "type 'transient'", {}),
    "usb teaming": (hostdev("type='usb'", "<source><address bus='1' device='2'/></source>",
                            "<teaming type='transient' persistent='ua-n'/>"), "<teaming> is for PCI", {}),
    "usb rom": (hostdev("type='usb'", "<source><address bus='1' device='2'/></source>", "<rom bar='on'/>"),
                "<rom> is for PCI", {}),
    "usb vendor": (hostdev("type='usb'", "<source><vendor id='0x1'/></source>"), "needed together", {}),
    "usb vendor 0": (hostdev("type='usb'", "<source><vendor id='0'/><product id='0'/></source>"), "is not 0", {}),
    "usb bus": (hostdev("type='usb'", "<source><address bus='1'/></source>"), "bus and device", {}),
    "usb nothing": (hostdev("type='usb'", "<source/>"), "needs <vendor>", {}),
    "usb off": (hostdev("type='usb'", "<source><address bus='1' device='2'/></source>"), "no USB",
                {"controllers": WITHOUT_USB}),
    "sgio": (hostdev("type='scsi' sgio='unfiltered'", SCSI_SOURCE), "unfiltered", {}),
    "scsi adapter": (hostdev("type='scsi'", "<source><address bus='0' target='0' unit='0'/></source>"),
                     "needs an <adapter>", {}),
    "scsi address": (hostdev("type='scsi'", "<source><adapter name='scsi_host0'/></source>"),
                     "bus, target and unit", {}),
    "scsi on pci": (hostdev("type='scsi'", SCSI_SOURCE, PCI), "of type drive", {}),
    "scsi place": (
        hostdev("type='scsi'", SCSI_SOURCE, DRIVE)
        + hostdev("type='scsi'", SCSI_SOURCE.replace("unit='0'", "unit='1'"), DRIVE), "another <hostdev>", {}),
    "iscsi host": (hostdev("type='scsi'", "<source protocol='iscsi' name='iqn.a:b/0'/>"), "exactly one <host>", {}),
    "iscsi name": (hostdev("type='scsi'", "<source protocol='iscsi'><host name='h'/></source>"), "'name'", {}),
    "iscsi secret": (hostdev("type='scsi'", """<source protocol='iscsi' name='iqn.a:b/0'><host name='h'/>
        <auth username='u'><secret type='ceph' usage='x'/></auth></source>"""), "type 'iscsi', not 'ceph'", {}),
    "wwpn": (hostdev("type='scsi_host'", "<source protocol='vhost' wwpn='naa.5123'/>"), "16 hexadecimal", {}),
    "vhost boot": (hostdev("type='scsi_host'", "<source protocol='vhost' wwpn='naa.5123456789abcde0'/>",
                           "<boot order='1'/>"), "booting", {}),
    "mdev uuid": (hostdev("type='mdev' model='vfio-pci'", "<source><address bus='0x06'/></source>"), "'uuid'", {}),
    "mdev model": (hostdev("type='mdev' model='vfio-ap'", MDEV), "s390", {}),
    "mdev address": (hostdev("type='mdev' model='vfio-pci'", MDEV, DRIVE), "of type pci", {}),
    "mdev display": (hostdev("type='mdev' model='vfio-pci' display='on'", MDEV), "<graphics>", {}),
    "mdev boot": (hostdev("type='mdev' model='vfio-pci'", MDEV, "<boot order='1'/>"), "booting", {}),
    "two ramfb": (
        hostdev("type='mdev' model='vfio-pci' ramfb='on'", MDEV)
        + hostdev("type='mdev' model='vfio-pci' ramfb='on'", MDEV.replace("b1dc", "b1dd")), "only one can have", {}),
    "hub": ("<hub type='usb'/>", "no USB", {"controllers": WITHOUT_USB}),
    "hub address": (f"<hub type='usb'>{PCI}</hub>", "of type usb", {}),
    "redirdev": ("<redirdev type='spicevmc'/>", "no USB", {"controllers": WITHOUT_USB}),
    "redirdev path": (f"<redirdev type='unix'><source mode='connect'/>{PORT}</redirdev>", "'path' is missing", {}),
    "diag288": ("<watchdog model='diag288'/>", "s390", {}),
    "ib700 address": (f"<watchdog model='ib700'>{PCI}</watchdog>", "cannot be given", {}),
    "i6300esb address": (f"<watchdog model='i6300esb'>{PORT}</watchdog>", "of type pci", {}),
    "itco": ("<watchdog model='itco'/>", "q35", {}),
    "two actions": ("<watchdog model='ib700'/><watchdog model='i6300esb' action='none'/>", "same action", {}),
    "two ib700": ("<watchdog model='ib700'/><watchdog model='ib700'/>", "more than one", {}),
    "xen balloon": ("<memballoon model='xen'/>", "not of this hypervisor", {}),
    "rng backend": ("<rng model='virtio'/>", "exactly one <backend>", {}),
    "two rng backends": ("<rng model='virtio'><backend model='random'/><backend model='builtin'/></rng>",
                         "exactly one <backend>", {}),
    "egd path": ("<rng model='virtio'><backend model='egd' type='unix'><source mode='connect'/></backend></rng>",
                 "'path' is missing", {}),
    "nvram": ("<nvram/>", "POWER", {}),
    "shmem name": (f"<shmem name='a/b'>{PCI}</shmem>", "cannot be a name", {}),
    "shmem dots": (f"<shmem name='..'>{PCI}</shmem>", "cannot be a name", {}),
    "shmem size": (f"<shmem name='s'><size unit='K'>12345</size>{PCI}</shmem>", "power of two", {}),
    "shmem address": ("<shmem name='s'><address type='isa'/></shmem>", "of type pci", {}),
    "shmem msi": (f"<shmem name='s'><msi/>{PCI}</shmem>", "needs a <server>", {}),
    "plain server": (f"<shmem name='s'><model type='ivshmem-plain'/><server/>{PCI}</shmem>", "has no <server>", {}),
    "doorbell": (f"<shmem name='s'><model type='ivshmem-doorbell'/>{PCI}</shmem>", "needs a <server>", {}),
    "doorbell size": (f"<shmem name='s'><model type='ivshmem-doorbell'/><size unit='M'>8</size><server/>{PCI}</shmem>",
                      "from the server", {}),
    "nvdimm path": (memory("nvdimm", SIZE), "needs a <path>", {"head": CELLS}),
    "nvdimm discard": (memory("nvdimm", SIZE, "<source><path>/n</path></source>", attributes="discard='yes'"),
                       "discarded", {"head": CELLS}),
    "nvdimm uuid": (memory("nvdimm", SIZE, "<uuid>9a1f2f4e-5a0e-4a0e-8a3e-0123456789ab</uuid>"), "POWER",
                    {"head": CELLS}),
    "small label": (memory("nvdimm", SIZE + "<label><size unit='KiB'>64</size></label>"), "at least 128 KiB",
                    {"head": CELLS}),
    "large label": (memory("nvdimm", SIZE + "<label><size unit='MiB'>64</size></label>"), "smaller than",
                    {"head": CELLS}),
    "private pmem": (memory("virtio-pmem", SIZE, attributes="access='private'"), "access is 'shared'",
                     {"head": CELLS}),
    "pmem node": (memory("virtio-pmem", SIZE + "<node>0</node>"), "belongs to no <node>", {"head": CELLS}),
    "no block": (memory("virtio-mem", SIZE + "<node>0</node>"), "<block> is a power of two", {"head": CELLS}),
    "odd block": (memory("virtio-mem", SIZE + "<block unit='MiB'>3</block>"), "<block> is a power of two",
                  {"head": CELLS}),
    "requested too much": (memory("virtio-mem", BLOCKS + "<requested unit='MiB'>128</requested>"),
                           "not more than <size>", {"head": CELLS}),
    "requested odd": (memory("virtio-mem", BLOCKS + "<requested unit='MiB'>1</requested>"), "multiple of <block>",
                      {"head": CELLS}),
    "odd base": (memory("virtio-mem", BLOCKS + "<address base='0x1'/>"), "address is a multiple", {"head": CELLS}),
    "no node": (memory("dimm", SIZE), "<node> is missing", {"head": CELLS}),
    "node 7": (memory("dimm", SIZE + "<node>7</node>"), "no NUMA node 7", {"head": CELLS}),
    "empty nodemask": (memory("dimm", SIZE, "<source><nodemask>1,^1</nodemask></source>"), "names no node",
                       {"head": CELLS}),
    "dimm on pci": (memory("dimm", SIZE, rest=PCI), "of type dimm", {"head": CELLS}),
    "epc address": (memory("sgx-epc", SIZE, rest=PCI), "cannot be given", {}),
    "slot twice": (memory("dimm", SIZE, rest=SLOT) * 2, "slot 1 is taken twice", {"head": CELLS}),
    "base twice": (memory("dimm", SIZE, rest=SLOT) + memory("dimm", SIZE, rest=SLOT.replace("'1'", "'2'")),
                   "overlaps another", {"head": CELLS}),
    "base inside": (memory("dimm", SIZE, rest=SLOT)
                    + memory("virtio-mem", BLOCKS + "<address base='0x3000000'/>"), "overlaps another",
                    {"head": CELLS}),
    "slot 9": (memory("dimm", SIZE, rest=SLOT.replace("'1'", "'9'")), "slot 9 is not one of 4", {"head": CELLS}),
    "no maximum": (memory("dimm", SIZE), "need <maxMemory>", {}),
    "no cells": (memory("dimm", SIZE), "at least one NUMA node",
                 {"head": "<maxMemory slots='1' unit='GiB'>4</maxMemory>"}),
    "too many": (memory("dimm", SIZE) * 5, "4 slots are too few for 5", {"head": CELLS}),
    "too much": (memory("dimm", "<size unit='GiB'>4</size>"), "too little for all", {"head": CELLS}),
    "s390 panic": ("<panic model='s390'/>", "not of x86", {}),
    "two panics": ("<panic/><panic model='isa'/>", "more than one", {}),
    "hyperv address": ("<panic model='hyperv'><address type='isa' iobase='0x505'/></panic>", "cannot be given", {}),
    "panic on pci": (f"<panic model='isa'>{PCI}</panic>", "of type isa", {}),
    "smmu": ("<iommu model='smmuv3'/>", "ARM", {}),
    "iommu on pc": ("<iommu model='intel'/>", "q35", {}),
    "remapping": ("<iommu model='intel'><driver intremap='on'/></iommu>", "<ioapic", {"machine": "pc-q35-7.2"}),
    "eim": ("<iommu model='intel'><driver eim='on'/></iommu>", "'eim' needs", {"machine": "pc-q35-7.2"}),
    "iommu address": (f"<iommu model='intel'>{PCI}</iommu>", "cannot be given", {"machine": "pc-q35-7.2"}),
    "intel granule": ("<iommu model='intel'><driver><granule mode='host'/></driver></iommu>", "'granule' is not for",
                      {"machine": "pc-q35-7.2"}),
    "virtio iommu without acpi": ("<iommu model='virtio'/>", "ACPI", {"machine": "pc-q35-7.2"}),
    "virtio iommu eim": ("<iommu model='virtio'><driver eim='on'/></iommu>", "'eim' is not for",
                         {"machine": "pc-q35-7.2"}),
    "odd granule": ("<iommu model='virtio'><driver><granule size='5' unit='KiB'/></driver></iommu>", "4, 8, 16, 64 KiB",
                    {"machine": "pc-q35-7.2"}),
    "two granules": ("<iommu model='virtio'><driver><granule size='4' mode='host'/></driver></iommu>", "size or a mode",
                     {"machine": "pc-q35-7.2"}),
    "bus of smmu": ("<iommu model='amd'><driver pciBus='1'/></iommu>", "'pciBus'", {"machine": "pc-q35-7.2"}),
    "amd caching": ("<iommu model='amd'><driver caching_mode='on'/></iommu>", "'caching_mode' is not for",
                    {"machine": "pc-q35-7.2"}),
    "amd of old": ("<iommu model='amd'/>", "not supported", {"machine": "pc-q35-7.2", "caps": OLD}),
    "amd remapping": ("<iommu model='amd'><driver intremap='on'/></iommu>", "<ioapic", {"machine": "pc-q35-7.2"}),
    "profile of 1.2": ("<tpm><backend type='emulator' version='1.2'><profile source='a'/></backend></tpm>", "version 2.0", {}),
    "profile of nothing": ("<tpm><backend type='emulator' version='2.0'><profile removeDisabled='check'/></backend></tpm>",
                           "needs a source", {}),
    "pci picture": (f"<hostdev type='pci' display='on'>{PCI_SOURCE}{PCI}</hostdev>", "needs a <graphics>", {}),
    "pci ramfb": (f"<hostdev type='pci' ramfb='on'>{PCI_SOURCE}{PCI}</hostdev>", "needs display='on'", {}),
    "variant": (f"<hostdev type='pci'><driver name='vfio' model='../x'/>{PCI_SOURCE}{PCI}</hostdev>", "no name of a kernel", {}),
    "iommufd": (f"<hostdev type='pci'><driver iommufd='yes'/>{PCI_SOURCE}{PCI}</hostdev>", "iommufd", {}),
    "iommufd for all": (f"<hostdev type='pci'>{PCI_SOURCE}{PCI}</hostdev>", "iommufd", {"head": "<iommufd enabled='yes'/>"}),
    "node of a device": (f"<hostdev type='pci'>{PCI_SOURCE}<acpi nodeset='1'/>{PCI}</hostdev>", "names no node", {"head": CELLS}),
    "virtio dimm": (memory("dimm", SIZE, rest="<driver iommu='on'/>"), "virtio devices", {"head": CELLS}),
    "cid": (f"<vsock><cid address='2'/>{PCI}</vsock>", "below 3", {}),
    "no cid": (f"<vsock><cid auto='no'/>{PCI}</vsock>", "needs an address", {}),
    "two cards": ("<smartcard mode='host'/><smartcard mode='host'/>", "only one", {}),
    "card slot": ("<smartcard mode='host'><address type='ccid' controller='1' slot='0'/></smartcard>", "slot 0", {}),
    "two certificates": ("""<smartcard mode='host-certificates'><certificate>a</certificate><certificate>b</certificate>
        </smartcard>""", "exactly 3", {}),
    "database": ("""<smartcard mode='host-certificates'><certificate>a</certificate><certificate>b</certificate>
        <certificate>c</certificate><database>nss</database></smartcard>""", "not absolute", {}),
    "card path": ("<smartcard mode='passthrough' type='unix'><source mode='connect'/></smartcard>", "missing", {}),
    "crypto queues": (f"<crypto model='virtio' type='qemu'><backend model='builtin' queues='2'/>{PCI}</crypto>", "one queue", {}),
    "pstore": (f"<pstore backend='acpi-erst'>{PCI}</pstore>", "needs ACPI", {}),
    "pstore size": (f"<pstore backend='acpi-erst'><size unit='KiB'>7</size>{PCI}</pstore>", "power of two", {}),
    "pstore path": (f"<pstore backend='acpi-erst'><path>x</path>{PCI}</pstore>", "not absolute", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    xml, reason, guest = REFUSED[name]
    assert reason in reasons(xml, **{"controllers": CONTROLLERS, **guest})


@pytest.mark.parametrize("name", sorted(set(CASES) - {"virtiofs of others", "itco", "intel iommu", "virtio iommu",
                                                      "virtio iommu of large pages", "amd iommu",
                                                      "pstore", "mdev", "pci with a picture",
                                                      "legacy shmem with server"}))  # fmt: skip
def test_what_is_not_refused(name: str) -> None:
    assert reasons(CASES[name][0]) == ""


def test_what_needs_more_than_a_plain_guest_is_not_refused_there() -> None:
    shared = "<memoryBacking><access mode='shared'/></memoryBacking>"
    split = "<features><acpi/><ioapic driver='qemu'/></features>"
    q35 = {"machine": "pc-q35-7.2", "controllers": ""}
    assert reasons(CASES["virtiofs of others"][0], head=shared) == ""
    assert reasons(CASES["itco"][0], **q35) == ""
    assert reasons(CASES["intel iommu"][0], head=split, **q35) == ""
    assert reasons(CASES["virtio iommu"][0], head=ACPI, **q35) == ""
    assert reasons(CASES["virtio iommu of large pages"][0], head=ACPI, **q35) == ""
    assert reasons(CASES["amd iommu"][0], head=split, **q35) == ""
    assert reasons(CASES["pstore"][0], head=ACPI) == ""
    assert reasons(CASES["mdev"][0] + "<graphics type='vnc'/>") == ""
    assert reasons(CASES["pci with a picture"][0] + "<graphics type='vnc'/>", head=CELLS) == ""
    assert reasons(memory("dimm", SIZE + "<node>0</node>", rest=SLOT), head=CELLS) == ""
    assert reasons(memory("sgx-epc", SIZE)) == ""


@pytest.mark.parametrize("name", sorted(set(CASES) - {
    "ps2 mouse", "evdev", "no balloon", "hyperv panic", "usb by name", "iscsi", "tablet", "9p squash", "itco", "balloon",
    "usb by place",
}))  # fmt: skip
def test_an_emulator_without_the_device_is_told(name: str) -> None:
    assert "this QEMU" in reasons(CASES[name][0], caps=OLD)


def test_an_acpi_index_is_for_pci_devices() -> None:
    def told(xml: str, caps: Capabilities) -> list[str]:
        return list(acpi_index(only(guest_with(xml)), caps))

    on_usb, on_pci = f"<hub type='usb'><acpi index='1'/>{PORT}</hub>", f"<shmem name='s'><acpi index='1'/>{PCI}</shmem>"
    assert told(on_usb, CAPS) == ["<hub>: <acpi index> is for PCI devices"]
    assert told(on_pci, OLD) == ["<shmem>: <acpi index> is not supported by this QEMU"]
    assert told(on_pci, CAPS) == []


@pytest.mark.parametrize("xml", [
    "<filesystem fmode='1777'><source dir='/a'/><target dir='t'/></filesystem>",
    "<redirdev type='tcp'/><redirfilter><usbdev class='0x100' allow='yes'/></redirfilter>",
    "<redirfilter><usbdev version='2' allow='yes'/></redirfilter>",
    "<redirfilter><usbdev/></redirfilter>",
    "<watchdog action='reset'/>",
    "<input bus='usb'/>",
    "<hostdev type='pcmcia'/>",
    "<hostdev/>",
    "<memory model='dimm'><target/></memory>",
    "<smartcard/>",
    "<smartcard mode='passthrough'/>",
    "<rng model='virtio'><backend model='egd'/></rng>",
    "<tpm><backend type='magic'/></tpm>",
    "<shmem/>",
    "<crypto model='virtio' type='qemu'/>",
    "<pstore backend='efi'/>",
])  # fmt: skip
def test_what_is_no_device_at_all(xml: str) -> None:
    with pytest.raises(InvalidXML):
        guest_with(xml)
