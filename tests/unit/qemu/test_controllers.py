"""The <controller> and <lease> models, and controllers on the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from frontinus.api.errors import FrontinusError
from frontinus.domain.definition import format_guest, parse_guest
from frontinus.domain.devices.base import PciAddress
from frontinus.domain.devices.controller import Controller, arrange, assign_indexes, free_bus_nr
from frontinus.domain.prepare import prepare
from frontinus.qemu.argv.context import Context
from frontinus.qemu.argv.devices import controllers
from support.guests import completed, document, host, qemu72

CELL = "<cpu><numa><cell id='0' cpus='0' memory='512' unit='MiB'/></numa></cpu>"
THREADS = "<iothreads>2</iothreads>"


def built(devices: str, machine: str = "pc", more: str = "") -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Controllers by id (by driver where they have none), and the texts of -global."""
    guest = prepare(completed(devices, machine, more), qemu72(), host(), guest_id=1)
    ctx = Context(guest, qemu72(), host(), "/folder")
    controllers.build(ctx)
    controllers.build_ccid(ctx)
    found, texts = {}, []
    for item in ctx.items:
        if isinstance(item.value, Mapping):
            found[str(item.value.get("id", item.value["driver"]))] = dict(item.value)
        else:
            texts.append(str(item.value))
    return found, texts


def test_a_bus_that_was_added_later_comes_before_what_is_on_it() -> None:
    port = "<controller type='pci' index='9' model='pcie-root-port'><address type='pci' bus='0' slot='9'/></controller>"
    found, _ = built(f"{port}<controller type='pci' model='pcie-to-pci-bridge'/>" + "<hub type='usb'/>" * 2
                     + "<controller type='usb' model='qemu-xhci'/>", "q35")  # fmt: skip
    order = [name for name in found if name.startswith("pci.")]
    assert found["pci.1"]["driver"] == "pcie-pci-bridge" and found["pci.1"]["bus"] != "pcie.0"
    assert order.index(found["pci.1"]["bus"]) < order.index("pci.1")


CASES: dict[str, tuple[str, str, str, str, dict[str, Any]]] = {
    "virtio scsi": ("pc", THREADS, """<controller type='scsi' index='0' model='virtio-scsi'><driver queues='4' cmd_per_lun='8'
                    max_sectors='512' ioeventfd='on' iothread='2' packed='on'/></controller>""", "scsi0",
                    {"driver": "virtio-scsi-pci", "num_queues": 4, "cmd_per_lun": 8, "max_sectors": 512, "ioeventfd": True,
                     "iothread": "iothread2", "packed": True}),
    "scsi default": ("pc", "", "<controller type='scsi'/>", "scsi0", {"driver": "lsi"}),
    "transitional": ("pc", "", "<controller type='scsi' model='virtio-transitional'/>", "scsi0",
                     {"driver": "virtio-scsi-pci-transitional"}),
    "virtio-serial": ("pc", "", "<controller type='virtio-serial' ports='16' vectors='4'/>", "virtio-serial0",
                      {"driver": "virtio-serial-pci", "max_ports": 16, "vectors": 4}),
    "second sata": ("q35", "", "<controller type='sata' index='1'/>", "sata1", {"driver": "ahci"}),
    "ccid": ("pc", "", "<controller type='ccid' index='0'/>", "ccid0", {"driver": "usb-ccid", "bus": "usb.0", "port": "1"}),
    "usb default": ("pc", "", "<controller type='usb' index='0'/>", "usb", {"driver": "piix3-usb-uhci", "addr": "0x1.0x2"}),
    "usb ports": ("pc", "", "<controller type='usb' index='0' model='qemu-xhci' ports='7'/>", "usb",
                  {"driver": "qemu-xhci", "p2": 7, "p3": 7}),
    "companion": ("pc", "", """<controller type='usb' index='0' model='ich9-uhci2'/>
                  <controller type='usb' index='0' model='ich9-ehci1'/>""", "ich9-usb-uhci2",
                  {"masterbus": "usb.0", "firstport": 2}),
    "bridge": ("pc", "", "<controller type='pci' index='1' model='pci-bridge'/>", "pci.1",
               {"driver": "pci-bridge", "chassis_nr": 1}),
    "root port": ("q35", "", "<controller type='pci' index='1' model='pcie-root-port'><target hotplug='off'/></controller>",
                  "pci.1", {"driver": "pcie-root-port", "chassis": 1, "port": 8, "hotplug": False, "multifunction": True}),
    "older root port": ("q35", "", """<controller type='pci' index='1' model='pcie-root-port'><model name='ioh3420'/>
                        <target chassis='7' port='0x2a'/></controller>""", "pci.1",
                        {"driver": "ioh3420", "chassis": 7, "port": 42}),
    "expander": ("pc", CELL, """<controller type='pci' index='1' model='pci-expander-bus'><target><node>0</node></target>
                 </controller>""", "pci.1", {"driver": "pxb", "bus_nr": 254, "numa_node": 0}),
    "express expander": ("q35", "", """<controller type='pci' index='1' model='pcie-expander-bus'><target busNr='200'/>
                         </controller>""", "pci.1", {"driver": "pxb-pcie", "bus_nr": 200}),
    "dmi": ("q35", "", "<controller type='pci' index='1' model='dmi-to-pci-bridge'/>", "pci.1", {"driver": "i82801b11-bridge"}),
    "to pci": ("q35", "", """<controller type='pci' index='1' model='pcie-root-port'/>
               <controller type='pci' index='2' model='pcie-to-pci-bridge'/>""", "pci.2",
               {"driver": "pcie-pci-bridge", "bus": "pci.1"}),
    "switch": ("q35", "", """<controller type='pci' index='1' model='pcie-root-port'/>
               <controller type='pci' index='2' model='pcie-switch-upstream-port'/>
               <controller type='pci' index='3' model='pcie-switch-downstream-port'/>""", "pci.3",
               {"driver": "xio3130-downstream", "chassis": 3, "port": 0, "bus": "pci.2"}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_controllers(name: str) -> None:
    machine, more, devices, key, expected = CASES[name]
    found = built(devices, machine, more)[0][key]
    assert {prop: found.get(prop) for prop in expected} == expected


def test_what_the_machine_has_itself_is_not_said() -> None:
    devices = "<controller type='ide' index='0'/><controller type='usb' model='none'/>"
    assert built(devices) == ({}, [])
    devices = "<controller type='sata' index='0'/><controller type='usb' model='none'/><memballoon model='none'/>"
    assert all(props["driver"] == "pcie-root-port" for props in built(devices, "q35")[0].values())


def test_masters_come_before_companions() -> None:
    devices = "".join(f"<controller type='usb' index='0' model='ich9-{name}'/>" for name in ("uhci3", "uhci1", "ehci1"))
    assert next(iter(built(devices)[0].values()))["driver"] == "ich9-usb-ehci1"


def test_globals_of_the_root() -> None:
    root = "<controller type='pci' index='0' model='{}'>{}</controller>"
    hole, hotplug = "<pcihole64 unit='KiB'>{}</pcihole64>", "<target hotplug='off'/>"
    assert built(root.format("pci-root", hotplug + hole.format(1024)))[1] == [
        "i440FX-pcihost.pci-hole64-size=1024K", "PIIX4_PM.acpi-root-pci-hotplug=off",
    ]  # fmt: skip
    assert built(root.format("pcie-root", hole.format(0)), "q35")[1] == ["q35-pcihost.pci-hole64-size=0K"]


def test_indexes() -> None:
    def models(*names: str, first: int | None = None) -> list[int | None]:
        found = [Controller(type="usb", model=name) for name in names]
        found[0].index = first
        assign_indexes(found)
        return [controller.index for controller in found]

    assert models("ich9-ehci1", "ich9-uhci1", "ich9-uhci2") == [0, 0, 0]
    assert models("ich9-ehci1", "ich9-uhci1", "ich9-uhci1") == [0, 0, 1], "a group has one of each model"
    assert models("ich9-ehci1", "nec-xhci", "ich9-uhci1") == [0, 1, 2], "a group is not continued past another"
    assert models("nec-xhci", "nec-xhci", first=1) == [1, 0]
    kinds = [Controller(type=kind) for kind in ("scsi", "sata", "scsi")]
    assign_indexes(kinds)
    assert [controller.index for controller in kinds] == [0, 0, 1]


def test_order_and_numbers() -> None:
    given = [Controller(type="scsi", index=1), Controller(type="usb", index=0, master_port=0), Controller(type="usb", index=0),
             Controller(type="scsi", index=0)]  # fmt: skip
    assert arrange(given) == [given[3], given[0], given[2], given[1]]
    assert free_bus_nr([]) == 254
    assert free_bus_nr([Controller(type="pci", bus_nr=10)]) == 8
    assert free_bus_nr([Controller(type="pci", bus_nr=2)]) is None


def test_a_port_is_numbered_by_its_place_once() -> None:
    port = Controller(type="pci", index=3, model="pcie-root-port", address=PciAddress(bus=0, slot=2, function=1))
    port.settle()
    assert port.port == 0x11
    port.address = PciAddress(bus=0, slot=9, function=0)
    port.settle()
    assert port.port == 0x11, "what a guest has seen does not change"


def test_what_was_assigned_is_written() -> None:
    text = format_guest(completed("<controller type='pci' index='1' model='pcie-root-port'/>"))
    assert "<model name='pcie-root-port'/>" in text and "<target chassis='1' port='0x8'" in text
    assert "<controller type='usb' index='0' model='piix3-uhci'>" in format_guest(completed("", "pc"))


REFUSED: dict[str, tuple[str, str]] = {
    "xenbus": ("<controller type='xenbus'/>", "not of this hypervisor"),
    "unknown model": ("<controller type='scsi' model='adaptec'/>", "unknown model 'adaptec'"),
    "model of sata": ("<controller type='sata' model='x'/>", "unknown model 'x'"),
    "foreign": ("<controller type='scsi' model='ibmvscsi'/>", "not of this machine"),
    "second ide": ("<controller type='ide' index='1'/>", "only one IDE controller"),
    "queues": ("<controller type='scsi' model='lsilogic'><driver queues='2'/></controller>", "only for virtio SCSI"),
    "packed": ("<controller type='usb'><driver packed='on'/></controller>", "only for virtio controllers"),
    "iothread": ("<controller type='scsi' model='virtio-scsi'><driver iothread='1'/></controller>", "there is no iothread 1"),
    "ports": ("<controller type='usb' model='ehci' ports='9'/>", "fixed number of ports"),
    "many ports": ("<controller type='usb' model='nec-xhci' ports='16'/>", "at most 15 ports"),
    "vectors": ("<controller type='scsi' vectors='1'/>", "'vectors' is only for"),
    "none and another": ("<controller type='usb' model='none'/><controller type='usb' index='1' model='ehci'/>", "turns USB off"),
    "orphan": ("<controller type='usb' index='0' model='ich9-uhci1'/>", "no master controller"),
    "root index": ("<controller type='pci' index='2' model='pci-root'/>", "index"),
    "root address": ("<controller type='pci' index='0' model='pci-root'><address type='pci' slot='3'/></controller>", "address"),
    "wrong name": ("<controller type='pci' index='1' model='pci-bridge'><model name='pxb'/></controller>", "not a pci-bridge"),
    "wrong option": ("<controller type='pci' index='1' model='pci-bridge'><target chassis='2'/></controller>", "not an option"),
    "range": ("<controller type='pci' index='1' model='pci-expander-bus'><target busNr='255'/></controller>", "1..254"),
    "node": ("<controller type='pci' index='1' model='pci-expander-bus'><target><node>1</node></target></controller>",
             "NUMA node 1"),
    "lease": ("<lease><lockspace>a</lockspace><target path='/l'/></lease>", "<key> is missing"),
    "lease twice": ("<lease><lockspace>a</lockspace><key>k</key><target path='/l'/></lease>" * 2, "stands twice"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    devices, reason = REFUSED[name]
    with pytest.raises(FrontinusError) as caught:
        completed(devices, "pc")
    assert reason in caught.value.message


@pytest.mark.parametrize(("machine", "devices"), [
    ("q35", "<controller type='ide' index='0'/>"), ("q35", "<controller type='pci' index='1' model='pci-expander-bus'/>"),
    ("pc", "<controller type='pci' index='1' model='pcie-expander-bus'/>"),
    ("pc", "<controller type='pci' index='0' model='pcie-root'/>"),
])  # fmt: skip
def test_machines_differ(machine: str, devices: str) -> None:
    with pytest.raises(FrontinusError):
        completed(devices, machine)


def test_what_this_qemu_lacks_is_refused() -> None:
    guest = parse_guest(document("<controller type='scsi' index='0' model='vmpvscsi'/>"))
    controller = guest.devices.controllers[0]
    assert not list(controller.check(guest, qemu72()))
    less = dataclasses.replace(qemu72(), types=qemu72().types - {"pvscsi"})
    assert list(controller.check(guest, less)) == ["scsi controller 0: model 'vmpvscsi' is not supported by this QEMU"]


def test_leases_are_kept() -> None:
    text = format_guest(completed(
        "<lease><lockspace>a</lockspace><key>k</key><target path='/l' offset='1024'/></lease>", "pc"))  # fmt: skip
    assert "<target path='/l' offset='1024'/>" in text
