"""The commands that tune guests, look into them and ask their agents, in virsh's words, against a mock engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unit.test_command import Shell, shell, socket

__all__ = ["shell", "socket"]
GUEST = "guest-00000"


def test_pins(shell: Shell) -> None:
    shell("vcpupin", GUEST, "0", "0-2,^1", "--live", "--config")
    assert " 0      0,2" in shell("vcpupin", GUEST) and " 1      0-7" in shell("vcpupin", GUEST)
    shell("emulatorpin", GUEST, "3")
    assert json.loads(shell("--json", "emulatorpin", GUEST)) == [3]
    shell("iothreadadd", GUEST, "2")
    shell("iothreadpin", GUEST, "2", "1")
    assert " 2             1" in shell("iothreadinfo", GUEST)
    shell("iothreaddel", GUEST, "2")
    assert "has no I/O thread 2" in shell("iothreaddel", GUEST, "2", code=1)
    with pytest.raises(SystemExit):
        shell("vcpupin", GUEST, "0", "many")


def test_limits(shell: Shell) -> None:
    assert "cpu_shares     : 2048" in shell("schedinfo", GUEST, "--set", "cpu_shares=2048", "--set", "vcpu_quota=-1")
    shell("memtune", GUEST, "--hard-limit", "1GiB", "--soft-limit", "-1")
    assert shell("memtune", GUEST).splitlines()[:2] == ["hard_limit     : 1048576", "soft_limit     : unlimited"]
    shell("blkiotune", GUEST, "--weight", "200", "--device-read-bytes-sec", "/dev/sda,1000")
    assert "device_read_bytes_sec: /dev/sda,1000" in shell("blkiotune", GUEST)
    shell("numatune", GUEST, "--mode", "interleave", "--nodeset", "0", "--config")
    assert "numa_mode      : interleave" in shell("numatune", GUEST, "--config")
    shell("blkdeviotune", GUEST, "vda", "--total-bytes-sec", "10M")
    assert f"total_bytes_sec: {10 * 2**20}" in shell("blkdeviotune", GUEST, "vda")
    mac = shell("domiflist", GUEST).split()[-1]
    shell("domiftune", GUEST, mac, "--inbound", "1000,2000", "--config")
    assert "inbound.peak: 2000" in shell("domiftune", GUEST, mac, "--config")
    shell("dommemstat", GUEST, "--period", "5", "--config")
    assert 'period="5"' in shell("dumpxml", GUEST, "--inactive").replace("'", '"')
    assert "not counted" in shell("perf", GUEST, "--enable", "cmt", code=1)


def test_looks(shell: Shell, tmp_path: Path) -> None:
    assert "dumped to" in shell("dump", GUEST, str(tmp_path / "core"), "--memory-only")
    assert (tmp_path / "core").read_bytes().startswith(b"\x7fELF")
    assert shell("domcontrol", GUEST) == "ok\n" and shell("domblkerror", GUEST) == "No errors found\n"
    assert "dac" in shell("domlabels", GUEST)
    for command in (
        "domhostname",
        "domtime",
        "domfsinfo",
        "domfsfreeze",
        "domfsthaw",
        "domfstrim",
        "guestvcpus",
        "guestinfo",
    ):
        assert "run no agent" in shell(command, GUEST, code=1), command
    assert "run no agent" in shell("set-user-password", GUEST, "ann", "secret", code=1)


def test_a_saved_state_is_redefined(shell: Shell, tmp_path: Path) -> None:
    file, xml = tmp_path / "saved", tmp_path / "new.xml"
    shell("save", GUEST, str(file))
    xml.write_text(shell("save-image-dumpxml", str(file)).replace("</name>", "</name><title>anew</title>"))
    shell("save-image-define", str(file), str(xml), "--paused")
    assert "<title>anew" in shell("save-image-dumpxml", str(file))
    shell("restore", str(file))
    assert shell("domstate", GUEST) == "paused\n"


def test_the_host(shell: Shell, tmp_path: Path) -> None:
    assert "idle:" in shell("nodecpustats", "0", "--percent")
    assert f"total  : {16 * 2**20:>20} KiB" in shell("nodememstats")
    assert "yyyyyyyy" in shell("nodecpumap") and "Total: " in shell("freecell")
    shell("node-memory-tune", "--shm-pages-to-scan", "9")
    assert "shm_pages_to_scan       9" in shell("node-memory-tune")
    assert "no SMBIOS data" in shell("sysinfo", code=1)
    shell("cpu-models", "x86_64")
    cpu = tmp_path / "cpu.xml"
    cpu.write_text("<cpu><model>nonsense</model></cpu>")
    assert "unknown CPU model 'nonsense'" in shell("cpu-compare", str(cpu), code=1)
    cpu.write_text("<cpu><model>Nehalem</model></cpu><cpu><model>Penryn</model></cpu>")
    assert "<model" in shell("cpu-baseline", str(cpu))
