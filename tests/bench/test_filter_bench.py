"""What filters cost: a NIC with one beside a NIC without, a change, and a thousand at a restart.

The promises are asserted: 10 ms for a NIC beyond its tap (median), 3 s for a thousand. One thread does all of it, so
what a busy machine adds to the latter is left out by counting the CPU's time.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from frontinus.domain.host import Paths
from frontinus.domain.plan import Tap
from frontinus.filter.instance import Filtered, FilterUse, instantiate
from frontinus.filter.standard import standard_filters
from frontinus.linux.network.filters import BridgeFilters
from frontinus.linux.resources import LinuxResources
from support.namespaces import own_network
from support.packets import ip_tool

pytestmark = pytest.mark.needs("ip", "nft")
ROUNDS = 50
MANY = 1000
NIC_SECONDS, MANY_SECONDS = 0.010, 3.0


def card(number: int) -> str:
    return f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}"


def clean(number: int) -> Filtered:
    """What the engine works out for a NIC, anew each time."""
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    return Filtered(instantiate("clean-traffic", standard_filters().get, {"IP": (address,)}, card(number)))


async def no_journal(undo: Sequence[dict[str, object]]) -> None:
    pass


async def set_up(host: LinuxResources, number: int, *, filtered: bool) -> float:
    """Seconds that a tap takes, with what its filter comes to."""
    began = time.perf_counter()
    plan = Tap(card(number), (3,), bridge="br0", alias="net0", filter=FilterUse("clean-traffic") if filtered else None,
               filtered=clean(number) if filtered else None)  # fmt: skip
    made = await host.set_up([plan], None, no_journal)
    took = time.perf_counter() - began
    for fd in made.fds.values():
        os.close(fd)
    await host.tear_down(made.undo)
    return took


@own_network
async def test_a_filtered_nic(tmp_path: Path) -> None:
    ip_tool("link", "add", "br0", "type", "bridge")
    ip_tool("link", "set", "br0", "up")
    filters = BridgeFilters("bench")
    host = LinuxResources(Paths(state=str(tmp_path), run=str(tmp_path)), filters=filters)
    await filters.put({f"there{number}": clean(number) for number in range(20)})
    plain, with_filter = [], []
    for number in range(ROUNDS):
        plain.append(await set_up(host, number, filtered=False))
        with_filter.append(await set_up(host, number, filtered=True))
    without, with_one = statistics.median(plain), statistics.median(with_filter)
    changes = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await filters.put({"there0": clean(0)})
        changes.append(time.perf_counter() - began)
    print(f"\na tap {1e3 * without:.2f} ms, with clean-traffic {1e3 * with_one:.2f} ms: {1e3 * (with_one - without):.2f} ms more "
          f"(at most {1e3 * NIC_SECONDS:g}); "
          f"a change {1e3 * statistics.median(changes):.2f} ms", end="", flush=True)  # fmt: skip
    await filters.close()


@own_network
async def test_a_thousand_nics_after_a_restart() -> None:
    took = []
    for again in ("anew", "over what is there"):
        filters = BridgeFilters("bench")
        began, worked = time.perf_counter(), time.process_time()
        await filters.restore({f"vnet{number}": clean(number) for number in range(MANY)})
        took.append(time.process_time() - worked)
        print(f"\n{MANY} NICs with clean-traffic, {again}: {took[-1]:.2f} s of a CPU, "
              f"{time.perf_counter() - began:.2f} s by the clock (at most {MANY_SECONDS:g})", end="", flush=True)  # fmt: skip
        await filters.close()
