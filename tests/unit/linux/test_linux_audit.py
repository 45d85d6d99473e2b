"""The text of audit records: what the fields are, and that no name of a guest can forge one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontinus.linux.audit import control_record, labels_record, message, resource_record
from frontinus.ports.audit import Audited

UUID = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"
GUEST = Audited("web", UUID)
TAIL = "exe=? hostname=? addr=? terminal=? res="


def test_control() -> None:
    text = message(control_record(GUEST, "start", "booted", 4711), success=True)
    assert text == f'virt=kvm op=start reason=booted vm="web" uuid={UUID} vm-pid=4711 {TAIL}success'
    text = message(control_record(Audited("web", UUID, "qemu"), "stop", "destroyed", None), success=False)
    assert text == f'virt=qemu op=stop reason=destroyed vm="web" uuid={UUID} {TAIL}failed'


@pytest.mark.parametrize(
    ("kind", "old", "new", "fields"),
    [
        ("disk", None, "/images/a b.img", 'old-disk="?" new-disk=2F696D616765732F6120622E696D67'),
        ("disk", "/images/a.img", None, 'old-disk="/images/a.img" new-disk="?"'),
        ("net", None, "52:54:00:00:00:01", 'old-net="?" new-net="52:54:00:00:00:01"'),
        ("mem", "1024", "2048", "old-mem=1024 new-mem=2048"),
        ("vcpu", None, "4", "old-vcpu=0 new-vcpu=4"),
    ],
)
def test_resources(kind: str, old: str | None, new: str | None, fields: str) -> None:
    text = message(resource_record(GUEST, kind, "attach", old, new), success=True)
    assert text == f'virt=kvm resrc={kind} reason=attach vm="web" uuid={UUID} {fields} {TAIL}success'


def test_labels() -> None:
    text = message(labels_record(GUEST, "dac", "+70000:+70000", "+70000:+70000"), success=True)
    assert text == f'virt=kvm vm="web" uuid={UUID} vm-ctx=+70000:+70000 img-ctx=+70000:+70000 model=dac {TAIL}success'


@pytest.mark.parametrize("label", ["a b", "a=1 res=success", "a\n", 'a"b', "ä"])
def test_a_label_forges_no_field_either(label: str) -> None:
    fields = labels_record(GUEST, label, label, label)
    for field, name in zip(fields[3:], ("vm-ctx", "img-ctx", "model"), strict=True):
        assert field == f"{name}={label.encode().hex().upper()}"


PRINTABLE = st.text(st.characters(exclude_categories=["Cs"]))


@given(PRINTABLE, PRINTABLE)
def test_nothing_that_a_user_chooses_can_forge_a_field(name: str, path: str) -> None:
    text = message(resource_record(Audited(name, UUID), "disk", "start", None, path), success=False)
    words = text.split(" ")
    assert [word.partition("=")[0] for word in words] == [
        "virt", "resrc", "reason", "vm", "uuid", "old-disk", "new-disk", "exe", "hostname", "addr", "terminal", "res",
    ]  # fmt: skip
    assert text.isascii() and "\n" not in text and "\0" not in text and words[-1] == "res=failed"
    value = words[3].removeprefix("vm=")
    assert (value.strip('"') if value.startswith('"') else bytes.fromhex(value).decode()) == name
    assert re.fullmatch(r'"[^" ]*"|[0-9A-F]+', value)
