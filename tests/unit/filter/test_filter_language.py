"""The language of filters: documents, values, variables, instantiation."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontinus.api.errors import InvalidValue, InvalidXML, NoSuchFilter
from frontinus.filter.instance import included, instantiate
from frontinus.filter.model import FilterRef, Rule, format_binding, format_filter, parse_binding, parse_filter
from frontinus.filter.protocols import MATCHES, PROTOCOLS
from frontinus.filter.standard import standard_filters
from frontinus.filter.values import Reference, reference
from support.filters import MAC, instance, rule

SHARED = Path(__file__).parents[4] / "shared"
CASES = SHARED / "corpus/open/nwfilter-xml2xml"


def said(inside: str) -> str:
    """What is written back of a rule's inside."""
    return format_filter(parse_filter(rule(inside))).split("\n")[2].strip()


@pytest.mark.parametrize(
    ("inside", "written"),
    [
        ("<mac srcmacaddr='1:2:3:4:5:A' protocolid='0x0806'/>", "<mac srcmacaddr='01:02:03:04:05:0a' protocolid='arp'/>"),
        ("<mac protocolid='0x1234'/>", "<mac protocolid='0x1234'/>"),
        ("<ip srcipaddr='10.1.2.3' srcipmask='255.255.0.0'/>", "<ip srcipaddr='10.1.2.3' srcipmask='16'/>"),
        ("<ip protocol='17' dscp='0x3F'/>", "<ip protocol='udp' dscp='0x3f'/>"),
        ("<ipv6 srcipaddr='A:0:0::1' dstipmask='ffff::'/>", "<ipv6 srcipaddr='a::1' dstipmask='16'/>"),
        ("<arp opcode='2' gratuitous='1'/>", "<arp opcode='Reply' gratuitous='true'/>"),
        ("<rarp opcode='request_reverse'/>", "<rarp opcode='Request_Reverse'/>"),
        ("<tcp flags='syn,ack/SYN' state='established,new'/>", "<tcp flags='SYN,ACK/SYN' state='NEW,ESTABLISHED'/>"),
        ("<all ipset='a b' ipsetflags='SRC,dst'/>", "<all ipset='a b' ipsetflags='src,dst'/>"),
        ("<tcp srcipaddr='$A[ 1 ] ' srcportstart='$B[ @0 ]' dstportstart='$C[@2]'/>",
         "<tcp srcipaddr='$A[1]' srcportstart='$B' dstportstart='$C[@2]'/>"),
        ("<stp root-priority='7' root-priority-hi='0x10' forward-delay='1'/>",
         "<stp root-priority='7' root-priority-hi='0x10' forward-delay='1'/>"),
        ("<icmpv6 match='no' type='135' comment=\"it's\"/>", "<icmpv6 match='no' type='135' comment='it&apos;s'/>"),
    ],
)  # fmt: skip
def test_values_are_written_as_users_know_them(inside: str, written: str) -> None:
    assert said(inside) == written


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (rule("<tcp dstport='22'/>"), "unknown attribute 'dstport'"),
        (rule("<mac/><ip/>"), "too many"),
        (rule("<dccp/>"), "unknown element 'dccp'"),
        (rule("<udp connlimit='1'/>"), "connlimit"),
        (rule("<mac protocolid='1535'/>"), "1535 is outside 1536..65535"),
        (rule("<vlan vlanid='4096'/>"), "outside 0..4095"),
        (rule("<ip srcipaddr='10.1.2'/>"), "'10.1.2' is not an IPv4 address"),
        (rule("<ip srcipaddr='::1'/>"), "not an IPv4 address"),
        (rule("<ip srcipmask='255.0.255.0'/>"), "not the mask of a prefix"),
        (rule("<ipv6 srcipaddr='fe80::1%eth0'/>"), "not an IPv6 address"),
        (rule("<tcp flags='SYN'/>"), "MASK/FLAGS"),
        (rule("<tcp flags='SYN/XXX'/>"), "'XXX' is not one of"),
        (rule("<tcp state='NONE,NEW'/>"), "NONE stands alone"),
        (rule("<tcp srcipaddr='$'/>"), "not a variable"),
        (rule("<tcp srcipaddr='$A[@]'/>"), "not a variable"),
        (rule(f"<tcp comment='{'x' * 257}'/>"), "more than 256 characters"),
        (rule("<all ipset='a;b'/>"), "not allowed"),
        (rule("<all/>", action="log"), "'log' is not one of"),
        (rule("<all/>", direction="both"), "'both' is not one of"),
        (rule("<all/>", more="priority='1001'"), "outside -1000..1000"),
        (rule("<all/>", more="statematch='maybe'"), "neither true nor false"),
        (rule("<all/>", chain="tcp"), "is no chain"),
        (rule("<all/>", chain="arp-abcdefghij"), "is no chain"),
        ("<filter name='a/b'/>", "none of them '/'"),
        ("<filter/>", "attribute name is missing"),
        ("<filter name='x'><filterref/></filter>", "attribute filter is missing"),
        ("<filter name='x'><uuid>1</uuid></filter>", "not a UUID"),
        ("<network name='x'/>", "expected <filter>"),
        ("<filter name='x'>", "not well-formed"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_its_name(text: str, words: str) -> None:
    with pytest.raises(InvalidXML, match=words.replace("$", r"\$")):
        parse_filter(text)


def test_all_protocols_take_all_their_attributes() -> None:
    assert len(PROTOCOLS) == 24
    for name, kind in PROTOCOLS.items():
        attributes = " ".join(f"{attribute}='$V'" for attribute, codec in kind.attributes.items()
                              if attribute not in ("gratuitous", "state", "flags", "ipsetflags"))  # fmt: skip
        assert said(f"<{name} {attributes}/>") == f"<{name} {attributes}/>"
        assert set(MATCHES[name]._specs) >= {"match", "comment"}


def test_rules_and_references_keep_their_order() -> None:
    text = ("<filter name='x'><rule action='drop' direction='in'/><filterref filter='a'><parameter name='z' value='1'/>"
            "<parameter name='b' value='2'/><parameter name='z' value='0'/></filterref>"
            "<rule action='accept' direction='out' statematch='0'/></filter>")  # fmt: skip
    found = parse_filter(text)
    assert [type(entry) for entry in found.entries] == [Rule, FilterRef, Rule]
    again = parse_filter(format_filter(found))
    assert again == found
    (reference,) = found.references()
    assert [(p.name, p.value) for p in reference.parameters] == [("b", "2"), ("z", "1"), ("z", "0")]
    assert "statematch='false'" in format_filter(found)


def test_a_chain_has_its_usual_place_unless_a_filter_says_otherwise() -> None:
    assert parse_filter("<filter name='x' chain='arp-q'/>").visited == -500
    assert parse_filter("<filter name='x' chain='rarp'/>").visited == -400
    moved = parse_filter("<filter name='x' chain='ipv6-x' priority='-1'/>")
    assert moved.visited == -1 and "priority='-1'" in format_filter(moved)
    assert "priority" not in format_filter(parse_filter("<filter name='x' chain='mac' priority='-800'/>"))


BINDING = ("<filterbinding><owner><name>web</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid></owner>"
           "<portdev name='tap0'/><mac address='52:54:0:0:0:1'/><filterref filter='clean-traffic'>"
           "<parameter name='IP' value='192.0.2.1'/></filterref></filterbinding>")  # fmt: skip


def test_bindings() -> None:
    found = parse_binding(BINDING)
    assert (found.owner_name, found.link, found.mac) == ("web", "tap0", MAC)
    assert parse_binding(format_binding(found)) == found
    with pytest.raises(InvalidXML, match="<filterref> is missing"):
        parse_binding(BINDING[: BINDING.index("<filterref")] + "</filterbinding>")
    with pytest.raises(InvalidXML, match="unknown element 'extra'"):
        parse_binding(BINDING.replace("<owner>", "<extra/><owner>"))


# Variables

LISTS = {"A": ("192.0.2.1", "192.0.2.2"), "B": ("80", "90"), "C": ("1", "2", "3")}


def pairs(inside: str, **more: tuple[str, ...]) -> list[tuple[str, ...]]:
    rules = instance(rule(inside), LISTS | more).rules
    return [tuple(str(r.values[a]) for a in (r.kind.attributes if r.kind else ()) if a in r.values) for r in rules]


def test_variables_of_one_iterator_go_side_by_side() -> None:
    assert pairs("<tcp srcipaddr='$A' srcportstart='$B'/>") == [("192.0.2.1", "80"), ("192.0.2.2", "90")]
    assert pairs("<tcp srcipaddr='$A[@3]' srcportstart='$B[@3]'/>") == [("192.0.2.1", "80"), ("192.0.2.2", "90")]
    with pytest.raises(InvalidValue, match="different numbers of values"):
        pairs("<tcp srcipaddr='$A' srcportstart='$C'/>")


def test_variables_of_different_iterators_go_through_all_combinations() -> None:
    assert pairs("<tcp srcipaddr='$A[@1]' srcportstart='$B[@2]'/>") == [
        ("192.0.2.1", "80"), ("192.0.2.2", "80"), ("192.0.2.1", "90"), ("192.0.2.2", "90")]  # fmt: skip
    assert len(pairs("<tcp srcipaddr='$A[@1]' srcportstart='$B[@2]' dstportstart='$C[@3]'/>")) == 12


def test_an_index_is_one_value() -> None:
    assert pairs("<tcp srcipaddr='$A[1]' srcportstart='$C[2]'/>") == [("192.0.2.2", "3")]
    with pytest.raises(InvalidValue, match="has 2 values"):
        pairs("<tcp srcipaddr='$A[2]'/>")


def test_what_comes_again_says_nothing_new() -> None:
    assert pairs("<tcp srcportstart='$B'/>", B=("1", "1", "2")) == [("1",), ("2",)]


def test_combinations_are_bounded() -> None:
    many = tuple(str(number) for number in range(100))
    with pytest.raises(InvalidValue, match="more than 4096 combinations"):
        pairs("<tcp srcportstart='$B[@1]' dstportstart='$C[@2]'/>", B=many, C=many)


def test_values_of_variables_are_looked_at() -> None:
    with pytest.raises(InvalidValue, match="variable A, for srcipaddr of <tcp>: 'x' is not an IPv4 address"):
        pairs("<tcp srcipaddr='$A'/>", A=("x",))
    with pytest.raises(InvalidValue, match="is no variable"):
        pairs("<tcp srcipaddr='$A'/>", A=("$B",))
    with pytest.raises(InvalidValue, match=r"needs values for \$X, \$Y\[@2\]"):
        pairs("<tcp srcipaddr='$X' dstipaddr='$Y[@2]' srcportstart='$B'/>")


def test_addresses_are_learned_where_they_are_not_given() -> None:
    assert instance("clean-traffic").learning == "any"
    assert instance("clean-traffic", {"CTRL_IP_LEARNING": ("dhcp",), "DHCPSERVER": ("192.0.2.9",)}).learning == "dhcp"
    assert instance("clean-traffic", {"CTRL_IP_LEARNING": ("DHCP",), "DHCPSERVER": ("192.0.2.9",)}).servers == (
        "192.0.2.9",
    )
    given_ = instance("clean-traffic", {"IP": ("192.0.2.1", "192.0.2.2")})
    assert given_.learning == "none" and given_.addresses == ("192.0.2.1", "192.0.2.2")
    assert instance("no-mac-spoofing").learning == "none"
    with pytest.raises(InvalidValue, match=r"needs values for \$IP"):
        instance("clean-traffic", {"CTRL_IP_LEARNING": ("none",)})
    with pytest.raises(InvalidValue, match="any, dhcp or none"):
        instance("clean-traffic", {"CTRL_IP_LEARNING": ("maybe",)})
    with pytest.raises(InvalidValue, match="IPv4 addresses"):
        instance(rule("<ipv6 srcipaddr='$IP'/>"))


# References


def chained(**bodies: str) -> dict[str, object]:
    return {name: parse_filter(f"<filter name='{name}'>{body}</filter>") for name, body in bodies.items()}


def test_what_a_nic_says_outweighs_what_a_reference_says() -> None:
    known = chained(
        top="<filterref filter='low'><parameter name='A' value='192.0.2.1'/><parameter name='B' value='1'/></filterref>",
        low="<rule action='drop' direction='out'><tcp srcipaddr='$A' srcportstart='$B'/></rule>",
    )
    (flat,) = instantiate("top", known.get, {"A": ("192.0.2.7",)}, MAC).rules  # type: ignore[arg-type]
    assert dict(flat.values) == {"srcipaddr": "192.0.2.7", "srcportstart": 1}


def test_circles_and_what_is_missing() -> None:
    known = chained(a="<filterref filter='b'/>", b="<filterref filter='a'/>", c="<filterref filter='gone'/>")
    with pytest.raises(InvalidValue, match="filter 'a' includes itself, by way of 'a'"):
        instantiate("a", known.get, {}, MAC)  # type: ignore[arg-type]
    with pytest.raises(NoSuchFilter, match="no filter 'gone', which filter 'c' includes"):
        instantiate("c", known.get, {}, MAC)  # type: ignore[arg-type]
    assert included(known["a"], known.get) == {"a", "b"}  # type: ignore[arg-type]
    assert included(standard_filters()["clean-traffic"], standard_filters().get) >= {
        "no-arp-ip-spoofing",
        "no-mac-spoofing",
    }


def test_references_without_end_are_refused_soon() -> None:
    known = {f"f{n}": f"<filterref filter='f{n + 1}'/>" * 2 for n in range(30)} | {"f30": ""}
    filters = chained(**known)
    with pytest.raises(InvalidValue, match="includes too many others"):
        instantiate("f0", filters.get, {}, MAC)  # type: ignore[arg-type]
    assert len(included(filters["f0"], filters.get)) == 30  # type: ignore[arg-type]


@given(st.text(max_size=40))
def test_any_text_is_a_variable_or_refused(text: str) -> None:
    try:
        found = reference("$" + text)
    except ValueError:
        return
    assert isinstance(found, Reference) and reference(str(found)) == found


# The corpus


@pytest.mark.skipif(not CASES.exists(), reason="needs the corpus beside the checkout")
def test_the_corpus() -> None:
    sys.path.append(str(SHARED / "tools"))
    from compare_xml import score  # type: ignore[import-not-found]

    equal: list[bool] = []
    refused: list[bool] = []
    for case in sorted(CASES.iterdir()):
        expected = case / "expected.xml"
        try:
            written = format_filter(parse_filter((case / "input.xml").read_bytes()))
        except InvalidXML:
            written = None
        if expected.exists():
            equal.append(written is not None and score(expected.read_text(), written)["equal"])
        else:
            refused.append(written is None)
    assert sum(equal) >= 0.95 * len(equal) and sum(refused) >= 0.9 * len(refused) and equal and refused
