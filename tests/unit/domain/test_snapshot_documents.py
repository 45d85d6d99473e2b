"""The documents of snapshots, checkpoints and backups: what they say, what is refused, what completion decides."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontinus.api.errors import InvalidXML
from frontinus.domain.definition import parse_guest
from frontinus.domain.guest import Guest
from frontinus.domain.snapshots.backup import align_backup, parse_backup
from frontinus.domain.snapshots.checkpoint import CheckpointDisk, align_checkpoint, parse_checkpoint, refuse_formats
from frontinus.domain.snapshots.document import GuestReference
from frontinus.domain.snapshots.snapshot import align, parse_snapshot
from frontinus.xml import Model, format_document
from support.guests import document

CORPUS = Path(__file__).parents[4] / "shared/corpus"


def disk(target: str, path: str = "", kind: str = "qcow2", device: str = "disk") -> str:
    source = f"<source file='{path}'/>" if path else ""
    return (f"<disk type='file' device='{device}'><driver name='qemu' type='{kind}'/>{source}"
            f"<target dev='{target}' bus='virtio'/></disk>")  # fmt: skip


def guest(*disks: str) -> Guest:
    return parse_guest(document("".join(disks)))


TWO = guest(disk("vda", "/img/a.qcow2"), disk("vdb", "/img/b.v1.qcow2"), disk("sr0", device="cdrom"))


def test_a_snapshot_keeps_the_guest_of_its_moment() -> None:
    whole = document(disk("vda", "/a"))
    text = f"<domainsnapshot><name>s</name><state>shutoff</state>{whole}</domainsnapshot>"
    found = parse_snapshot(text)
    assert found.guest is not None and found.guest.devices.disks[0].source_path == "/a"
    assert parse_snapshot(format_document(found)) == found
    bare = parse_snapshot(f"<domainsnapshot><domain><uuid>{'0' * 32}</uuid></domain></domainsnapshot>")
    assert isinstance(bare.domain, GuestReference) and bare.guest is None


def test_overlays_lie_beside_their_images() -> None:
    found = parse_snapshot("<domainsnapshot><name>s1</name></domainsnapshot>")
    align(found, TWO, "external")
    assert [(d.name, d.snapshot, d.format, d.source and d.source.file) for d in found.disks] == [
        ("vda", "external", "qcow2", "/img/a.s1"), ("vdb", "external", "qcow2", "/img/b.v1.s1"), ("sr0", "no", None, None),
    ]  # fmt: skip


def test_what_the_user_says_of_a_disk_counts() -> None:
    text = """<domainsnapshot><name>s</name><disks><disk name='/img/a.qcow2' snapshot='no'/>
        <disk name='vdb'><driver type='qed'/><source file='/o'/></disk></disks></domainsnapshot>"""
    found = parse_snapshot(text)
    align(found, TWO, "internal")
    assert [(d.name, d.snapshot, d.format) for d in found.disks][:2] == [
        ("vda", "no", None),
        ("vdb", "external", "qed"),
    ]


def refused(kind: str, inside: str, attributes: str = "") -> str:
    read = {"snapshot": parse_snapshot, "checkpoint": parse_checkpoint, "backup": parse_backup}[kind]
    with pytest.raises(InvalidXML) as caught:
        read(f"<domain{kind}{attributes}>{inside}</domain{kind}>", validate=True)
    return caught.value.message


@pytest.mark.parametrize(("kind", "inside", "why"), [
    ("snapshot", "<name>a/b</name>", "is no name"),
    ("snapshot", "<name>.a</name>", "is no name"),
    ("snapshot", "<memory file='m'/>", "absolute"),
    ("snapshot", "<memory snapshot='external'/>", "needs a file"),
    ("snapshot", "<memory snapshot='internal' file='/m'/>", "has no file"),
    ("snapshot", "<disks><disk snapshot='no'/></disks>", "name is missing"),
    ("snapshot", "<disks><disk name='vda' snapshot='internal'><source file='/x'/></disk></disks>", "only an external"),
    ("snapshot", "<disks><disk name='vda'><driver type='raw'/></disk></disks>", "cannot lie over"),
    ("snapshot", "<disks><disk name='a'/><disk name='a'/></disks>", "named twice"),
    ("snapshot", "<state>asleep</state>", "not one of"),
    ("snapshot", "<colour/>", "unknown element"),
    ("checkpoint", "<name>../escape</name>", "is no name"),
    ("checkpoint", "<disks><disk/></disks>", "name is missing"),
    ("checkpoint", "<disks><disk name='vda' checkpoint='no' bitmap='b'/></disks>", "has no bitmap"),
    ("backup", "<server name='h'/>", "mode 'pull'"),
    ("backup", "<disks><disk name='vda' type='file'><scratch file='/x'/></disk></disks>", "not for mode"),
    ("backup", "<disks><disk name='vda' type='network'/></disks>", "not one of"),
    ("backup", "<disks><disk name='vda' type='file' backupmode='full' incremental='c'/></disks>", "starts at no"),
    ("backup", "<disks><disk name='vda' type='file' exportname='e'/></disks>", "exports nothing"),
])  # fmt: skip
def test_refusals(kind: str, inside: str, why: str) -> None:
    assert why in refused(kind, inside)


@pytest.mark.parametrize(("inside", "why"), [
    ("<server transport='unix' name='h'/>", "takes a socket"),
    ("<server transport='tcp'/>", "takes a name"),
    ("<disks><disk name='vda' type='file'><target file='/x'/></disk></disks>", "not for mode"),
    ("<disks><disk name='vda' type='file'><driver type='raw'/></disk></disks>", "is qcow2"),
])  # fmt: skip
def test_refusals_of_pull(inside: str, why: str) -> None:
    assert why in refused("backup", inside, " mode='pull'")


@pytest.mark.parametrize("lacking", ["name", "creationTime", "state"])
def test_a_redefinition_says_all(lacking: str) -> None:
    parts = {"name": "s", "creationTime": "1", "state": "shutoff"}
    inside = "".join(f"<{tag}>{value}</{tag}>" for tag, value in parts.items() if tag != lacking)
    with pytest.raises(InvalidXML, match=lacking):
        parse_snapshot(f"<domainsnapshot>{inside}</domainsnapshot>", redefine=True)


def test_a_disk_that_is_not_there() -> None:
    found = parse_snapshot("<domainsnapshot><name>s</name><disks><disk name='vdz'/></disks></domainsnapshot>")
    with pytest.raises(InvalidXML, match="no disk 'vdz'"):
        align(found, TWO, "internal")


def test_an_empty_drive_has_no_snapshot() -> None:
    found = parse_snapshot("<domainsnapshot><disks><disk name='sr0' snapshot='internal'/></disks></domainsnapshot>")
    with pytest.raises(InvalidXML, match="empty or read-only"):
        align(found, TWO, "internal")


def test_checkpoints_record_all_disks_or_those_named() -> None:
    found = parse_checkpoint("<domaincheckpoint><name>c</name></domaincheckpoint>")
    align_checkpoint(found, TWO)
    assert found.bitmaps() == {"vda": "c", "vdb": "c"}
    found = parse_checkpoint(
        "<domaincheckpoint><name>c</name><disks><disk name='vdb' bitmap='x'/></disks></domaincheckpoint>"
    )
    align_checkpoint(found, TWO)
    assert found.bitmaps() == {"vdb": "x"}
    with pytest.raises(InvalidXML, match="keeps no bitmaps"):
        refuse_formats({"vda": "c"}, guest(disk("vda", "/a", "raw")))


def test_backups_take_all_disks_or_those_named() -> None:
    found = parse_backup("<domainbackup/>")
    align_backup(found, TWO, "123")
    assert [(d.name, d.mode, d.target and d.target.file) for d in found.chosen()] == [
        ("vda", "full", "/img/a.qcow2.123"), ("vdb", "full", "/img/b.v1.qcow2.123")]  # fmt: skip
    text = """<domainbackup mode='pull'><incremental>c</incremental><disks><disk name='vdb'/>
        <disk name='vda' backupmode='full'/></disks></domainbackup>"""
    found = parse_backup(text)
    align_backup(found, TWO, "c2")
    assert [(d.name, d.mode, d.incremental, d.scratch and d.scratch.file) for d in found.chosen()] == [
        ("vdb", "incremental", "c", "/img/b.v1.qcow2.c2"), ("vda", "full", None, "/img/a.qcow2.c2")]  # fmt: skip


@given(st.text(max_size=20))
def test_any_name_is_taken_or_refused(name: str) -> None:
    for read in (parse_snapshot, parse_checkpoint):
        root = ET.Element("domainsnapshot" if read is parse_snapshot else "domaincheckpoint")
        ET.SubElement(root, "name").text = name
        try:
            found = read(ET.tostring(root))
        except (InvalidXML, ValueError):
            continue
        assert found.name is None or "/" not in found.name
        assert read(format_document(found)) == found


def test_the_command_prints_a_line_a_file(tmp_path: Path) -> None:
    good, bad, domain = tmp_path / "good", tmp_path / "bad", tmp_path / "domain"
    good.write_text("<domaincheckpoint/>")
    bad.write_text("<domaincheckpoint><name>a/b</name></domaincheckpoint>")
    domain.write_text(document(disk("vda", "/a")))
    command = [
        str(Path(sys.executable).with_name("frontinus")),
        "xml",
        "checkpoint",
        "--domain",
        str(domain),
        "--time",
        "7",
    ]
    done = subprocess.run([*command, str(good), str(bad)], capture_output=True, text=True, check=True)
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert "<disk name='vda' checkpoint='bitmap' bitmap='7'/>" in first["xml"]
    assert second["error"]["code"] == "invalid-xml"


# --- the corpus: what the rig of its expectations added is added here

KINDS = {"snapshot-xml2xml": parse_snapshot, "checkpoint-xml2xml": parse_checkpoint, "domainbackup": parse_backup}


def cases() -> list[Any]:
    index = CORPUS / "index.json"
    found = json.loads(index.read_text())["cases"] if index.exists() else []
    return [case for case in found if case["kind"] in KINDS and (CORPUS / case["files"]["input.xml"]).exists()]


def as_made(case: dict[str, Any], found: Any) -> Model:
    """What the makers of the expectations did with a document that they had read."""
    args = case.get("args", [])
    if case["kind"] == "domainbackup":
        names = {d.name for d in found.disks} | {"vdextradisk"}
        align_backup(found, guest(*(disk(name, f"/fake/{name}.qcow2") for name in sorted(names))), "SUFFIX")
    elif case["id"].endswith("-in-out"):
        found.created, found.name = int(args[0]), found.name or args[0]
        if case["kind"] == "snapshot-xml2xml" and found.domain is None:
            found.domain = GuestReference(uuid=case["uuid"])
        if "TEST_RUNNING" in args[1]:
            found.state = "running"
        if "TEST_PARENT" in args[1]:
            found.parent = "1525111885"
        if "TEST_VDA_BITMAP" in args[1]:
            size = 1048576 if "TEST_SIZE" in args[1] else None
            found.disks.append(CheckpointDisk(name="vda", checkpoint="bitmap", bitmap=found.name, size=size))
    result: Model = found
    return result


@pytest.mark.skipif(not cases(), reason="the corpus is not here")
@pytest.mark.parametrize("case", cases(), ids=lambda case: case["kind"] + "/" + case["id"])
def test_corpus(case: dict[str, Any]) -> None:
    text, read = (CORPUS / case["files"]["input.xml"]).read_bytes(), KINDS[case["kind"]]
    if case.get("fail"):
        with pytest.raises(InvalidXML):
            read(text)
        return
    got = ET.fromstring(format_document(as_made(case, read(text))))
    assert canonical(got) == canonical(ET.parse(CORPUS / case["files"]["expected.xml"]).getroot())


def canonical(element: ET.Element) -> tuple[Any, ...]:
    """An element whatever the order of its attributes and children."""
    children = sorted((canonical(child) for child in element), key=repr)
    return (element.tag, tuple(sorted(element.attrib.items())), (element.text or "").strip(), tuple(children))
