"""What every firewall does alike, seen through its port. Linux's and the mock run it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import pytest

from frontinus.api.errors import InvalidValue, Unsupported
from frontinus.filter.instance import Filtered
from frontinus.ports import Firewall
from support.filters import instance, rule


class Rig(Protocol):
    """A firewall with nothing in force; `link` is one that is there, with a guest behind it."""

    firewall: Firewall
    link: str

    def chains(self, link: str) -> set[str]:
        """The chains that are in force on a link."""

    def show(self, address: str) -> None:
        """Let the guest use an address."""


def filtered(text: str, addresses: Mapping[str, float | None] | None = None, **parameters: tuple[str, ...]) -> Filtered:
    return Filtered(instance(text, parameters), addresses or {})


async def put_changes_all_links_at_one_moment(rig: Rig) -> None:
    await rig.firewall.put({rig.link: filtered("no-mac-spoofing"), "other": filtered("allow-arp")})
    assert rig.chains(rig.link) == {f"{rig.link}/from", f"{rig.link}/from/mac"}
    assert rig.chains("other") == {f"other/{name}" for name in ("from", "to", "from/arp", "to/arp")}
    await rig.firewall.put({rig.link: filtered("allow-incoming-ipv4")})
    assert rig.chains(rig.link) == {f"{rig.link}/to", f"{rig.link}/to/ipv4"} and rig.chains("other")
    await rig.firewall.drop([rig.link, "other"])


async def what_is_refused_changes_nothing(rig: Rig) -> None:
    await rig.firewall.put({rig.link: filtered("allow-arp")})
    before = rig.chains(rig.link)
    with pytest.raises(Unsupported):
        await rig.firewall.put(
            {rig.link: filtered(rule("<all ipset='x' ipsetflags='src'/>")), "other": filtered("allow-arp")}
        )
    with pytest.raises(InvalidValue):
        await rig.firewall.put(
            {"other": filtered("allow-arp"), rig.link: filtered(rule("<udp srcportstart='9' srcportend='1'/>"))}
        )
    assert rig.chains(rig.link) == before and not rig.chains("other")
    await rig.firewall.drop([rig.link])


async def drop_takes_everything_and_may_be_asked_twice(rig: Rig) -> None:
    await rig.firewall.put({rig.link: filtered("clean-traffic"), "other": filtered(rule("<tcp/>"))})
    await rig.firewall.drop([rig.link])
    assert not rig.chains(rig.link) and rig.chains("other")
    await rig.firewall.drop([rig.link, "never", "other"])
    assert not rig.chains("other")


async def restore_leaves_these_and_no_others(rig: Rig) -> None:
    await rig.firewall.put(
        {rig.link: filtered("allow-arp"), "gone": filtered("allow-arp"), "kept": filtered("allow-ipv4")}
    )
    kept = rig.chains("kept")
    await rig.firewall.restore({rig.link: filtered("no-mac-spoofing"), "new": filtered("allow-arp")}, ["kept"])
    assert rig.chains(rig.link) == {f"{rig.link}/from", f"{rig.link}/from/mac"}
    assert rig.chains("new") and not rig.chains("gone") and rig.chains("kept") == kept
    await rig.firewall.restore({})
    assert not any(map(rig.chains, (rig.link, "new", "kept")))


async def addresses_that_a_guest_shows_are_told(rig: Rig) -> None:
    heard: list[tuple[str, dict[str, float | None]]] = []
    news = asyncio.Event()

    def hear(link: str, addresses: Mapping[str, float | None]) -> None:
        heard.append((link, dict(addresses)))
        news.set()

    rig.firewall.listen(hear)
    await rig.firewall.put({rig.link: filtered("clean-traffic")})
    rig.show("192.0.2.5")
    async with asyncio.timeout(60):
        await news.wait()
    assert heard == [(rig.link, {"192.0.2.5": None})]
    await rig.firewall.put({rig.link: filtered("clean-traffic", {"192.0.2.5": None, "192.0.2.6": time.time() + 60})})
    await rig.firewall.drop([rig.link])


CONTRACT: tuple[Callable[[Rig], Awaitable[None]], ...] = (
    put_changes_all_links_at_one_moment, what_is_refused_changes_nothing,
    drop_takes_everything_and_may_be_asked_twice, restore_leaves_these_and_no_others,
    addresses_that_a_guest_shows_are_told,
)  # fmt: skip
