"""Words as virsh's users type them: arguments by name, and the short questions about a guest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from frontinus.client import main
from frontinus.client.commands import commands, find
from frontinus.client.commands.looks import uris
from frontinus.client.words import NAMES, arranged, fillable
from support.shell import Shell

VIRSH = Path(__file__).parents[2] / "data/virsh-words.txt"


def parsed(*words: str) -> dict[str, object]:
    row = find(words[0])
    assert row is not None
    named, given = arranged(row, words)
    return vars(main.make_parser([named]).parse_args(given))


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("start --domain web1", {"guest": "web1"}),
        ("start --domain=web1 --paused", {"guest": "web1", "paused": True}),
        ("attach-disk web1 --target vdb /x.img", {"guest": "web1", "target": "vdb", "source": "/x.img"}),
        ("attach-disk --domain web1 --source /x.img --target vdb --live", {"guest": "web1", "source": "/x.img", "live": True}),
        ("snapshot-create-as --domain web1 --name before --disk-only", {"guest": "web1", "name": "before", "disk_only": True}),
        ("snapshot-delete web1 --snapshotname before", {"guest": "web1", "snapshot": "before"}),
        ("net-define --file /n.xml", {"file": "/n.xml"}),
        ("domrename --domain a --new-name b", {"guest": "a", "name": "b"}),
        ("qemu-monitor-command --domain a --cmd status --hmp", {"guest": "a", "command": ["status"], "hmp": True}),
        ("nwfilter-dumpxml --nwfilter mine", {"filter": "mine"}),
        ("pool-define-as p fs - - /dev/sdc1 - /images ext4", {"type": "fs", "source_host": None, "source_path": None,
         "source_dev": "/dev/sdc1", "source_name": None, "target": "/images", "source_format": "ext4"}),
        ("pool-define-as p dir --target /images", {"name": "p", "type": "dir", "target": "/images"}),
        ("vol-create-as p v 1G 0 qcow2", {"capacity": 2**30, "allocation": 0, "format": "qcow2"}),
        ("vol-delete disk -- -images", {"vol": "disk", "pool": "-images"}),
        ("vol-create-as p v 1G --format raw 5", {"capacity": 2**30, "allocation": 5, "format": "raw"}),
        ("vol-delete disk images", {"vol": "disk", "pool": "images"}),
        ("vol-delete --pool images disk", {"vol": "disk", "pool": "images"}),
        ("snapshot-create-as web before why vda,snapshot=no vdb",
         {"name": "before", "description": "why", "diskspec": ["vda,snapshot=no", "vdb"], "memspec": None}),
        ("blockcopy web vda /copy 5", {"path": "vda", "dest": "/copy", "bandwidth": "5"}),
        ("vol-resize --vol disk --capacity 1G --pool images", {"vol": "disk", "capacity": 2**30, "pool": "images"}),
    ],
)  # fmt: skip
def test_arguments_by_name(words: str, wanted: dict[str, object]) -> None:
    found = parsed(*words.split())
    assert {name: found[name] for name in wanted} == wanted


def test_values_without_names_fill_options_in_virshs_order() -> None:
    apart = {"blkdeviotune": {"--group-name"}}
    virsh = {words[0]: words[1:] for line in VIRSH.read_text().splitlines() if (words := line.split())}
    for name in set(virsh) & set(commands()):
        ours = [a.names[0] for a in fillable(commands()[name]) if a.names[0] not in apart.get(name, ())]
        assert ours == sorted(ours, key=lambda one: _place(virsh[name], one.lstrip("-"))), name


def _place(words: list[str], one: str) -> int:
    """What virsh has not comes last."""
    return words.index(one) if one in words else len(words)


@pytest.mark.parametrize(
    ("word", "bytes_"), [("1P", 2**50), ("2eib", 2**61), ("3EB", 3 * 10**18), ("7", 7), ("7kb", 7000)]
)
def test_sizes_have_units_up_to_exa(word: str, bytes_: int) -> None:
    assert parsed("vol-create-as", "p", "v", word)["capacity"] == bytes_


@pytest.mark.parametrize("word", ["8E", "9" * 5000, "1Z", "\u0661k", "\u00b2", "-1", "1.5G", ""])
def test_what_is_no_size_is_refused(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("vol-create-as", "p", "v", "--capacity", word)
    assert len(capsys.readouterr().err) < 1000


def test_too_many_values_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("vol-delete", "disk", "images", "more")
    assert "more" in capsys.readouterr().err


def test_what_is_required_stays_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("attach-disk", "--domain", "web1", "--target", "vdb")
    assert "source" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parsed("start", "--domain")


def test_other_names_are_of_arguments_that_exist() -> None:
    positional = {a.names[0] for row in commands().values() for a in row.arguments if not a.names[0].startswith("-")}
    assert set(NAMES) <= positional


def test_no_two_arguments_of_a_command_share_a_name() -> None:
    for row in commands().values():
        own = [a.names[0] for a in row.arguments if not a.names[0].startswith("-")]
        names = [name for one in own for name in {one, *NAMES.get(one, ())}]
        assert len(names) == len(set(names)), row.name


def test_a_name_that_the_command_has_as_an_option_stays_one() -> None:
    assert parsed("domblkinfo", "web1", "--all")["all"] is True
    assert parsed("metadata", "web1", "http://x", "--key", "k")["key"] == "k"


def test_the_engine_is_asked_by_name(shell: Shell) -> None:
    assert shell("domstate", "--domain", "guest-00000") == "running\n"


def test_sizes_of_disks(shell: Shell) -> None:
    (disk,) = json.loads(shell("--json", "domblkinfo", "guest-00000", "vda"))
    assert shell("domblkinfo", "guest-00000", "vda").split()[:2] == ["Capacity:", str(disk["capacity"])]
    assert "no disk 'vdz'" in shell("domblkinfo", "guest-00000", "vdz", code=1)
    assert "GiB" in shell("domblkinfo", "guest-00000", "--all", "--human")


def test_counts_of_vcpus(shell: Shell) -> None:
    shell("setvcpus", "guest-00000", "4", "--maximum", "--config")
    rows = [tuple(row.values()) for row in json.loads(shell("--json", "vcpucount", "guest-00000"))]
    assert ("maximum", "config", 4) in rows and {row[:2] for row in rows} == {
        ("maximum", "config"), ("maximum", "live"), ("current", "config"), ("current", "live")}  # fmt: skip
    assert shell("vcpucount", "guest-00000", "--maximum", "--config") == "4\n"


def test_links_up_and_down(shell: Shell) -> None:
    (nic,) = json.loads(shell("--json", "domiflist", "guest-00000"))
    assert shell("domif-getlink", "guest-00000", nic["mac"]).split() == [nic["mac"], "up"]
    shell("domif-setlink", "guest-00000", nic["mac"], "down")
    assert shell("domif-getlink", "guest-00000", "--interface", nic["mac"]).split()[1] == "down"
    assert "no NIC" in shell("domif-getlink", "guest-00000", "x", code=1)


def test_cpu_time(shell: Shell) -> None:
    assert "cpu_time" in shell("cpu-stats", "guest-00000", "--total")


def test_a_saved_state_is_edited(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, editor = tmp_path / "state", tmp_path / "editor"
    shell("save", "guest-00000", str(file))
    editor.write_text("#!/bin/sh\nsed -i 's/<name>guest-00000/<title>Edited<\\/title><name>guest-00000/' $1\n")
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    assert "edited" in shell("save-image-edit", str(file))
    assert "<title>Edited</title>" in shell("save-image-dumpxml", str(file))
    monkeypatch.setenv("VISUAL", "true")
    assert "not changed" in shell("save-image-edit", str(file))


GRAPHICS = "<domain><devices>{}</devices></domain>"


@pytest.mark.parametrize(
    ("graphics", "wanted"),
    [
        ("<graphics type='vnc' port='5901' listen='127.0.0.1'/>", ["vnc://127.0.0.1:1"]),
        ("<graphics type='vnc' port='5900' listen='0.0.0.0'/>", ["vnc://localhost:0"]),
        ("<graphics type='vnc' port='5900' listen='::1'/>", ["vnc://[::1]:0"]),
        ("<graphics type='spice' port='5905' tlsPort='5906' listen='10.0.0.1'/>", ["spice://10.0.0.1:5905?tls-port=5906"]),
        ("<graphics type='spice' tlsPort='5906' listen='10.0.0.1'/>", ["spice://10.0.0.1?tls-port=5906"]),
        ("<graphics type='vnc'><listen type='socket' socket='/run/vnc'/></graphics>", ["vnc+unix:///run/vnc"]),
        ("<graphics type='vnc' port='-1'/>", []),
    ],
)  # fmt: skip
def test_where_displays_are(graphics: str, wanted: list[str]) -> None:
    assert list(uris(GRAPHICS.format(graphics), None)) == wanted
    assert list(uris(GRAPHICS.format(graphics), "rdp")) == []


def test_displays_of_a_guest_that_is_off(shell: Shell) -> None:
    shell("destroy", "guest-00000")
    assert "not running" in shell("domdisplay", "guest-00000", code=1)
