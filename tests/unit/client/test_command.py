"""The `frontinus` command against a mock engine: every row works, says what it did, and fails with a reason."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from frontinus.client import completion, main
from frontinus.client.commands import FILES, commands, load
from support.shell import Shell

XML = "<domain type='qemu'><name>{}</name><memory>65536</memory><os><type arch='x86_64' machine='q35'>hvm</type></os></domain>"


def test_the_index_of_commands_is_the_commands() -> None:
    for file, names in FILES.items():
        assert sorted(load(file)) == sorted(names.split()), file
    assert all(row.help and (row.run or row.offline) for row in commands().values())


def test_listing(shell: Shell) -> None:
    assert shell("list").split("\n")[2].split()[1:] == ["guest-00000", "running"]
    assert shell("list", "--all", "--name") == "guest-00000\ntest\n"
    assert [g["name"] for g in json.loads(shell("--json", "list"))] == ["guest-00000", "test"]
    assert "shut off" not in shell("list", "--inactive")
    assert "6695eb01-f6a4-8304-79aa-97f2502e193f" in shell("domuuid", "test")
    assert "Max memory" in shell("dominfo", "test") and "<name>test</name>" in shell("dumpxml", "test")


def test_a_life(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    file.write_text(XML.format("a"))
    assert "defined" in shell("define", str(file))
    assert "started" in shell("start", "a")
    shell("suspend", "a")
    assert shell("domstate", "a", "--reason") == "paused (user)\n"
    shell("resume", "a")
    shell("autostart", "a")
    assert "a\n" in shell("list", "--autostart", "--name")
    shell("desc", "a", "--title", "A title")
    assert shell("desc", "a", "--title") == "A title\n"
    shell("managedsave", "a")
    assert "has a managed save" in shell("undefine", "a", code=1)
    shell("undefine", "a", "--managed-save")
    assert "no guest 'a'" in shell("dominfo", "a", code=1)


def test_figures_have_their_usual_names(shell: Shell) -> None:
    rows = json.loads(shell("--json", "domstats", "guest-00000"))["guest-00000"]
    assert {"state.state", "cpu.time", "balloon.current", "vcpu.0.time", "net.0.rx.bytes", "block.0.rd.reqs"} <= set(
        rows
    )
    text = shell("domstats", "--state", "guest-00000")
    assert text == "Domain: 'guest-00000'\n  state.state=1\n  state.reason=1\n\n"
    assert "actual 524288" in shell("dommemstat", "guest-00000")
    assert "vda" in shell("domblklist", "guest-00000") and "virtio" in shell("domiflist", "guest-00000")


def test_devices_by_words(shell: Shell) -> None:
    shell("attach-disk", "guest-00000", "/x.img", "vdb", "--config")
    assert "/x.img" in shell("domblklist", "guest-00000", "--inactive")
    shell("detach-disk", "guest-00000", "vdb", "--config")
    assert "/x.img" not in shell("domblklist", "guest-00000", "--inactive")
    assert "no disk fits" in shell("detach-disk", "guest-00000", "vdz", "--config", code=1)


def test_failures_are_told_with_a_code(
    shell: Shell, socket: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "not permitted" in shell("-r", "destroy", "test", code=1)
    (tmp_path / "bad.xml").write_text("<domain type='qemu'>\n<name>x</name>\n<memory>many</memory></domain>")
    assert "line 3: element <memory>" in shell("define", str(tmp_path / "bad.xml"), code=1)
    assert main.main(["--socket", str(socket), "--json", "start", "nobody"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "no-such-guest"
    assert main.main(["--socket", str(tmp_path / "nothing"), "list"]) == 1
    assert main.main(["no-such-command"]) == 1
    with pytest.raises(SystemExit) as wrong:
        main.main(["start", "--no-such-option", "test"])
    assert wrong.value.code == 1, "scripts made for virsh know no other"


def test_events_are_printed(shell: Shell) -> None:
    with shell.meanwhile("suspend", "test"):
        out = shell("event", "--domain", "test", "--event", "lifecycle", "--timeout", "60")
    assert "event 'lifecycle' for domain 'test': Suspended Paused" in out and "events received: 1" in out


@pytest.mark.parametrize("shell_name", ["bash", "zsh"])
def test_completion_is_valid_shell(shell_name: str) -> None:
    script = completion.script(shell_name)
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    assert "domstats" in script and "--managed-save" in script


def test_filters_and_bindings(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filter, binding = tmp_path / "filter.xml", tmp_path / "binding.xml"
    filter.write_text(
        "<filter name='mine'><rule action='drop' direction='out'><tcp dstportstart='25'/></rule></filter>"
    )
    binding.write_text(
        "<filterbinding><owner><name>x</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid></owner>"
        "<portdev name='tap9'/><mac address='52:54:00:00:00:09'/><filterref filter='mine'/></filterbinding>"
    )
    assert "clean-traffic" in shell("nwfilter-list")
    assert "Network filter mine defined" in shell("nwfilter-define", str(filter))
    assert "<tcp dstportstart='25'/>" in shell("nwfilter-dumpxml", "mine")
    assert "binding on tap9 created" in shell("nwfilter-binding-create", str(binding))
    assert [(one["link"], one["filter"]) for one in json.loads(shell("--json", "nwfilter-binding-list"))] == [
        ("tap9", "mine")
    ]
    assert "<portdev name='tap9'/>" in shell("nwfilter-binding-dumpxml", "tap9")
    assert "in use" in shell("nwfilter-undefine", "mine", code=1)
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i \"s/'25'/'26'/\" $1\n")
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    assert "edited" in shell("nwfilter-edit", "mine") and "'26'" in shell("nwfilter-dumpxml", "mine")
    assert "not changed" in shell("nwfilter-edit", "mine")
    assert "tap9 deleted" in shell("nwfilter-binding-delete", "tap9")
    assert "mine undefined" in shell("nwfilter-undefine", "mine")
    assert "no filter 'mine'" in shell("nwfilter-dumpxml", "mine", code=1)


def test_the_plan_of_a_filter_without_a_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outer, inner = tmp_path / "outer.xml", tmp_path / "inner.xml"
    outer.write_text("<filter name='outer'><filterref filter='inner'/></filter>")
    inner.write_text("<filter name='inner'><rule action='accept' direction='out'><ip srcipaddr='$IP'/></rule></filter>")
    assert (
        main.main(["firewall", str(outer), str(inner), "--parameter", "IP=192.0.2.1", "--parameter", "IP=192.0.2.2"])
        == 0
    )
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["file"] == str(outer) and first["firewall"] == second["firewall"]
    said = json.dumps(first["firewall"])
    assert "192.0.2.1" in said and "192.0.2.2" in said and first["notes"] == []
    assert main.main(["xml", "nwfilter", str(inner)]) == 0
    assert "$IP" in json.loads(capsys.readouterr().out)["xml"]
    inner.write_text("<filter name='inner'><rule/></filter>")
    assert main.main(["firewall", str(inner)]) == 0
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "invalid-xml"
