"""check_frontinus: the engine, its guests and the age of their figures, for Nagios, Icinga and their kin.

One call brings all guests, so one check covers a host; nothing is kept between two runs.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from frontinus import __version__
from frontinus.api.engine import Engine
from frontinus.api.errors import Disconnected, FrontinusError, Unresponsive
from frontinus.api.views import STATES, GuestStats
from frontinus.client.thin import ThinEngine
from frontinus_collectd.nagios_host import NoSuch, check_networks, check_pools, chosen
from frontinus_collectd.thresholds import Figure, Range, Report, Status, parse_range, worst

SOCKET = Path("/run/frontinus/frontinus-ro.sock")

FAULTS: Mapping[tuple[str, str], Status] = {
    ("paused", "I/O error"): Status.CRITICAL, ("paused", "watchdog"): Status.CRITICAL,
    ("paused", "crashed"): Status.CRITICAL, ("paused", "post-copy failed"): Status.CRITICAL,
    ("paused", "API error"): Status.CRITICAL, ("running", "post-copy failed"): Status.CRITICAL,
    ("shutoff", "crashed"): Status.CRITICAL, ("shutoff", "failed"): Status.CRITICAL,
}  # fmt: skip
"""States that nobody asked for."""


class Parser(argparse.ArgumentParser):
    """A wrong call is UNKNOWN, not argparse's 2, which would be CRITICAL."""

    def error(self, message: str) -> NoReturn:
        sys.stdout.write(f"FRONTINUS UNKNOWN - {message}\n{self.format_usage()}")
        sys.exit(Status.UNKNOWN)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        if message:
            sys.stdout.write(message)
        sys.exit(Status.UNKNOWN)  # help and version say nothing of the host


def parser() -> argparse.ArgumentParser:
    found = Parser(prog="check_frontinus", description=__doc__)
    found.add_argument("-V", "--version", action="version", version=f"check_frontinus {__version__}")
    checks = found.add_subparsers(dest="check", required=True, parser_class=Parser)
    for name, (_, help_, unit) in CHECKS.items():
        check = checks.add_parser(name, help=help_, description=help_)
        check.add_argument("-S", "--socket", type=Path, default=SOCKET, help=f"the engine's socket (default: {SOCKET})")
        check.add_argument("-t", "--timeout", type=_seconds, default=10.0, metavar="SECONDS", help="default: 10")
        for option, status in (("-w", "WARNING"), ("-c", "CRITICAL")):
            check.add_argument(option, f"--{status.lower()}", type=_range, metavar="RANGE",
                               help=f"{unit} that is well; else {status}")  # fmt: skip
        if name in ("guests", "stats", "memory"):
            check.add_argument("-g", "--guest", action="append", metavar="NAME", default=[],
                               help="only this guest, by name, UUID or pattern with * and ?; can be repeated")  # fmt: skip
        if name in ("pools", "networks"):
            check.add_argument("-n", "--name", action="append", metavar="NAME", default=[],
                               help="only this one, by name, UUID or pattern with * and ?; can be repeated")  # fmt: skip
    return found


def _range(text: str) -> Range:
    try:
        return parse_range(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 10**6:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of seconds above 0")
    return value


def check_guests(engine: ThinEngine, options: argparse.Namespace) -> Report:
    """How many guests run; guests that stopped by a fault; named guests that do not run."""
    guests = chosen(engine.call(Engine.stats, groups=["state"], max_age=options.timeout), options.guest, "guest")
    running = sum(guest.state == "running" for guest in guests)
    figures = [Figure("running", running, "", options.warning, options.critical, 0, len(guests))]
    counts = {state: sum(guest.state == state for guest in guests) for state in STATES if state != "running"}
    figures += [Figure(state, count, low=0, high=len(guests)) for state, count in counts.items()]
    named = {*options.guest}
    found = {guest.uuid: fault(guest, named=not named.isdisjoint((guest.name, guest.uuid))) for guest in guests}
    bad = {guest.uuid: (found[guest.uuid], f"{guest.name} is {guest.state} ({guest.reason})") for guest in guests
           if found[guest.uuid] is not Status.OK}  # fmt: skip
    status = worst([figures[0].status, *(status for status, _ in bad.values())])
    text = f"{running} of {len(guests)} guests run" + (f", {len(bad)} need attention" if bad else "")
    if len(bad) == 1:
        text = f"{running} of {len(guests)} guests run; {next(iter(bad.values()))[1]}"
    return Report(status, text, figures, [f"{status.name}: {line}" for status, line in bad.values()])


def fault(guest: GuestStats, *, named: bool) -> Status:
    """What a guest's state is worth. One that was asked for by its name is expected to run."""
    if guest.state == "crashed":
        return Status.CRITICAL
    found = FAULTS.get((guest.state, guest.reason), Status.OK)
    if found is Status.OK and named and guest.state != "running":
        return Status.CRITICAL if guest.id is None else Status.WARNING
    return found


def check_engine(engine: ThinEngine, options: argparse.Namespace) -> Report:
    """Whether the engine answers, and how fast; since when it runs, and what it takes."""
    began = time.perf_counter()
    told = engine.call(Engine.poll, groups=["state"], max_age=options.timeout)
    took = time.perf_counter() - began
    figure = Figure("time", took, "s", options.warning, options.critical, 0, options.timeout)
    active, guests = sum(guest.id is not None for guest in told.guests), len(told.guests)
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(told.engine.started))
    text = f"answered in {took * 1000:.1f} ms, up since {since}, {active} of {guests} guests active"
    return Report(figure.status, text, [
        figure, Figure("guests", guests, low=0), Figure("active", active, low=0, high=guests),
        Figure("rss", told.engine.rss, "B", low=0), Figure("late", told.engine.monitor.late, "c", low=0)])  # fmt: skip


def check_stats(engine: ThinEngine, options: argparse.Namespace) -> Report:
    """How old the oldest figures are, and which guests do not answer. Without thresholds such a guest is CRITICAL."""
    guests = [guest for guest in chosen(engine.call(Engine.stats), options.guest, "guest") if guest.id is not None]
    now = time.time()
    ages = {guest.uuid: max(0.0, now - guest.taken) if guest.taken else None for guest in guests}
    oldest = max((age for age in ages.values() if age is not None), default=0.0)
    figure = Figure("age", round(oldest, 3), "s", options.warning, options.critical, 0)
    stale = [guest for guest in guests if guest.stale or not guest.taken]
    never = any(ages[guest.uuid] is None for guest in stale)
    bounded = (options.warning or options.critical) and not never
    status = figure.status if bounded or not stale else Status.CRITICAL
    text = f"figures of {len(guests)} guests are at most {oldest:.1f} s old"
    if stale:
        text += f"; {len(stale)} do not answer: {', '.join(guest.name for guest in stale[:5])}"
    return Report(status, text, [figure, Figure("stale", len(stale), low=0, high=len(guests))], [
        f"{guest.name}: " + ("no figures yet" if (age := ages[guest.uuid]) is None else f"figures are {age:.1f} s old")
        for guest in stale])  # fmt: skip


def check_memory(engine: ThinEngine, options: argparse.Namespace) -> Report:
    """Memory in use within each guest, as its balloon driver tells; guests without one are named."""
    found = engine.call(Engine.stats, groups=["balloon"], max_age=options.timeout)
    guests = [guest for guest in chosen(found, options.guest, "guest") if guest.id is not None]
    figures, silent = [], []
    for guest in guests:
        memory = guest.memory
        usable = None if memory is None else memory.unused if memory.usable is None else memory.usable
        if memory is None or usable is None or not memory.available:
            silent.append(guest.name)
            continue
        used = round(100 * (1 - usable / memory.available), 2)
        figures.append(Figure(guest.name, used, "%", options.warning, options.critical, 0, 100))
    if guests and not figures:
        return Report(
            Status.UNKNOWN, f"no guest tells its memory (no balloon driver or no stats period): {', '.join(silent)}"
        )
    bad = [figure for figure in figures if figure.status is not Status.OK]
    most = max((figure.value for figure in figures), default=0.0)
    text = f"{len(bad) or 'none'} of {len(figures)} guests outside the thresholds, most in use {most:g} %"
    lines = [f"{figure.status.name}: {figure.name} uses {figure.value:g} %" for figure in bad]
    return Report(worst([figure.status for figure in figures]), text, figures,
                  lines + [f"{name} does not tell its memory" for name in silent])  # fmt: skip


CHECKS: Mapping[str, tuple[Callable[[ThinEngine, argparse.Namespace], Report], str, str]] = {
    "guests": (check_guests, "guests that run, that stopped by a fault, and named guests that are off", "number of running guests"),
    "engine": (check_engine, "whether the engine answers, and how fast", "seconds that an answer takes"),
    "stats": (check_stats, "guests that do not answer, so that their figures are stale", "age in seconds of the oldest figures"),
    "memory": (check_memory, "memory in use within guests", "percent of memory in use"),
    "pools": (check_pools, "how full storage pools are, and those that are off or out of reach", "percent that is full"),
    "networks": (check_networks, "virtual networks that should be active and are not", "number of active networks"),
}  # fmt: skip
"""Each check, what it looks at, and what its thresholds are of."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code, which is the status."""
    options = parser().parse_args(arguments)
    try:
        with ThinEngine(options.socket, timeout=options.timeout) as engine:
            report = CHECKS[options.check][0](engine, options)
    except (Disconnected, Unresponsive) as error:  # the engine's own check is about just that
        report = Report(Status.CRITICAL if options.check == "engine" else Status.UNKNOWN, error.message)
    except (NoSuch, FrontinusError) as error:
        report = Report(Status.UNKNOWN, str(error))
    except Exception as error:  # Python's own exit code for it would be a WARNING
        report = Report(Status.UNKNOWN, f"the check failed unexpectedly: {type(error).__name__}: {error}")
    sys.stdout.write(report.render(f"FRONTINUS {options.check.upper()}"))
    return int(report.status)


if __name__ == "__main__":
    sys.exit(main())
