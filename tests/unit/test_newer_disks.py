"""What libvirt's disks learned after QEMU 7.2: threads by queue, throttle groups, statistics, SSH identities."""

from __future__ import annotations

from dataclasses import replace

import pytest

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.complete import complete
from frontinus.domain.definition import format_guest, parse_guest
from frontinus.domain.guest import Guest
from frontinus.domain.plan import Helper, Label
from frontinus.domain.prepare import prepare
from frontinus.qemu.argv import controllers, disks
from frontinus.qemu.argv.context import Context
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


SSH = """<disk type='network'><source protocol='ssh' name='/a'><host name='h'/>{}</source><target dev='vdb'/></disk>"""


def test_the_user_of_an_ssh_login() -> None:
    node = emitted(SSH.format("<identity username='joe'/>"))["blockdev"][0]
    assert (node["driver"], node["user"], node["server"]) == ("ssh", "joe", {"host": "h", "port": "22"})
    with pytest.raises(Unsupported, match="neither QEMU nor nbdkit"):
        defined(SSH.format("<identity agentsock='/s'/>"))


LOGIN = """<auth username='joe'><secret type='iscsi' uuid='5a3f7b4e-4f2b-4c57-9d3c-0f6ad2b1a1c0'/></auth>"""


@pytest.mark.parametrize(
    ("inside", "words", "files", "secrets"),
    [
        ("<identity username='j' keyfile='/k'/>", ["user=j", "identity=/k"], ["/k"], {}),
        ("<knownHosts path='/known,1'/>", ["known-hosts=/known,1"], ["/known,1"], {}),
        (LOGIN, ["user=joe", "password=-10"], [], {10: "5a3f7b4e-4f2b-4c57-9d3c-0f6ad2b1a1c0"}),
    ],
)
def test_an_ssh_login_that_needs_nbdkit(
    inside: str, words: list[str], files: list[str], secrets: dict[int, str]
) -> None:
    guest = prepare(defined(SSH.format(inside) + SSH.format("").replace("vdb", "vdc")), newer(), host(), guest_id=1)
    ctx = Context(guest, newer(), replace(host(), nbdkit="/usr/bin/nbdkit"), "/f")
    disks.build(ctx)
    nodes = [item.value for item in ctx.items if item.option == "blockdev"]
    assert [node["driver"] for node in nodes] == ["nbd", "raw", "ssh", "raw"]  # the other logs in by itself
    helpers = [need for need in ctx.resources if isinstance(need, Helper)]
    assert nodes[0]["server"] == {"type": "unix", "path": helpers[0].socket} and len(helpers) == 1
    assert helpers[0].argv[:5] == ("/usr/bin/nbdkit", "--foreground", "--unix", helpers[0].socket, "ssh")
    assert list(helpers[0].argv[5:]) == ["host=h", "port=22", "path=/a", *words] and helpers[0].secrets == secrets
    assert [need.path for need in ctx.resources if isinstance(need, Label)] == files


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
