"""Documents of pools, volumes and secrets: what is filled in, what is kept, what is refused, and the corpus."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from frontinus.api.errors import FrontinusError, InvalidXML
from frontinus.storage.definition import (
    format_pool,
    format_secret,
    format_volume,
    parse_pool,
    parse_secret,
    parse_volume,
)
from support.corpus import CORPUS, cases, compared

DIR = "<pool type='dir'><name>images</name><target><path>//srv///images/</path></target></pool>"


def pool(kind: str, source: str = "", target: str = "<target><path>/p</path></target>") -> str:
    return f"<pool type='{kind}'><name>one</name><source>{source}</source>{target}</pool>"


def volume(rest: str = "", name: str = "v", capacity: str = "<capacity unit='MiB'>1</capacity>") -> str:
    return f"<volume><name>{name}</name>{capacity}{rest}</volume>"


def test_a_pool_is_completed_and_keeps_what_it_does_not_know() -> None:
    text = DIR.replace("<target>", "<x:mine xmlns:x='urn:x' a='1'/><target>")
    found = format_pool(parse_pool(text, new_id=lambda: "6695eb01-f6a4-8304-79aa-97f2502e193f"))
    assert "<path>/srv/images</path>" in found
    assert "<uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>" in found
    assert "urn:x" in found
    assert format_pool(parse_pool(found)) == found


def test_validation_refuses_what_is_not_known() -> None:
    parse_pool(DIR.replace("<target>", "<mine/><target>"))
    with pytest.raises(InvalidXML, match="mine"):
        parse_pool(DIR.replace("<target>", "<mine/><target>"), validate=True)


@pytest.mark.parametrize(
    ("kind", "source", "path"),
    [("logical", "<name>vg</name>", "/dev/vg"), ("zfs", "<name>tank</name>", "/dev/zvol/tank"), ("mpath", "", "/dev/mapper"),
     ("disk", "<device path='/dev/sdb'/>", "/dev")],
)  # fmt: skip
def test_a_kind_implies_its_place(kind: str, source: str, path: str) -> None:
    assert parse_pool(pool(kind, source, "")).path == path


BAD_POOLS = {
    pool("dir", target=""): "<path> is missing",
    pool("dir", target="<target><path>srv</path></target>"): "is not absolute",
    pool("nonsense"): "nonsense",
    pool("fs"): "<device> is missing",
    pool("fs", "<device path='/dev/a'/><device path='/dev/b'/>"): "only one <device>",
    pool("fs", "<device path='/dev/a'/><format type='ext9'/>"): "no source format 'ext9'",
    pool("fs", "<device path='-o'/>"): "no path of a device",
    pool("netfs", "<host name='h'/>"): "<dir> is missing",
    pool("netfs", "<host name='-oProxy'/><dir path='/x'/>"): "no name of a server",
    pool("netfs", "<host name='h'/><dir path='/x'/><format type='cifs'/><protocol ver='3'/>"): "version '3'",
    pool("logical", "<name>-f</name>"): "no name of a volume group",
    pool("iscsi", "<host name='h'/>"): "<device> is missing",
    pool(
        "iscsi", "<host name='h'/><device path='iqn.x'/><auth type='ceph' username='u'><secret usage='s'/></auth>"
    ): "chap",
    pool("iscsi-direct", "<host name='h'/><device path='iqn.x'/>"): "<initiator> is missing",
    pool("scsi", ""): "<adapter> is missing",
    pool("scsi", "<adapter type='fc_host' wwnn='1' wwpn='2'/>"): "16 hexadecimal digits",
    pool("scsi", "<adapter name='eth0'/>"): "no name of a SCSI host",
    pool("rbd", ""): "<name> is missing",
    pool("disk", ""): "<device> is missing",
    DIR.replace("images", "a/b"): "'/'",
    DIR.replace("<name>images</name>", ""): "<name> is missing",
    "<pool><name>x</name></pool>": "type",
    "<!DOCTYPE pool><pool type='dir'/>": "document type",
    DIR.replace("</target>", "<permissions><mode>999</mode></permissions></target>"): "octal",
}


@pytest.mark.parametrize("text", BAD_POOLS, ids=lambda text: BAD_POOLS[text])
def test_a_pool_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(InvalidXML, match=BAD_POOLS[text].replace("(", "\\(")):
        parse_pool(text)


BAD_VOLUMES = {
    volume(capacity=""): "<capacity> is missing",
    volume(name="a/b"): "'/'",
    volume(name=".."): "name",
    volume("<target><format type='ext4'/></target>"): "no volumes of format 'ext4'",
    volume("<backingStore><path>b.img</path></backingStore>"): "not absolute",
    volume(capacity="<capacity unit='parsec'>1</capacity>"): "unit",
    volume(capacity=f"<capacity>{2**63}</capacity>"): "<capacity>: nothing has more than",
    volume(capacity="<capacity unit='EiB'>16</capacity>"): "more than",
    volume(f"<allocation>{2**63}</allocation>"): "<allocation>: nothing has more than",
    volume("<target><encryption format='qcow'><secret type='passphrase' uuid='"
           "6695eb01-f6a4-8304-79aa-97f2502e193f'/></encryption></target>"): "old encryption",
}  # fmt: skip


@pytest.mark.parametrize("text", BAD_VOLUMES, ids=lambda text: BAD_VOLUMES[text])
def test_a_volume_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(InvalidXML, match=BAD_VOLUMES[text]):
        parse_volume(text, parse_pool(DIR))


def test_a_secret_names_its_use() -> None:
    with pytest.raises(InvalidXML, match="<target> is missing"):
        parse_secret("<secret><usage type='iscsi'><name>x</name></usage></secret>")
    found = parse_secret("<secret private='yes'><usage type='vtpm'><name>tpm of g</name></usage></secret>")
    assert (found.usage_type, found.usage_id, found.ephemeral, found.private) == ("vtpm", "tpm of g", False, True)


# --- the corpus


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not here")
def test_the_corpus_is_read_and_written_as_expected() -> None:
    equal, total = 0, 0
    for kind in ("storagepool-xml2xml", "storagevol-xml2xml", "secret-xml2xml"):
        for case in cases(kind):
            total += 1
            equal += compared(case["expected.xml"], _canonical(kind, case))
    assert total >= 30
    assert equal / total >= 0.95


def _canonical(kind: str, case: dict[str, str]) -> str:
    if kind.startswith("secret"):
        return format_secret(parse_secret(case["input.xml"]))
    if kind.startswith("storagepool"):
        return format_pool(parse_pool(case["input.xml"]))
    return format_volume(parse_volume(case["input.xml"], parse_pool(case["pool.xml"])))


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not here")
def test_inputs_of_the_corpus_that_must_fail_do() -> None:
    index = json.loads((CORPUS / "index.json").read_text())["cases"]
    bad = [
        c
        for c in index
        if c["kind"] in ("storagepool-xml2xml", "storagevol-xml2xml", "secret-xml2xml") and c.get("fail")
    ]
    for case in bad:
        with pytest.raises(FrontinusError):
            parse_pool(Path(CORPUS, case["files"]["input.xml"]).read_text())
