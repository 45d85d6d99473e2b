"""From filters to nftables: what each rule asks of a packet, in which chain, and the transactions around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from frontinus.api.errors import InvalidValue, Unsupported
from frontinus.filter import commands
from frontinus.filter.commands import Objects
from frontinus.filter.instance import instantiate
from frontinus.filter.model import parse_filter
from frontinus.filter.ruleset import Abilities, compile_rules
from frontinus.filter.standard import standard_filters
from support.filters import LINK, MAC, rule, ruleset, shown, words

DEFAULTS = Path(__file__).parents[4] / "shared/corpus/facts/nwfilter-defaults"
VALUES = {"GATEWAY_MAC": ("52:54:00:00:00:02",), "IPV6": ("2001:db8::1",), "DHCPSERVER": ("192.0.2.9",)}


def values(name: str) -> dict[str, tuple[str, ...]]:
    return VALUES | ({"DHCPSERVER": ("fe80::9",)} if "dhcpv6" in name else {})


@pytest.mark.parametrize("name", standard_filters())
def test_standard_filters(name: str, golden: Any) -> None:
    golden(f"filters/{name}.rules", shown(ruleset(name, values(name))))


def test_standard_filters_have_the_names_and_the_meaning_that_users_know() -> None:
    ours = standard_filters()
    assert len(ours) == 24 and len({filter.uuid for filter in ours.values()}) == 24
    if not DEFAULTS.exists():
        return
    theirs = {path.stem: parse_filter(path.read_bytes()) for path in DEFAULTS.glob("*.xml")}
    assert ours.keys() == theirs.keys()
    for name in ours:
        expected = compile_rules(instantiate(name, theirs.get, values(name), MAC), LINK, Abilities())
        assert shown(ruleset(name, values(name))) == shown(expected), name


def said(inside: str, **kwargs: Any) -> dict[str, list[str]]:
    return words(ruleset(rule(inside, **kwargs)))


@pytest.mark.parametrize(
    ("inside", "asked"),
    [
        ("<mac/>", ""),
        ("<mac srcmacaddr='2:0:0:0:0:1' srcmacmask='ff:ff:0:0:0:0'/>", "ether saddr & ff:ff:00:00:00:00 == 02:00:00:00:00:00"),
        ("<mac dstmacaddr='2:0:0:0:0:1' dstmacmask='ff:ff:ff:ff:ff:ff'/>", "ether daddr 02:00:00:00:00:01"),
        ("<mac match='no' protocolid='arp'/>", "ether type != 0x806"),
        ("<vlan vlanid='5' encap-protocol='ipv4'/>", "ether type 0x8100 vlan id 5 vlan type 0x800"),
        ("<arp opcode='Request' hwtype='1'/>", "ether type 0x806 @nh,0,16 1 @nh,48,16 1"),
        ("<arp arpsrcmacaddr='2:0:0:0:0:1'/>", "ether type 0x806 @nh,64,48 0x20000000001"),
        ("<arp arpsrcipaddr='192.0.2.1' arpsrcipmask='24'/>", "ether type 0x806 arp saddr ip 192.0.2.0/24"),
        ("<rarp arpdstipaddr='192.0.2.1' arpdstipmask='24'/>", "ether type 0x8035 @nh,192,32 & 0xffffff00 == 0xc0000200"),
        ("<ip srcipaddr='192.0.2.1' srcipmask='0'/>", "ether type 0x800"),
        ("<ip protocol='udp' srcportend='9'/>", "ether type 0x800 l4proto 17 th sport 0-9"),
        ("<ip match='no' dstipaddr='192.0.2.1' dscp='1'/>", "ether type 0x800 ip daddr != 192.0.2.1 ip dscp != 1"),
        ("<ipv6 protocol='icmpv6' type='133' typeend='136' code='0'/>",
         "ether type 0x86dd l4proto 58 icmpv6 type 133-136 icmpv6 code 0"),
        ("<stp type='2' root-cost='1' root-cost-hi='9' sender-address='2:0:0:0:0:0' sender-address-mask='ff:0:0:0:0:0'/>",
         "ether daddr 01:80:c2:00:00:00 @nh,0,24 0x424203 @nh,48,8 2 @nh,128,32 1-9 "
         "@nh,176,48 & 0xff0000000000 == 0x20000000000"),
        ("<tcp state='NONE' flags='SYN,ACK/SYN' srcportstart='7' srcportend='7'/>",
         "ether type 0x800 l4proto 6 th sport 7 tcp flags & 18 == 2"),
        ("<tcp state='NONE' flags='ALL/NONE'/>", "ether type 0x800 l4proto 6 tcp flags & 63 == 0"),
        ("<udp-ipv6 state='NONE' srcipfrom='2001:db8::1' srcipto='2001:db8::9'/>",
         "ether type 0x86dd l4proto 17 ip6 saddr 2001:db8::1-2001:db8::9"),
        ("<sctp state='NONE' dstipto='0.0.0.9'/>", "ether type 0x800 l4proto 132 ip daddr 0.0.0.0-0.0.0.9"),
        ("<icmp type='8' code='0'/>", "ether type 0x800 l4proto 1 icmp type 8 icmp code 0"),
        ("<igmp state='NONE'/>", "ether type 0x800 l4proto 2"),
    ],
)  # fmt: skip
def test_what_a_rule_asks_of_a_packet(inside: str, asked: str) -> None:
    (chain,) = said(inside).values()
    assert chain == [f"{asked} accept".strip()]


def test_ranges_that_end_before_they_begin_and_conditions_that_never_hold() -> None:
    with pytest.raises(InvalidValue, match="the range ends before, at 5"):
        said("<ip protocol='udp' srcportstart='9' srcportend='5'/>")
    assert said("<ip match='no' srcipaddr='192.0.2.1' srcipmask='0'/>") == {f"{LINK}/from": []}


def test_directions_are_the_guests() -> None:
    assert list(said("<mac/>", direction="out")) == [f"{LINK}/from"]
    assert list(said("<mac/>", direction="in")) == [f"{LINK}/to"]
    both = said("<arp srcmacaddr='2:0:0:0:0:1' arpsrcipaddr='192.0.2.1'/>", direction="inout")
    assert both == {
        f"{LINK}/from": ["ether type 0x806 ether daddr 02:00:00:00:00:01 arp daddr ip 192.0.2.1 accept"],
        f"{LINK}/to": ["ether type 0x806 ether saddr 02:00:00:00:00:01 arp saddr ip 192.0.2.1 accept"],
    }


@pytest.mark.parametrize(("action", "verdict"), [("accept", ["accept"]), ("drop", ["drop"]), ("reject", ["drop"]),
                                                 ("return", ["return"]), ("continue", [])])  # fmt: skip
def test_actions_of_the_link_layer(action: str, verdict: list[str]) -> None:
    assert said("<mac/>", action=action) == {f"{LINK}/from": verdict}


def test_the_root_chain_visits_others_by_priority() -> None:
    made = ruleset("""<filter name='x' chain='root'>
      <filterref filter='no-arp-ip-spoofing'/><filterref filter='no-mac-spoofing'/>
      <rule action='accept' direction='out' priority='-510'><mac protocolid='arp'/></rule>
      <rule action='drop' direction='out' priority='-900'><mac protocolid='ipv6'/></rule>
      <rule action='accept' direction='out' priority='0'/></filter>""")
    assert words(made)[f"{LINK}/from"] == [
        "ether type 0x86dd drop", f"jump {LINK}/from/mac", f"ether type 0x806 jump {LINK}/from/arp-ip",
        "ether type 0x806 accept", "accept",
    ]  # fmt: skip
    assert words(made)[f"{LINK}/from/arp-ip"] == [f"ether type 0x806 arp saddr ip @{LINK}/addresses return", "drop"]
    assert made.entries == {"from": f"{LINK}/from"}


@pytest.mark.parametrize(("chain", "asked"), [("stp-a", "ether daddr 01:80:c2:00:00:00 "), ("vlan", "ether type 0x8100 "),
                                              ("mac-x", ""), ("rarp", "ether type 0x8035 ")])  # fmt: skip
def test_a_chain_is_visited_by_what_it_is_for(chain: str, asked: str) -> None:
    made = said("", chain=chain)
    assert made == {f"{LINK}/from": [f"{asked}jump {LINK}/from/{chain}"], f"{LINK}/from/{chain}": ["accept"]}


# The network layer

OUT = f"{LINK}/from-ip"
IN = f"{LINK}/to-ip"


def test_a_connection_that_the_guest_begins_may_be_answered() -> None:
    made = said("<tcp dstipaddr='192.0.2.1' dstportstart='22'/>")
    asked = "ether type 0x800 l4proto 6 ip daddr 192.0.2.1 th dport 22"
    key = "ip saddr . ip daddr . l4proto . th sport . th dport"
    answered = "ether type 0x800 l4proto 6 ip saddr 192.0.2.1 th sport 22"
    mirrored = "ip daddr . ip saddr . l4proto . th dport . th sport"
    assert made == {
        OUT: [f"{asked} add @{LINK}/out4 {{ {key} timeout 120s }} accept"],
        IN: [f"{answered} {mirrored} @{LINK}/out4 update @{LINK}/out4 {{ {mirrored} timeout 86400s }} accept"],
    }


def test_both_sides_may_begin() -> None:
    made = ruleset("<filter name='x'><rule action='accept' direction='out'><udp/></rule>"
                   "<rule action='accept' direction='in'><udp/></rule></filter>")  # fmt: skip
    assert set(made.sets) == {f"{LINK}/out4", f"{LINK}/in4"}
    begins, answers = words(made)[OUT]
    assert f"!= @{LINK}/in4 add @{LINK}/out4" in begins and f" @{LINK}/in4 update @{LINK}/in4" in answers


def test_packets_without_ports_are_flows_between_hosts() -> None:
    made = ruleset(rule("<all-ipv6/>"))
    assert set(made.sets) == {f"{LINK}/out6", f"{LINK}/out6-hosts"}
    assert made.sets[f"{LINK}/out6-hosts"]["type"] == ["ipv6_addr", "ipv6_addr", "inet_proto"]
    with_ports, without = words(made)[OUT]
    assert "l4proto { 6, 17, 33, 132, 136 } add" in with_ports and "l4proto != { 6, 17, 33, 132, 136 } add" in without


@pytest.mark.parametrize("more", ["statematch='false'", "statematch='0'"])
def test_without_state_a_rule_holds_both_ways(more: str) -> None:
    made = said("<udp srcmacaddr='2:0:0:0:0:1' dstportstart='53'/>", more=more)
    assert made == {
        OUT: ["ether type 0x800 l4proto 17 ether saddr 02:00:00:00:00:01 th dport 53 accept"],
        IN: ["ether type 0x800 l4proto 17 th sport 53 accept"],
    }


def test_a_drop_holds_both_ways_unless_it_is_of_a_type_or_of_a_card_alone() -> None:
    assert said("<udp dstportstart='53'/>", action="drop")[IN] == ["ether type 0x800 l4proto 17 th sport 53 drop"]
    assert list(said("<icmp type='8'/>", action="drop")) == [OUT]
    assert list(said("<all match='no' srcmacaddr='2:0:0:0:0:1'/>", action="drop", direction="inout")) == [IN]


def test_states_that_are_said() -> None:
    made = ruleset("<filter name='x'><rule action='accept' direction='in'><tcp state='NEW'/></rule>"
                   "<rule action='accept' direction='inout'><tcp state='ESTABLISHED,RELATED'/></rule></filter>")  # fmt: skip
    (new, established), (answers,) = words(made)[IN], words(made)[OUT]
    assert f"add @{LINK}/in4" in new and f" @{LINK}/in4" in established and f"update @{LINK}/in4" in answers
    assert made.notes and all("RELATED" in note for note in made.notes)
    lone = ruleset(rule("<tcp state='ESTABLISHED'/>"))
    assert lone.chains == {f"{LINK}/from-ip": []} and not lone.sets, "nothing is established where nothing begins"


def test_a_limit_of_connections() -> None:
    made = ruleset(rule("<tcp connlimit-above='2'/>", action="drop"))
    counted = f"{LINK}/limit0-tcp-2"
    assert made.sets[counted]["size"] == 2
    assert words(made)[OUT] == [f"ether type 0x800 l4proto 6 jump {counted}/from"]
    assert words(made)[f"{counted}/from"][0].endswith("return") and words(made)[f"{counted}/from"][1] == "drop"
    none_at_all = ruleset(rule("<tcp connlimit-above='0'/>", action="drop"))
    assert words(none_at_all)[f"{LINK}/limit0-tcp-0/from"] == ["drop"]


def test_reject_is_said_where_the_kernel_can() -> None:
    able = ruleset(rule("<tcp/>", action="reject"), reject=True)
    assert [chain[0].split()[-1] for chain in words(able).values()] == ["reject", "drop"]
    assert [note for note in able.notes] == ["reject to a guest: the bridge family can only drop, nobody is told"]
    assert [chain[0].split()[-1] for chain in said("<tcp/>", action="reject").values()] == ["drop", "drop"]


def test_what_nftables_cannot_say_is_refused() -> None:
    with pytest.raises(Unsupported, match="ipset 'x'"):
        said("<all ipset='x' ipsetflags='src'/>")
    with pytest.raises(Unsupported, match="gratuitous"):
        said("<rarp gratuitous='true'/>")


def test_comments_are_cut_to_what_nftables_takes() -> None:
    made = ruleset(rule(f"<mac comment='{chr(0xE9) * 100} &quot;'/>"))
    ((one,),) = made.chains.values()
    assert one["comment"] == "é" * 63


# Transactions


def verbs(said: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(verb, kind, what.get("name") or what.get("chain")) for entry in said for verb, one in entry.items()
            for kind, what in one.items()]  # fmt: skip


def test_a_nic_changes_in_one_transaction_and_what_it_lacks_then_goes() -> None:
    old, new = ruleset("clean-traffic"), ruleset("no-mac-spoofing")
    done = verbs(commands.put("t", new, {}, Objects.of(old)))
    assert ("flush", "chain", f"{LINK}/from/arp-mac") in done
    assert done.index(("delete", "element", "to")) < done.index(("delete", "chain", f"{LINK}/to"))
    assert done[-1] == ("delete", "set", f"{LINK}/addresses")
    assert ("delete", "chain", f"{LINK}/from") not in done and ("delete", "element", "from") not in done


def test_what_was_learned_stays_and_ends_when_it_should() -> None:
    made = ruleset("clean-traffic")
    done = commands.put("t", made, {"192.0.2.1": None, "192.0.2.2": 60}, Objects.of(made))
    (elements,) = [entry["add"]["element"]["elem"] for entry in done
                   if entry.get("add", {}).get("element", {}).get("name") == f"{LINK}/addresses"]  # fmt: skip
    assert elements == ["192.0.2.1", {"elem": {"val": "192.0.2.2", "timeout": 60}}]
    assert ("add", "set", f"{LINK}/addresses") not in verbs(done), "a set that is there is not made again"


def test_what_a_listing_shows_is_whose_by_its_name() -> None:
    where = {"family": "bridge", "table": "t"}
    listing = [
        {"chain": {**where, "name": "from"}}, {"chain": {**where, "name": "a/from"}}, {"set": {**where, "name": "a/out4"}},
        {"map": {**where, "name": "from", "elem": [["a", {"jump": {"target": "a/from"}}], ["b", {"jump": {"target": "c"}}]]}},
        {"chain": {"family": "ip", "table": "t", "name": "z/from"}}, {"chain": {**where, "table": "u", "name": "z/from"}},
    ]  # fmt: skip
    assert commands.found("t", listing) == {
        "a": Objects(frozenset({"a/from"}), frozenset({"a/out4"}), frozenset({"from"})),
        "b": Objects(entries=frozenset({"from"})),
    }
