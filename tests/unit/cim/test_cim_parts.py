"""The CIM provider's parts without a network: values, queries, MOF texts, messages, configuration, users, certificate, files."""

from __future__ import annotations

import contextlib
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontinus.client.details import details
from frontinus.client.private import BadState
from frontinus.client.toml import BadConfig
from frontinus_cim.front import config, tls, users
from frontinus_cim.front.config import Config
from frontinus_cim.schema import compile as compiling
from frontinus_cim.wire import moftext, query, request, typed, values, writer
from frontinus_cim.wire.errors import CimError, Status
from frontinus_cim.wire.model import Embedded, Value
from frontinus_cim.wire.request import BadMessage, GivenInstance
from support.cim import schema

# --- values


@settings(deadline=None)
@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)))
def test_a_moment_reads_back(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC)
    assert values.scalar(values.text(aware), "datetime", "x") == aware


@settings(deadline=None)
@given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=99_999_999)))
def test_an_interval_reads_back(interval: timedelta) -> None:
    assert values.scalar(values.text(interval), "datetime", "x") == interval


@settings(deadline=None)
@given(st.sampled_from(["uint8", "uint64", "sint16"]), st.integers())
def test_integers_keep_to_their_range(kind: str, number: int) -> None:
    least, most = values.INTEGERS[kind]
    if least <= number <= most:
        assert values.scalar(str(number), kind, "x") == number
    else:
        with pytest.raises(CimError):
            values.scalar(str(number), kind, "x")


@settings(deadline=None)
@given(st.text())
def test_any_text_can_be_written_and_read(text: str) -> None:
    """What XML cannot hold is replaced; all else comes back as it was."""
    made = writer.embedded(schema(), Embedded("KVM_ComputerSystem", {"ElementName": text}))
    found = request.instance_text(made)
    assert found.properties["ElementName"] == writer.NOT_XML.sub("\ufffd", text)


# --- queries

INSTANCE = {"Name": "guest-7", "EnabledState": 2, "Active": True, "Nothing": None, "OperationalStatus": [2, 10]}
INNER = Embedded("KVM_ComputerSystem", {"EnabledState": 9})


def read(names: list[str]) -> Value:
    if names[0] == "SourceInstance":
        return INNER if len(names) == 1 else INNER.values.get(names[1])
    return INSTANCE.get(names[0])  # type: ignore[return-value]


CONDITIONS = [
    ("Name = 'guest-7'", True), ("Name LIKE 'guest-%'", True), ("Name LIKE 'g_est-7'", True), ("Name LIKE 'x%'", False),
    ("EnabledState > 1 AND EnabledState <= 2", True), ("NOT EnabledState = 2", False), ("(Name = 'x' OR Active = TRUE)", True),
    ("Nothing IS NULL", True), ("Name IS NOT NULL", True), ("OperationalStatus = 10", True), ("EnabledState = 'x'", False),
    ("Nothing = 1", False), ("SourceInstance ISA CIM_System", True), ("SourceInstance ISA CIM_Processor", False),
    ("SourceInstance.EnabledState <> EnabledState", True), ('Name = "guest-7"', True), ("EnabledState < 3 OR Name = ''", True),
]  # fmt: skip


@pytest.mark.parametrize(("text", "meant"), CONDITIONS)
def test_conditions(text: str, meant: bool) -> None:
    assert query.condition(schema(), "DMTF:FQL", text)(read) is meant  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.text(alphabet="SELECT * FROM CIMwher'\"()<>=.,%andortLIKE0123456789", max_size=120))
def test_no_text_breaks_the_query_parser(text: str) -> None:
    for parse in (lambda: query.parse(schema(), "WQL", text), lambda: query.condition(schema(), "DMTF:FQL", text)):
        try:
            parse()
        except CimError as error:
            assert error.status in (Status.INVALID_QUERY, Status.INVALID_CLASS)


# --- what clients send


def test_an_instance_as_mof() -> None:
    text = r"""instance of KVM_DiskResourceAllocationSettingData as $d {
        VirtualDevice = "vda"; Address = "/var/lib/" "x \"1\".img"; readonly = true; Nothing = NULL;
        HostResource = {"a", "b"}; EmulatedType = 1; };"""
    found = moftext.instance(text)
    assert found == GivenInstance("KVM_DiskResourceAllocationSettingData", {
        "VirtualDevice": "vda", "Address": '/var/lib/x "1".img', "readonly": "true", "Nothing": None, "HostResource": ["a", "b"],
        "EmulatedType": "1"})  # fmt: skip


def test_an_instance_as_mof_with_instances_in_it() -> None:
    inner = GivenInstance("KVM_ComputerSystem", {"Name": "a;}", "EnabledState": "2"})
    text = (
        'instance of CIM_InstModification { One = instance of KVM_ComputerSystem { Name = "a;}"; EnabledState = 2; }; '
    )
    text += (
        "Many = { instance of KVM_ComputerSystem {}, instance of KVM_ComputerSystem { Name = NULL; } }; Last = 1; };"
    )
    assert moftext.instance(text).properties == {
        "One": inner, "Last": "1",
        "Many": [GivenInstance("KVM_ComputerSystem", {}), GivenInstance("KVM_ComputerSystem", {"Name": None})],
    }  # fmt: skip


def test_instances_as_mof_are_not_as_deep_as_one_likes() -> None:
    with pytest.raises(CimError, match="deep"):
        moftext.instance("instance of A { B = " * 100_000)


def test_an_embedded_instance_in_mof_is_typed_like_any_other() -> None:
    """Nested as such, or as a string that holds MOF, as DSP0004 writes embedded instances."""
    nested = 'SourceInstance = instance of KVM_ComputerSystem { Name = "a"; EnabledState = 2; };'
    quoted = r'SourceInstance = "instance of KVM_ComputerSystem { Name = \"a\"; EnabledState = 2; };";'
    for body in (nested, quoted):
        given = moftext.instance(f"instance of CIM_InstCreation {{ {body} }};")
        found = typed.instance(schema(), given, "root/virt")
        assert found.values["SourceInstance"] == Embedded("KVM_ComputerSystem", {"Name": "a", "EnabledState": 2})


@settings(deadline=None)
@given(st.text(alphabet='instance of KVM_x{}=;,"\\ \n$10', max_size=200))
def test_no_text_breaks_the_mof_reader(text: str) -> None:
    try:
        moftext.instance("instance of X {" + text)
    except CimError as error:
        assert error.status is Status.INVALID_PARAMETER


GOOD = b"""<?xml version="1.0"?><CIM CIMVERSION="2.0" DTDVERSION="2.0"><MESSAGE ID="1" PROTOCOLVERSION="1.0"><SIMPLEREQ>\
<METHODCALL NAME="M"><LOCALINSTANCEPATH><LOCALNAMESPACEPATH><NAMESPACE NAME="root"/></LOCALNAMESPACEPATH>\
<INSTANCENAME CLASSNAME="C"><KEYBINDING NAME="K"><KEYVALUE VALUETYPE="string">v</KEYVALUE></KEYBINDING></INSTANCENAME>\
</LOCALINSTANCEPATH><PARAMVALUE NAME="P"><VALUE.ARRAY><VALUE>1</VALUE></VALUE.ARRAY></PARAMVALUE></METHODCALL></SIMPLEREQ>\
</MESSAGE></CIM>"""


def test_a_method_call_is_read() -> None:
    found = request.parse(GOOD)
    assert (found.name, found.namespace, found.parameters) == ("M", "root", {"p": ["1"]})


@settings(deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, len(GOOD) - 1), st.binary(max_size=6))
def test_no_change_of_a_message_breaks_its_reader(first: int, last: int, new: bytes) -> None:
    begin, end = sorted((first, last))
    with contextlib.suppress(BadMessage, CimError):
        request.parse(GOOD[:begin] + new + GOOD[end:])


# --- configuration, users, certificate, schema

MISTAKES = [("listen = ['localhost:1']", "listen"), ("port = 1", "port"), ("key = 'x'", "certificate"),
            ("max_age = 9999", "max_age"),
            ("destinations = ['x']", "destinations"), ("connections = true", "connections"), ("listen = [", "Invalid")]  # fmt: skip


@pytest.mark.parametrize(("text", "named"), MISTAKES)
def test_a_mistake_in_the_configuration_is_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "cim.toml").write_text(text)
    with pytest.raises(BadConfig, match=named):
        config.load(tmp_path / "cim.toml")


def test_without_a_file_it_listens_on_loopback_only(tmp_path: Path) -> None:
    assert all(host == "127.0.0.1" for host, _ in config.load(tmp_path / "none").listen)


def test_users_are_kept_as_hashes_that_only_they_fit(tmp_path: Path) -> None:
    made = users.make("operator", "control", b"a long password")
    users.write(tmp_path, {"operator": made, "card": users.make("card", "monitor", None)})
    found = users.read(tmp_path)
    assert found["operator"].knows(b"a long password") and not found["operator"].knows(b"another one")
    assert not found["card"].knows(b"") and b"a long password" not in (tmp_path / users.FILE).read_bytes()
    (tmp_path / users.FILE).chmod(0o644)
    with pytest.raises(BadState):
        users.read(tmp_path)
    for name, password in (("", b"long enough"), ("a b", b"long enough"), ("x", b"short")):
        with pytest.raises(ValueError):
            users.make(name, "monitor", password)


def test_a_user_is_added_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from frontinus_cim.main import main

    secret = tmp_path / "secret"
    secret.write_bytes(b"a long password\n")
    state = ["--state", str(tmp_path / "state")]
    assert main([*state, "adduser", "eye", "--password-fd", str(os.open(secret, os.O_RDONLY))]) == 0
    assert main([*state, "users"]) == 0 and "eye: monitor, password" in capsys.readouterr().out
    assert main([*state, "deluser", "eye"]) == 0 and main([*state, "deluser", "eye"]) == 1


def test_the_provider_makes_itself_a_certificate_once(tmp_path: Path) -> None:
    assert tls.context(Config(), tmp_path, "host.example.org").verify_mode == ssl.CERT_NONE
    first = (tmp_path / tls.CERTIFICATE).read_bytes()
    tls.context(Config(), tmp_path, "host.example.org")
    assert (tmp_path / tls.CERTIFICATE).read_bytes() == first and (tmp_path / tls.KEY).stat().st_mode & 0o077 == 0


def test_the_kept_schema_is_used_only_if_it_is_ours_and_current(tmp_path: Path) -> None:
    made = compiling.load(tmp_path)
    kept = tmp_path / "schema.msgpack"
    assert compiling.load(tmp_path).classes == made.classes
    good = kept.read_bytes()
    for data in (b"", b"nonsense", good[: len(good) // 2]):
        kept.write_bytes(data)
        assert compiling.load(tmp_path).classes == made.classes and kept.read_bytes() == good
    kept.chmod(0o666)
    assert compiling.load(tmp_path).classes == made.classes


def test_every_reference_in_the_schema_has_its_class() -> None:
    found = schema()
    for cls in found.classes.values():
        members = [*cls.properties, *(p for m in cls.methods for p in m.parameters)]
        assert all(one.reference in found.classes for one in members if one.reference), cls.name
        assert all(one.qualifier("EmbeddedInstance") in (None, *found.classes) for one in members), cls.name


def test_facts_of_a_definition() -> None:
    found = details("<domain type='kvm'><os><boot dev='hd'/><boot dev='network'/></os><metadata><x/></metadata>"
                    "<devices><disk type='file'><readonly/><target dev='vda'/></disk></devices></domain>")  # fmt: skip
    assert (found["@type"], found["os/boot#2/@dev"], found["metadata/x"]) == ("kvm", "network", "")
    (disk,) = found.of("disk")
    assert disk["target/@dev"] == "vda" and "readonly" in disk.facts and disk["source/@file"] == ""
