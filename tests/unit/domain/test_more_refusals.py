"""What libvirt or QEMU refuses, one document a rule: limits of QEMU's devices, and settings that exclude each other."""

from __future__ import annotations

import pytest

from frontinus.api.errors import FrontinusError
from frontinus.domain.complete import complete
from frontinus.domain.definition import format_guest, parse_guest
from support.guests import qemu72
from support.whole_guest import HOST, defined, plan, text

PCI = "<address type='pci' domain='0' bus='0' slot='9' function='0'/>"
CELL = "<cpu><numa><cell id='0' cpus='0' memory='512' unit='MiB'/>{}</numa></cpu>"
CACHE = "<cputune><cachetune vcpus='{}'><cache id='0' level='3' type='both' {}/></cachetune></cputune>"
PROPERTY = ("<qemu:override><qemu:device alias='ua-a'><qemu:frontend><qemu:property name='p' {}/></qemu:frontend>"
            "</qemu:device></qemu:override>")  # fmt: skip


def disk(target: str = "dev='vda' bus='virtio'", driver: str = "", rest: str = "") -> str:
    return (
        f"<disk type='file'><driver name='qemu' type='raw' {driver}/><source file='/a'/><target {target}/>{rest}</disk>"
    )


def card(rest: str, type: str = "bridge", source: str = "<source bridge='b'/>") -> str:
    return f"<interface type='{type}'>{source}<model type='virtio'/>{rest}</interface>"


def forward(range: str, address: str = "") -> str:
    return card(f"<backend type='passt'/><portForward proto='tcp' {address}>{range}</portForward>", "user", "")


def channel(target: str) -> str:
    return f"<channel type='pty'><target {target}/></channel>"


GUESTS = {
    "<cpu><topology sockets='2' cores='1' threads='1'/></cpu>": "2 CPUs, but <vcpu> says 1",
    CELL.format("<cell id='1' cpus='' memory='9' unit='MiB'/>"): "a cell without CPUs",
    "<cputune><emulatorpin cpuset=''/></cputune>": "names no CPU",
    "<cputune><vcpusched vcpus='7' scheduler='fifo' priority='1'/></cputune>": "there is no vCPU 7",
    "<cputune><emulatorsched scheduler='rr'/></cputune>": "<emulatorsched scheduler='rr'>: priority is missing",
    CACHE.format("", "size='3' unit='MiB'"): "names no CPU",
    CACHE.format("0", "size='0' unit='MiB'"): "a share of a cache",
    CACHE.format("0", ""): "a share of a cache",
    "<on_poweroff>restart</on_poweroff><on_reboot>destroy</on_reboot>": "cannot be told from a reboot",
    "<cpu mode='custom' deprecated_features='on'><model>Nehalem</model></cpu>": "deprecated_features",
    "<launchSecurity type='s390-pv'/>": "only processors of s390",
    PROPERTY.format("type='unsigned' value='-5'"): "'-5' is no number from zero on",
    PROPERTY.format("type='signed'"): "'' is no number",
    PROPERTY.format("type='bool' value='1'"): "neither true nor false",
    PROPERTY.format("type='remove' value='1'"): "has no value",
    "<bootloader>/usr/bin/pygrub</bootloader>": "QEMU has none",
    "<genid/><genid/>": "<genid>: there is more than one",
    "<vcpu>2</vcpu><vcpus><vcpu id='0' enabled='yes' order='1'/><vcpu id='1' enabled='yes'/></vcpus>": "some have none",
    "<iothreadids><iothread/></iothreadids>": "element <iothread>: attribute id is missing",
    "<seclabel type='dynamic'/><seclabel type='dynamic' model='dac'/>": "each names its model",
}
ENLIGHTENED = {
    "<synic state='on'/>": "<synic>: needs <vpindex state='on'/>",
    "<evmcs state='on'/>": "<evmcs>: needs <vapic",
    "<vpindex state='on'/><synic state='on'/><stimer state='on'/>": "<stimer>: needs <timer name='hypervclock'",
}
PMEM = ("<memory model='virtio-pmem'><source><path>/a</path></source><target><size unit='MiB'>8</size>"
        "<address base='0x140000100'/></target></memory>")  # fmt: skip
FUNCTION_0 = "<source><address domain='0' bus='0' slot='0' function='0'/></source>"
SHARED = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"
QUEUE = "<filesystem><driver type='virtiofs' queue='{}'/><source dir='/a'/><target dir='a'/></filesystem>"
DEVICES = {
    disk(driver="queue_size='100'"): "a power of two up to 1024",
    disk(driver="queue_size='2048'"): "a power of two up to 1024",
    disk(rest="<geometry cyls='65536' heads='1' secs='1'/>"): "'cyls' is at most 65535",
    disk("dev='sda' bus='sata' removable='on'"): "only for bus 'usb', and for disks on bus 'scsi'",
    "<controller type='fdc' index='1'/>": "only one floppy controller",
    f"<controller type='ccid' index='0'>{PCI}</controller>": "is of type usb",
    card("<acpi index='16384'/>"): "at most 16383",
    card("<bandwidth><inbound average='9' floor='9'/></bandwidth>"): "'floor' is for <interface type='network'>",
    card("<driver rx_queue_size='128'/>"): "from 256 to 1024",
    card("<driver tx_queue_size='2048'/>"): "from 256 to 1024",
    forward("<range end='9'/>"): "its start is missing",
    forward("<range start='9' end='8'/>"): "ends before its start",
    forward("<range start='9'/>", "address='here'"): "no IP address",
    channel("type='guestfwd' address='here' port='5'"): "an IPv4 address",
    channel("type='virtio' name='a'") * 2: "name 'a' is used twice",
    "<graphics type='vnc' socket='/a'><listen type='socket' socket='/b'/></graphics>": "is not the socket '/b'",
    "<graphics type='vnc'><listen type='address' socket='/a'/></graphics>": "has no socket",
    "<graphics type='vnc' passwd='123456789'/>": "more than 8 characters",
    "<video><model type='vga' heads='2'/></video>": "'vga' has one head",
    "<audio id='1' type='spice'/>": "needs <graphics type='spice'>",
    "<audio id='1' type='alsa'><input fixedSettings='yes'/></audio>": "needs the mixing engine",
    "<redirdev bus='usb' type='spicevmc'/>": "needs <graphics type='spice'>",
    "<smartcard mode='passthrough' type='spicevmc'/>": "needs <graphics type='spice'>",
    f"<filesystem><source dir='/a'/><target dir='{'t' * 32}'/></filesystem>": "more than 31 bytes",
    "<iommu model='intel'><driver aw_bits='50'/></iommu>": "39 or 48",
    "<smartcard mode='host-certificates'><certificate>a,b</certificate><certificate>c</certificate>"
    "<certificate>d</certificate></smartcard>": "a name with a comma",
    f"<hub type='usb'>{PCI}</hub>": "is of type usb",
    f"<parallel type='null'>{PCI}</parallel>": "is of type isa",
    f"<console type='null'><target type='virtio'/>{PCI}</console>": "is of type virtio-serial",
    "<controller type='scsi' model='virtio-scsi'><address type='drive'/></controller>": "is of type pci or virtio-mmio",
    "<controller type='usb' model='qemu-xhci'><address type='isa'/></controller>": "is of type pci",
    f"<sound model='usb'>{PCI}</sound>": "is of type usb",
    f"<sound model='sb16'>{PCI}</sound>": "is of type isa",
    disk(rest="<boot/>"): "element <boot>: attribute 'order' is missing",
    disk("dev='sda' bus='sata' rotation_rate='65536'"): "at most 65535",
    "<controller type='scsi' index='0' model='lsilogic'/>"
    + disk("dev='sda' bus='scsi'", rest="<address type='drive' unit='8'/>"): "at most 7 on a controller of model",
    disk(rest="<encryption format='luks'><secret type='passphrase' usage='a'/><secret type='passphrase' usage='b'/>"
              "</encryption>"): "more than one <secret>",
    "<disk type='file'><source file='/a'><slices><slice type='storage' offset='0' size='0'/></slices></source>"
    "<target dev='vda'/></disk>": "<slice>: size is zero",
    card("<filterref/>"): "element <filterref>: attribute 'filter' is missing",
    card("<teaming/>"): "element <teaming>: attribute 'type' is missing",
    "<serial type='pty'><log append='on'/></serial>": "element <log>: attribute 'file' is missing",
    "<graphics type='spice'/><serial type='spicevmc'/>": "one of target type 'virtio'",
    "<tpm model='tpm-tis'><backend type='emulator'><encryption/></backend></tpm>": "attribute 'secret' is missing",
    "<vsock model='virtio'><cid auto='no' address='4294967295'/></vsock>": "context id 4294967295 is reserved",
    f"<hostdev mode='subsystem' type='pci'>{FUNCTION_0}</hostdev>": "the host's own bridge",
    "<input type='tablet' bus='usb'><alias name='ua-x,y'/></input>": "characters other than letters, digits",
    "<serial type='pty'><boot order='1'/></serial>": "<serial>: <boot order> is for <disk>, <interface>",
    disk(rest="<boot order='1' loadparm='x'/>"): "<boot loadparm> is of s390",
    "<audio id='1' type='none'><acpi index='5'/></audio>": "<audio>: <acpi index> is for PCI devices",
    "<hostdev type='mdev' model='vfio-pci'><source><address uuid='53764d0e-85a0-42b4-af5c-2046b460b1dc'/></source>"
    "<acpi nodeset='0'/></hostdev>": "<acpi nodeset> is for PCI devices of the host",
    "<sound model='ich9'><driver iommu='on'/></sound>": "<sound model='ich9'>: <driver iommu=> is for virtio devices",
    "<serial type='tcp'><source host='h' service='1'/><protocol type='telnets'/></serial>": "<source tls='yes'>",
}  # fmt: skip


@pytest.mark.parametrize(("more", "reason"), GUESTS.items())
def test_a_guest_that_cannot_be_is_refused(more: str, reason: str) -> None:
    with pytest.raises(FrontinusError, match=reason):
        defined(more)


@pytest.mark.parametrize(("devices", "reason"), DEVICES.items())
def test_a_device_that_cannot_be_is_refused(devices: str, reason: str) -> None:
    with pytest.raises(FrontinusError, match=reason):
        defined(f"<devices>{devices}</devices>")


@pytest.mark.parametrize(("wishes", "reason"), ENLIGHTENED.items())
def test_an_enlightenment_needs_those_that_it_builds_on(wishes: str, reason: str) -> None:
    with pytest.raises(FrontinusError, match=reason):
        defined(features=f"<acpi/><hyperv>{wishes}</hyperv>", type="kvm")
    assert defined(features=f"<acpi/><hyperv>{wishes}</hyperv>"), "without KVM nothing comes of them"


def test_a_processor_has_at_least_as_many_address_bits_as_its_oldest_kind() -> None:
    with pytest.raises(FrontinusError, match="not from 32 to 52"):
        defined("<cpu mode='host-passthrough'><maxphysaddr mode='emulate' bits='31'/></cpu>", type="kvm")


def test_memory_that_the_guest_maps_begins_with_a_page() -> None:
    with pytest.raises(FrontinusError, match="multiple of 4096"):
        defined(f"{CELL.format('')}<devices>{PMEM}</devices>",
                memory="<maxMemory slots='4' unit='GiB'>8</maxMemory><memory unit='MiB'>520</memory>")  # fmt: skip


@pytest.mark.parametrize("length", ["100", "2048"])
def test_the_queue_of_virtiofs_is_one_of_virtio(length: str) -> None:
    with pytest.raises(FrontinusError, match="a power of two up to 1024"):
        defined(f"{SHARED}<devices>{QUEUE.format(length)}</devices>")


def test_one_acpi_table_of_its_kind() -> None:
    with pytest.raises(FrontinusError, match="<table type='slic'>: there is more than one"):
        defined(os="<acpi><table type='slic'>/a</table><table type='slic'>/b</table></acpi>")


def test_memory_that_is_given_in_blocks_is_a_number_of_blocks() -> None:
    module = ("<memory model='virtio-mem'><target><size unit='MiB'>65</size><node>0</node><block unit='MiB'>2</block>"
              "<requested unit='MiB'>2</requested></target></memory>")  # fmt: skip
    with pytest.raises(FrontinusError, match="<size> is a multiple of <block>"):
        defined(f"{CELL.format('')}<devices>{module}</devices>",
                memory="<maxMemory slots='4' unit='GiB'>4</maxMemory><memory unit='MiB'>577</memory>")  # fmt: skip


def test_a_topology_that_an_older_qemu_took_is_kept_where_it_stands() -> None:
    parsed = parse_guest(text("<cpu><topology sockets='2' cores='1' threads='1'/></cpu>"))
    assert "sockets='2'" in format_guest(complete(parsed, qemu72(), HOST, stored=True))


def test_a_scsi_disk_may_be_removable() -> None:
    removable = disk("dev='sda' bus='scsi' removable='on'")
    argv = plan(f"<devices>{removable}</devices>").argv
    assert any('"scsi-hd"' in word and '"removable":true' in word for word in argv)
