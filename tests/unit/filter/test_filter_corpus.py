"""What each rule of the corpus means to ebtables and iptables, and what ours mean to nftables: the same conditions, in the
same order, with the same verdicts. What is between (names of chains, tracking of connections or flows) is left out."""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from frontinus.api.errors import FrontinusError
from frontinus.filter.values import PROTOCOL_NUMBERS
from support.filters import ruleset

CASES = Path(__file__).parents[4] / "shared/corpus/open/nwfilter-firewall"
VALUES = {"A": ("1.1.1.1", "2.2.2.2", "3.3.3.3", "3.3.3.3"), "B": ("80", "90", "80", "80"),
          "C": ("1080", "1090", "1100", "1110"), "IPSETNAME": ("tck_test",)}  # fmt: skip
"""Those that the expectations were made with."""
LEAST = 0.8

Condition = tuple[str, str, bool]
"""Where, what, and whether it is turned round."""
Meaning = tuple[tuple[Condition, ...], str, bool]
"""Conditions, verdict, and whether connections matter."""


def _net(text: str) -> str:
    return str(ipaddress.ip_network(text, strict=False))


def _number(text: str) -> str:
    return str(int(text, 0))


def _range(text: str) -> str:
    first, _, last = text.partition(":")
    return _number(first) if not last or int(last, 0) == int(first, 0) else f"{_number(first)}-{_number(last)}"


def _mac(text: str) -> str:
    address, _, mask = text.partition("/")
    if mask in ("", "ff:ff:ff:ff:ff:ff"):
        return address
    bits = bytes(a & b for a, b in zip(*(bytes.fromhex(one.replace(":", "")) for one in (address, mask)), strict=True))
    return f"{mask}=={bits.hex(':')}"


def _bytes(text: str) -> str:
    return str(int(text.split("/")[0].replace(":", ""), 16))


PLACES: Mapping[str, tuple[str, Callable[[str], str]]] = {
    "-s": ("ether saddr", _mac), "-d": ("ether daddr", _mac), "--mac-source": ("ether saddr", str),
    "--source": ("saddr", _net), "--destination": ("daddr", _net), "--sport": ("th sport", _range),
    "--dport": ("th dport", _range), "--dscp": ("dscp", _number), "--arp-htype": ("@0", _number), "--arp-ptype": ("@16", _number),
    "--arp-opcode": ("@48", _number), "--arp-mac-src": ("@64", _bytes), "--arp-mac-dst": ("@144", _bytes),
    "--ip-source": ("saddr", _net), "--ip-destination": ("daddr", _net), "--ip6-source": ("saddr", _net),
    "--ip6-destination": ("daddr", _net), "--ip-protocol": ("l4proto", _number), "--ip6-protocol": ("l4proto", _number),
    "--ip-source-port": ("th sport", _range), "--ip-destination-port": ("th dport", _range), "--ip-tos": ("dscp", _number),
    "--ip6-source-port": ("th sport", _range), "--ip6-destination-port": ("th dport", _range),
    "--stp-type": ("@48", _range), "--stp-flags": ("@56", _range), "--stp-root-pri": ("@64", _range),
    "--stp-root-addr": ("@80", _bytes), "--stp-root-cost": ("@128", _range), "--stp-sender-prio": ("@160", _range),
    "--stp-sender-addr": ("@176", _bytes), "--stp-port": ("@224", _range), "--stp-msg-age": ("@240", _range),
    "--stp-max-age": ("@256", _range), "--stp-hello-time": ("@272", _range), "--stp-forward-delay": ("@288", _range),
}  # fmt: skip
ARGUMENTS = {"--tcp-flags": 2, "--arp-gratuitous": 0}
SAID_ELSEWHERE = frozenset({"-m", "--comment", "--ctstate", "--ctdir", "--icmp-type", "--icmpv6-type", "--tcp-flags"})
VERDICTS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "drop", "RETURN": "return"}


def expected(text: str) -> dict[str, list[Meaning]]:
    """The rules of the guest's chains, by our names of them."""
    found: dict[str, list[Meaning]] = defaultdict(list)
    for line in text.replace("\\\n", " ").splitlines():
        tool, *words = shlex.split(line) or [""]
        where = (
            re.fullmatch(r"(?:libvirt-)?(J|P|FJ|FP)-vnet0(?:-(.*))?", words[words.index("-A") + 1])
            if "-A" in words
            else None
        )
        if where is None or "CONTINUE" in words:
            continue
        chain = {"J": "from", "P": "to", "FJ": "from-ip", "FP": "to-ip"}[where[1]] + (
            f"/{where[2]}" if where[2] else ""
        )
        verdict = words[words.index("-j") + 1]
        made = VERDICTS.get(verdict, "jump") if tool == "ebtables" or verdict != "RETURN" else "accept"
        conditions = tuple(sorted(_said(tool, words[words.index("-A") + 2 : words.index("-j")])))
        found[chain].append((conditions, made, "--ctstate" in words))
    return found


def _said(tool: str, words: list[str]) -> Iterator[Condition]:
    if tool != "ebtables":
        yield "ether type", "2048" if tool == "iptables" else "34525", False
    negated = False
    while words:
        option = words.pop(0)
        if option == "!":
            negated = True
            continue
        values = [words.pop(0) for _ in range(ARGUMENTS.get(option, 1))]
        if option == "-p" and tool == "ebtables":
            yield "ether type", {"ipv4": "2048", "ipv6": "34525"}.get(values[0]) or _number(values[0]), negated
        elif option == "-p" and values[0] != "all":
            yield "l4proto", str(PROTOCOL_NUMBERS[values[0]]), negated
        elif option == "--arp-gratuitous":
            yield "gratuitous", "", negated
        elif option not in SAID_ELSEWHERE and option != "-p":
            place, convert = PLACES[option]
            yield place, convert(values[0]), negated
        negated = False


def ours(text: str) -> dict[str, list[Meaning]]:
    found: dict[str, list[Meaning]] = defaultdict(list)
    for chain, rules in ruleset(text, VALUES).chains.items():
        for rule in rules:
            *said, verdict = rule["expr"]
            if not any(one.get("match", {}).get("right") == {"set": [6, 17, 33, 132, 136]}
                       and one["match"]["op"] == "!=" for one in said):  # fmt: skip
                conditions = tuple(sorted(filter(None, map(_asked, said))))
                flows = any("set" in one and "gratuitous" not in one["set"]["set"] for one in said)
                found[chain.removeprefix("vnet0/")].append((conditions, next(iter(verdict)), flows))
    return found


def _asked(said: dict[str, Any]) -> Condition | None:
    if "match" not in said:
        return None
    left, right, negated = said["match"]["left"], said["match"]["right"], said["match"]["op"] == "!="
    if isinstance(right, str) and right.startswith("@"):
        return ("gratuitous", "", negated) if "gratuitous" in right else None
    left, mask = left.get("&", (left, None))
    match left.get("payload", left):
        case {"base": _, "offset": 0, "len": 24}:
            return None
        case {"base": _, "offset": offset}:
            place = f"@{offset}"
        case {"protocol": "ip" | "ip6", "field": field}:
            place = field
        case {"protocol": "tcp" | "icmp" | "icmpv6"}:
            return None
        case {"protocol": protocol, "field": field}:
            place = f"{protocol} {field}"
        case _:
            place = left["meta"]["key"]
    match right:
        case {"prefix": {"addr": address, "len": length}}:
            value = f"{address}/{length}"
        case {"range": [first, last]}:
            value = f"{first}-{last}"
        case {"set": _}:
            return None
        case _:
            value = _net(right) if place in ("saddr", "daddr") else str(right)
    return place, value if mask is None else f"{mask}=={value}", negated


@pytest.mark.skipif(not CASES.exists(), reason="needs the corpus beside the checkout")
def test_rules_mean_what_they_meant() -> None:
    same = {}
    for case in sorted(CASES.iterdir()):
        try:
            same[case.name] = ours((case / "input.xml").read_text()) == expected((case / "expected.args").read_text())
        except FrontinusError:
            same[case.name] = False
    assert sum(same.values()) >= LEAST * len(same), [name for name, good in same.items() if not good]
