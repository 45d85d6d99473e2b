"""Facts of a host, read from trees that stand in for other machines, and checked against this one."""

from __future__ import annotations

import json
import os
import shutil
import socket
import uuid
from pathlib import Path

import pytest

from frontinus.domain.host import Firmware, NumaNode, Paths, UsbDevice
from frontinus.linux import devices, tools, topology
from frontinus.linux.firmware import read_firmware
from frontinus.linux.host import _asked, probe_facts, probe_view
from support.machine import server, tree

MIB = 2**20


def test_programs_are_asked_when_it_first_matters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        tools, "_said", lambda program, option: asked.append(program) or '{"features": ["a"]} --readonly'
    )
    _asked.cache_clear()
    facts = probe_facts(Paths(), root=tmp_path)
    assert not asked
    assert facts.can("virtiofsd_options") == {"--readonly"} and len(asked) == 1
    assert facts.can("virtiofsd_options") == {"--readonly"} and len(asked) == 1, "once is enough"
    _asked.cache_clear()


def test_nodes_cpus_and_memory(tmp_path: Path) -> None:
    facts = probe_facts(Paths(), root=server(tmp_path))
    assert facts.cpus == 16
    assert facts.nodes == (
        NumaNode(0, 2048 * 1024, tuple(range(8)), (10, 21), {2 * MIB: 5, 1024 * MIB: 0}),
        NumaNode(1, 2049 * 1024, tuple(range(8, 16)), (21, 10), {2 * MIB: 6, 1024 * MIB: 0}),
    )
    assert facts.hugepages == {2 * MIB: "/dev/huge pages/frontinus", 1024 * MIB: "/mnt/1g/frontinus"}
    assert (facts.default_hugepage, facts.cpu_vendor) == (2 * MIB, "GenuineIntel")
    assert (facts.kvm, facts.vhost_net, facts.now().usb, facts.sysinfo, facts.firmware) == (False, False, (), None, ())


def test_the_view_shows_what_people_know_of_their_machine(tmp_path: Path) -> None:
    tree(server(tmp_path), {"etc/machine-id": "0123456789abcdef0123456789abcdef"})
    view = probe_view(tmp_path)
    assert (view.cpus, view.numa_nodes, view.sockets, view.cores, view.threads) == (16, 2, 1, 4, 2)
    assert (view.memory, view.memory_free, view.cpu_mhz) == (8192 * MIB, MIB, 2599)
    assert (view.cpu_model, view.uuid) == ("A: fine CPU", "01234567-89ab-cdef-0123-456789abcdef")
    tree(tmp_path, {"proc/meminfo": "MemTotal: 8388608 kB\nMemFree: 2048 kB"})
    assert probe_view(tmp_path).memory_free == 2 * MIB


@pytest.mark.parametrize("online", ["0-14", "0,2-15"])
def test_an_uneven_layout_is_one_socket_of_cores(online: str, tmp_path: Path) -> None:
    tree(server(tmp_path), {f"{topology.CPUS}/online": online})
    layout = topology.read_layout(tmp_path)
    assert (layout.cpus, layout.nodes, layout.sockets, layout.cores, layout.threads) == (15, 1, 1, 15, 1)


def test_a_kernel_without_numa_has_one_node(tmp_path: Path) -> None:
    files = {"proc/meminfo": "MemTotal: 4 kB", f"{topology.CPUS}/online": "0-1",
             "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": "3"}  # fmt: skip
    assert topology.read_nodes(tree(tmp_path, files)) == (NumaNode(0, 4096, (0, 1), (10,), {2 * MIB: 3}),)


@pytest.mark.parametrize(
    ("text", "found"), [("0-3,8", [0, 1, 2, 3, 8]), ("5", [5]), ("", []), ("0,2,4-5", [0, 2, 4, 5])]
)
def test_lists_of_numbers(text: str, found: list[int]) -> None:
    assert topology.numbers(text) == found


@pytest.mark.parametrize(("text", "found"), [("2M", 2 * MIB), ("1G", 1024 * MIB), ("2048k", 2 * MIB), ("4096", 4096)])
def test_sizes_of_pages(text: str, found: int) -> None:
    assert topology.size(text) == found


def test_the_machines_own_tables(tmp_path: Path) -> None:
    dmi = "sys/class/dmi/id"
    given = str(uuid.uuid4())
    files = {f"{dmi}/sys_vendor": "Maker", f"{dmi}/product_uuid": given.upper(), f"{dmi}/bios_date": "01/02/2026",
             f"{dmi}/chassis_serial": "C1", f"{dmi}/product_name": ""}  # fmt: skip
    tree(server(tmp_path), files)
    sysinfo = probe_facts(Paths(), root=tmp_path).sysinfo
    assert (
        sysinfo is not None and sysinfo.system is not None and sysinfo.bios is not None and sysinfo.chassis is not None
    )
    assert (sysinfo.system.get("manufacturer"), sysinfo.system.get("product")) == ("Maker", None)
    assert (sysinfo.bios.get("date"), sysinfo.chassis.get("serial"), sysinfo.boards) == ("01/02/2026", "C1", [])
    assert probe_view(tmp_path).uuid == given


def test_a_uuid_that_no_vendor_gave_is_none(tmp_path: Path) -> None:
    tree(server(tmp_path), {"sys/class/dmi/id/product_uuid": "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"})
    assert probe_view(tmp_path).uuid == str(uuid.UUID(int=0))


def test_devices(tmp_path: Path) -> None:
    usb = "sys/bus/usb/devices"
    files = {"proc/sys/crypto/fips_enabled": "1\n",
             f"{usb}/1-2/busnum": "1", f"{usb}/1-2/devnum": "12", f"{usb}/1-2/idVendor": "0951",
             f"{usb}/1-2/idProduct": "16ae", f"{usb}/1-2:1.0/bInterfaceClass": "08",
             "sys/block/sr0/size": "0", "sys/block/sda/size": "1", "dev/dri/renderD129": "", "dev/dri/renderD128": "",
             "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nqemu:x:107:108::/:/bin/false\n+nis", "etc/group": "kvm:x:106:",
             "sys/devices/h/2:0:0:1/model": "x", "sys/class/scsi_generic/sg3/dev": "21:3"}  # fmt: skip
    tree(server(tmp_path), files)
    (tmp_path / "sys/class/scsi_generic/sg3/device").symlink_to(tmp_path / "sys/devices/h/2:0:0:1")
    facts = probe_facts(Paths(), root=tmp_path)
    assert facts.fips and not probe_facts(Paths(), root=tmp_path / "sys").fips
    assert facts.now().usb == (UsbDevice(1, 12, 0x0951, 0x16AE),)
    assert facts.now().scsi_generic == {"2:0:0:1": "sg3"}
    shutil.rmtree(tmp_path / "sys/bus/usb")
    assert facts.now().usb == (), "what is pulled out is gone"
    assert facts.cdroms == {"/dev/sr0"}
    assert facts.security_model == "none"
    assert facts.render_nodes == ("/dev/dri/renderD128", "/dev/dri/renderD129")
    assert (facts.users, facts.groups) == ({"root": 0, "qemu": 107}, {"kvm": 106})


def test_kvm_is_what_answers_as_kvm(tmp_path: Path) -> None:
    (tmp_path / "kvm").touch()
    assert not devices.has_kvm(tmp_path / "kvm")
    assert not devices.has_kvm(tmp_path / "none")


def descriptor(**changes: object) -> str:
    flash = {"device": "flash", "executable": {"filename": "/CODE.fd", "format": "raw"},
             "nvram-template": {"filename": "/VARS.qcow2", "format": "qcow2"}}  # fmt: skip
    plain: dict[str, object] = {"interface-types": ["uefi"], "mapping": flash, "features": ["acpi-s3"],
                                "targets": [{"architecture": "x86_64", "machines": ["pc-q35-*", "pc-i440fx-*"]}]}  # fmt: skip
    return json.dumps(plain | changes)


def test_firmware_descriptors_in_order_and_overridden(tmp_path: Path) -> None:
    stateless = {"device": "flash", "mode": "stateless", "executable": {"filename": "/SEV.fd", "format": "qcow2"}}
    ours, theirs = "usr/share/qemu/firmware", "etc/qemu/firmware"
    tree(tmp_path, {
        f"{ours}/60-uefi.json": descriptor(), f"{ours}/50-bios.json": descriptor(mapping={"device": "memory", "filename": "/b"}),
        f"{ours}/40-hidden.json": descriptor(), f"{ours}/10-torn.json": '{"mapping":', f"{ours}/notes.txt": "x",
        f"{ours}/20-odd.json": descriptor(targets=[{"architecture": "x86_64", "machines": "pc"}]),
        f"{theirs}/40-hidden.json": "", f"{theirs}/60-uefi.json": descriptor(mapping=stateless, features=[]),
    })  # fmt: skip
    found = read_firmware([tmp_path / ours, tmp_path / theirs, tmp_path / "none"])
    targets = (("x86_64", "pc-q35-*"), ("x86_64", "pc-i440fx-*"))
    assert found == (
        Firmware(str(tmp_path / ours / "50-bios.json"), ("uefi",), "memory", "/b", mode="combined", targets=targets,
                 features=frozenset({"acpi-s3"})),
        Firmware(str(tmp_path / theirs / "60-uefi.json"), ("uefi",), "flash", "/SEV.fd", mode="stateless",
                 executable_format="qcow2", targets=targets),
    )  # fmt: skip
    (split,) = read_firmware([tree(tmp_path / "split", {"a.json": descriptor()})])
    assert (split.mode, split.nvram_template, split.nvram_format) == ("split", "/VARS.qcow2", "qcow2")


def test_a_users_engine_sees_the_users_firmware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(server(tmp_path), {"home/qemu/firmware/mine.json": descriptor()})
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    assert probe_facts(Paths(), root=tmp_path).firmware == ()
    assert len(probe_facts(Paths(), session=True, root=tmp_path).firmware) == 1


def test_this_host() -> None:
    facts, view = probe_facts(Paths()), probe_view()
    assert facts.cpus == view.cpus == os.sysconf("SC_NPROCESSORS_ONLN")
    assert view.memory == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < view.memory_free < view.memory
    assert (view.hostname, view.arch) == (socket.gethostname(), os.uname().machine)
    assert sum(len(node.cpus) for node in facts.nodes) >= facts.cpus
    assert facts.users["root"] == 0


@pytest.mark.parametrize(
    ("file", "said", "model"),
    [
        ("sys/fs/selinux/enforce", "0", "selinux"),
        ("sys/module/apparmor/parameters/enabled", "Y\n", "apparmor"),
        ("sys/module/apparmor/parameters/enabled", "N\n", "none"),
    ],
)
def test_what_labels_guests(tmp_path: Path, file: str, said: str, model: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(said)
    assert devices.read_security_model(tmp_path) == model
