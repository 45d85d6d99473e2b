"""Networks as documents: completion, refusals, changes of sections, and what dnsmasq and nftables are told."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from frontinus.api.errors import FrontinusError, InvalidValue, InvalidXML, Unsupported
from frontinus.api.networks import UpdateCommand, UpdateSection
from frontinus.domain.host import HostFacts, Paths
from frontinus.network.definition import complete, format_network, format_port, parse_network, parse_port
from frontinus.network.dnsmasq import dnsmasq_files
from frontinus.network.firewall import firewall, table_name
from frontinus.network.model import Network
from frontinus.network.update import updated

SHARED = Path(__file__).parents[4] / "shared"
CORPUS = SHARED / "corpus"

NAT = """
<network>
  <name>office</name>
  <forward mode='nat' dev='wan0'/>
  <bridge name='virbr7'/>
  <domain name='office.example' localOnly='yes'/>
  <dns>
    <forwarder domain='corp.example' addr='10.0.0.53'/>
    <txt name='note' value='hello there'/>
    <srv service='ldap' protocol='tcp' domain='office.example' target='dir.office.example' priority='5'/>
    <host ip='192.168.9.2'><hostname>printer</hostname><hostname>copier</hostname></host>
  </dns>
  <ip address='192.168.9.1' netmask='255.255.255.0' localPtr='yes'>
    <tftp root='/srv/tftp'/>
    <dhcp>
      <range start='192.168.9.100' end='192.168.9.199'><lease expiry='2' unit='hours'/></range>
      <host mac='52:54:00:00:00:01' name='one' ip='192.168.9.10'/>
      <bootp file='pxelinux.0' server='192.168.9.3'/>
    </dhcp>
  </ip>
  <ip family='ipv6' address='fd00:9::1' prefix='64'/>
  <route address='10.9.0.0' prefix='16' gateway='192.168.9.254'/>
</network>
"""


def network(text: str = NAT) -> Network:
    return complete(parse_network(text), HostFacts())


def with_ip(inside: str = "", more: str = "", mode: str = "<forward/>") -> str:
    address = f"<ip address='10.1.1.1' prefix='24'>{inside}</ip>"
    return f"<network><name>x</name>{mode}<bridge name='b0'/>{more}{address}</network>"


def test_what_is_left_open_is_filled_in_and_stays() -> None:
    done = network()
    assert (done.mode, done.stp, done.delay, [i.device for i in done.beyond.interfaces]) == ("nat", True, 0, ["wan0"])
    again = format_network(complete(parse_network(format_network(done)), HostFacts()))
    assert again == format_network(done)
    assert network("<network><name>a</name></network>").mode == "isolated"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("<network/>", "name"),
        ("<network><name>a/b</name></network>", "name"),
        (with_ip("<dhcp><range start='10.1.2.2' end='10.1.2.9'/></dhcp>"), "not within"),
        (with_ip("<dhcp><range start='10.1.1.9' end='10.1.1.2'/></dhcp>"), "after"),
        (with_ip("<dhcp><range start='10.1.1.0' end='10.1.1.9'/></dhcp>"), "network's own"),
        (with_ip("<dhcp><host ip='10.1.1.9'/></dhcp>"), "mac, id or name"),
        (with_ip("<dhcp><host mac='01:00:5e:00:00:01' ip='10.1.1.9'/></dhcp>"), "MAC"),
        (with_ip("<dhcp><range start='10.1.1.2' end='10.1.1.9'><lease expiry='1'/></range></dhcp>"), "120"),
        (with_ip(more="<ip address='fe80::g' family='ipv6'/>"), "no ipv6 address"),
        (with_ip(more="<ip address='10.2.2.1' prefix='24' netmask='255.255.255.0'/>"), "prefix beside"),
        (with_ip(more="<dns enable='no'><txt name='a' value='b'/></dns>"), "enable='no'"),
        (with_ip(more="<dns><srv service='a' protocol='tcp' port='1'/></dns>"), "target"),
        (with_ip(more="<dns><txt name='a b' value='c'/></dns>"), "spaces"),
        (with_ip(more="<route address='10.9.0.0' prefix='16' gateway='10.2.1.1'/>"), "gateway"),
        (with_ip(more="<vlan><tag id='5'/></vlan>"), "VLAN"),
        (with_ip(mode="<forward mode='bridge'/>"), "<ip>"),
        (with_ip(mode="<forward mode='open' dev='e0'/>"), "dev"),
        (with_ip(mode="<forward mode='nat'><nat><address start='1.1.1.2' end='1.1.1.1'/></nat></forward>"), "after"),
        (with_ip(mode="<forward mode='route'><nat><port start='1' end='2'/></nat></forward>"), "nat"),
        ("<network><name>a</name><forward mode='vepa'><interface dev='e'/><interface dev='e'/></forward></network>", "2 times"),
        ("<network><name>a</name><forward mode='hostdev'/></network>", "hostdev"),
        ("<network><name>a</name><forward dev='a'><interface dev='b'/></forward></network>", "first"),
        ("<network><name>a</name><portgroup name='p'/><portgroup name='p'/></network>", "same name"),
        ("<network><name>a</name><bandwidth><inbound peak='5'/></bandwidth></network>", "average"),
        ("<network><name>a&#10;b</name></network>", "control"),
        ("<network><name>a</name><dns><forwarder domain='b&#10;dhcp-script=/c' addr='10.0.0.1'/></dns></network>", "control"),
        ("<network><name>a</name><dns><txt name='b&#10;dhcp-script=/c' value='d'/></dns></network>", "control"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_words(text: str, word: str) -> None:
    with pytest.raises(InvalidXML, match=word):
        network(text)


def test_the_configuration_of_dnsmasq() -> None:
    made = dnsmasq_files(network(), "virbr7", "/f")
    lines = made.config.splitlines()
    for line in (
        "server=/corp.example/10.0.0.53", "local=/office.example/", "domain=office.example", "expand-hosts",
        "local=/9.168.192.in-addr.arpa/", "interface=virbr7", "txt-record=note,hello there",
        "srv-host=_ldap._tcp.office.example,dir.office.example,1,5", "dhcp-authoritative", "enable-tftp",
        "dhcp-range=192.168.9.100,192.168.9.199,255.255.255.0,2h", "tftp-root=/srv/tftp", "dhcp-lease-max=100",
        "dhcp-boot=pxelinux.0,,192.168.9.3", "dhcp-hostsfile=/f/office.hostsfile", "addn-hosts=/f/office.addnhosts",
        "dhcp-range=fd00:9::1,ra-only",
    ):  # fmt: skip
        assert line in lines
    assert made.hosts == "52:54:00:00:00:01,192.168.9.10,one\n"
    assert made.names == "192.168.9.2\tprinter\tcopier\n"
    isolated = dnsmasq_files(network("<network><name>i</name><ip address='10.3.3.1'/></network>"), "b", "/f").config
    assert "dhcp-option=3" in isolated
    assert "no-resolv" in isolated


def rules(commands: list[dict[str, Any]], chain: str, family: str = "ip") -> list[str]:
    adds = (command["add"]["rule"] for command in commands if "rule" in command.get("add", {}))
    return [json.dumps(rule["expr"]) for rule in adds if (rule["chain"], rule["family"]) == (chain, family)]


def test_the_rules_of_each_mode() -> None:
    nat = firewall([(network(), "virbr7")], Paths())
    leaving, entering = rules(nat, "leaving"), rules(nat, "entering")
    assert "wan0" in leaving[0] and "192.168.9.0" in leaving[0] and "return" in leaving[0]
    assert "reject" in leaving[-1] and "established" in entering[0] and "reject" in entering[-1]
    assert sum("masquerade" in rule for rule in rules(nat, "postrouting")) == 3
    assert rules(nat, "postrouting", "ip6") == []  # IPv6 is routed unless it is asked to be translated
    assert "established" not in rules(nat, "entering", "ip6")[0]
    isolated = firewall([(network("<network><name>i</name><ip address='10.3.3.1'/></network>"), "b")], Paths())
    assert [len(rules(isolated, chain)) for chain in ("leaving", "entering", "postrouting")] == [1, 1, 0]
    opened = firewall([(network(with_ip(mode="<forward mode='open'/>")), "b0")], Paths())
    assert [list(command) for command in opened] == [["add"], ["delete"]] * 2
    assert table_name(Paths()) != table_name(Paths(run="/elsewhere"))


def change(command: str, section: str, xml: str, index: int = -1) -> Network:
    done = updated(network(), cast(UpdateCommand, command), cast(UpdateSection, section), xml, index)
    return complete(done, HostFacts())


def test_every_section_can_be_changed() -> None:
    assert change("add-last", "ip-dhcp-host", "<host mac='52:54:00:00:00:02' ip='192.168.9.11'/>").ips[0].hosts[1].ip
    assert (
        change("modify", "ip-dhcp-host", "<host mac='52:54:00:00:00:01' ip='192.168.9.12'/>").ips[0].hosts[0].name
        is None
    )
    assert change("delete", "ip-dhcp-host", "<host mac='52:54:00:00:00:01'/>").ips[0].hosts == []
    assert (
        len(change("add-first", "ip-dhcp-range", "<range start='192.168.9.20' end='192.168.9.30'/>").ips[0].ranges) == 2
    )
    assert change("delete", "forward-interface", "<interface dev='wan0'/>").beyond.device is None
    assert change("add-last", "portgroup", "<portgroup name='p' default='yes'/>").portgroup(None) is not None
    assert change("delete", "dns-host", "<host ip='192.168.9.2'/>").dns_hosts == []
    assert change("delete", "dns-txt", "<txt name='note'/>").txts == []
    assert change("delete", "dns-srv", "<srv service='ldap'/>").srvs == []
    assert change("modify", "domain", "<domain name='b.example'/>").domain_local is None
    assert change("modify", "bridge", "<bridge name='virbr7' stp='off'/>").stp is False
    assert change("modify", "forward", "<forward mode='route'/>").mode == "route"
    assert len(change("add-last", "ip", "<ip address='10.7.7.1' prefix='24'/>").ips) == 3
    assert len(change("delete", "ip", "<ip address='fd00:9::1'/>").ips) == 1


@pytest.mark.parametrize(
    ("command", "section", "xml", "error"),
    [
        ("modify", "dns-txt", "<txt name='note' value='new'/>", Unsupported),
        ("add-last", "ip-dhcp-host", "<host mac='52:54:00:00:00:01' ip='192.168.9.77'/>", InvalidValue),
        ("add-last", "ip-dhcp-host", "<host mac='52:54:00:00:00:07' ip='10.0.0.1'/>", InvalidXML),
        ("add-last", "domain", "<domain name='second'/>", InvalidValue),
        ("delete", "portgroup", "<portgroup name='none'/>", InvalidValue),
        ("add-last", "portgroup", "<host/>", InvalidXML),
        ("add-last", "ip-dhcp-range", "<range start='192.168.9.20' end='192.168.9.30'/>", InvalidValue),
        ("none", "domain", "<domain name='x'/>", InvalidValue),
        ("delete", "none", "<x/>", InvalidValue),
    ],
)
def test_a_change_that_cannot_be_is_refused(command: str, section: str, xml: str, error: type[FrontinusError]) -> None:
    index = 9 if section == "ip-dhcp-range" else -1
    with pytest.raises(error):
        change(command, section, xml, index)


def test_a_port_keeps_what_it_says() -> None:
    text = """<networkport><uuid>5d744f21-ba4a-4d6e-bdb2-30a35ff3207d</uuid>
      <owner><name>g</name><uuid>d54df46f-1ab5-4a22-8618-4560ef5fac2c</uuid></owner><group>web</group>
      <mac address='52:54:00:7b:35:93'/><bandwidth classID='3'><inbound average='1' floor='2'/></bandwidth>
      <port isolated='yes'/><plug type='network' bridge='virbr0'/></networkport>"""
    port = parse_port(text)
    assert (port.plug, port.bridge, port.class_id, port.isolated) == ("network", "virbr0", 3, True)
    assert format_port(parse_port(format_port(port))) == format_port(port)
    with pytest.raises(InvalidXML, match="plug"):
        parse_port(text.replace("type='network'", "type='socket'"))


# --- the corpus, where it is


def cases(kind: str) -> list[Any]:
    index = CORPUS / "index.json"
    found = json.loads(index.read_text())["cases"] if index.exists() else []
    return [pytest.param(case, id=case["id"]) for case in found if case["kind"] == kind]


def compare(expected: str, got: str) -> bool:
    sys.path.insert(0, str(SHARED / "tools"))
    import compare_xml  # type: ignore[import-not-found]

    return bool(compare_xml.score(expected, got)["equal"])


@pytest.mark.parametrize("case", cases("network-xml2xml"))
def test_documents_of_the_corpus(case: dict[str, Any]) -> None:
    files = {role: (CORPUS / path).read_text() for role, path in case["files"].items()}
    assert compare(files["expected.xml"], format_network(network(files["input.xml"])))


@pytest.mark.parametrize("case", cases("network-update"))
def test_updates_of_the_corpus(case: dict[str, Any]) -> None:
    files = {role: (CORPUS / path).read_text() for role, path in case["files"].items()}
    words = [case[key].split(start)[1].lower().replace("_", "-") for key, start in
             (("command", "COMMAND_"), ("section", "SECTION_"))]  # fmt: skip

    def done() -> str:
        changed = updated(network(files["input.xml"]), cast(UpdateCommand, words[0]), cast(UpdateSection, words[1]),
                          files["update.xml"], int(case["parent_index"]))  # fmt: skip
        return format_network(complete(changed, HostFacts()))

    if case["fail"]:
        with pytest.raises(FrontinusError):
            done()
    else:
        assert compare(files["expected.xml"], done())


def plain(config: str) -> list[str]:
    lines = (line.replace("/var/lib/libvirt", "/var/lib/frontinus") for line in config.splitlines())
    return sorted(line for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize("case", cases("network-dnsmasq"))
def test_dnsmasq_of_the_corpus(case: dict[str, Any]) -> None:
    files = {role: (CORPUS / path).read_text() for role, path in case["files"].items()}
    known = network(files["input.xml"])
    made = dnsmasq_files(known, known.bridge or "virbr0", "/var/lib/frontinus/dnsmasq")
    assert plain(made.config) == plain(files["expected.conf"])
    assert sorted(made.hosts.split()) == sorted(files.get("expected.hostsfile", made.hosts).split())
