"""PCI addresses: where devices go, what is grown for them, and what is refused."""

from __future__ import annotations

import pytest

from frontinus.api.errors import InvalidXML
from frontinus.domain.addresses.pci_topology import PCI, PCIE, Place, Topology, Wish, bus_of
from frontinus.domain.devices.base import Device, PciAddress
from frontinus.domain.guest import Guest
from support.guests import completed

NIC = "<interface type='user'><mac address='52:54:00:00:00:{0:02x}'/><model type='{1}'/></interface>"
DISK = "<disk><source file='/{0}'/><target dev='{0}' bus='virtio'/></disk>"


def at(device: Device) -> str:
    address = device.address
    assert isinstance(address, PciAddress), device
    return f"{address.bus}:{address.slot:x}.{address.function}"


def nics(count: int, model: str = "virtio") -> str:
    return "".join(NIC.format(number, model) for number in range(count))


def controllers(guest: Guest, kind: str = "pci") -> list[tuple[int | None, str | None]]:
    return [(c.index, c.model) for c in guest.devices.controllers if c.type == kind]


def pci(bus: int, slot: int, function: int = 0, more: str = "") -> str:
    return f"<address type='pci' bus='{bus:#x}' slot='{slot:#x}' function='{function:#x}' {more}/>"


def refused(devices: str, machine: str = "q35", more: str = "") -> str:
    with pytest.raises(InvalidXML) as caught:
        completed(devices, machine, more)
    return caught.value.message


# --- the pc machine


def test_pc_has_its_chipset_and_then_counts_up() -> None:
    guest = completed(nics(2) + DISK.format("vda") + "<graphics type='vnc' port='5900'/>", "pc")
    devices = guest.devices
    places = {(c.type, c.index): at(c) for c in devices.controllers if c.address}
    assert places == {("usb", 0): "0:1.2"}
    assert (at(devices.videos[0]), [at(card) for card in devices.interfaces]) == ("0:2.0", ["0:3.0", "0:4.0"])
    assert (at(devices.disks[0]), at(devices.memballoon or Device())) == ("0:5.0", "0:6.0")


def test_pc_ide_sits_in_the_chipset() -> None:
    guest = completed("<disk><source file='/a'/><target dev='hda' bus='ide'/></disk>", "pc")
    assert [at(c) for c in guest.devices.controllers if c.type == "ide"] == ["0:1.1"]


def test_pc_without_a_display_uses_slot_2() -> None:
    assert at(completed(nics(1), "pc").devices.interfaces[0]) == "0:2.0"


def test_pc_grows_a_bridge_before_its_bus_is_full() -> None:
    roomy, full = completed(nics(28), "pc"), completed(nics(29), "pc")
    assert controllers(roomy) == [(0, "pci-root")]
    assert controllers(full) == [(0, "pci-root"), (1, "pci-bridge")]
    bridge = next(c for c in full.devices.controllers if c.model == "pci-bridge")
    assert (at(bridge), bridge.chassis_nr, bridge.model_name) == ("0:2.0", 1, "pci-bridge")
    assert at(full.devices.interfaces[0]) == "0:3.0"


def test_pc_fills_many_buses() -> None:
    guest = completed(nics(90), "pc")
    assert [model for _, model in controllers(guest)] == ["pci-root"] + ["pci-bridge"] * 3
    assert len({at(card) for card in guest.devices.interfaces}) == 90


@pytest.mark.parametrize("slot_function", [(1, 0), (1, 1), (1, 2), (1, 3)])
def test_pc_chipset_functions_are_nobody_elses(slot_function: tuple[int, int]) -> None:
    nic = nics(1).replace("</interface>", pci(0, *slot_function) + "</interface>")
    disk = "<disk><source file='/a'/><target dev='hda' bus='ide'/></disk>"
    assert "chipset" in refused(disk + nic, "pc")


def test_pc_ide_cannot_move() -> None:
    assert "chipset" in refused(f"<controller type='ide' index='0'>{pci(0, 5)}</controller>", "pc")


def test_a_taken_video_slot_moves_the_video() -> None:
    nic = nics(1).replace("</interface>", pci(0, 2) + "</interface>")
    guest = completed(nic + "<graphics type='vnc' port='5900'/>", "pc")
    assert (at(guest.devices.interfaces[0]), at(guest.devices.videos[0])) == ("0:2.0", "0:3.0")


# --- q35


def test_q35_puts_devices_behind_root_ports() -> None:
    guest = completed(nics(1) + DISK.format("vda") + "<graphics type='vnc' port='5900'/>")
    devices = guest.devices
    ports = [c for c in devices.controllers if c.model == "pcie-root-port"]
    assert [(c.index, at(c), c.chassis, c.port) for c in ports] == [
        (1, "0:2.0", 1, 0x10), (2, "0:2.1", 2, 0x11), (3, "0:2.2", 3, 0x12), (4, "0:2.3", 4, 0x13), (5, "0:2.4", 5, 0x14),
    ]  # fmt: skip
    assert (at(devices.videos[0]), at(devices.interfaces[0]), at(devices.disks[0])) == ("0:1.0", "1:0.0", "3:0.0")
    assert {(c.type, at(c)) for c in devices.controllers if c.type in ("usb", "sata")} == {
        ("usb", "2:0.0"), ("sata", "0:1f.2")}  # fmt: skip
    assert at(devices.memballoon or Device()) == "4:0.0"
    taken = {at(device) for device in devices.all() if isinstance(device.address, PciAddress)}
    assert "5:0.0" not in taken, "one port is left to plug into"


def test_q35_first_function_of_a_shared_slot_says_so() -> None:
    guest = completed(nics(10))
    ports = [c for c in guest.devices.controllers if c.model == "pcie-root-port"]
    flags = {at(c): c.address.multifunction for c in ports if isinstance(c.address, PciAddress)}
    assert flags["0:1.0"] and flags["0:2.0"] and flags["0:1.1"] is None
    assert len(ports) == 13 and at(ports[8]) == "0:2.0"


def test_q35_legacy_devices_get_a_conventional_bus() -> None:
    guest = completed(nics(2, "rtl8139"))
    assert controllers(guest)[:3] == [(0, "pcie-root"), (1, "pcie-root-port"), (2, "pcie-to-pci-bridge")]
    bridge = guest.devices.controllers[[c.model for c in guest.devices.controllers].index("pcie-to-pci-bridge")]
    assert at(bridge) == "1:0.0" and [at(card) for card in guest.devices.interfaces] == ["2:1.0", "2:2.0"]


def test_q35_usb2_has_its_boards_slots() -> None:
    group = "".join(
        f"<controller type='usb' index='{{0}}' model='ich9-{m}'/>" for m in ("ehci1", "uhci1", "uhci2", "uhci3")
    )
    guest = completed("".join(group.format(index) for index in range(3)))
    parts = [c for c in guest.devices.controllers if c.type == "usb"]
    assert [at(c) for c in parts[:8]] == [
        "0:1d.7",
        "0:1d.0",
        "0:1d.1",
        "0:1d.2",
        "0:1a.7",
        "0:1a.0",
        "0:1a.1",
        "0:1a.2",
    ]
    third = [at(c) for c in parts[8:]]
    assert [place.rpartition(".")[2] for place in third] == ["7", "0", "1", "2"]
    assert len({place.partition(".")[0] for place in third}) == 1


def test_q35_ich9_sound_has_its_slot_once() -> None:
    guest = completed("<sound model='ich9'/><sound model='ich9'/>")
    first, second = guest.devices.sounds
    assert at(first) == "0:1b.0" and at(second) != "0:1b.0"


@pytest.mark.parametrize("function", [0, 2, 3])
def test_q35_chipset_functions_are_nobody_elses(function: int) -> None:
    assert "chipset" in refused(nics(1).replace("</interface>", pci(0, 0x1F, function) + "</interface>"))


def test_a_guest_that_manages_its_buses_gets_no_spare_port() -> None:
    port = "<controller type='pci' index='1' model='pcie-root-port'/>"
    guest = completed(port + nics(1) + "<memballoon model='none'/><controller type='usb' model='none'/>")
    assert controllers(guest) == [(0, "pcie-root"), (1, "pcie-root-port")]


def test_gaps_in_the_numbers_of_controllers_are_filled() -> None:
    guest = completed("<controller type='pci' index='3' model='pcie-root-port'/>")
    assert [index for index, _ in controllers(guest)][:4] == [0, 1, 2, 3]


def test_an_address_on_a_missing_bus_grows_that_bus() -> None:
    guest = completed(nics(1).replace("</interface>", pci(3, 0) + "</interface>"))
    assert at(guest.devices.interfaces[0]) == "3:0.0"
    assert (3, "pcie-root-port") in controllers(guest)


def test_expander_buses_count_down() -> None:
    cell = "<cell id='{0}' cpus='{0}' memory='256' unit='MiB'/>"
    cells = f"<vcpu>2</vcpu><cpu><numa>{cell.format(0)}{cell.format(1)}</numa></cpu>"
    guest = completed(
        "".join(f"<controller type='pci' index='{n}' model='pcie-expander-bus'/>" for n in (1, 2)), more=cells
    )
    buses = [c.bus_nr for c in guest.devices.controllers if c.model == "pcie-expander-bus"]
    assert buses == [254, 252]


def test_disabled_hotplug_is_respected_when_plugging() -> None:
    topology = Topology([bus_of("pcie-root"), bus_of("pcie-root-port", hotplug=False), bus_of("pcie-root-port")])
    assert topology.reserve_next(Wish(PCIE, hotplug=True)) == Place(2, 0)
    with pytest.raises(InvalidXML):
        topology.reserve_next(Wish(PCIE, hotplug=True))


# --- refused


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (pci(0, 32), "slot"),
        (pci(0, 3, 8), "function must be at most 7"),
        (pci(256, 0), "256 buses"),
        ("<address type='pci' domain='0x0001' slot='0x03'/>", "domain 0"),
        (pci(1, 1), "slot must be in 0x0..0x0 on a pcie-root-port"),
    ],
)
def test_places_that_do_not_exist(address: str, reason: str) -> None:
    port = "<controller type='pci' index='1' model='pcie-root-port'/>"
    assert reason in refused(port + nics(1).replace("</interface>", address + "</interface>"))


def test_a_place_used_twice_is_refused_with_both_words() -> None:
    two = nics(2).replace("</interface>", pci(0, 9) + "</interface>")
    message = refused(two, "pc")
    assert "<interface>" in message and "0000:00:09.0" in message and "twice" in message


@pytest.mark.parametrize(
    ("controller", "reason"),
    [
        (f"<controller type='pci' index='1' model='pcie-root-port'>{pci(2, 0)}</controller>"
         "<controller type='pci' index='2' model='pcie-root-port'/>", "takes no pcie-root-port"),
        (f"<controller type='pci' index='2' model='pcie-switch-downstream-port'>{pci(1, 0)}</controller>"
         "<controller type='pci' index='1' model='pcie-root-port'/>", "takes no pcie-switch-downstream-port"),
        ("<controller type='pci' index='1' model='pci-expander-bus'/>", "none can be added"),
        ("<controller type='pci' index='256' model='pcie-root-port'/>", "at most 255"),
        ("<controller type='pci' index='0' model='pcie-root-port'/>", "root bus"),
        (f"<controller type='sata' index='0'>{pci(0, 5)}</controller>", "chipset"),
    ],
)  # fmt: skip
def test_wrong_controllers(controller: str, reason: str) -> None:
    assert reason in refused(controller)


def test_a_bridge_below_a_higher_number_is_refused() -> None:
    bridges = (f"<controller type='pci' index='1' model='pci-bridge'>{pci(2, 1)}</controller>"
               "<controller type='pci' index='2' model='pci-bridge'/>")  # fmt: skip
    assert "index" in refused(bridges, "pc")


def test_a_machine_without_pci_refuses_pci_devices() -> None:
    assert not completed("", "isapc").devices.controllers
    assert "no PCI bus" in refused(nics(1, "e1000"), "isapc")


def test_there_is_an_end_to_growing() -> None:
    assert "256 PCI buses" in refused(nics(250) + "<rng model='virtio'><backend model='random'/></rng>" * 20)


# --- the map itself


def test_a_named_place_may_mix_conventional_and_express() -> None:
    topology = Topology([bus_of("pcie-root")])
    assert topology.reserve(Place(0, 5), Wish(PCI)) == Place(0, 5)
    with pytest.raises(InvalidXML):
        topology.reserve_next(Wish(PCI))


def test_growing_conventional_buses_without_the_express_bridge() -> None:
    topology = Topology([bus_of("pcie-root")], open=True, pcie_to_pci=False)
    assert topology.reserve_next(Wish(PCI)) == Place(2, 1)
    assert [bus.model for bus in topology.buses] == ["pcie-root", "dmi-to-pci-bridge", "pci-bridge"]


def test_root_ports_share_a_slot_and_others_do_not() -> None:
    topology = Topology([bus_of("pcie-root")])
    port = Wish("pcie-root-port", auto=False, shares=True)
    places = [topology.reserve_next(port) for _ in range(9)]
    assert places[0] == Place(0, 1, 0) and places[7] == Place(0, 1, 7) and places[8] == Place(0, 2, 0)
    assert topology.reserve_next(Wish("dmi-to-pci-bridge", auto=False)) == Place(0, 3, 0)


def test_integrated_devices_sit_on_bus_0() -> None:
    topology = Topology([bus_of("pcie-root"), bus_of("pcie-root-port")])
    wish = Wish(PCIE, integrated=True)
    assert topology.reserve_next(wish) == Place(0, 1)
    with pytest.raises(InvalidXML):
        topology.reserve(Place(1, 0), wish)


def test_controllers_that_the_user_names_come_before_those_that_are_added() -> None:
    guest = completed("<controller type='pci' index='3' model='pci-bridge'/><memballoon model='none'/>", "pc")
    buses = {c.index: at(c) for c in guest.devices.controllers if c.type == "pci" and c.index}
    assert buses == {3: "0:2.0", 1: "0:3.0", 2: "0:4.0"}
    assert [c.index for c in guest.devices.controllers if c.type == "pci"] == [0, 1, 2, 3], (
        "yet all are listed in order"
    )
