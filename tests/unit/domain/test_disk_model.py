"""The <disk> model: what completion fills in, what is written back, and what is refused with which reason."""

from __future__ import annotations

import cProfile
import dataclasses

import pytest

from frontinus.api.errors import FrontinusError
from frontinus.domain.complete import complete
from frontinus.domain.definition import format_guest, parse_guest
from frontinus.domain.devices.block.disk import Disk, arrange, last_layer, number_layers, target_index
from frontinus.domain.guest import Guest
from frontinus.xml import View, format_document, parse_document
from support.guests import completed, document, host, qemu72

UUID = "0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f"
LUKS = f"<encryption format='luks'><secret type='passphrase' uuid='{UUID}'/></encryption>"
CIPHER = LUKS.replace("</e", "<cipher name='aes' size='256'/></e")
LIBRBD = LUKS.replace(" form", " engine='librbd' form")


def disk(inside: str = "<source file='/a'/>", target: str = "dev='vda'", attributes: str = "type='file'") -> str:
    return f"<disk {attributes}>{inside}<target {target}/></disk>"


def only(xml: str, machine: str = "pc") -> Disk:
    return completed(xml, machine).devices.disks[0]


def canonical(xml: str) -> str:
    return format_document(only(xml))


def test_what_is_left_open_is_filled_in() -> None:
    found = only(disk())
    assert (found.device, found.driver, found.format, found.bus) == ("disk", "qemu", "raw", "virtio")
    assert only(disk(target="dev='ioemu:hda'")).target == "hda"
    assert only(disk("<driver type='aio'/><source file='/a'/>")).format == "raw"


@pytest.mark.parametrize(("target", "bus"), [("hda", "ide"), ("sda", "scsi"), ("vda", "virtio")])
def test_the_bus_is_in_the_targets_name(target: str, bus: str) -> None:
    assert only(disk(target=f"dev='{target}'")).bus == bus


def test_a_floppy_is_on_its_own_bus_and_a_cdrom_is_read_only() -> None:
    assert only(disk(target="dev='fda'", attributes="type='file' device='floppy'")).bus == "fdc"
    assert only(disk(target="dev='hdc'", attributes="type='file' device='cdrom'")).readonly


def test_an_empty_source_is_none() -> None:
    for inside in ("", "<source/>", "<source file=''/>"):
        found = only(disk(inside, "dev='hdc'", "type='file' device='cdrom'"))
        assert found.source is None and found.is_empty
    assert only(disk("", "dev='hdc'", "type='block' device='cdrom'")).type == "file"


def test_what_says_nothing_is_not_written() -> None:
    text = canonical(
        disk("""<driver cache='default' queues='0'/><source file='/a'/><geometry cyls='1'/>
        <iotune><total_bytes_sec>0</total_bytes_sec></iotune>""")
    )
    for word in ("default", "queues", "geometry", "iotune"):
        assert word not in text
    assert "tray" not in canonical(disk(target="dev='hdc' tray='closed'", attributes="device='cdrom'"))
    assert "snapshot" not in canonical(disk(target="dev='hdc'", attributes="device='cdrom' snapshot='no'"))


def test_what_has_no_meaning_for_the_type_is_dropped() -> None:
    text = canonical(disk("<source file='/a' dev='/b' protocol='nbd'><host name='h'/></source>"))
    assert "/a" in text and "/b" not in text and "nbd" not in text and "host" not in text


def test_network_sources_get_ports_and_a_lun() -> None:
    found = only(
        disk(
            "<source protocol='iscsi' name='iqn.x'><host name='h' transport='tcp'/></source>",
            attributes="type='network'",
        )
    )
    assert found.source is not None and found.source.name == "iqn.x/0"
    assert (found.source.hosts[0].port, found.source.hosts[0].transport) == (3260, None)


def test_cookies_are_secret() -> None:
    guest = completed(disk("<source protocol='http' name='x'><host name='h'/><cookies><cookie name='k'>val</cookie></cookies>"
                           "</source>", attributes="type='network'"))  # fmt: skip
    assert "val" not in format_guest(guest) and "cookie" not in format_guest(guest)
    assert "<cookie name='k'>val</cookie>" in format_guest(guest, secrets=True)


def test_serials_keep_their_spaces() -> None:
    xml = disk("<source file='/a'/><serial>  A 1 </serial>")
    assert only(xml).serial == "  A 1 "
    assert parse_document(Disk, canonical(xml)).serial == "  A 1 "


def test_a_group_lends_its_limits() -> None:
    first = "<source file='/a'/><iotune><total_iops_sec>9</total_iops_sec><group_name>g</group_name></iotune>"
    second = "<source file='/b'/><iotune><group_name>g</group_name></iotune>"
    disks = completed(disk(first) + disk(second, "dev='vdb'")).devices.disks
    assert [d.iotune and d.iotune.total_iops_sec for d in disks] == [9, 9]


def test_mirrors_live_only_while_the_guest_runs() -> None:
    old = only(disk("<source file='/a'/><mirror file='/copy' format='qcow2' ready='yes'/>"))
    assert "mirror" not in format_document(old)
    text = format_document(old, View.ACTIVE)
    for part in ("type='file'", "file='/copy'", "job='copy'", "<source file='/copy'/>", "<format type='qcow2'/>"):
        assert part in text
    assert old.mirror is not None
    image = old.mirror.image()
    assert image is not None and (image.format, image.source.file) == ("qcow2", "/copy")


def test_indexes_name_layers_while_the_guest_runs() -> None:
    chain = """<driver type='qcow2'/><source file='/a' index='7'/><backingStore type='file' index='9'>
        <format type='raw'/><source file='/b'/>
        <backingStore/></backingStore>"""
    guest = completed(disk(chain) + disk("<source file='/c'/>", "dev='vdb'"))
    assert number_layers(guest.devices.disks) == 3 == last_layer(guest.devices.disks)
    text = format_document(guest.devices.disks[0], View.ACTIVE)
    assert "index='1'" in text and "index='2'" in text
    assert "index=" not in format_document(guest.devices.disks[0])
    assert number_layers([only(disk())], 3) == 4


def test_the_chain_as_the_plan_sees_it() -> None:
    chain = "<backingStore type='block'><format type='qcow2'/><source dev='/b'/><backingStore/></backingStore>"
    image = only(disk("<driver type='qcow2'/><source file='/a'/>" + chain)).image()
    assert image is not None
    top, below = image.chain()
    assert (top.read_only, top.terminated, below.read_only, below.terminated) == (False, False, True, True)
    assert (below.type, below.format) == ("block", "qcow2")


def test_targets_are_numbered_like_spreadsheet_columns() -> None:
    assert [target_index(name) for name in ("vda", "sdz", "hdaa", "xvdab", "sda1", "disk")] == [0, 25, 26, 27, 0, -1]
    disks = [
        Disk(target=t, bus=b) for t, b in (("sdb", "scsi"), ("vdaa", "virtio"), ("sda", "scsi"), ("vdb", "virtio"))
    ]
    assert [d.target for d in arrange(disks)] == ["sda", "sdb", "vdb", "vdaa"]


def test_canonical_text_is_a_fixed_point() -> None:
    xml = disk(f"""<driver type='qcow2' cache='none' discard='unmap'><metadata_cache><max_size unit='KiB'>4</max_size>
        </metadata_cache></driver><source file='/a' startupPolicy='optional'><slices><slice type='storage' offset='1' size='2'/>
        </slices><seclabel relabel='no'/>{LUKS}</source><backingStore type='file'><format type='raw'/><source file='/b'/>
        <backingStore/></backingStore><iotune><size_iops_sec>3</size_iops_sec></iotune><transient/><serial>x</serial>
        <boot order='1'/>""")
    guest = completed(xml)
    again = complete(parse_guest(format_guest(guest)), qemu72(), host())
    assert again.devices.disks == guest.devices.disks
    assert format_guest(again) == format_guest(guest)


REFUSED: dict[str, tuple[str, str]] = {
    "no target": ("<disk type='file'><source file='/a'/></disk>", "<target>: attribute 'dev' is missing"),
    "partition": (disk(target="dev='vda1'"), "partition"),
    "odd target": (disk(target="dev='xyz'"), "not the name of a drive"),
    "twice": (disk() + disk(), "used by more than one disk"),
    "one place": ("".join(disk("<source file='/a'/><address type='drive' unit='3'/>", f"dev='sd{x}' bus='scsi'") for x in "ab"),
                  "<disk>: the scsi address controller 0, bus 0, target 0, unit 3 is used twice"),
    "a host device's place": (disk("<source file='/a'/><address type='drive' unit='3'/>", "dev='sda' bus='scsi'")
                              + "<hostdev type='scsi'><source><adapter name='scsi_host3'/><address bus='0' target='1' unit='2'/>"
                                "</source><address type='drive' unit='3'/></hostdev>",
                              "<hostdev>: the scsi address controller 0, bus 0, target 0, unit 3 is used twice"),
    "empty disk": (disk(""), "<source> is missing"),
    "driver": (disk("<driver name='tap'/><source file='/a'/>"), "name 'tap'"),
    "iso": (disk("<driver type='iso'/><source file='/a'/>"), "format 'iso'"),
    "fat file": (disk("<driver type='fat'/><source file='/a'/>"), "only for folders"),
    "folder written": (disk("<driver type='fat'/><source dir='/a'/>", attributes="type='dir'"), "can only be read"),
    "encrypted twice": (disk(f"<source file='/a'>{LUKS}</source>{LUKS}"), "both in <disk> and in <source>"),
    "old encryption": (disk(f"<source file='/a'/>{LUKS.replace('luks', 'qcow')}"), "old encryption"),
    "luks2": (disk(f"<source file='/a'/>{LUKS.replace('luks', 'luks2')}"), "luks2"),
    "cipher": (disk(f"<source file='/a'/>{CIPHER}"), "<cipher>"),
    "librbd": (disk(f"<source file='/a'/>{LIBRBD}"), "librbd"),
    "shared qcow2": (disk("<driver type='qcow2'/><source file='/a'/><shareable/>"), "cannot be written by two guests"),
    "lun of a file": (disk(attributes="type='file' device='lun'"), "needs a block device"),
    "lun on sata": (disk("<source dev='/a'/>", "dev='sda' bus='sata'", "type='block' device='lun'"), "on bus 'sata'"),
    "reservations": (disk("<source dev='/a'><reservations managed='yes'/></source>", attributes="type='block'"),
                     "only for device 'lun'"),
    "rawio": (disk(attributes="type='file' rawio='yes'"), "'rawio' is only for device 'lun'"),
    "unfiltered": (disk("<source dev='/a'/>", attributes="type='block' device='lun' sgio='unfiltered'"), "unfiltered"),
    "tray": (disk(target="dev='vda' tray='open'"), "only for cdrom and floppy"),
    "floppy on ide": (disk(target="dev='fda' bus='ide'", attributes="device='floppy'"), "cannot be on bus 'ide'"),
    "virtio cdrom": (disk(attributes="device='cdrom'"), "no removable media"),
    "ide read-only": (disk("<source file='/a'/><readonly/>", "dev='hda'"), "cannot be read-only"),
    "removable": (disk(target="dev='vda' removable='on'"), "only for bus 'usb'"),
    "rotation": (disk(target="dev='vda' rotation_rate='1'"), "rotation_rate"),
    "wwn": (disk("<source file='/a'/><wwn>12</wwn>", "dev='sda'"), "16 hexadecimal digits"),
    "vendor": (disk("<source file='/a'/><vendor>much too long</vendor>", "dev='sda'"), "more than 8"),
    "serial": (disk("<source file='/a'/><serial>a/b</serial>"), "<serial>"),
    "queues": (disk("<driver queues='2'/><source file='/a'/>", "dev='sda'"), "'queues' is only for bus 'virtio'"),
    "model": (disk(target="dev='sda'", attributes="model='virtio'"), "'model' is only for bus 'virtio'"),
    "iothread": (disk("<driver iothread='3'/><source file='/a'/>"), "there is no iothread 3"),
    "native": (disk("<driver io='native'/><source file='/a'/>"), "needs cache"),
    "copy on read": (disk("<driver copy_on_read='on'/><source file='/a'/><readonly/>"), "can be written"),
    "wrong address": (disk("<source file='/a'/><address type='pci' slot='5'/>", "dev='sda'"), "not for bus 'scsi'"),
    "metadata": (disk("<driver><metadata_cache><max_size>9</max_size></metadata_cache></driver><source file='/a'/>"), "qcow2"),
    "raw backing": (disk("<source file='/a'/><backingStore type='file'><format type='raw'/><source file='/b'/></backingStore>"),
                    "has none"),
    "no backing format": (disk("<driver type='qcow2'/><source file='/a'/><backingStore type='file'><source file='/b'/>"
                               "</backingStore>"), "<format> is missing"),
    "transient empty": (disk("<transient/>", "dev='hdc'", "device='cdrom'"), "<transient>"),
    "iotune": (disk("<source file='/a'/><iotune><total_bytes_sec>1</total_bytes_sec><read_bytes_sec>1</read_bytes_sec></iotune>"),
               "in total and for reads"),
    "other limits": (disk("<source file='/a'/><iotune><total_iops_sec>1</total_iops_sec><group_name>g</group_name></iotune>")
                     + disk("<source file='/b'/><iotune><total_iops_sec>2</total_iops_sec><group_name>g</group_name></iotune>",
                            "dev='vdb'"), "other limits in the same group"),
    "network startup": (disk("<source protocol='nbd' startupPolicy='optional'><host name='h'/></source>",
                             attributes="type='network'"), "not for disks of type 'network'"),
    "empty network": (disk("<source/>", "dev='hdc'", "type='network' device='cdrom'"), "'protocol' is missing"),
    "flat scsi": ("<controller type='scsi' index='0' model='lsilogic'/>" + disk(
                  "<source file='/a'/><address type='drive' target='1'/>", "dev='sda'"), "the target is 0"),
    "startup": (disk("<source file='/a' startupPolicy='requisite'/>"), "only for cdrom and floppy"),
    "vhost cache": ("<disk type='vhostuser'><driver cache='none'/><source type='unix' path='/s'/><target dev='vda'/></disk>",
                    "'cache' is not supported for a vhostuser disk"),
    "vhost memory": ("<disk type='vhostuser'><source type='unix' path='/s'/><target dev='vda'/></disk>", "shared memory"),
    "nvme": ("<disk type='nvme'><source type='pci' namespace='0'/><target dev='vda'/></disk>", "a namespace from 1 on"),
    "xen": (disk(target="dev='xvda'"), "not supported by this QEMU"),
    "labels": (disk("<source file='/a'><seclabel model='dac'><label>x</label></seclabel><seclabel model='dac'><label>y</label>"
                    "</seclabel></source>"), "more than one label"),
}  # fmt: skip
NETWORK: dict[str, tuple[str, str]] = {
    "no protocol": ("", "protocol"),
    "no name": ("protocol='iscsi'", "'name' is missing"),
    "no volume": ("protocol='rbd' name='x'", "volume/image"),
    "two hosts": ("protocol='nbd' name='x'", "exactly one <host>"),
    "tls": ("protocol='ssh' name='x' tls='yes'", "TLS is not supported"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    devices, reason = REFUSED[name]
    with pytest.raises(FrontinusError) as caught:
        completed(devices, "pc")
    assert reason in caught.value.message


def calls_of_completing(disks: int) -> int:
    names = [f"{letter}{other}" for letter in "abcdefghijklmnop" for other in "abcdefghijklmnopqrstuvwxyz"][:disks]
    parsed = parse_guest(document("".join(disk(target=f"dev='sd{name}' bus='scsi'") for name in names)))
    profile = cProfile.Profile()
    profile.runcall(complete, parsed, qemu72(), host())
    return sum(row.callcount for row in profile.getstats())


def test_the_work_grows_with_the_disks_and_no_faster() -> None:
    assert calls_of_completing(400) < 5 * calls_of_completing(100)


@pytest.mark.parametrize("name", NETWORK)
def test_network_sources_refused(name: str) -> None:
    attributes, reason = NETWORK[name]
    hosts = "<host name='a'/><host name='b'/>" if name == "two hosts" else "<host name='a'/>"
    with pytest.raises(FrontinusError, match=reason):
        completed(disk(f"<source {attributes}>{hosts}</source>", attributes="type='network'"))


@pytest.mark.parametrize(("inside", "reason"), [
    ("<host name='a' transport='unix'/>", "needs a socket"),
    ("<host name='a' socket='/s'/>", "has no socket"),
    ("<host port='1'/>", "'name' is missing"),
    ("<host name='a' transport='rdma'/>", "rdma"),
    ("<host name='a'/><auth username='u'><secret type='iscsi' usage='x'/></auth>", "not supported for protocol 'nbd'"),
    ("<host name='a'/><auth><secret type='iscsi' usage='x'/></auth>", "'username' is missing"),
    ("<host name='a'/><snapshot name='s'/>", "only for protocol 'rbd'"),
])  # fmt: skip
def test_hosts_and_logins_refused(inside: str, reason: str) -> None:
    with pytest.raises(FrontinusError, match=reason):
        completed(disk(f"<source protocol='nbd' name='x'>{inside}</source>", attributes="type='network'"))


def test_what_this_qemu_lacks_is_refused() -> None:
    caps = dataclasses.replace(qemu72(), types=qemu72().types - {"vhost-user-blk"})
    text = document("<disk type='vhostuser'><source type='unix' path='/s'/><target dev='vda'/></disk>", "pc",
                    "<memoryBacking><access mode='shared'/></memoryBacking>")  # fmt: skip
    assert isinstance(complete(parse_guest(text), qemu72(), host()), Guest)
    with pytest.raises(FrontinusError, match="not supported by this QEMU"):
        complete(parse_guest(text), caps, host())
