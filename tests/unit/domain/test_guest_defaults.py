"""Completion outside devices: what is left open is decided once, and a second time changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.domain.complete import complete
from frontinus.domain.definition import format_guest, parse_guest
from frontinus.domain.devices.base import PciAddress
from frontinus.domain.guest import Guest
from support.guests import qemu72
from support.whole_guest import HOST, MIB, UUID, defined, text

CELLS = "<cpu><numa><cell id='1' cpus='2-3' memory='256' unit='MiB'/><cell id='0' cpus='0' memory='256' unit='MiB'/>"
CELLS += "</numa></cpu>"


def test_the_machine_is_said_with_its_version() -> None:
    assert defined(machine="q35").machine == "pc-q35-7.2"
    assert defined(machine="pc").machine == "pc-i440fx-7.2"
    assert defined(machine="pc-q35-5.2").machine == "pc-q35-5.2"


def test_a_measurement_may_keep_the_alias() -> None:
    guest = complete(parse_guest(text(machine="pc")), qemu72(), replace(HOST, keep_machine_alias=True))
    assert guest.machine == "pc"
    assert guest.cpu is None and guest.devices.controllers[0].model is None, (
        "what depends on the version stays open too"
    )


def test_a_definition_that_stands_is_read_and_not_made_anew() -> None:
    usb = "<devices><input type='tablet' bus='usb'/><input type='mouse' bus='usb'/></devices>"
    parsed = parse_guest(text(usb))
    assert [device.address is None for device in complete(parsed, qemu72(), HOST, stored=True).devices.inputs[:2]] == [
        True
    ] * 2
    assert complete(parsed, qemu72(), HOST).devices.inputs[0].address is not None
    placed = parse_guest(text(usb.replace("bus='usb'/>", "bus='usb'><address type='usb' bus='0' port='1'/></input>")))
    with pytest.raises(InvalidXML, match="used twice"):
        complete(placed, qemu72(), HOST, stored=True)


def test_a_definition_that_stands_may_wait_for_its_qemu() -> None:
    lacking = parse_guest(text("<devices><shmem name='x'><model type='ivshmem'/></shmem></devices>"))
    with pytest.raises(Unsupported, match="'ivshmem' is not supported by this QEMU") as caught:
        complete(lacking, qemu72(), HOST)
    assert caught.value.details == {"element": "shmem"}
    assert complete(lacking, qemu72(), HOST, stored=True).devices.shmems[0].address is not None
    wrong = parse_guest(format_guest(lacking).replace("<name>", "<title>a&#10;b</title><name>"))
    with pytest.raises(InvalidXML, match="<title> contains a line break; <shmem>"):
        complete(wrong, qemu72(), HOST)


def test_a_guest_of_another_hypervisor_is_given_no_devices() -> None:
    guest = complete(parse_guest(text().replace("type='qemu'", "type='hyperv'")), qemu72(), HOST, stored=True)
    assert not list(guest.devices.all()) and guest.clock is not None


def test_identity_is_given_once() -> None:
    document = text("<genid/>").replace(f"<uuid>{UUID}</uuid>", "")
    guest = complete(parse_guest(document), qemu72(), HOST)
    assert guest.uuid == guest.genid == "00010203-0405-4607-8809-0a0b0c0d0e0f"
    again = complete(parse_guest(format_guest(guest)), qemu72(), replace(HOST, entropy=lambda size: b"\xff" * size))
    assert (again.uuid, again.genid) == (guest.uuid, guest.genid)


def test_small_things_have_their_usual_values() -> None:
    guest = defined()
    assert (guest.vcpus, guest.vcpu_placement, guest.current_memory) == (1, "static", 512 * MIB)
    assert (guest.on_poweroff, guest.on_reboot, guest.on_crash) == ("destroy", "restart", "destroy")
    assert guest.clock and guest.clock.offset == "utc"
    assert guest.os.boot == ["hd"]


def test_memory_follows_cells_and_bounds_the_balloon() -> None:
    guest = defined(f"<vcpu>4</vcpu>{CELLS}", memory="")
    assert guest.memory == guest.current_memory == 512 * MIB
    assert defined("<currentMemory unit='GiB'>9</currentMemory>").current_memory == 512 * MIB


def test_a_limit_beyond_all_memory_is_none() -> None:
    guest = defined("<memtune><hard_limit>9007199254740991</hard_limit><soft_limit>1024</soft_limit></memtune>")
    assert guest.mem_tune and (guest.mem_tune.hard_limit, guest.mem_tune.soft_limit) == (None, MIB)


def test_what_says_nothing_is_dropped() -> None:
    guest = defined("<cputune><period>0</period></cputune><numatune/><memtune/><pm/><memoryBacking/><resource/>"
                    "<blkiotune><weight>0</weight><device><path>/a</path></device></blkiotune>", features="")  # fmt: skip
    parts = (guest.cpu_tune, guest.numa_tune, guest.mem_tune, guest.power, guest.memory_backing, guest.resource,
             guest.blkio_tune, guest.features)  # fmt: skip
    assert set(parts) == {None}
    kept = defined("<cputune><shares>0</shares></cputune><memoryBacking><locked/></memoryBacking>")
    assert kept.cpu_tune and kept.cpu_tune.shares == 0 and kept.memory_backing


def test_cells_are_sorted_and_the_first_takes_the_cpus_that_are_left() -> None:
    cells = defined(f"<vcpu>4</vcpu>{CELLS}").cells
    assert [(cell.id, cell.cpus) for cell in cells] == [(0, (0, 1)), (1, (2, 3))]


@pytest.mark.parametrize(
    ("more", "type", "expected"),
    [
        ("", "qemu", ("custom", "exact", "none", "qemu64", "forbid")),
        ("<cpu><topology sockets='1' cores='1' threads='1'/></cpu>", "kvm", ("custom", "exact", "none", "qemu64", "forbid")),
        ("<cpu><model>Nehalem</model></cpu>", "qemu", ("custom", "exact", "none", "Nehalem", "allow")),
        ("<cpu><model>Nehalem</model></cpu>", "kvm", ("custom", "exact", "partial", "Nehalem", "allow")),
        ("<cpu mode='host-model'/>", "kvm", ("host-model", None, "partial", None, None)),
        ("<cpu mode='host-passthrough'/>", "kvm", ("host-passthrough", None, "none", None, None)),
        ("<cpu mode='maximum'><model fallback='allow'/></cpu>", "qemu", ("maximum", None, "none", None, None)),
    ],
)  # fmt: skip
def test_cpu(more: str, type: str, expected: tuple[str | None, ...]) -> None:
    cpu = defined(more, type=type).cpu
    assert cpu is not None
    model = cpu.model
    found = (cpu.mode, cpu.match, cpu.check, model.name if model else None, model.fallback if model else None)
    assert found == expected


def test_what_migrates_is_said_for_the_host_s_own_cpu() -> None:
    passed = defined("<cpu mode='host-passthrough'/>", type="kvm").cpu
    assert passed and passed.migratable is True


def test_another_emulator_s_default_cpu_is_not_guessed() -> None:
    guest = parse_guest(text("<devices><emulator>/opt/qemu</emulator></devices>"))
    assert complete(guest, qemu72(), HOST).cpu is None


def test_dies_and_policies_are_said() -> None:
    cpu = defined("<vcpu>4</vcpu><cpu><model>Nehalem</model><topology sockets='2' cores='2' threads='1'/>"
                  "<feature name='vmx'/></cpu>").cpu  # fmt: skip
    assert cpu and cpu.topology and cpu.topology.dies == 1
    assert [(feature.name, feature.policy) for feature in cpu.features] == [("vmx", "require")]


def placement(guest: Guest) -> tuple[object, ...]:
    tune = guest.numa_tune.memory if guest.numa_tune else None
    return guest.vcpu_placement, *((tune.mode, tune.placement, tune.nodes) if tune else ())


def test_placement_of_vcpus_and_of_memory_go_together() -> None:
    assert placement(defined("<vcpu placement='auto'>1</vcpu>")) == ("auto", "strict", "auto", None)
    assert placement(defined("<numatune><memory placement='auto' nodeset='1'/></numatune>")) == (
        "auto", "strict", "auto", None)  # fmt: skip
    assert placement(defined("<numatune><memory placement='static' nodeset='1'/></numatune>")) == (
        "static", "strict", None, (1,))  # fmt: skip
    assert placement(defined("<vcpu placement='auto' cpuset='0'>1</vcpu>")) == ("auto",)


def test_each_vcpu_is_described_or_none() -> None:
    guest = defined(
        "<vcpu>3</vcpu><vcpus><vcpu id='1' enabled='yes' hotpluggable='yes'/><vcpu id='0' enabled='yes'/></vcpus>"
    )
    assert [(v.id, v.enabled, v.hotpluggable) for v in guest.vcpu_list] == [(0, True, False), (1, True, True),
                                                                            (2, False, True)]  # fmt: skip
    assert (guest.vcpu_current, guest.boot_vcpus) == (2, 1)
    assert defined("<vcpu current='2'>2</vcpu>").vcpu_current is None


def test_schedulers_are_kept_thread_by_thread() -> None:
    tune = defined("<vcpu>2</vcpu><iothreads>3</iothreads><cputune><vcpupin vcpu='1' cpuset='0'/>"
                   "<vcpupin vcpu='0' cpuset='1'/><vcpupin vcpu='9' cpuset='1'/>"
                   "<vcpusched vcpus='0-1' scheduler='rr' priority='1'/>"
                   "<iothreadsched iothreads='1-3,^2' scheduler='batch'/></cputune>").cpu_tune  # fmt: skip
    assert tune is not None
    assert [pin.vcpu for pin in tune.vcpu_pins] == [0, 1]
    assert [(s.vcpus, s.priority) for s in tune.vcpu_scheds] == [((0,), 1), ((1,), 1)]
    assert [s.iothreads for s in tune.iothread_scheds] == [(1,), (3,)]


def test_a_shifted_clock_is_a_variable_one() -> None:
    clock = defined("<clock offset='localtime' adjustment='3600'/>").clock
    assert clock and (clock.offset, clock.adjustment, clock.basis) == ("variable", "3600", "localtime")
    clock = defined("<clock offset='variable'/>").clock
    assert clock and (clock.adjustment, clock.basis) == ("0", "utc")
    clock = defined("<clock offset='utc' adjustment='reset'/>").clock
    assert clock and (clock.offset, clock.adjustment) == ("utc", "reset")


def test_features_say_their_mode() -> None:
    features = defined(features="<hyperv><relaxed state='on'/></hyperv><kvm><dirty-ring state='on'/></kvm>",
                       type="kvm").features  # fmt: skip
    assert features and features.hyperv and features.hyperv.mode == "custom"
    assert features.kvm and features.kvm.dirty_ring and features.kvm.dirty_ring.size == 4096
    passed = defined(features="<hyperv mode='passthrough'><relaxed state='on'/></hyperv>").features
    assert passed and passed.hyperv and passed.hyperv.relaxed is None


def test_a_uefi_guest_gets_a_variable_store() -> None:
    loader = "<loader readonly='yes' type='pflash'>/code.fd</loader>"
    nvram = defined(os=loader).os.nvram
    assert nvram and nvram.path == "/nvram/test_VARS.fd"
    assert defined(os=loader.replace("<loader", "<loader stateless='yes'")).os.nvram is None
    assert defined(os=loader + "<nvram>/mine</nvram>").os.nvram.path == "/mine"  # type: ignore[union-attr]
    rom = defined(os="<loader>/bios.bin</loader>").os.loader
    assert rom and rom.type == "rom"


def test_labels_say_whether_they_relabel() -> None:
    labels = defined(
        "<seclabel model='selinux'/><seclabel type='static' model='dac'><label>x</label></seclabel>"
    ).seclabels
    assert [(label.type, label.relabel) for label in labels] == [("dynamic", True), ("static", False)]


def test_memory_is_that_of_the_cells_in_a_new_definition_and_what_it_was_in_one_that_stands() -> None:
    parsed = parse_guest(text(f"<vcpu>4</vcpu>{CELLS}", memory="<memory unit='MiB'>900</memory>"))
    assert complete(parsed, qemu72(), HOST).memory == 512 * MIB
    assert complete(parsed, qemu72(), HOST, stored=True).memory == 900 * MIB


def test_pages_of_node_0_are_those_of_a_guest_without_nodes() -> None:
    pages = "<memoryBacking><hugepages><page size='2' unit='MiB' nodeset='0'/></hugepages></memoryBacking>"
    backing = defined(pages).memory_backing
    assert backing and backing.hugepages and backing.hugepages.pages[0].nodes is None
    with pytest.raises(InvalidXML, match="no node 1"):
        defined(pages.replace("nodeset='0'", "nodeset='1'"))


def test_sizes_are_rounded_up_as_they_are_written() -> None:
    written = format_guest(parse_guest(text(memory="<memory unit='b'>1025</memory>")))
    assert "<memory unit='KiB'>2</memory>" in written


def test_a_cpu_that_the_machine_chooses_is_checked_by_nobody() -> None:
    cpu = defined("<cpu match='strict' check='full'/>").cpu
    assert cpu and (cpu.match, cpu.check) == ("exact", "none")


def test_only_a_model_of_ones_choice_is_matched_and_only_the_hosts_cpu_says_that_it_migrates() -> None:
    biggest = defined("<cpu mode='maximum' match='exact'/>").cpu
    assert biggest and (biggest.match, biggest.migratable) == (None, None)
    passed = defined("<cpu mode='host-passthrough'/>", type="kvm").cpu
    assert passed and passed.migratable is True
    with pytest.raises(InvalidXML, match="<vendor>: without a model"):
        defined("<cpu mode='host-model'><vendor>Intel</vendor></cpu>")


def test_cpus_that_no_cell_names_are_in_the_first() -> None:
    assert defined("<vcpu>2</vcpu><cpu><numa><cell memory='512' unit='MiB'/></numa></cpu>").cells[0].cpus == (0, 1)


def test_no_threads_are_not_written_and_a_pool_has_an_upper_end() -> None:
    guest = defined("<iothreads>0</iothreads><defaultiothread/>")
    assert guest.iothreads is None and guest.default_iothread is None
    with pytest.raises(InvalidXML, match="thread_pool_min is above"):
        defined("<iothreadids><iothread id='1' thread_pool_min='4'/></iothreadids>")


def test_all_of_a_place_on_pci_is_said() -> None:
    devices = ("<interface type='hostdev'><source><address type='pci' bus='5'/></source></interface>"
               "<rng model='virtio'><backend model='random'/><address type='pci' slot='9'/></rng>")  # fmt: skip
    written = format_guest(defined(f"<devices>{devices}</devices>", machine="pc"))
    assert "<address type='pci' domain='0x0000' bus='0x05' slot='0x00' function='0x0'/>" in written
    assert "<address type='pci' domain='0x0000' bus='0x00' slot='0x09' function='0x0'/>" in written


def test_the_controller_of_scsi_host_devices_is_placed_before_usb() -> None:
    device = ("<hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host0'/>"
              "<address bus='0' target='0' unit='0'/></source></hostdev>")  # fmt: skip
    guest = defined(f"<devices>{device}</devices>")
    places = {c.type: c.address.bus for c in guest.devices.controllers if isinstance(c.address, PciAddress)}
    assert places["scsi"] is not None and places["usb"] is not None and places["scsi"] < places["usb"]


@pytest.mark.parametrize(
    ("label", "model", "expected"),
    [
        ("<seclabel type='dynamic' relabel='yes'/>", "none", ("none", "none", None)),
        ("<seclabel type='dynamic'/>", "selinux", ("dynamic", "selinux", True)),
        ("<seclabel type='none'/>", "apparmor", ("none", "apparmor", None)),
        ("<seclabel type='dynamic' model='dac'/>", "none", ("dynamic", "dac", True)),
        ("<seclabel type='dynamic'/>", None, ("dynamic", None, True)),
    ],
)
def test_the_one_label_of_a_guest_is_of_the_model_that_the_host_has(
    label: str, model: str | None, expected: tuple[object, ...]
) -> None:
    guest = complete(parse_guest(text(label)), qemu72(), replace(HOST, security_model=model))
    assert [(one.type, one.model, one.relabel) for one in guest.seclabels] == [expected]


def test_a_document_of_a_run_keeps_what_the_run_had() -> None:
    place = f"{HOST.paths.state}/x/vnc.sock"
    read = parse_guest(text(f"<devices><graphics type='vnc' socket='{place}'/></devices>"))
    assert complete(read, qemu72(), HOST, running=True).devices.graphics[0].socket == place
    assert complete(read, qemu72(), HOST).devices.graphics[0].socket is None
