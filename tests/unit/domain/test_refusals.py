"""Whole definitions that contradict themselves, or ask for what no machine of x86 has: each refused with its reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.domain.definition import format_guest, parse_guest
from support.guests import qemu72
from support.whole_guest import HOST, defined, plan, text


def disk(target: str = "dev='sda' bus='scsi'", rest: str = "", source: str = "<source file='/a'/>") -> str:
    return f"<disk type='file' device='disk'>{source}<target {target}/>{rest}</disk>"


def drive(**places: int) -> str:
    numbers = {"controller": 0, "bus": 0, "target": 0, "unit": 0} | places
    return "<address type='drive' " + " ".join(f"{name}='{number}'" for name, number in numbers.items()) + "/>"


def serial(port: str = "") -> str:
    return f"<serial type='null'><target type='isa-serial' {port}/></serial>"


PCI = "<address type='pci' domain='0' bus='0' slot='9' function='0'/>"
CCW = "<address type='ccw' cssid='0xfe' ssid='0x0' devno='0x0001'/>"
OWN_LABEL = "<source file='/a'><seclabel model='selinux' relabel='yes'><label>x</label></seclabel></source>"
CARD = "<interface type='{}'>{}<model type='virtio'/>{}</interface>"
HOSTDEV = "<hostdev mode='subsystem' type='pci'><source><address bus='6'/></source>{}</hostdev>"
CELL = "<cpu><numa><cell id='0' cpus='0' memory='512' unit='MiB'/></numa></cpu>"
HOTPLUG = "<maxMemory slots='{}' unit='GiB'>8</maxMemory><memory unit='MiB'>576</memory>"
DIMM = "<memory model='dimm'><target><size unit='MiB'>64</size><node>0</node></target>{}</memory>"
LATENCY = "<interconnects><latency initiator='0' target='0' type='access' value='5'/></interconnects>"
NO_EIM = "<iommu model='intel'><driver intremap='on' eim='off'/></iommu>"

DEVICES = {
    disk(rest=CCW): "type 'ccw' is not of this architecture",
    disk(rest="<address type='spapr-vio' reg='0x1000'/>"): "'drive'|'spapr-vio'",
    CARD.format("user", "", PCI.replace("/>", "><zpci uid='1' fid='0x1'/></address>")): "zpci",
    CARD.format("user", "", "<address type='unassigned'/>"): "'unassigned' is for <hostdev> alone",
    CARD.format("user", "", "<ip address='10.0.0.0' prefix='3'/>"): "4 to 27",
    CARD.format("hostdev", "<source><address type='pci' bus='6'/></source>",
                "<bandwidth><inbound average='9'/></bandwidth>"): "<bandwidth> is not for",
    disk(rest=drive(unit=16384)): "unit is at most 16383",
    disk(rest=drive(target=256)): "target is at most 255",
    disk("dev='sda' bus='sata'", drive(unit=6)): "unit is at most 5",
    serial("port='1'") * 2: "port 1 is used twice",
    f"<channel type='pty'><target type='virtio' name='a'/>{PCI}</channel>": "is of type virtio-serial",
    f"<channel type='pty'><target type='guestfwd' address='10.0.2.9' port='5'/>{PCI}</channel>": "cannot be given",
    HOSTDEV.format("<rom enabled='no' file='/x'/>"): "neither bar nor file",
    "<controller type='virtio-serial' index='0' ports='32'/>": "at most 31 ports",
    "<graphics type='egl-headless'/><graphics type='sdl'/>": "not sdl",
    "<video><model type='qxl' ram='4194305'/></video>": "ram is at most 4194303",
    "<memballoon model='virtio'/><memballoon model='virtio'/>": "<memballoon>: there is more than one",
    "<vsock><cid auto='yes'/></vsock><vsock><cid auto='yes'/></vsock>": "<vsock>: there is more than one",
    "<iommu model='intel'/><iommu model='intel'/>": "<iommu>: there is more than one",
    "<redirdev bus='usb' type='spicevmc'/><redirfilter/><redirfilter/>": "<redirfilter>: there is more than one",
    "<redirdev bus='usb' type='spicevmc'/><redirfilter><usbdev class='x' allow='yes'/></redirfilter>": "not an integer",
    "<filesystem accessmode='mapped' fmode='8'><source dir='/a'/><target dir='t'/></filesystem>": "not a mode",
}  # fmt: skip


@pytest.mark.parametrize(("devices", "reason"), DEVICES.items())
def test_a_device_that_cannot_be_is_refused(devices: str, reason: str) -> None:
    with pytest.raises(InvalidXML, match=reason):
        defined(f"<devices>{devices}</devices>")


def timer(words: str, rest: str = "") -> str:
    return f"<clock><timer {words}>{rest}</timer></clock>"


GUESTS = {
    "<memtune><min_guarantee>1000</min_guarantee></memtune>": "cannot guarantee",
    "<cputune><vcpusched vcpus='0' scheduler='fifo' priority='100'/></cputune>": "priority='100'",
    "<cputune><emulatorpin cpuset='1'/><emulatorpin cpuset='2'/></cputune>": "<emulatorpin>: there is more than one",
    "<idmap><uid start='0' target='9' count='5'/></idmap>": "mapped together",
    "<idmap><uid start='0' target='9' count='5'/><gid start='1' target='9' count='5'/></idmap>": "<gid>",
    timer("name='kvmclock' tickpolicy='delay'"): "has no tickpolicy",
    timer("name='tsc' track='guest'"): "has no track",
    timer("name='rtc' frequency='100'"): "has no frequency",
    timer("name='rtc' mode='native'"): "has no mode",
    timer("name='rtc' tickpolicy='delay'", "<catchup limit='3'/>"): "tickpolicy='catchup'",
    f"<devices>{disk(source=OWN_LABEL)}</devices>"
    "<seclabel type='static' model='selinux' relabel='no'><label>l</label></seclabel>": "forbids relabelling",
}


@pytest.mark.parametrize(("more", "reason"), GUESTS.items())
def test_a_guest_that_cannot_be_is_refused(more: str, reason: str) -> None:
    with pytest.raises(InvalidXML, match=reason):
        defined(more)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"memory": HOTPLUG.format(300), "more": CELL}, "at most 256 slots"),
        ({"memory": HOTPLUG.format(4), "more": f"{CELL}<devices>{DIMM.format(PCI)}</devices>"}, "is of type dimm"),
        ({"features": "<acpi/><kvm><hint-dedicated state='on'/></kvm>"}, "hint-dedicated"),
        ({"features": "<acpi/><ioapic driver='qemu'/>",
          "more": f"<vcpu>256</vcpu><devices>{NO_EIM}</devices>"},
         "extended interrupt mode"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_together_are_refused(parts: dict[str, str], reason: str) -> None:
    with pytest.raises(InvalidXML, match=reason):
        defined(**parts)


def test_memory_performance_needs_an_emulator_that_describes_it() -> None:
    described = CELL.replace("</numa>", f"{LATENCY}</numa>")
    assert defined(described).has_hmat
    with pytest.raises(Unsupported, match="memory performance"):
        defined(described, replace(qemu72(), schema=type(qemu72().schema)(())))


def test_host_caches_are_shared_among_guests_of_kvm_alone() -> None:
    tune = (
        "<cputune><cachetune vcpus='0'><cache id='0' level='3' type='both' size='3' unit='MiB'/></cachetune></cputune>"
    )
    with pytest.raises(Unsupported, match="only for KVM"):
        plan(tune)


def test_a_label_of_its_own_is_fine_where_the_guest_relabels() -> None:
    label = "<seclabel type='dynamic' model='selinux'/>"
    assert defined(f"<devices>{disk(source=OWN_LABEL)}</devices>{label}").seclabels[0].relabel is True


def test_isa_and_memory_addresses_are_hexadecimal_without_saying_so() -> None:
    port = "<serial type='null'><target type='isa-serial'/><address type='isa' iobase='3f8' irq='4'/></serial>"
    module = DIMM.format("<address type='dimm' slot='0' base='100000000'/>")
    policy = "<launchSecurity type='sev'><policy>10</policy></launchSecurity>"
    written = format_guest(parse_guest(text(f"<devices>{port}{module}</devices>{policy}")))
    assert "iobase='0x3f8' irq='0x4'" in written and "base='0x100000000'" in written
    assert "<policy>0x0010</policy>" in written


def test_addresses_of_other_architectures_are_read_and_written() -> None:
    read = parse_guest(text(f"<devices>{disk(rest=CCW)}</devices>"), validate=True)
    assert CCW in format_guest(read)
    assert parse_guest(format_guest(read)) == read and HOST.arch == "x86_64"


HUGE = {
    "<iothreads>4294967295</iothreads>": "outside 0..4096",
    "<clock offset='absolute' start='18446744073709551615'/>": "after the year 9999",
    "<clock offset='variable' adjustment='99999999999999999'/>": "more than 10000000000 seconds",
    f"<devices>{disk(rest=drive(controller=4294967295))}</devices>": "the last is 255",
    f"<devices>{disk('dev=' + repr('sdzzzz') + ' bus=' + repr('scsi'))}</devices>": "the last is 255",
    f"<devices>{CARD.format('user', '', '''<driver queues='4294967295'/>''')}</devices>": "at most 256 queues",
    "<devices><graphics type='vnc' passwd='x' passwdValidTo='2030-13-45T99:99:99'/></devices>": "is no time",
}


@pytest.mark.parametrize(("more", "reason"), HUGE.items())
def test_a_definition_never_costs_more_than_a_guest_could_use(more: str, reason: str) -> None:
    with pytest.raises(InvalidXML, match=reason):
        defined(more)


def test_a_module_without_a_size_is_refused() -> None:
    empty = DIMM.format("").replace("'MiB'>64", "'MiB'>0")
    with pytest.raises(InvalidXML, match="<size> is zero"):
        defined(f"{CELL}<devices>{empty}</devices>", memory=HOTPLUG.format(4))


def test_what_qemu_ignores_or_chooses_itself_is_not_refused() -> None:
    assert plan(features="<acpi/><msrs unknown='ignore'/>", more="<devices><audio id='1' type='file'/></devices>")
    card = "<devices><interface type='user'><model type='ne2k_isa'/></interface></devices>"
    assert not [word for word in plan(card, machine="pc").argv if "ne2k_isa" in word and "pci" in word]


@pytest.mark.parametrize("name", ["viridian", "privnet", "xen"])
def test_features_of_other_hypervisors_are_refused(name: str) -> None:
    with pytest.raises(InvalidXML, match=f"<{name}>: not a feature"):
        defined(features=f"<acpi/><{name}/>")


def test_memory_is_given_back_after_the_end_where_qemu_can() -> None:
    wish = "<acpi/><async-teardown enabled='yes'/>"
    able = replace(qemu72(), options={**qemu72().options, "run-with": frozenset({"async-teardown"})})
    argv = plan(features=wish, caps=able).argv
    assert argv[argv.index("-run-with") + 1] == "async-teardown=on"
    with pytest.raises(Unsupported, match="async-teardown"):
        defined(features=wish)
