"""Each device beyond disks, networks, characters and graphics: what it is on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from frontinus.api.errors import InvalidXML, Unsupported, WrongState
from frontinus.domain.complete import complete
from frontinus.domain.definition import format_guest, parse_guest
from frontinus.domain.devices.tpm import Tpm
from frontinus.domain.devices.vsock import Vsock
from frontinus.domain.host import HostFacts, NumaNode, UsbDevice
from frontinus.domain.plan import Handed, Helper, Label, Listener, OpenFile, Vfio
from frontinus.domain.prepare import prepare
from frontinus.domain.qapi import Schema
from frontinus.qemu.argv.context import Context
from frontinus.qemu.argv.devices import filesystems, hostdevs, inputs, memory_devices, rng, tpm, vsock, watchdogs
from frontinus.qemu.hotplug import plan_device
from frontinus.xml import Model
from frontinus.xml.mapping import specs
from support.device_cases import AT, CASES, CELLS, DRIVE, ON_SCSI, Items
from support.devices import CAPS, HOST, PCI, PORT, emitted, guest_with, only
from support.guests import document

OTHERS = {f"frontinus.domain.devices.{name}" for name in ("base", "block.source", "block.credentials", "chardev")}
"""Models that others test."""


@pytest.mark.parametrize("name", CASES)
def test_device_on_the_command_line(name: str) -> None:
    xml, emit, alias, expected = CASES[name]
    items, _ = emitted(xml, emit, alias)
    assert items == expected


VIRTIOFS = f"""
<filesystem type='mount'><driver type='virtiofs' queue='1024'/><binary path='/opt/virtiofsd' xattr='on'>
<cache mode='always'/><sandbox mode='chroot'/><lock posix='off' flock='on'/><thread_pool size='16'/>
<openfiles max='99'/></binary><source dir='/pa,th'/><target dir='tag'/>
<idmap><uid start='0' target='1000' count='10'/><gid start='1' target='100' count='11'/></idmap>{PCI}</filesystem>"""
EMULATOR = """
<tpm><backend type='emulator' version='2.0' persistent_state='yes' debug='3'>
<encryption secret='32ee7e76-2178-47a1-ab7b-269e6e348015'/>
<profile source='local:ours' removeDisabled='check' name='ours'/>
<active_pcr_banks><sha1/><sha256/><sha384/><sha512/></active_pcr_banks></backend></tpm>"""
PROFILES = frozenset({"cmdarg-profile", "cmdarg-profile-remove-disabled"})
SCSI = f"""<hostdev type='scsi' sgio='filtered' rawio='yes'><source><adapter name='scsi_host3'/>
<address bus='0' target='1' unit='2'/></source>{DRIVE}</hostdev>"""
VHOST = f"""<hostdev type='scsi_host' model='virtio-non-transitional'>
<source protocol='vhost' wwpn='naa.5123456789abcde0'/>{PCI}</hostdev>"""
NVDIMM = """
<memory model='nvdimm' access='shared'><source><path>/nv</path><alignsize unit='MiB'>2</alignsize><pmem/></source>
<target><size unit='MiB'>64</size><node>0</node><label><size unit='KiB'>128</size></label><readonly/></target>
<address type='dimm' slot='1' base='0x100000000'/></memory>"""
VIRTIO_MEM = f"""
<memory model='virtio-mem' discard='yes'><source><nodemask>1-2</nodemask><pagesize unit='KiB'>2048</pagesize></source>
<target dynamicMemslots='yes'><size unit='GiB'>1</size><node>0</node><block unit='MiB'>2</block>
<requested unit='MiB'>512</requested><current unit='MiB'>4</current><address base='0x140000000'/></target>
<driver iommu='on' packed='off'/>{PCI}</memory>"""
OPTIONAL_USB = f"""<hostdev type='usb'><source startupPolicy='optional'><vendor id='0x1234'/><product id='0x1'/></source>
{PORT}</hostdev>"""
EVERYTHING = [xml for xml, *_ in CASES.values()] + [
    VIRTIOFS, EMULATOR, SCSI, VHOST, NVDIMM, VIRTIO_MEM, OPTIONAL_USB,
    "<tpm><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>",
    "<tpm><backend type='emulator'><source type='dir' path='/var/tpm'/></backend></tpm>",
]  # fmt: skip


@pytest.mark.parametrize("xml", EVERYTHING)
def test_a_device_reads_what_it_wrote(xml: str) -> None:
    guest = guest_with(xml)
    again = parse_guest(format_guest(guest))
    assert format_guest(again) == format_guest(guest)
    assert not list(guest.unknown())


ELSEWHERE = {
    "Filesystem": {"format", "source_file", "source_dev", "source_name", "pool", "volume", "usage", "units"},
    "PciHostdev": {"write_filtering"}, "UsbHostdev": {"missing", "device"}, "MemoryDevice": {"uuid"},
    "Shmem": {"msi"}, "Iommu": {"pci_bus"}, "CertificateSmartcard": {"mode"}, "PassthroughSmartcard": {"mode"},
}  # fmt: skip
"""Fields that are only refused, or only shown."""


def test_every_field_is_exercised() -> None:
    """A field that no XML above says is one whose translation nobody looked at."""
    said: dict[type[Model], set[str]] = {}
    for xml in EVERYTHING:
        device = only(guest_with(xml))
        for model in (device, *device.models()):
            told = {name for name, value in vars(model).items() if value not in (None, [])}
            said[type(model)] = said.get(type(model), set()) | told
    silent = {kind.__name__: own_fields(kind) - told - ELSEWHERE.get(kind.__name__, set())
              for kind, told in said.items() if kind.__module__ not in OTHERS}  # fmt: skip
    assert {name: fields for name, fields in silent.items() if fields} == {}


def own_fields(kind: type[Model]) -> set[str]:
    inherited = {name for base in kind.__mro__[1:] if issubclass(base, Model) for name in specs(base)}
    return set(specs(kind)) - inherited


def test_virtiofsd_runs_beside_qemu() -> None:
    items, resources = emitted(VIRTIOFS, filesystems.filesystem, "fs0")
    socket = "/folder/fs0-fs.sock"
    assert items[0] == ("chardev", {"backend": "socket", "id": "chr-vu-fs0", "path": socket})
    words = (
        "/opt/virtiofsd", f"--socket-path={socket}", "-o",
        "source=/pa\\,th,cache=always,sandbox=chroot,xattr,flock,no_posix_lock", "--thread-pool-size=16",
        "--rlimit-nofile=99", "--uid-map=:0:1000:10:", "--gid-map=:1:100:11:",
    )  # fmt: skip
    assert resources == [Helper("virtiofsd-fs0", words, socket, privileged=True)]


def test_virtiofsd_is_found_on_the_host() -> None:
    plain = f"<filesystem><driver type='virtiofs'/><source dir='/a'/><target dir='t'/>{PCI}</filesystem>"
    _, resources = emitted(plain, filesystems.filesystem, "fs0", host=replace(HOST, virtiofsd="/here/virtiofsd"))
    assert resources[0].argv == ("/here/virtiofsd", "--socket-path=/folder/fs0-fs.sock", "-o", "source=/a")


def test_a_usb_device_is_a_guest_s_once_however_it_is_named() -> None:
    named = "<hostdev type='usb'><source><vendor id='0x1'/><product id='0x2'/></source><alias name='a'/></hostdev>"
    placed = "<hostdev type='usb'><source><address bus='1' device='3'/></source><alias name='b'/></hostdev>"
    host = replace(HOST, usb=(UsbDevice(1, 3, 0x1, 0x2),))
    context = Context(guest_with(named + placed, host=host), CAPS, host, "/folder")
    for device in context.guest.devices.hostdevs:
        device.prepare(context.guest, CAPS, host)
    with pytest.raises(InvalidXML, match="1:3 is the guest's already"):
        hostdevs.build(context)


def test_virtiofs_that_cannot_be_written() -> None:
    plain = f"<filesystem><driver type='virtiofs'/><source dir='/a'/><target dir='t'/><readonly/>{PCI}</filesystem>"
    able = replace(HOST, virtiofsd_options=frozenset({"--readonly"}))
    _, (helper,) = emitted(plain, filesystems.filesystem, "fs0", host=able)
    assert isinstance(helper, Helper) and helper.argv[-1] == "--readonly"
    with pytest.raises(Unsupported, match="readonly"):
        emitted(plain, filesystems.filesystem, "fs0")


def test_swtpm_runs_beside_qemu_on_the_guests_own_state() -> None:
    items, resources = emitted(EMULATOR, tpm.tpm, "tpm0", host=replace(HOST, swtpm_setup=PROFILES))
    assert items == [
        ("chardev", {"backend": "socket", "id": "chrtpm", "path": "/folder/swtpm.sock"}),
        ("tpmdev", {"type": "emulator", "id": "tpm-tpm0", "chardev": "chrtpm"}),
        ("device", {"driver": "tpm-tis", "tpmdev": "tpm-tpm0", "id": "tpm0"}),
    ]
    (helper,) = resources
    own = "/state/swtpm/9a1f2f4e-5a0e-4a0e-8a3e-0123456789ab"
    folder = f"{own}/tpm2"
    secret = "32ee7e76-2178-47a1-ab7b-269e6e348015"
    assert helper.argv == (
        "/usr/bin/swtpm", "socket", "--ctrl", "type=unixio,path=/folder/swtpm.sock,mode=0600",
        "--tpmstate", f"dir={folder},mode=0600", "--log", f"file={own}/swtpm.log,level=3", "--terminate", "--tpm2",
        "--key", "pwdfd=3,mode=aes-256-cbc", "--migration-key", "pwdfd=4,mode=aes-256-cbc",
    )  # fmt: skip
    assert helper.setup == (
        "/usr/bin/swtpm_setup", "--tpm-state", folder, "--vmid", "demo:9a1f2f4e-5a0e-4a0e-8a3e-0123456789ab",
        "--logfile", f"{own}/swtpm.log", "--createek", "--lock-nvram", "--tpm2",
        "--pcr-banks", "sha1,sha256,sha384,sha512", "--pwdfile-fd", "3", "--cipher", "aes-256-cbc",
        "--profile-name", "local:ours", "--profile-remove-disabled", "check", "--not-overwrite",
    )  # fmt: skip
    assert helper.secrets == dict.fromkeys((3, 4), ("vtpm", secret, None))
    assert helper.folders == (own, folder)


@pytest.mark.parametrize(("known", "reason"), [
    (frozenset(), "no profiles"), (frozenset({"cmdarg-profile"}), "removeDisabled"),
])  # fmt: skip
def test_a_profile_needs_a_swtpm_that_knows_profiles(known: frozenset[str], reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        emitted(EMULATOR, tpm.tpm, "tpm0", host=replace(HOST, swtpm_setup=known))


@pytest.mark.parametrize(("source", "expected"), [
    ("<source type='file' path='/var/tpm.bin'/>", "backend-uri=file:///var/tpm.bin"),
    ("<source type='dir' path='/var/tpm'/>", "dir=/var/tpm,mode=0600"),
    ("", "dir=/state/swtpm/9a1f2f4e-5a0e-4a0e-8a3e-0123456789ab/tpm1.2,mode=0600"),
])  # fmt: skip
def test_swtpm_keeps_its_state_where_the_guest_says(source: str, expected: str) -> None:
    _, resources = emitted(f"<tpm><backend type='emulator'>{source}</backend></tpm>", tpm.tpm, "tpm0")
    assert expected in resources[0].argv
    assert "--tpm2" not in resources[0].argv


def test_the_hosts_tpm_is_opened_for_qemu() -> None:
    items, resources = emitted("<tpm><backend type='passthrough'/></tpm>", tpm.tpm, "tpm0")
    assert [resource.path for resource in resources] == ["/dev/tpm0", "/sys/class/tpm/tpm0/device/cancel"]
    assert items[2] == ("tpmdev", {"type": "passthrough", "id": "tpm-tpm0", "path": "/dev/fdset/3",
                                   "cancel-path": "/dev/fdset/4"})  # fmt: skip
    with pytest.raises(InvalidXML):
        emitted("<tpm><backend type='passthrough'><device path='/etc/passwd'/></backend></tpm>", tpm.tpm, "tpm0")


def test_the_default_version_follows_the_model() -> None:
    for model, version in (("tpm-tis", "1.2"), ("tpm-crb", "2.0")):
        device = only(guest_with(f"<tpm model='{model}'><backend type='emulator'/></tpm>"))
        assert isinstance(device, Tpm)
        assert device.backend is not None
        assert device.backend.version == version


def test_devices_that_qemu_opens_are_in_its_reach() -> None:
    evdev = "<input type='evdev'><source dev='/dev/input/event9'/></input>"
    assert emitted(evdev, inputs.input_device, "input0")[1] == [Label("/dev/input/event9")]
    hwrng = f"<rng model='virtio'><backend model='random'>/dev/hwrng</backend>{PCI}</rng>"
    assert emitted(hwrng, rng.rng, "rng0")[1] == [Label("/dev/hwrng", readonly=True, shared=True)]
    managed = CASES["pci unassigned"][0]
    assert emitted(managed, hostdevs.hostdev, "hostdev0")[1] == [Vfio("/sys/bus/pci/devices/0000:06:12.5", True)]
    vsock_fd = OpenFile("/dev/vhost-vsock", 3, device=True)
    assert emitted(CASES["vsock"][0], vsock.vsock, "vsock0")[1] == [vsock_fd]


CARD = """<hostdev type='pci' managed='yes'><driver name='vfio'{1}/><source><address bus='0x06' slot='{0}' function='0'/></source>
<address type='pci' domain='0' bus='0' slot='{0}' function='0'/></hostdev>"""


class WithIommufd(Schema):
    """What a QEMU says that has iommufd."""

    def has(self, path: str) -> bool:
        return path.endswith(("qom-type=iommufd", "qom-type=secret")) or CAPS.schema.has(path)


IOMMUFD = replace(CAPS, schema=WithIommufd(()), properties={
    **CAPS.properties, "vfio-pci": {**CAPS.properties.get("vfio-pci", {}), "iommufd": "", "fd": ""}})  # fmt: skip


def by_iommufd(head: str, *cards: str, facts: HostFacts = HOST) -> Context:
    guest = prepare(
        complete(parse_guest(document("".join(cards), "pc", head)), IOMMUFD, facts), IOMMUFD, facts, guest_id=1
    )
    return Context(guest, IOMMUFD, facts, "/f")


def test_devices_share_one_iommufd_which_the_engine_opens() -> None:
    yes, no = " iommufd='yes'", " iommufd='no'"
    ctx = by_iommufd("", CARD.format(5, yes), CARD.format(6, no), CARD.format(7, yes))
    hostdevs.build(ctx)
    (shared,) = [item.value for item in ctx.items if item.option == "object"]
    cards = [item.value for item in ctx.items if item.option == "device"]
    assert isinstance(shared, Mapping) and (shared["qom-type"], shared["id"]) == ("iommufd", "iommufd0")
    assert [(card.get("iommufd"), "fd" in card) for card in cards] == [
        ("iommufd0", True),
        (None, False),
        ("iommufd0", True),
    ]
    opened = [need for need in ctx.resources if isinstance(need, OpenFile)]
    assert opened == [OpenFile("/dev/iommu", int(shared["fd"]), device=True)]
    taken = [str(need.fd) for need in ctx.resources if isinstance(need, Vfio) and need.fd is not None]
    assert taken == [cards[0]["fd"], cards[2]["fd"]] and shared["fd"] not in taken
    everyone = by_iommufd("<iommufd enabled='yes'/>", CARD.format(5, ""), CARD.format(6, no))
    hostdevs.build(everyone)
    assert [item.value.get("iommufd") for item in everyone.items if item.option == "device"] == ["iommufd0", None]


def test_an_iommufd_that_the_caller_opened() -> None:
    head = "<iommufd enabled='yes' fdgroup='mine'/>"
    ctx = by_iommufd(head, CARD.format(5, ""), facts=replace(HOST, fdgroups={"mine": ["rw"]}))
    hostdevs.build(ctx)
    (shared,) = [item.value for item in ctx.items if item.option == "object"]
    assert [need for need in ctx.resources if isinstance(need, Handed)] == [Handed("mine", (int(shared["fd"]),))]
    with pytest.raises(WrongState, match="<iommufd fdgroup='mine'>"):
        hostdevs.build(by_iommufd(head, CARD.format(5, ""), facts=replace(HOST, fdgroups={})))


def test_a_plugged_device_brings_the_iommufd_if_it_is_the_first() -> None:
    yes = " iommufd='yes'"
    alone = by_iommufd("", CARD.format(5, yes)).guest
    plan = plan_device(alone, alone.devices.hostdevs[0], IOMMUFD, HOST)
    assert [step.command for step in plan.steps] == ["object-add", "device_add"]
    shared, card = plan.steps
    assert shared.undo == ("object-del", {"id": "iommufd0"})
    for step in plan.steps:  # a running QEMU knows descriptors by name
        assert step.fds == ((step.arguments["fd"], int(str(step.arguments["fd"]).removeprefix("fd"))),)
    two = by_iommufd("", CARD.format(5, yes), CARD.format(6, yes)).guest
    assert [step.command for step in plan_device(two, two.devices.hostdevs[1], IOMMUFD, HOST).steps] == ["device_add"]


def test_a_listening_socket_of_an_egd_is_made_by_the_engine() -> None:
    xml = f"""<rng model='virtio'><backend model='egd' type='unix'><source mode='bind' path='/run/egd'/></backend>{PCI}
        </rng>"""
    items, resources = emitted(xml, rng.rng, "rng0")
    assert items[0] == ("chardev", {"backend": "socket", "id": "charrng0", "fd": "3", "server": True, "wait": False})
    assert resources == [Listener("/run/egd", 3)]


def test_usb_devices_are_found_by_vendor_and_product() -> None:
    host = replace(HOST, usb=(UsbDevice(3, 7, 0x1234, 1), UsbDevice(3, 8, 0x1234, 2), UsbDevice(4, 1, 0x1234, 2)))

    def place(product: int, extra: str = "", policy: str = "") -> object:
        xml = f"""<hostdev type='usb'><source {policy}><vendor id='0x1234'/><product id='{product}'/>{extra}</source>
            {PORT}</hostdev>"""
        return dict(emitted(xml, hostdevs.hostdev, "hostdev0", host=host)[0][0][1]).get("hostdevice")  # type: ignore[call-overload]

    assert place(1) == "/dev/bus/usb/003/007"
    assert place(2, "<address bus='4' device='1'/>") == "/dev/bus/usb/004/001"
    assert place(9, policy="startupPolicy='optional'") is None
    with pytest.raises(Unsupported, match="several"):
        place(2)
    with pytest.raises(Unsupported, match="no USB device"):
        place(9, policy="startupPolicy='requisite'")


def test_an_older_qemu_finds_usb_devices_by_numbers() -> None:
    old = replace(CAPS, properties={**CAPS.properties, "usb-host": {}})
    items, _ = emitted(CASES["usb by place"][0], hostdevs.hostdev, "hostdev0", caps=old)
    assert items[0][1]["hostbus"] == 14  # type: ignore[index]


def test_a_scsi_unit_is_found_by_its_adapter() -> None:
    host = replace(HOST, scsi_generic={"3:0:1:2": "sg5"})
    items, resources = emitted(SCSI, hostdevs.hostdev, "hostdev0", host=host)
    assert items == [
        ("blockdev", {"driver": "host_device", "filename": "/dev/sg5", "node-name": "frontinus-hostdev0-backend",
                      "read-only": False}),
        ("device", {"driver": "scsi-generic", "drive": "frontinus-hostdev0-backend", "id": "hostdev0", **ON_SCSI}),
    ]  # fmt: skip
    assert resources == [Label("/dev/sg5")]
    with pytest.raises(Unsupported, match="3:0:1:2"):
        emitted(SCSI, hostdevs.hostdev, "hostdev0")


def test_vhost_scsi_is_opened_for_qemu() -> None:
    items, resources = emitted(VHOST, hostdevs.hostdev, "hostdev0")
    assert items == [("device", {"driver": "vhost-scsi-pci-non-transitional", "wwpn": "naa.5123456789abcde0",
                                 "vhostfd": "3", "id": "hostdev0", **AT})]  # fmt: skip
    assert resources == [OpenFile("/dev/vhost-scsi", 3, device=True)]


def test_an_mdev_shows_nothing_unless_asked() -> None:
    xml = f"""<hostdev type='mdev' model='vfio-pci'>
        <source><address uuid='53764d0e-85a0-42b4-af5c-2046b460b1dc'/></source>{PCI}</hostdev>"""
    items, _ = emitted(xml, hostdevs.hostdev, "hostdev0")
    assert items[0][1] == {"driver": "vfio-pci", "id": "hostdev0", "display": "off", **AT,
                           "sysfsdev": "/sys/bus/mdev/devices/53764d0e-85a0-42b4-af5c-2046b460b1dc"}  # fmt: skip


def test_what_containers_have_is_refused() -> None:
    xml = "<hostdev mode='capabilities' type='misc'><source><char>/dev/input/js0</char></source></hostdev>"
    with pytest.raises(Unsupported):
        emitted(xml, hostdevs.hostdev, "hostdev0")


def test_the_watchdogs_action_is_said_once() -> None:
    guest = guest_with("<watchdog model='itco' action='dump'/><watchdog model='ib700' action='dump'/>")
    for number, device in enumerate(guest.devices.watchdogs):
        device.alias = f"watchdog{number}"
    context = Context(guest, CAPS, HOST)
    watchdogs.build(context)
    assert [(item.option, item.value) for item in context.items] == [
        ("global", "ICH9-LPC.noreboot=off"), ("device", {"driver": "ib700", "id": "watchdog1"}),
        ("watchdog-action", "pause"),
    ]  # fmt: skip


def test_context_ids_of_running_guests_never_meet() -> None:
    automatic = only(guest_with(f"<vsock><cid auto='yes'/>{PCI}</vsock>"))
    assert isinstance(automatic, Vsock)
    chosen = [automatic.choose_cid(number) for number in range(100)]
    assert len(set(chosen)) == 100
    assert min(chosen) > 2


def test_a_running_guest_shows_what_its_start_chose() -> None:
    growing = VIRTIO_MEM.replace("<current unit='MiB'>4</current>", "")
    guest = guest_with(f"<vsock><cid auto='yes'/>{PCI}</vsock>{growing}")
    guest.id = 5
    for device in guest.devices.all():
        device.prepare(guest, CAPS, HOST)
    shown = format_guest(guest, active=True)
    assert "<cid auto='yes' address='48'/>" in shown
    assert "<current unit='KiB'>0</current>" in shown
    assert "<current" not in format_guest(guest)


@pytest.mark.parametrize(("xml", "alias", "expected"), [
    ("<memory model='dimm'><target><size unit='KiB'>524287</size><node>0</node></target>"
     "<address type='dimm' slot='2'/></memory>", "dimm2", [
         ("object", {"qom-type": "memory-backend-ram", "id": "memdimm2", "size": 512 << 20}),
         ("device", {"driver": "pc-dimm", "node": 0, "memdev": "memdimm2", "id": "dimm2", "slot": 2})]),
    (NVDIMM, "nvdimm1", [
        ("object", {"qom-type": "memory-backend-file", "id": "memnvdimm1", "mem-path": "/nv", "share": True,
                    "size": 64 << 20, "align": 2 << 20, "pmem": True}),
        ("device", {"driver": "nvdimm", "node": 0, "label-size": 128 << 10, "unarmed": True, "memdev": "memnvdimm1",
                    "id": "nvdimm1", "slot": 1, "addr": 1 << 32})]),
    (VIRTIO_MEM, "virtiomem0", [
        ("object", {"qom-type": "memory-backend-file", "id": "memvirtiomem0", "mem-path": "/huge/-1-demo",
                    "discard-data": True, "reserve": False, "size": 1 << 30, "host-nodes": [1, 2], "policy": "bind"}),
        ("device", {"driver": "virtio-mem-pci", "iommu_platform": True, "packed": False,
                        "node": 0, "block-size": 2 << 20, "requested-size": 512 << 20,
                    "memdev": "memvirtiomem0", "prealloc": True, "dynamic-memslots": True, "memaddr": 0x140000000,
                    "id": "virtiomem0", **AT})]),
    (f"<memory model='virtio-pmem'><source><path>/p</path></source><target><size unit='MiB'>64</size></target>{PCI}"
     "</memory>", "virtiopmem0", [
         ("object", {"qom-type": "memory-backend-file", "id": "memvirtiopmem0", "mem-path": "/p", "share": True,
                     "size": 64 << 20}),
         ("device", {"driver": "virtio-pmem-pci", "memdev": "memvirtiopmem0", "id": "virtiopmem0", **AT})]),
    ("<memory model='sgx-epc'><source><nodemask>1</nodemask></source><target><size unit='MiB'>64</size></target>"
     "</memory>", "epc0", [
         ("object", {"qom-type": "memory-backend-epc", "id": "memepc0", "prealloc": True, "size": 64 << 20,
                     "host-nodes": [1], "policy": "bind"})]),
])  # fmt: skip
def test_memory_devices(xml: str, alias: str, expected: Items) -> None:
    host = replace(HOST, hugepages={2 << 20: "/huge"}, nodes=tuple(NumaNode(n) for n in range(3)))
    items, _ = emitted(xml, memory_devices.memory_device, alias, head=CELLS, host=host)
    told = [(option, {k: v for k, v in dict(value).items() if v is not None}) for option, value in items]  # type: ignore[call-overload]
    assert told == expected
