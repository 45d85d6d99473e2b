"""What libvirt's disks learned after QEMU 7.2: threads by queue, throttle groups, statistics, SSH identities."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.complete import complete
from frontinus.domain.definition import format_guest, parse_guest
from frontinus.domain.guest import Guest
from frontinus.domain.plan import Helper, Label, OpenFile, Use
from frontinus.domain.prepare import prepare
from frontinus.domain.qapi import Schema
from frontinus.qemu.argv.block import disks
from frontinus.qemu.argv.context import Context
from frontinus.qemu.argv.devices import controllers
from frontinus.qemu.hotplug import plan_device
from support.guests import document, host, qemu72

GROUPS = """<iothreads>3</iothreads><throttlegroups>
<throttlegroup><group_name>slow</group_name><total_iops_sec>100</total_iops_sec><read_bytes_sec>5</read_bytes_sec>
  <total_iops_sec_max>200</total_iops_sec_max><total_iops_sec_max_length>3</total_iops_sec_max_length></throttlegroup>
<throttlegroup><group_name>all</group_name><write_iops_sec>7</write_iops_sec></throttlegroup></throttlegroups>"""
DISK = "<disk type='file'><driver {0}>{1}</driver><source file='/a'/><target dev='{2}'{3}/>{4}</disk>"


def newer() -> Capabilities:
    """QEMU 7.2 with what later ones have."""
    caps = qemu72()
    extra = {"iothread-vq-mapping": "", "stats-intervals": ""}
    types = ("virtio-blk-pci", "virtio-scsi-pci")
    return replace(caps, properties={**caps.properties, **{t: {**caps.properties[t], **extra} for t in types}})


def disk(driver: str = "", inside: str = "", target: str = "vda", more: str = "", after: str = "") -> str:
    return DISK.format(driver, inside, target, more, after)


def defined(devices: str, caps: Capabilities | None = None) -> Guest:
    return complete(parse_guest(document(devices, "q35", GROUPS)), caps or newer(), host())


def emitted(devices: str) -> dict[str, list[dict[str, object]]]:
    """The properties of every option of the disks and controllers."""
    guest = prepare(defined(devices), newer(), host(), guest_id=1)
    ctx = Context(guest, newer(), host(), "/f")
    controllers.build(ctx)
    disks.build(ctx)
    found: dict[str, list[dict[str, object]]] = {}
    for item in ctx.items:
        if isinstance(item.value, dict):
            found.setdefault(item.option, []).append(item.value)
    return found


MAPPED = """<iothreads><iothread id='1'><queue id='0'/><queue id='2'/></iothread><iothread id='3'><queue id='1'/></iothread>
</iothreads>"""
EVEN = "<iothreads><iothread id='2'/><iothread id='1'/></iothreads>"


def test_queues_have_threads() -> None:
    (card,) = [d for d in emitted(disk("queues='3'", MAPPED))["device"] if d["driver"] == "virtio-blk-pci"]
    assert card["iothread-vq-mapping"] == [
        {"iothread": "iothread1", "vqs": [0, 2]},
        {"iothread": "iothread3", "vqs": [1]},
    ]
    (card,) = [d for d in emitted(disk("", EVEN))["device"] if d["driver"] == "virtio-blk-pci"]
    assert card["iothread-vq-mapping"] == [{"iothread": "iothread2"}, {"iothread": "iothread1"}]
    scsi = f"<controller type='scsi' model='virtio-scsi'><driver>{EVEN}</driver></controller>"
    (card,) = [d for d in emitted(scsi)["device"] if d["driver"] == "virtio-scsi-pci"]
    assert card["iothread-vq-mapping"] == [{"iothread": "iothread2"}, {"iothread": "iothread1"}]


def test_filters_stand_between_the_disk_and_its_image() -> None:
    filters = "<throttlefilters><throttlefilter group='all'/><throttlefilter group='slow'/></throttlefilters>"
    found = emitted(disk(after=filters))
    assert found["object"] == [
        {"qom-type": "throttle-group", "id": "throttle-slow", "limits": {
            "iops-total": 100, "bps-read": 5, "iops-total-max": 200, "iops-total-max-length": 3}},
        {"qom-type": "throttle-group", "id": "throttle-all", "limits": {"iops-write": 7}},
    ]  # fmt: skip
    low, high = found["blockdev"][-2:]
    assert (low["throttle-group"], high["throttle-group"]) == ("throttle-slow", "throttle-all")
    assert (low["file"], high["file"]) == (found["blockdev"][1]["node-name"], low["node-name"])
    assert found["device"][-1]["drive"] == high["node-name"]


def test_limits_before_a_command_line_could_say_structures() -> None:
    ctx = Context(defined(""), replace(newer(), schema=type(newer().schema)(())), host(), "/f")
    disks.build(ctx)
    groups = [item.value for item in ctx.items if item.option == "object"]
    assert groups[1] == {"qom-type": "throttle-group", "id": "throttle-all", "x-iops-write": 7}


def test_statistics_and_write_through() -> None:
    inside = "<statistics><statistic interval='1'/><statistic interval='10'/></statistics>"
    assert emitted(disk("", inside))["device"][-1]["stats-intervals"] == [1, 10]
    assert emitted(disk(target="sda", more=" bus='scsi' dpofua='on'"))["device"][-1]["dpofua"] is True


NBDKIT = replace(host(), nbdkit="/usr/bin/nbdkit", nbdkit_parts=frozenset({"ssh", "curl", "readahead"}))
SSH = """<disk type='network'><source protocol='ssh' name='/a'><host name='h'/>{}</source><target dev='vdb'/></disk>"""


def test_the_user_of_an_ssh_login() -> None:
    node = emitted(SSH.format("<identity username='joe'/>"))["blockdev"][0]
    assert (node["driver"], node["user"], node["server"]) == ("ssh", "joe", {"host": "h", "port": "22"})


LOGIN = """<auth username='joe'><secret type='iscsi' uuid='5a3f7b4e-4f2b-4c57-9d3c-0f6ad2b1a1c0'/></auth>"""
BY_USAGE = """<auth username='joe'><secret type='iscsi' usage='h'/></auth>"""


@pytest.mark.parametrize(
    ("inside", "words", "files", "secrets"),
    [
        ("<identity username='j' keyfile='/k'/>", ["user=j", "identity=/k"], ["/k"], {}),
        ("<knownHosts path='/known,1'/>", ["known-hosts=/known,1"], ["/known,1"], {}),
        ("<identity username='j' agentsock='/s'/>", ["user=j"], [], {}),
        (LOGIN, ["user=joe", "password=-10"], [], {10: ("iscsi", "5a3f7b4e-4f2b-4c57-9d3c-0f6ad2b1a1c0", None)}),
        (BY_USAGE, ["user=joe", "password=-10"], [], {10: ("iscsi", None, "h")}),
    ],
)
def test_an_ssh_login_that_needs_nbdkit(
    inside: str, words: list[str], files: list[str], secrets: dict[int, Use]
) -> None:
    guest = prepare(defined(SSH.format(inside) + SSH.format("").replace("vdb", "vdc")), newer(), host(), guest_id=1)
    ctx = Context(guest, newer(), NBDKIT, "/f")
    disks.build(ctx)
    nodes = [item.value for item in ctx.items if item.option == "blockdev"]
    assert [node["driver"] for node in nodes] == ["nbd", "raw", "ssh", "raw"]  # the other logs in by itself
    helpers = [need for need in ctx.resources if isinstance(need, Helper)]
    assert nodes[0]["server"] == {"type": "unix", "path": helpers[0].socket} and len(helpers) == 1
    assert helpers[0].argv[:5] == ("/usr/bin/nbdkit", "--foreground", "--unix", helpers[0].socket, "ssh")
    assert list(helpers[0].argv[5:]) == ["host=h", "port=22", "path=/a", *words] and helpers[0].secrets == secrets
    assert [need.path for need in ctx.resources if isinstance(need, Label)] == files
    assert helpers[0].env == ({"SSH_AUTH_SOCK": "/s"} if "agentsock" in inside else {})


WEB = """<disk type='network' device='cdrom'>{auth}<source protocol='https' name='a b' query='c=d'><host name='h'/>
<ssl verify='no'/><cookies><cookie name='k'>v</cookie></cookies><readahead size='65536'/><timeout seconds='9'/></source>
<target dev='sda' bus='sata'/></disk>"""


class WithoutCurl(Schema):
    """What a QEMU says that was built without curl."""

    def has(self, path: str) -> bool:
        return not path.endswith("driver=https") and newer().schema.has(path)


def test_a_web_server_is_reached_by_nbdkit_where_qemu_cannot() -> None:
    guest = prepare(defined(WEB.format(auth=LOGIN)), newer(), host(), guest_id=1)
    native = Context(guest, newer(), NBDKIT, "/f")
    disks.build(native)
    assert [item.value["driver"] for item in native.items if item.option == "blockdev"] == ["https", "raw"]
    ctx = Context(guest, replace(newer(), schema=WithoutCurl(())), NBDKIT, "/f")
    disks.build(ctx)
    assert [item.value["driver"] for item in ctx.items if item.option == "blockdev"] == ["nbd", "raw"]
    (helper,) = [need for need in ctx.resources if isinstance(need, Helper)]
    assert helper.argv[4:] == (
        "--readonly", "--filter=readahead", "curl", "url=https://h:443/a%20b?c=d", "protocols=https", "user=joe",
        "password=-10", "cookie=-11", "sslverify=false", "timeout=9",
    )  # fmt: skip
    assert (list(helper.secrets), helper.texts) == ([10], {11: "k=v"})
    assert "k=v" not in repr(helper)


def test_a_key_file_without_nbdkit() -> None:
    ctx = Context(defined(SSH.format("<knownHosts path='/k'/>")), newer(), host(), "/f")
    with pytest.raises(Unsupported, match="need nbdkit"):
        disks.build(ctx)


@pytest.mark.parametrize(
    ("devices", "reason"),
    [
        (disk("iothread='1'", EVEN), "either one iothread, or <iothreads>"),
        (disk("", EVEN.replace("'2'", "'9'")), "there is no iothread 9"),
        (disk("", EVEN.replace("'2'", "'1'")), "iothread 1 is named twice"),
        (disk("queues='4'", MAPPED), "each of the 4 queues"),
        (disk("queues='3'", MAPPED.replace("<queue id='1'/>", "")), "either all threads name their queues"),
        (disk("", EVEN, "sda", " bus='scsi'"), "not possible on bus 'scsi'"),
        (f"<controller type='scsi' model='lsilogic'><driver>{EVEN}</driver></controller>", "only for virtio SCSI"),
        (disk(after="<throttlefilters><throttlefilter group='none'/></throttlefilters>"), "no <throttlegroup> 'none'"),
        (disk(after="<iotune><total_iops_sec>1</total_iops_sec></iotune><throttlefilters><throttlefilter group='all'/>"
              "</throttlefilters>"), "exclude each other"),
        (disk("discard_no_unref='on'"), "only for images of format qcow2"),
        (disk(more=" dpofua='on'"), "only for disks on bus scsi"),
    ],
)  # fmt: skip
def test_what_cannot_be(devices: str, reason: str) -> None:
    with pytest.raises(InvalidXML, match=reason):
        defined(devices)


@pytest.mark.parametrize(
    "devices",
    [
        disk("", EVEN),
        disk("type='qcow2' discard_no_unref='on'"),
        disk("", "<statistics><statistic interval='1'/></statistics>"),
    ],
)
def test_what_qemu_7_2_lacks_is_said(devices: str) -> None:
    with pytest.raises(Unsupported, match="not supported by this QEMU"):
        defined(devices, qemu72())


def test_groups_need_names_of_their_own() -> None:
    for name in ("", "<group_name>slow</group_name>"):
        text = document("", "q35", GROUPS.replace("<group_name>all</group_name>", name))
        with pytest.raises(InvalidXML, match="<throttlegroup>"):
            complete(parse_guest(text), newer(), host())


def test_it_reads_back_as_it_was_written() -> None:
    guest = defined(
        disk("queues='3'", MAPPED, after="<throttlefilters><throttlefilter group='all'/></throttlefilters>")
    )
    assert parse_guest(format_guest(guest, secrets=True)) == guest


# --- NVMe, vDPA, data beside an image, histograms


NVME = "<disk type='file'><driver type='qcow2'/><source file='/{0}'/><target dev='{0}' bus='nvme'/></disk>"


def test_nvme_controllers_and_their_namespaces() -> None:
    found = emitted(NVME.format("nvme0n1") + NVME.format("nvme1n3").replace(" bus='nvme'", ""))
    controllers_ = [device for device in found["device"] if device["driver"] == "nvme"]
    assert [(device["id"], len(str(device["serial"]))) for device in controllers_] == [("nvme0", 20), ("nvme1", 20)]
    assert controllers_[0]["serial"] != controllers_[1]["serial"] and str(controllers_[0]["bus"]).startswith("pci.")
    spaces = [device for device in found["device"] if device["driver"] == "nvme-ns"]
    assert [(s["id"], s["bus"], s["nsid"]) for s in spaces] == [("nvme0-0-0", "nvme0", 1), ("nvme1-0-2", "nvme1", 3)]


def test_an_nvme_controller_keeps_its_serial_number() -> None:
    guest = defined("<controller type='nvme' index='0'><serial>mine</serial></controller>" + NVME.format("nvme0n1"))
    assert "<serial>mine</serial>" in format_guest(guest)
    assert complete(parse_guest(format_guest(guest)), newer(), host()) == guest


VDPA = """<disk type='vhostvdpa' device='disk'><source dev='/dev/vhost-vdpa-0'/><target dev='vda'/></disk>"""


class WithVdpa(Schema):
    """What a QEMU says that has the driver of libblkio."""

    def has(self, path: str) -> bool:
        return path.endswith("driver=virtio-blk-vhost-vdpa") or newer().schema.has(path)


def test_a_vdpa_disk_is_opened_for_qemu() -> None:
    caps = replace(newer(), schema=WithVdpa(()))
    guest = prepare(complete(parse_guest(document(VDPA, "q35")), caps, host()), caps, host(), guest_id=1)
    ctx = Context(guest, caps, host(), "/f")
    disks.build(ctx)
    (fd,) = [item.value for item in ctx.items if item.option == "add-fd"]
    node = next(item.value for item in ctx.items if item.option == "blockdev")
    assert isinstance(fd, dict) and isinstance(node, dict)
    assert (node["driver"], node["path"]) == ("virtio-blk-vhost-vdpa", f"/dev/fdset/{fd['set']}")
    assert node["cache"] == {"direct": True, "no-flush": False}
    assert [(need.path, need.device) for need in ctx.resources if isinstance(need, OpenFile)] == [
        ("/dev/vhost-vdpa-0", True)
    ]
    with pytest.raises(Unsupported, match="vhostvdpa"):
        defined(VDPA)


STORE = """<disk type='file'><driver type='qcow2'/><source file='/q'><dataStore type='block'><format type='raw'/>
<source dev='/dev/data'/></dataStore></source><target dev='vda'/></disk>"""


def test_the_data_of_an_image_beside_it() -> None:
    nodes = emitted(STORE)["blockdev"]
    assert [(node["driver"], node["node-name"]) for node in nodes] == [
        ("file", "frontinus-1-storage"), ("host_device", "frontinus-1-data-storage"), ("raw", "frontinus-1-data-format"),
        ("qcow2", "frontinus-1-format"),
    ]  # fmt: skip
    assert (nodes[3]["file"], nodes[3]["data-file"]) == ("frontinus-1-storage", "frontinus-1-data-format")


HISTOGRAMS = """<statistics><latency-histogram type='read'><bin start='0'/><bin start='1000'/><bin start='5000'/>
</latency-histogram><latency-histogram type='zone'><bin start='7'/></latency-histogram></statistics>"""


def test_histograms_are_asked_for_before_the_guest_runs() -> None:
    ctx = Context(prepare(defined(disk("", HISTOGRAMS)), newer(), host(), guest_id=1), newer(), host(), "/f")
    disks.build(ctx)
    assert ctx.commands == [("block-latency-histogram-set", {
        "id": "/machine/peripheral/virtio-disk0/virtio-backend", "boundaries-read": [1000, 5000], "boundaries-zap": [7],
    })]  # fmt: skip


def test_granularity_and_the_patience_of_nbd() -> None:
    assert emitted(disk(after="<blockio discard_granularity='4096'/>"))["device"][-1]["discard_granularity"] == 4096
    nbd = """<disk type='network'><source protocol='nbd' name='e'><host name='h'/><reconnect delay='10'/></source>
    <target dev='vda'/></disk>"""
    assert emitted(nbd)["blockdev"][0]["reconnect-delay"] == 10


@pytest.mark.parametrize(
    ("devices", "reason"),
    [
        (NVME.format("nvme0n1").replace("</disk>", "<serial>s</serial></disk>"), "is the controller's"),
        (NVME.format("nvme0n1").replace("<driver ", "<driver error_policy='stop' "), "cannot be set on bus 'nvme'"),
        (NVME.format("nvme0n1").replace("<disk ", "<disk device='cdrom' "), "no removable media"),
        (NVME.format("vda"), "'vda' is not a name of bus 'nvme'"),
        (NVME.format("nvme0n0"), "not the name of a drive"),
        (disk(target="nvme0n1", more=" bus='virtio'"), "not a name of bus 'virtio'"),
        ("<controller type='nvme'><serial>123456789012345678901</serial></controller>", "1 to 20 bytes"),
        ("<controller type='usb'><serial>1</serial></controller>", "only for controllers of type nvme"),
        (VDPA.replace("<source", "<driver cache='writeback'/><source"), "cache 'none'"),
        (VDPA.replace("dev='/dev/vhost-vdpa-0'", ""), "'dev' is missing"),
        (STORE.replace("'qcow2'", "'raw'"), "only for images of format qcow2"),
        (STORE.replace("<format type='raw'/>", ""), "its format is 'raw'"),
        (STORE.replace("dev='/dev/data'", ""), "<dataStore>: <source> is missing"),
        (disk("", HISTOGRAMS.replace("'1000'", "'6000'")), "above the one before"),
        (disk("", HISTOGRAMS.replace(" type='zone'", "")), "two for the same requests"),
        (disk("", HISTOGRAMS.replace("'7'", "'0'")), "starts above 0 is missing"),
        (
            "<controller type='pci' model='pcie-root-port'><target memReserve='5000000000'/></controller>",
            "'memReserve'",
        ),
    ],
)
def test_what_of_this_cannot_be(devices: str, reason: str) -> None:
    with pytest.raises(InvalidXML, match=re.escape(reason)):
        defined(devices)


def test_memory_that_a_port_reserves() -> None:
    (port,) = [d for d in emitted("<controller type='pci' model='pcie-root-port'><target memReserve='2048'/></controller>")
               ["device"] if "mem-reserve" in d]  # fmt: skip
    assert port["mem-reserve"] == 2048 * 1024


def test_an_nvme_disk_cannot_come_later() -> None:
    guest = prepare(defined(NVME.format("nvme0n1")), newer(), host(), guest_id=1)
    with pytest.raises(Unsupported, match="cannot be plugged"):
        plan_device(guest, guest.devices.disks[0], newer(), host())
