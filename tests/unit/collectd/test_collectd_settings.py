"""The configuration: every option by the forms that collectd hands over, and errors that name the option."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from frontinus.api.errors import InvalidValue
from frontinus_collectd.selection import Selection
from frontinus_collectd.settings import EXTRA, IGNORED, LISTS, OPTIONS, Settings, Where, parse
from support.collectd import Config


def block(*lines: tuple[str, *tuple[str | float | bool, ...]]) -> Config:
    return Config("Module", ("frontinus",), tuple(Config(key, tuple(values)) for key, *values in lines))


def test_defaults() -> None:
    assert parse(block()) == Settings()
    assert Settings().hostname_format == ("name",) and Settings().plugin == "virt"


def test_every_option() -> None:
    assert parse(block(
        ("Socket", "/tmp/e.sock"), ("Timeout", 2.5), ("MaxAge", "0"), ("Interval", 5.0), ("Plugin", "guests"),
        ("Hostname", "node"), ("RefreshInterval", 0.0), ("HostnameFormat", "hostname", "name"),
        ("PluginInstanceFormat", "Name UUID"), ("HostnameMetadataNS", "urn:x"),
        ("HostnameMetadataXPath", "/n:a/n:b/@c"), ("InterfaceFormat", "ADDRESS"), ("BlockDeviceFormat", "source"),
        ("BlockDeviceFormatBasename", True), ("ReportBlockDevices", "false"), ("ReportNetworkInterfaces", False),
        ("PersistentNotification", "yes"), ("ExtraStats", "disk vcpu"), ("ExtraStats", "memory"),
        ("Domain", "web"), ("Domain", "/^db[0-9]/"), ("BlockDevice", "web:vda"), ("InterfaceDevice", "/:vnet/"),
        ("ignoreselected", True),
    )) == Settings(
        socket=Path("/tmp/e.sock"), timeout=2.5, max_age=0, interval=5, plugin="guests", hostname="node", refresh=0,
        hostname_format=("hostname", "name"), instance_format=("name", "uuid"), metadata_namespace="urn:x",
        metadata_place=Where(("a", "b"), "c"), interface_format="address", block_format="source", basename=True,
        report_blocks=False, report_interfaces=False, persistent_notification=True, extra=frozenset({"memory"}),
        domains=Selection(("web", re.compile("^db[0-9]")), True), blocks=Selection(("web:vda",), True),
        interfaces=Selection((re.compile(":vnet"),), True),
    )  # fmt: skip


def test_formats_of_nothing() -> None:
    assert parse(block(("HostnameFormat", "none"), ("PluginInstanceFormat", "none"))).hostname_format == ()
    assert parse(block(("HostnameMetadataXPath", "/a/b/text()"))).metadata_place == Where(("a", "b"))


def test_what_has_lost_its_meaning_is_said() -> None:
    found = parse(block(("Connection", "qemu:///system"), ("Instances", 4.0), ("ExtraStats", "disk perf")))
    assert found.extra == {"disk"}
    assert [remark.split(" is ignored: ")[0] for remark in found.remarks] == [
        "option Connection", "option Instances", "ExtraStats perf"]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (("Sokcet", "/x"), "Sokcet: there is no such option"),
        (("Socket", "run/x"), "Socket: it is an absolute path, not 'run/x'"),
        (("Socket",), "Socket: it takes a value"),
        (("Timeout", 0.0), "Timeout: it is a number of seconds above 0, not 0"),
        (("Interval", "often"), "Interval: it is a number of seconds, not 'often'"),
        (("RefreshInterval", -1.0), "RefreshInterval: it is a number of seconds from 0, not -1"),
        (("IgnoreSelected", "maybe"), "IgnoreSelected: it is true or false, not 'maybe'"),
        (("HostnameFormat", "name serial"), "HostnameFormat: it is made of name, uuid, hostname, metadata or none"),
        (("InterfaceFormat", "alias"), "InterfaceFormat: it is one of name, address, number, not 'alias'"),
        (("Domain", "/[/"), r"Domain: '/\[/' is no regular expression"),
        (("ExtraStats", "disk cpu"), "ExtraStats: there is no 'cpu'; there are cpu_util disk"),
        (("ExtraStats", "job_stats_background job_stats_completed"), "ExtraStats: .* exclude each other"),
        (("HostnameMetadataXPath", "//name"), "HostnameMetadataXPath: it is like"),
    ],
)
def test_mistakes_name_the_option(line: tuple[str, *tuple[str | float | bool, ...]], words: str) -> None:
    with pytest.raises(InvalidValue, match=words) as caught:
        parse(block(line))
    assert caught.value.details["field"] == line[0]


def test_documentation_names_every_option() -> None:
    page = (Path(__file__).parents[3] / "docs/collectd.md").read_text().lower()
    for name in (*OPTIONS, *LISTS, *IGNORED, *EXTRA, "ignoreselected", "extrastats", "perf"):
        assert f"`{name}" in page, name
