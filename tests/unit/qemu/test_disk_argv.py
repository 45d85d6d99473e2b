"""Disks on the command line: the graph of nodes for every kind of storage, and the device on top."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest

from frontinus.api.errors import InvalidXML, Unsupported, WrongState
from frontinus.domain.complete import complete
from frontinus.domain.definition import parse_guest
from frontinus.domain.devices.block.disk import Disk
from frontinus.domain.host import Pool
from frontinus.domain.plan import Handed, Helper, Label, Overlay, Vfio
from frontinus.domain.prepare import prepare
from frontinus.qemu.argv.block import disks
from frontinus.qemu.argv.block.fdgroups import FIRST_SET
from frontinus.qemu.argv.context import Context
from support.disk_argv import STORAGE, UUID, Props, anything, built, context, file, network
from support.guests import document, host, qemu72

ONE = "<host name='h.example' port='1234'/>"
AUTH = "<auth username='me'><secret type='{}' usage='s1'/></auth>"
PROTOCOLS: dict[str, tuple[str, Props]] = {
    "nbd tcp": (network("nbd", "name='x'", ONE),
                {"driver": "nbd", "server": {"type": "inet", "host": "h.example", "port": "1234"}, "export": "x"}),
    "nbd port": (network("nbd", "", "<host name='h'/>"),
                 {"driver": "nbd", "server": {"type": "inet", "host": "h", "port": "10809"}}),
    "nbd unix": (network("nbd", "name='x'", "<host transport='unix' socket='/s'/>"),
                 {"driver": "nbd", "server": {"type": "unix", "path": "/s"}, "export": "x"}),
    "iscsi": (network("iscsi", "name='iqn.x:y/3'", ONE + "<initiator><iqn name='iqn.me'/></initiator>"),
              {"driver": "iscsi", "portal": "h.example:1234", "target": "iqn.x:y", "lun": 3, "transport": "tcp",
               "initiator-name": "iqn.me"}),
    "iscsi v6": (network("iscsi", "name='iqn.x:y'", "<host name='fe80::1'/>"),
                 {"driver": "iscsi", "portal": "[fe80::1]:3260", "target": "iqn.x:y", "lun": 0, "transport": "tcp"}),
    "iscsi auth": (network("iscsi", "name='t/0'", ONE + AUTH.format("iscsi")),
                   {"driver": "iscsi", "portal": "h.example:1234", "target": "t", "lun": 0, "transport": "tcp",
                    "user": "me", "password-secret": "frontinus-1-storage-auth-secret0"}),
    "rbd": (network("rbd", "name='pool/a/b'", "<host name='m1'/><host name='m2' port='1'/><snapshot name='s'/>"
                    "<config file='/c'/>" + AUTH.format("ceph")),
            {"driver": "rbd", "pool": "pool", "image": "a/b", "snapshot": "s", "conf": "/c",
             "server": [{"host": "m1", "port": "0"}, {"host": "m2", "port": "1"}], "user": "me",
             "auth-client-required": ["cephx", "none"], "key-secret": "frontinus-1-storage-auth-secret0"}),
    "gluster": (network("gluster", "name='vol/dir/i'", "<host name='g'/><host transport='unix' socket='/s'/>"),
                {"driver": "gluster", "volume": "vol", "path": "dir/i", "debug": 4,
                 "server": [{"type": "inet", "host": "g", "port": "24007"}, {"type": "unix", "path": "/s"}]}),
    "https": (network("https", "name='/d/i m.iso' query='a=b'", ONE + """<ssl verify='no'/><cookies>
                <cookie name='k'>v</cookie><cookie name='l'>w</cookie></cookies><readahead size='65536'/>
                <timeout seconds='6'/>""" + AUTH.format("iscsi")),
              {"driver": "https", "url": "https://h.example:1234/d/i%20m.iso?a=b", "username": "me",
               "password-secret": "frontinus-1-storage-auth-secret0", "sslverify": False,
               "cookie-secret": "frontinus-1-storage-httpcookie-secret0", "timeout": 6, "readahead": 65536}),
    "ftp": (network("ftp", "name='x'", "<host name='h'/>"), {"driver": "ftp", "url": "ftp://h:21/x"}),
    "ssh": (network("ssh", "name='/x'", "<host name='h'/>" + AUTH.format("iscsi")),
            {"driver": "ssh", "path": "/x", "server": {"host": "h", "port": "22"}, "user": "me"}),
    "nfs": (network("nfs", "name='/x'", "<host name='h'/><identity user='+7' group='disk'/>"),
            {"driver": "nfs", "server": {"host": "h", "type": "inet"}, "path": "/x", "user": 7, "group": 6}),
    "sheepdog": (network("sheepdog", "name='x'", "<host name='h'/>"),
                 {"driver": "sheepdog", "server": {"type": "inet", "host": "h", "port": "7000"}, "vdi": "x"}),
    "vxhs": (network("vxhs", "name='x' tls='no'", "<host name='h'/>"),
             {"driver": "vxhs", "vdisk-id": "x", "server": {"host": "h", "port": "9999"}}),
    "nvme": ("""<disk type='nvme' device='disk'><driver name='qemu' type='raw'/><source type='pci' namespace='2'
             managed='no'><address domain='0x0001' bus='0x02' slot='0x03' function='0x4'/></source>
             <target dev='vda' bus='virtio'/></disk>""",
             {"driver": "nvme", "device": "0001:02:03.4", "namespace": 2}),
    "block": ("<disk type='block' device='disk'><source dev='/dev/x'/><target dev='vda'/></disk>",
              {"driver": "host_device", "filename": "/dev/x"}),
    "folder": ("<disk type='dir' device='disk'><driver type='fat'/><source dir='/d'/><target dev='vda'/><readonly/></disk>",
               {"driver": "vvfat", "dir": "/d", "floppy": False, "rw": False}),
}  # fmt: skip


@pytest.mark.parametrize("name", PROTOCOLS)
def test_storage(name: str) -> None:
    devices, expected = PROTOCOLS[name]
    _, found = built(devices, facts=dataclasses.replace(host(), groups={"disk": 6}))
    storage, top = found["blockdev"]
    assert {k: v for k, v in storage.items() if v is not None} == expected | STORAGE
    assert (top["driver"], top["file"]) == ("raw", "frontinus-1-storage")
    (device,) = found["device"]
    assert device["drive"] == "frontinus-1-format"


def test_secrets_are_objects_that_stand_before_their_users() -> None:
    luks = f"<encryption format='luks'><secret type='passphrase' uuid='{UUID}'/></encryption>"
    devices = network("rbd", "name='p/i'", ONE + AUTH.format("ceph") + luks, "type='qcow2'")
    ctx, found = built(devices)
    assert [(o["id"], o["data"], o["keyid"], o["format"]) for o in found["object"]] == [
        ("frontinus-1-storage-auth-secret0", "ceph:s1", "masterKey0", "base64"),
        ("frontinus-1-format-encryption-secret0", f"volume:{UUID}", "masterKey0", "base64"),
    ]
    assert [item.option for item in ctx.items] == ["object", "object", "blockdev", "blockdev", "device"]
    assert found["blockdev"][1]["encrypt"] == {"format": "luks", "key-secret": "frontinus-1-format-encryption-secret0"}


def test_luks_of_raw_images_and_of_librbd() -> None:
    luks = "<encryption format='{}' engine='{}'><secret type='passphrase' usage='u'/></encryption>"
    _, found = built(file("type='raw'", luks.format("luks", "qemu")))
    assert (
        found["blockdev"][1] | {"driver": "luks", "key-secret": "frontinus-1-format-encryption-secret0"}
        == (found["blockdev"][1])
    )
    _, found = built(network("rbd", "name='p/i'", luks.format("luks2", "librbd")))
    storage, top = found["blockdev"]
    assert storage["encrypt"] == {"format": "luks2", "key-secret": "frontinus-1-format-encryption-secret0"}
    assert top["driver"] == "raw"


def test_tls_is_the_guests_wish_or_the_hosts_rule() -> None:
    facts = dataclasses.replace(host(), tls={"nbd": "/pki"}, tls_secrets={"nbd": UUID})
    _, found = built(network("nbd", "tls='yes' tlsHostname='n'", ONE), facts=facts)
    secret, credentials = found["object"]
    assert (secret["id"], secret["data"]) == ("objfrontinus-1-storage_tls0-secret0", f"tls:{UUID}")
    assert credentials == {
        "qom-type": "tls-creds-x509", "id": "objfrontinus-1-storage_tls0", "dir": "/pki", "endpoint": "client",
        "verify-peer": True, "passwordid": "objfrontinus-1-storage_tls0-secret0",
    }  # fmt: skip
    with pytest.raises(Unsupported, match="<source protocol='nbd'> of a disk: .*no nbd certificates") as caught:
        built(network("nbd", "tls='yes'", ONE))
    assert caught.value.details == {"element": "source"}
    storage = found["blockdev"][0]
    assert (storage["tls-creds"], storage["tls-hostname"]) == ("objfrontinus-1-storage_tls0", "n")
    ruled = dataclasses.replace(facts, tls_on=frozenset({"nbd"}))
    assert "tls-creds" in built(network("nbd", "", ONE), facts=ruled)[1]["blockdev"][0]
    assert "object" not in built(network("nbd", "tls='no'", ONE), facts=ruled)[1]


@pytest.mark.parametrize(("cache", "direct", "no_flush", "write"), [
    ("none", True, False, "on"), ("writeback", False, False, "on"), ("writethrough", False, False, "off"),
    ("directsync", True, False, "off"), ("unsafe", False, True, "on"),
])  # fmt: skip
def test_cache_modes(cache: str, direct: bool, no_flush: bool, write: str) -> None:
    _, found = built(file(f"type='raw' cache='{cache}'"))
    for node in found["blockdev"]:
        assert node["cache"] == {"direct": direct, "no-flush": no_flush}
    assert found["device"][0]["write-cache"] == write


def test_a_disk_that_others_write_is_not_cached() -> None:
    _, found = built(file("type='raw'", "<shareable/>"))
    assert found["blockdev"][0]["cache"] == {"direct": True, "no-flush": False}
    assert (found["device"][0]["write-cache"], found["device"][0]["share-rw"]) == ("on", True)


def test_options_of_the_driver_reach_the_right_layer() -> None:
    chain = "<backingStore type='file'><format type='raw'/><source file='/b'/></backingStore>"
    _, found = built(file("type='qcow2' io='threads' discard='ignore' detect_zeroes='unmap' iothread='1' queues='4' "
                          "queue_size='128' iommu='on' page_per_vq='off'", chain), more="<iothreads>1</iothreads>")  # fmt: skip
    lower, _, upper, top = found["blockdev"]
    assert [lower["aio"], upper["aio"]] == ["threads", "threads"]
    assert (top["discard"], top["detect-zeroes"], top["backing"]) == ("ignore", "on", "frontinus-2-format")
    assert "detect-zeroes" not in found["blockdev"][1]
    (device,) = found["device"]
    assert {"iothread": "iothread1", "num-queues": 4, "queue-size": 128, "iommu_platform": True,
            "page-per-vq": False}.items() <= device.items()  # fmt: skip


def test_the_end_of_a_chain_is_said_only_where_it_was() -> None:
    assert "backing" not in built(file("type='qcow2'"))[1]["blockdev"][1]
    assert built(file("type='qcow2'", "<backingStore/>"))[1]["blockdev"][1]["backing"] is None
    assert "backing" not in built(file("type='raw'", "<backingStore/>"))[1]["blockdev"][1]


DEVICES: dict[str, tuple[str, Props]] = {
    "ide": (file("type='raw'", "<geometry cyls='1' heads='2' secs='3' trans='lba'/>", target="hdb", bus="ide"),
            {"driver": "ide-hd", "bus": "ide.0", "unit": 1, "cyls": 1, "heads": 2, "secs": 3, "bios-chs-trans": "lba"}),
    "ide cdrom": (file("type='raw'", target="hdc", bus="ide", device="cdrom"), {"driver": "ide-cd", "bus": "ide.1"}),
    "scsi": (file("type='raw'", "<serial>a b</serial>", target="sda", bus="scsi"),
             {"driver": "scsi-hd", "device_id": "a b", "serial": "a\\ b", "bus": "scsi0.0", "scsi-id": 0}),
    "scsi cdrom": (file("type='raw'", target="sda", bus="scsi", device="cdrom"),
                   {"driver": "scsi-cd", "device_id": "drive-scsi0-0-0"}),
    "scsi wide": ("<controller type='scsi' index='0' model='virtio-scsi'/>" + file(
                  "type='raw'", "<address type='drive' controller='0' bus='0' target='5' unit='6'/>", target="sda",
                  bus="scsi"), {"bus": "scsi0.0", "channel": 0, "scsi-id": 5, "lun": 6}),
    "usb": (file("type='raw'", target="sda", bus="usb").replace("bus='usb'", "bus='usb' removable='on'"),
            {"driver": "usb-storage", "removable": True, "bus": "usb.0", "port": "1"}),
    "wwn": (file("type='raw'", "<wwn>5000c50015ea71ac</wwn>", target="sda", bus="scsi"), {"wwn": 0x5000C50015EA71AC}),
    "rotation": (file("type='raw'", target="sda", bus="scsi").replace("bus='scsi'", "bus='scsi' rotation_rate='7200'"),
                 {"rotation_rate": 7200}),
    "errors": (file("type='raw' error_policy='stop' rerror_policy='report'"), {"werror": "stop", "rerror": "report"}),
    "one policy": (file("type='raw' error_policy='ignore'"), {"werror": "ignore", "rerror": "ignore"}),
    "transitional": (file("type='raw'").replace("<disk ", "<disk model='virtio-non-transitional' "),
                     {"driver": "virtio-blk-pci-non-transitional"}),
    "boot": (file("type='raw'", "<boot order='3'/>"), {"bootindex": 3}),
}  # fmt: skip


@pytest.mark.parametrize("name", DEVICES)
def test_devices(name: str) -> None:
    devices, expected = DEVICES[name]
    (device,) = built(devices)[1]["device"]
    assert {key: device.get(key) for key in expected} == expected


def test_no_read_policy_for_running_out_of_space() -> None:
    (device,) = built(file("type='raw' error_policy='enospace'"))[1]["device"]
    assert device["werror"] == "enospc" and "rerror" not in device


def test_luns_pass_commands_through() -> None:
    lun = "<disk type='block' device='lun'><source dev='/dev/x'>{}</source><target dev='{}' bus='{}'/></disk>"
    (device,) = built(lun.format("", "vda", "virtio"))[1]["device"]
    assert device["scsi"] is True
    helper = "<reservations managed='{}'>{}</reservations>"
    ours = lun.format(helper.format("yes", ""), "sda", "scsi")
    theirs = lun.format(helper.format("no", "<source type='unix' path='/pr' mode='client'/>"), "sdb", "scsi")
    ctx, found = built(ours + theirs)
    assert [(o["id"], o["path"]) for o in found["object"]] == [
        ("pr-helper0", "/folder/pr-helper0.sock"), ("pr-helper-frontinus-2-storage", "/pr"),
    ]  # fmt: skip
    assert [n["pr-manager"] for n in found["blockdev"] if "pr-manager" in n] == [
        "pr-helper0", "pr-helper-frontinus-2-storage",
    ]  # fmt: skip
    assert found["device"][0]["driver"] == "scsi-block" and "device_id" not in found["device"][0]
    assert Helper("pr-helper0", ("/usr/bin/qemu-pr-helper", "-k", "/folder/pr-helper0.sock"),
                  "/folder/pr-helper0.sock", privileged=True) in ctx.resources  # fmt: skip


def test_boot_devices_mean_the_first_disk_of_their_kind() -> None:
    devices = file("type='raw'") + file("type='raw'", target="vdb", path="/b")
    boot = document(devices, "pc").replace("</type>", "</type><boot dev='cdrom'/><boot dev='hd'/>")
    guest = complete(parse_guest(boot), anything(), host())
    ctx = Context(prepare(guest, anything(), host(), guest_id=1), anything(), host(), "/folder")
    disks.build(ctx)
    found = [
        item.value.get("bootindex") for item in ctx.items if item.option == "device" and isinstance(item.value, Mapping)
    ]
    assert found == [2, None]


def test_sd_cards_are_drives() -> None:
    luks = f"<encryption format='luks'><secret type='passphrase' uuid='{UUID}'/></encryption>"
    tune = "<iotune><read_iops_sec>5</read_iops_sec><group_name>g</group_name></iotune>"
    _, found = built(
        file("type='raw' cache='none' discard='unmap'", luks + tune + "<readonly/>", target="sdb", bus="sd")
    )
    assert found["drive"] == [{
        "file": "/a", "format": "luks", "key-secret": "sd-disk1-encryption-secret0", "if": "sd", "index": 1,
        "readonly": True, "cache": "none", "discard": "unmap", "throttling.iops-read": 5, "throttling.group": "g",
    }]  # fmt: skip
    assert "device" not in found and "blockdev" not in found
    _, found = built(network("nbd", "name='x'", ONE).replace("dev='vda' bus='virtio'", "dev='sda' bus='sd'"))
    assert found["drive"][0]["file.server"] == {"type": "inet", "host": "h.example", "port": "1234"}


def test_vhost_user_disks_have_a_socket_and_no_nodes() -> None:
    devices = """<disk type='vhostuser' device='disk'><driver name='qemu' type='raw' queues='2'/>
        <source type='unix' path='/s'><reconnect enabled='yes' timeout='10'/></source><target dev='vda' bus='virtio'/></disk>"""
    _, found = built(devices, more="<memoryBacking><access mode='shared'/></memoryBacking>")
    assert found["chardev"] == [{"backend": "socket", "id": "chr-vu-virtio-disk0", "path": "/s", "reconnect": 10}]
    (device,) = found["device"]
    assert (device["driver"], device["chardev"], device["num-queues"]) == (
        "vhost-user-blk-pci",
        "chr-vu-virtio-disk0",
        2,
    )
    assert "blockdev" not in found


def test_floppies_boot_by_their_controller() -> None:
    floppies = file("type='raw'", "<boot order='2'/>", target="fda", bus="fdc", device="floppy")
    _, found = built(floppies)
    assert found["global"] == [{"text": "isa-fdc.bootindexA=2"}]
    assert found["device"] == [{"driver": "floppy", "unit": 0, "drive": "frontinus-1-format", "id": "fdc0-0-0"}]
    _, found = built(floppies, machine="q35")
    assert found["device"][0] == {"driver": "isa-fdc", "bootindexA": 2}


def test_volumes_stand_for_what_their_pools_say() -> None:
    pools = {
        "local": Pool("dir", {"v": ("file", "/p/v"), "d": ("dir", "/p/d")}),
        "san": Pool("iscsi", {"unit:0:0:1": ("block", "/dev/s1")}, hosts=(("h", 0),), device="iqn.t", initiator="iqn.i",
                    auth_user="u", auth_usage="x"),
    }  # fmt: skip
    facts = dataclasses.replace(host(), pools=pools)

    def storage(pool: str, volume: str, more: str = "", inside: str = "") -> Props:
        return built(f"<disk type='volume' device='disk'><source pool='{pool}' volume='{volume}' {more}/>"
                     f"<target dev='vda'/>{inside}</disk>", facts=facts)[1]["blockdev"][0]  # fmt: skip

    assert storage("local", "v")["filename"] == "/p/v"
    assert storage("local", "d", inside="<readonly/>")["driver"] == "vvfat"
    assert storage("san", "unit:0:0:1", "mode='host'")["driver"] == "host_device"
    direct = storage("san", "unit:0:0:7", "mode='direct'")
    assert (direct["portal"], direct["target"], direct["lun"], direct["user"]) == ("h:3260", "iqn.t", 7, "u")
    for pool, volume, mode in (("none", "v", ""), ("local", "w", ""), ("local", "v", "mode='direct'")):
        with pytest.raises((Unsupported, InvalidXML)):
            storage(pool, volume, mode)


def test_what_the_host_must_set_up() -> None:
    chain = "<backingStore type='file'><format type='raw'/><source file='/b'/></backingStore>"
    ctx, _ = built(file("type='qcow2'", chain + "<transient/>"))
    assert ctx.resources == [
        Label("/b", readonly=True, shared=True),
        Label("/a"),
        Overlay("/a.TRANSIENT-test", "/a", "qcow2"),
    ]
    assert built(file("type='raw'", "<shareable/>"))[0].resources == [Label("/a", shared=True)]
    mine = "<disk type='file'><source file='/a'><seclabel model='dac' relabel='no'/></source><target dev='vda'/></disk>"
    assert built(mine)[0].resources == []
    ctx, _ = built(PROTOCOLS["nvme"][0])
    assert ctx.resources == [Vfio("/sys/bus/pci/devices/0001:02:03.4")]


def test_a_host_drive_is_a_cdrom_drive_only_where_the_host_says_so() -> None:
    devices = "<disk type='block' device='cdrom'><source dev='/dev/sr0'/><target dev='hdc' bus='ide'/></disk>"
    assert built(devices)[1]["blockdev"][0]["driver"] == "host_device"
    facts = dataclasses.replace(host(), cdroms=frozenset({"/dev/sr0"}))
    assert built(devices, facts=facts)[1]["blockdev"][0]["driver"] == "host_cdrom"


def test_protocols_that_this_qemu_dropped_are_refused() -> None:
    with pytest.raises(Unsupported, match="sheepdog"):
        built(PROTOCOLS["sheepdog"][0], caps=qemu72())


def test_what_only_the_plan_can_see_is_refused() -> None:
    facts = dataclasses.replace(host(), pools={"p": Pool("dir", {"v": ("file", "/v")})})
    with pytest.raises(Unsupported, match="'lun' needs a block device"):
        built(
            "<disk type='volume' device='lun'><source pool='p' volume='v'/><target dev='sda' bus='scsi'/></disk>",
            facts=facts,
        )


BOTH = ["r", "rw"]
BY_FDS = """<disk type='file'><driver type='qcow2'/><source file='/a' fdgroup='g'><dataStore type='file'><format type='raw'/>
<source file='/d' fdgroup='both'/></dataStore></source><backingStore type='file'><format type='qcow2'/>
<source file='/b' fdgroup='one'/><backingStore type='file'><format type='raw'/><source file='/c'/></backingStore>
</backingStore><target dev='vda' bus='virtio'/></disk>"""


def test_descriptors_of_callers_are_sets_that_images_are_opened_from() -> None:
    facts = dataclasses.replace(host(), fdgroups={"g": BOTH, "one": ["r"], "both": BOTH, "of no disk": ["w"]})
    ctx, found = built(BY_FDS, facts=facts)
    top, data, below = FIRST_SET + 2, FIRST_SET + 3, FIRST_SET + 4
    assert [(one["set"], one["opaque"]) for one in found["add-fd"]] == [
        (below, "frontinus-2-storage0"), (top, "frontinus-1-storage0"), (top, "frontinus-1-storage1"),
        (data, "frontinus-1-data-storage0"), (data, "frontinus-1-data-storage1")]  # fmt: skip
    numbers = [one["fd"] for one in found["add-fd"]]
    assert [one for one in ctx.resources if isinstance(one, Handed)] == [
        Handed("one", (numbers[0],)), Handed("g", tuple(numbers[1:3])), Handed("both", tuple(numbers[3:]))]  # fmt: skip
    assert [one for one in ctx.resources if isinstance(one, Label)] == [Label("/c", readonly=True, shared=True)]
    nodes = {node["node-name"]: node for node in found["blockdev"]}
    assert nodes["frontinus-1-storage"]["filename"] == f"/dev/fdset/{top}"
    assert nodes["frontinus-1-data-storage"]["filename"] == f"/dev/fdset/{data}"
    assert nodes["frontinus-2-storage"]["filename"] == f"/dev/fdset/{below}"
    assert nodes["frontinus-3-storage"]["filename"] == "/c"


MODES: dict[str, tuple[str, list[str], bool]] = {
    "a disk": ("{}", BOTH, False),
    "a disk, by one": ("{}", ["rw"], False),
    "a disk that is read": ("{}<readonly/>", BOTH, True),
    "a disk that is read, by one": ("{}<readonly/>", ["r"], True),
    "a disk that is read, by one that could write": ("{}<readonly/>", ["rw"], False),
    "a layer below": ("<source file='/t'/><backingStore type='file'><format type='raw'/>{}</backingStore>", ["r"], True),
    "a layer below that work may write to": (
        "<source file='/t'/><backingStore type='file'><format type='raw'/>{}</backingStore>", BOTH, False),
}  # fmt: skip


@pytest.mark.parametrize(("inside", "modes", "reads"), MODES.values(), ids=MODES)
def test_what_is_open_already_keeps_its_mode(inside: str, modes: list[str], reads: bool) -> None:
    disk = f"<disk type='file'><driver type='qcow2'/>{inside}<target dev='vda' bus='virtio'/></disk>"
    facts = dataclasses.replace(host(), fdgroups={"g": modes})
    _, found = built(disk.format("<source file='/a' fdgroup='g'/>"), facts=facts)
    (node,) = [node for node in found["blockdev"] if str(node.get("filename")).startswith("/dev/fdset")]
    assert node["read-only"] is reads and "auto-read-only" not in node


def test_a_group_that_nobody_gave_is_refused_by_name() -> None:
    with pytest.raises(WrongState, match="fdgroup='one'.*no descriptors are associated"):
        built(BY_FDS, facts=dataclasses.replace(host(), fdgroups={"g": BOTH, "both": BOTH}))
    assert len(built(BY_FDS)[1]["add-fd"]) == 3  # a plan that is only shown
    with pytest.raises(WrongState, match="fdgroup='g'.*open for reading and writing"):
        built(BY_FDS, facts=dataclasses.replace(host(), fdgroups={"g": ["r"], "both": BOTH, "one": ["r"]}))
    transient = "<disk type='file'><source file='/a' fdgroup='g'/><target dev='vda'/><transient/></disk>"
    with pytest.raises(Unsupported, match="transient.*fdgroup"):
        built(transient, facts=dataclasses.replace(host(), fdgroups={"g": BOTH}))


def test_an_sd_card_by_descriptors() -> None:
    disk = "<disk type='file'><source fdgroup='g'/><target dev='sda' bus='sd'/></disk>"
    _, found = built(disk, facts=dataclasses.replace(host(), fdgroups={"g": ["rw"]}))
    assert found["drive"][0]["file"] == f"/dev/fdset/{found['add-fd'][0]['set']}"


def test_limits_name_every_field() -> None:
    tune = """<iotune><total_bytes_sec>1</total_bytes_sec><read_iops_sec>2</read_iops_sec><write_iops_sec>3
        </write_iops_sec><write_iops_sec_max>3</write_iops_sec_max><size_iops_sec>4</size_iops_sec><group_name>g</group_name>
        <write_iops_sec_max_length>5</write_iops_sec_max_length></iotune>"""
    ctx, _ = built(file("type='raw'", tune))
    assert ctx.commands == [("block_set_io_throttle", {
        "id": "/machine/peripheral/virtio-disk0/virtio-backend", "bps": 1, "bps_rd": 0, "bps_wr": 0, "iops": 0,
        "iops_rd": 2, "iops_wr": 3, "iops_wr_max": 3, "iops_size": 4, "iops_wr_max_length": 5, "group": "g"})]  # fmt: skip


def test_one_disk_for_a_running_guest_is_the_same() -> None:
    ctx = context(file("type='raw'") + file("type='qcow2'", target="sda", bus="scsi", path="/b"))
    second = ctx.guest.devices.disks[1]
    items = disks.disk_items(ctx, second)
    assert [item.option for item in items] == ["blockdev", "blockdev", "device"] and not ctx.items
    disks.build(ctx)
    assert ctx.items[-3:] == items
    medium, node = disks.medium_items(ctx, second)
    assert (medium, node) == (items[:2], "frontinus-2-format")
    lun = """<disk type='block' device='lun'><source dev='/dev/{0}'><reservations managed='yes'/></source>
        <target dev='{0}' bus='scsi'/></disk>"""
    alone, pair = context(lun.format("sda")), context(lun.format("sda") + lun.format("sdb"))
    assert disks.disk_items(alone, alone.guest.devices.disks[0])[0].option == "object"
    assert disks.disk_items(pair, pair.guest.devices.disks[0])[0].option == "blockdev"
    assert disks.medium_items(ctx, Disk(target="hdc", bus="ide", device="cdrom", alias="x")) == ([], None)
