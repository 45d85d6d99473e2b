"""The commands that tune guests, look into them and ask their agents, in virsh's words, against a mock engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from frontinus.api.errors import InvalidValue
from frontinus.client.commands import find
from frontinus.client.commands.base import Output
from frontinus.client.main import make_parser
from support.shell import Shell

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


def test_vcpus_iothreads_and_events_one_by_one(shell: Shell) -> None:
    shell("setvcpus", GUEST, "4", "--maximum", "--config")
    shell("setvcpus", GUEST, "1", "--config")
    shell("setvcpu", GUEST, "2-3", "--enable", "--config")
    assert shell("vcpucount", GUEST, "--active", "--config") == "3\n"
    assert "--enable or --disable" in shell("setvcpu", GUEST, "1", "--config", code=1)
    shell("iothreadadd", GUEST, "1", "--config")
    shell("iothreadset", GUEST, "1", "--poll-max-ns", "700", "--config")
    assert shell("dumpxml", GUEST, "--inactive", "--xpath", "string(//iothread/poll/@max)") == "700\n"
    shell("set-lifecycle-action", GUEST, "crash", "restart", "--config")
    assert shell("dumpxml", GUEST, "--inactive", "--xpath", "string(//on_crash)") == "restart\n"


def test_pages(shell: Shell) -> None:
    assert shell("freepages").splitlines()[0] == "4KiB: 2097152"
    shell("allocpages", "2048", "3")
    shell("allocpages", "2048", "2", "--add", "--cellno", "0")
    assert shell("freepages", "--all", "--pagesize", "2048") == "Node 0:\n2048KiB: 5\n\n"
    assert "no huge pages" in shell("allocpages", "4096", "3", code=1)
    assert "not permitted" in shell("-r", "allocpages", "2048", "3", code=1)


def test_saves_with_options(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell("save", GUEST, str(tmp_path / "s"), "--bypass-cache", "--verbose")
    shell("restore", str(tmp_path / "s"), "--paused", "--bypass-cache")
    assert shell("domstate", GUEST) == "paused\n"
    shell("managedsave", GUEST, "--running", "--bypass-cache")
    assert "saved" in shell("list", "--all", "--managed-save")
    assert shell("managedsave-dumpxml", GUEST, "--security-info", "--xpath", "string(//name)") == f"{GUEST}\n"
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/<vcpu/<title>Edited<\\/title><vcpu/' $1\n")
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    assert "edited" in shell("managedsave-edit", GUEST, "--paused")
    (tmp_path / "x.xml").write_text(shell("managedsave-dumpxml", GUEST))
    assert "updated" in shell("managedsave-define", GUEST, str(tmp_path / "x.xml"))
    shell("start", GUEST, "--bypass-cache")
    assert "Edited" in shell("dumpxml", GUEST) and shell("domstate", GUEST) == "paused\n"
    assert "no managed save" in shell("managedsave-dumpxml", GUEST, code=1)


def test_a_guest_ends_with_its_command(shell: Shell) -> None:
    shell("destroy", GUEST)
    assert shell(f"start {GUEST} --autodestroy; domstate {GUEST}").splitlines()[-1] == "running"
    assert shell("event", "--domain", GUEST, "--all", "--timeout", "0.5").splitlines()
    assert shell("domstate", GUEST) == "shut off\n"


def test_words_for_the_agent(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# mine\nssh-ed25519 AAAA me\n\n")
    for words in (
        ["get-user-sshkeys", GUEST, "root"],
        ["set-user-sshkeys", GUEST, "root", "--file", str(tmp_path / "keys")],
        ["guestinfo", GUEST, "--disk"],
        ["setvcpus", GUEST, "1", "--guest"],
    ):
        assert "no agent" in shell(*words, code=1)
    assert "exclude each other" in shell("set-user-sshkeys", GUEST, "root", "--reset", "--remove", code=1)
    shell("guest-agent-timeout", GUEST, "--timeout", "-2")
    assert "1 to 600" in shell("guest-agent-timeout", GUEST, "--timeout", "-3", code=1)


MEMORY = """<domain><devices><memory model='dimm'><target><size>1</size><node>0</node></target></memory>
<memory model='virtio-mem'><target><size>1</size><node>0</node><requested unit='KiB'>0</requested></target>
<alias name='m0'/></memory>
<memory model='virtio-mem'><target><size>1</size><node>1</node></target><alias name='m1'/></memory></devices></domain>"""


class Memory:
    """An engine whose guest has devices that the mock's emulator lacks."""

    def __init__(self) -> None:
        self.updates: list[tuple[str, str]] = []

    async def guest_xml(self, guest: str, flags: list[str]) -> str:
        return MEMORY

    async def update_device(self, guest: str, xml: str, live: bool, config: bool) -> None:
        self.updates.append((guest, xml))


@pytest.mark.parametrize(
    ("words", "alias"), [("--node 1", "m1"), ("--alias m0", "m0"), ("", None), ("--alias m0 --node 1", None)]
)
async def test_memory_that_is_asked_for(words: str, alias: str | None) -> None:
    engine, row = Memory(), find("update-memory-device")
    assert row is not None and row.run is not None
    given = ["update-memory-device", "web", "--requested-size", "32MiB", *words.split()]
    work = row.run(engine, make_parser([row]).parse_args(given), Output(json=False))  # type: ignore[arg-type]
    if alias is None:
        with pytest.raises(InvalidValue, match="memory device is meant"):
            await work
        return
    await work
    ((guest, xml),) = engine.updates
    assert guest == "web" and f'name="{alias}"' in xml and xml.count("<requested") == 1 and ">32768</requested>" in xml
