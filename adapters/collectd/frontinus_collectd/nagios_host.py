"""The checks of what is no guest: virtual networks and storage pools."""

from __future__ import annotations

import argparse
import fnmatch
from collections.abc import Sequence
from typing import TypeVar

from frontinus.api.engine import Engine
from frontinus.api.networks import NetworkView
from frontinus.api.storage import PoolView
from frontinus.api.views import GuestStats
from frontinus.client.thin import ThinEngine
from frontinus_collectd.thresholds import Figure, Report, Status, worst

N = TypeVar("N", GuestStats, NetworkView, PoolView)
M = TypeVar("M", NetworkView, PoolView)


class NoSuch(Exception):
    """Something was named that is not there."""


def chosen(found: Sequence[N], names: Sequence[str], what: str) -> list[N]:
    """Those that were named, all without names. Raises NoSuch for a name that fits none."""
    if not names:
        return list(found)
    fitting = {
        name: [one for one in found if one.uuid == name or fnmatch.fnmatchcase(one.name, name)] for name in names
    }
    for name, matches in fitting.items():
        if not matches:
            raise NoSuch(f"there is no {what} '{name}'")
    wanted = {one.uuid for matches in fitting.values() for one in matches}
    return [one for one in found if one.uuid in wanted]


def absent(found: Sequence[M], names: Sequence[str]) -> dict[str, tuple[Status, str]]:
    """Those that should be active and are not: marked for it, or asked for by their names."""
    return {one.uuid: (Status.CRITICAL, f"{one.name} is not active") for one in found
            if not one.active and (one.autostart or one.name in names or one.uuid in names)}  # fmt: skip


def lines(bad: dict[str, tuple[Status, str]]) -> list[str]:
    return [f"{status.name}: {text}" for status, text in bad.values()]


def check_networks(engine: ThinEngine, options: argparse.Namespace) -> Report:
    """How many networks are active; those that should be and are not."""
    found = chosen(engine.call(Engine.networks), options.name, "network")
    active = sum(network.active for network in found)
    figures = [Figure("active", active, "", options.warning, options.critical, 0, len(found))]
    figures += [Figure(f"{network.name}_{what}", value, low=0) for network in found if network.active
                for what, value in (("ports", network.ports), ("leases", network.leases))]  # fmt: skip
    bad = absent(found, options.name)
    status = worst([figures[0].status, *(status for status, _ in bad.values())])
    text = f"{active} of {len(found)} networks active" + (f"; {next(iter(bad.values()))[1]}" if bad else "")
    return Report(status, text, figures, lines(bad))


def check_pools(engine: ThinEngine, options: argparse.Namespace) -> Report:
    """How full each active pool is; those that should be active and are not; those that cannot be reached."""
    found = chosen(engine.call(Engine.pools), options.name, "pool")
    bad = absent(found, options.name)
    bad |= {
        pool.uuid: (Status.CRITICAL, f"{pool.name} cannot be reached") for pool in found if pool.state == "inaccessible"
    }
    bad |= {pool.uuid: (Status.WARNING, f"{pool.name} is degraded") for pool in found if pool.state == "degraded"}
    figures = [
        Figure(pool.name, round(100 * pool.allocation / pool.capacity, 2), "%", options.warning, options.critical, 0, 100)
        for pool in found if pool.active and pool.capacity
    ]  # fmt: skip
    for figure in figures:
        if figure.status is not Status.OK:
            bad[figure.name] = (figure.status, f"{figure.name} is {figure.value:g} % full")
    active = sum(pool.active for pool in found)
    most = max((figure.value for figure in figures), default=0.0)
    text = f"{active} of {len(found)} pools active, the fullest {most:g} %"
    if bad:
        text += f"; {next(iter(bad.values()))[1]}"
    return Report(worst([Status.OK, *(status for status, _ in bad.values())]), text, figures, lines(bad))
