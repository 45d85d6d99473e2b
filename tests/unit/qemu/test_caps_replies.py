from __future__ import annotations

import lzma
from pathlib import Path

import msgspec
import pytest

from frontinus.api.errors import InvalidValue
from frontinus.domain.qapi import Schema
from frontinus.qemu.caps.replies import load_replies
from recordings import BASE, SCHEMA, SECOND, recording

RECORDED = Path(__file__).parents[4] / "shared/corpus/facts/caps"

THERE = [
    "open", "open/feature:quick", "open/arg-type", "open/ret-type", "open/arg-type/kind", "open/arg-type/kind=disk",
    "open/arg-type/kind=disk/path", "open/arg-type/kind=disk/modes", "open/arg-type/kind=disk/feature:cached",
    "open/arg-type/kind=none/feature:unstable", "open/arg-type/modes=slow", "open/arg-type/old/feature:deprecated",
    "open/arg-type/next/next/kind=disk/path", "GONE", "GONE/arg-type/path",
]  # fmt: skip
ABSENT = [
    "close", "1", "str", "open/feature:slow", "GONE/ret-type", "open/arg-type/path", "open/arg-type/kind=none/path",
    "open/arg-type/kind=tape", "open/arg-type/modes=medium", "open/arg-type/modes=slow/path",
    "open/arg-type/kind/feature:deprecated", "open/arg-type/kind=disk/feature:unstable", "open/ret-type/kind", "",
]  # fmt: skip


@pytest.fixture(scope="module")
def schema() -> Schema:
    return Schema.decode(msgspec.json.encode(SCHEMA))


@pytest.mark.parametrize("path", THERE)
def test_schema_has(schema: Schema, path: str) -> None:
    assert schema.has(path)


@pytest.mark.parametrize("path", ABSENT)
def test_schema_has_not(schema: Schema, path: str) -> None:
    assert not schema.has(path)


def test_two_sessions(tmp_path: Path) -> None:
    file = tmp_path / "probe"
    file.write_bytes(recording(BASE, SECOND))
    caps = load_replies(str(file), "/opt/qemu")
    assert (caps.emulator, caps.arch, caps.version, caps.package) == ("/opt/qemu", "x86_64", (9, 1, 2), "p")
    assert caps.kvm and caps.tcg
    assert caps.canonical_machine(None) is caps.canonical_machine("pc") is caps.machines["pc-9"]
    assert caps.machines["pc-9"].max_cpus == 255 and caps.machines["pc-9"].acpi
    assert caps.machines["isapc"].deprecated and not caps.machines["isapc"].acpi
    assert [(m.name, m.usable, m.blockers) for m in caps.cpu_models["tcg"]] == [
        ("host", False, ("kvm",)), ("max", None, ())]  # fmt: skip
    assert caps.cpu_models["kvm"][0].usable
    assert caps.host_cpu == {"kvm": {"aes": True}, "kvm.all": {"aes": True, "invtsc": True}, "tcg": {}}
    assert caps.has_type("scsi-hd") and caps.has_property("scsi-hd", "lun") and not caps.has_property("absent", "lun")
    assert (caps.property_default("scsi-hd", "lun"), caps.property_default("scsi-hd", "serial")) == (7, None)
    assert caps.has_option("sandbox", "spawn") and not caps.has_option("sandbox", "x") and not caps.has_option("x")
    assert caps.events == {"GONE"} and caps.has_command("open") and caps.has_schema("open/arg-type/kind=disk/path")
    assert caps.tpm_models == {"tpm-crb"} and caps.migration == {"xbzrle"} and caps.sev is None


def test_tcg_alone(tmp_path: Path) -> None:
    file = tmp_path / "probe"
    file.write_bytes(recording([e for e in BASE if e[0] != "query-kvm"]))
    caps = load_replies(str(file))
    assert not caps.kvm and list(caps.cpu_models) == ["tcg"] and caps.host_cpu == {"tcg": {}}


@pytest.mark.parametrize(
    "text",
    [b"", b"hello", recording(BASE)[:-5], recording(BASE[1:]), b'{"id": 5}', b"\xff\xfe", recording([*BASE[:4], (
        "query-machines", {}, "none")])],
)  # fmt: skip
def test_no_recording(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "probe"
    file.write_bytes(text)
    with pytest.raises(InvalidValue):
        load_replies(str(file))


def test_no_file() -> None:
    with pytest.raises(InvalidValue, match="No such file"):
        load_replies("/nonexistent/file")


KNOWN = {
    "blockdev-add/arg-type/driver=file/aio=io_uring": "5.0.0",
    "object-add/arg-type/qom-type=sev-guest/kernel-hashes": "6.2.0",
    "device_add/feature:json-cli": "6.2.0",
    "device_add/feature:json-cli-hotplug": "7.0.0",
    "netdev_add/arg-type/type=vhost-vdpa": "5.1.0",
}


@pytest.mark.skipif(not RECORDED.is_dir(), reason="no recorded probes beside the checkout")
@pytest.mark.parametrize("release", ["4.2.0", "5.2.0", "6.2.0", "7.2.0", "8.0.0"])
def test_recorded_releases(tmp_path: Path, release: str) -> None:
    file = tmp_path / "probe"
    file.write_bytes(lzma.decompress((RECORDED / f"caps_{release}.x86_64.replies.xz").read_bytes()))
    caps = load_replies(str(file))
    assert caps.kvm and caps.tcg and caps.machines["microvm"] and caps.has_type("virtio-blk-pci")
    assert sorted(caps.host_cpu) == ["kvm", "kvm.all", "kvm.hyperv", "tcg", "tcg.all"]
    for path, since in KNOWN.items():
        assert caps.has_schema(path) == (release >= since), path
