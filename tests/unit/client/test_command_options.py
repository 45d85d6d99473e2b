"""Options that virsh's users know: choices of lists, XPath, devices by words, what an undefined guest leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.shell import Shell

GUEST = "guest-00000"


def test_lists_that_options_narrow_down(shell: Shell) -> None:
    shell("suspend", "test")
    assert shell("list", "--state-paused", "--name") == "test\n"
    assert shell("list", "--state-running", "--state-paused", "--name").split() == [GUEST, "test"]
    assert shell("list", "--all", "--state-shutoff", "--name") == ""
    shell("autostart", "test")
    assert shell("list", "--no-autostart", "--name") == f"{GUEST}\n"
    number, name = shell("list", "--id", "--name").splitlines()[1].split()
    assert name == "test" and number == shell("domid", "test").strip()
    assert "State" in shell("list", "--name", "--table")
    assert list(json.loads(shell("--json", "domstats", "--list-paused", "--cpu-total"))) == ["test"]


def test_xpath(shell: Shell) -> None:
    assert shell("dumpxml", "test", "--xpath", "/domain/name/text()") == "test\n"
    assert shell("dumpxml", "test", "--xpath", "//name", "--wrap") == "<nodes>\n<name>test</name>\n</nodes>\n"
    assert shell("dumpxml", "test", "--xpath", "count(//name)") == "1.0\n"
    assert shell("capabilities", "--xpath", "//host/cpu/arch/text()") == "x86_64\n"
    assert "finds nothing" in shell("dumpxml", "test", "--xpath", "//nothing", code=1)
    assert "XPath '//['" in shell("dumpxml", "test", "--xpath", "//[", code=1)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["attach-disk", "/x.img", "vdb"], "<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
         "<source file='/x.img'/><target dev='vdb'/></disk>"),
        (["attach-disk", "/dev/sdz", "sdb", "--cache", "none", "--io", "native", "--iothread", "1", "--serial", "S1", "--wwn",
          "5000c50015ea71aa", "--alias", "ua-data", "--address", "scsi:0.0.3", "--mode", "shareable", "--targetbus", "scsi"],
         "<disk type='block' device='disk'><driver name='qemu' type='raw' cache='none' io='native' iothread='1'/>"
         "<source dev='/dev/sdz'/><target dev='sdb' bus='scsi'/><shareable/><serial>S1</serial><wwn>5000c50015ea71aa</wwn>"
         "<alias name='ua-data'/><address type='drive' controller='0' bus='0' unit='3'/></disk>"),
        (["attach-disk", "export", "vdb", "--source-protocol", "nbd", "--source-host-name", "h:10809", "--address",
          "pci:0000.00.0b.1", "--multifunction"],
         "<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd' name='export'>"
         "<host name='h' port='10809'/></source><target dev='vdb'/>"
         "<address type='pci' domain='0x0' bus='0x0' slot='0xb' function='0x1' multifunction='on'/></disk>"),
        (["attach-interface", "bridge", "br0", "--model", "virtio", "--inbound", "1000,2000", "--outbound", "500"],
         "<interface type='bridge'><source bridge='br0'/><model type='virtio'/><bandwidth><inbound average='1000' peak='2000'/>"
         "<outbound average='500'/></bandwidth></interface>"),
        (["attach-interface", "direct", "eth0", "--source-mode", "vepa", "--mac", "52:54:00:00:00:01"],
         "<interface type='direct'><mac address='52:54:00:00:00:01'/><source dev='eth0' mode='vepa'/></interface>"),
        (["attach-interface", "hostdev", "0000:03:10.1", "--managed"],
         "<interface type='hostdev' managed='yes'><source><address type='pci' domain='0x0' bus='0x3' slot='0x10' function='0x1'/>"
         "</source></interface>"),
    ],
)  # fmt: skip
def test_devices_by_words(shell: Shell, words: list[str], wanted: str) -> None:
    assert shell(words[0], GUEST, *words[1:], "--print-xml").strip().replace('"', "'") == wanted


@pytest.mark.parametrize("address", ["pci:0", "isa:1", "scsi:0.0.x"])
def test_addresses_that_are_none(shell: Shell, address: str) -> None:
    assert f"'{address}' is no address" in shell("attach-disk", GUEST, "/x", "vdb", "--address", address, code=1)


def test_what_was_printed_is_what_is_attached(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "disk.xml"
    file.write_text(shell("attach-disk", GUEST, "/x.img", "vdb", "--serial", "S1", "--print-xml"))
    assert "/x.img" not in shell("domblklist", GUEST, "--inactive")
    shell("attach-device", GUEST, str(file), "--config")
    assert "file   disk     vdb      /x.img" in shell("domblklist", GUEST, "--inactive", "--details")
    assert "vdb" in shell("detach-disk", GUEST, "vdb", "--config", "--print-xml")
    shell("detach-disk", GUEST, "vdb", "--config")
    assert "/x.img" not in shell("domblklist", GUEST, "--inactive")


DISKED = """<domain type='qemu'><name>disked</name><memory>65536</memory><os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices><disk type='file'><driver name='qemu' type='qcow2'/><source file='/default-pool/root.qcow2'/><target dev='vda'/></disk>
<disk type='file'><driver name='qemu' type='qcow2'/><source file='/elsewhere/data.img'/><target dev='vdb'/></disk>
<disk type='file' device='cdrom'><source file='/default-pool/install.iso'/><target dev='sda'/><readonly/></disk>
</devices></domain>"""


def test_a_guest_is_forgotten_with_what_it_leaves(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "disked.xml"
    file.write_text(DISKED)
    for name in ("root.qcow2", "install.iso"):
        shell("vol-create-as", "default-pool", name, "1MiB", "--format", "qcow2" if name.endswith("qcow2") else "raw")
    shell("define", str(file))
    shell("snapshot-create-as", "disked", "before")
    assert "snapshot" in shell("undefine", "disked", "--remove-all-storage", code=1)
    assert "root.qcow2" in shell("vol-list", "default-pool")
    assert "no disk vdz" in shell("undefine", "disked", "--storage", "vda,vdz", code=1)
    said = shell("undefine", "disked", "--snapshots-metadata", "--remove-all-storage")
    assert "'vdb'(/elsewhere/data.img) is not managed" in said and "'vda'(/default-pool/root.qcow2) removed" in said
    assert "root.qcow2" not in shell("vol-list", "default-pool") and "install.iso" in shell("vol-list", "default-pool")
    assert "no guest 'disked'" in shell("dominfo", "disked", code=1)


def test_metadata_in_an_editor(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nprintf 'Web server' > $1\n")
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    shell("desc", GUEST, "--title", "--edit", "--current")
    assert shell("desc", GUEST, "--title") == "Web server\n"


def test_kinds_of_events(shell: Shell) -> None:
    assert {"lifecycle", "ioerror", "blockjob"} <= set(shell("event", "--list").split())


def test_free_memory_of_every_node(shell: Shell) -> None:
    assert shell("freecell", "--all").splitlines()[-1].startswith("Total")


def test_lists_by_ancestry_and_edited_names(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guest, file = "disked", tmp_path / "disked.xml"
    file.write_text(DISKED)
    for name in ("root.qcow2", "install.iso"):
        shell("vol-create-as", "default-pool", name, "1MiB", "--format", "qcow2" if name.endswith("qcow2") else "raw")
    shell("define", str(file))
    for name in ("one", "two", "three"):
        shell("snapshot-create-as", guest, name)
    assert shell("snapshot-list", guest, "--from", "one", "--descendants", "--name").split() == ["two", "three"]
    assert shell("snapshot-list", guest, "--current", "--name") == ""
    assert shell("snapshot-list", guest, "--roots", "--name") == "one\n"
    assert "Descendants:    2" in shell("snapshot-info", guest, "one")
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/<name>three/<name>four/' $1\n")
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    assert "takes --rename" in shell("snapshot-edit", guest, "three", code=1)
    shell("snapshot-edit", guest, "three", "--rename")
    assert shell("snapshot-list", guest, "--name").split() == ["one", "two", "four"]
    for name in ("four", "two", "one"):
        shell("snapshot-delete", guest, name)
    shell("start", guest)
    shell("checkpoint-create-as", guest, "mark", "--diskspec", "vda,checkpoint=bitmap")
    assert shell("checkpoint-list", guest, "--roots", "--name") == "mark\n"
    monkeypatch.setenv("VISUAL", "true")
    assert "not changed" in shell("checkpoint-edit", guest, "mark")
    assert shell("checkpoint-dumpxml", guest, "mark", "--xpath", "string(//name)") == "mark\n"
