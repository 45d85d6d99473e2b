"""The client of nftables on real rules, in a network namespace of the test's own."""

from __future__ import annotations

import select
import subprocess

import pytest

from frontinus.api.errors import HostFailed
from frontinus.linux.network.nftables import Json, Nftables, Watch, removed
from support.namespaces import own_network

pytestmark = pytest.mark.needs("nft")

NAME = "frontinus-test"


def chain(name: str) -> dict[str, object]:
    return {"add": {"chain": {"family": "ip", "table": NAME, "name": name}}}


def accept(name: str) -> dict[str, object]:
    return {"add": {"rule": {"family": "ip", "table": NAME, "chain": name, "expr": [{"accept": None}]}}}


def replaced(content: list[dict[str, object]]) -> list[Json]:
    """Commands that put `content` in the place of all that the table had, in one transaction."""
    named = {"table": {"family": "ip", "name": NAME}}
    return [{"add": named}, {"delete": named}, {"add": named}, *content]


def nft(*words: str) -> str:
    """The oracle: nft itself."""
    return subprocess.run(["nft", *words], capture_output=True, text=True, check=True).stdout


@own_network
async def test_a_table_is_replaced_whole_and_removed() -> None:
    rules = Nftables()
    rules.apply(replaced([chain("one"), accept("one")]))
    rules.apply(replaced([chain("two"), accept("two")]))
    shown = nft("list", "table", "ip", NAME)
    assert "chain two" in shown
    assert "accept" in shown
    assert "chain one" not in shown
    assert [one["chain"]["name"] for one in rules.content("ip", NAME) if "chain" in one] == ["two"]
    rules.apply(removed("ip", NAME))
    rules.apply(removed("ip", NAME))
    assert rules.tables() == []
    assert rules.content("ip", NAME) == []


@own_network
async def test_what_is_refused_changes_nothing_and_says_why() -> None:
    rules = Nftables()
    rules.apply(replaced([chain("one")]))
    with pytest.raises(HostFailed, match="No such file"):
        rules.apply(replaced([chain("two"), accept("three")]))
    assert "chain one" in nft("list", "table", "ip", NAME)
    with pytest.raises(HostFailed, match="nftables refused"):
        rules.apply([{"add": {"nonsense": {}}}])


@own_network
async def test_who_takes_rules_away_is_noticed() -> None:
    rules, watch = Nftables(), Watch()
    rules.apply(replaced([chain("one"), accept("one")]))
    rules.apply(replaced([chain("one")]))
    assert watch.read() == []  # what replaces loses nothing
    nft("flush", "ruleset")
    assert select.select([watch], [], [], 60)[0]
    changes = watch.read()
    assert changes is not None
    assert [change.lost for change in changes] == [frozenset({("ip", NAME)})]
    assert not rules.is_own(changes[0])
    rules.apply(replaced([chain("one")]))
    rules.apply(removed("ip", NAME))
    changes = watch.read()
    assert changes is not None
    assert [rules.is_own(change) for change in changes] == [True]
