"""Which snapshots or checkpoints a list shows, and how: as a table, as names, or as a tree."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from frontinus.api.errors import InvalidValue
from frontinus.api.snapshots import CheckpointView, SnapshotView
from frontinus.client.commands.base import Argument, Output, arg, flag

View = TypeVar("View", SnapshotView, CheckpointView)

ANCESTRY: tuple[Argument, ...] = (
    flag("--roots", help="only those without a parent"), flag("--leaves", help="only those without children"),
    flag("--no-leaves", help="only those with children"), arg("--from", dest="start", help="only children of this one"),
    flag("--descendants", help="with --from or --current: theirs too, and so on"),
    flag("--topological", help="parents before children, as always"),
    flag("--parent", help="with the name of the parent"), flag("--tree"), flag("--name", help="names alone"),
)  # fmt: skip
"""Options that snapshots and checkpoints share."""

KINDS: Sequence[Mapping[str, Callable[[SnapshotView], bool]]] = (
    {"metadata": lambda s: True, "no_metadata": lambda s: False},
    {"inactive": lambda s: s.state == "shutoff", "active": lambda s: s.state in ("running", "paused"),
     "disk_only": lambda s: s.state == "disk-snapshot"},
    {"internal": lambda s: "external" not in (s.disks, s.memory), "external": lambda s: "external" in (s.disks, s.memory)},
)  # fmt: skip
"""Options that choose snapshots: within a group any may hold, and every group that is asked for has to."""


def chosen(views: Sequence[View], options: argparse.Namespace, start: str | None) -> list[View]:
    """Those that the options choose; with a `start` its children, or all that come of it. Raises InvalidValue."""
    found = list(views) if start is None else below(views, start, deep=options.descendants or options.tree)
    names = {view.name for view in found}
    tests: Sequence[tuple[str, Callable[[View], bool]]] = (
        ("roots", lambda view: view.parent not in names), ("leaves", lambda view: not view.children),
        ("no_leaves", lambda view: bool(view.children)),
    )  # fmt: skip
    wanted = [test for name, test in tests if getattr(options, name)]
    return [view for view in found if all(test(view) for test in wanted)]


def of_kind(views: Sequence[SnapshotView], options: argparse.Namespace) -> list[SnapshotView]:
    """Those of the kinds that are asked for."""
    asked = [[test for name, test in group.items() if getattr(options, name)] for group in KINDS]
    return [view for view in views if all(not tests or any(test(view) for test in tests) for tests in asked)]


def below(views: Sequence[View], start: str, *, deep: bool) -> list[View]:
    """The children of one, or all that come of it. Parents come before their children. Raises InvalidValue."""
    if start not in {view.name for view in views}:
        raise InvalidValue(f"there is no '{start}'", field="from")
    above = {start}
    found: list[View] = []
    for view in views:
        if view.parent in above:
            found.append(view)
            above |= {view.name} if deep else set()
    return found


def show(views: Sequence[View], options: argparse.Namespace, start: str | None, out: Output,
         columns: Mapping[str, Callable[[View], str]]) -> None:  # fmt: skip
    """Print them as the options want it. `columns`: of the table, behind name and time."""
    out.value(views)
    if options.tree:
        for line in tree(views, start):
            out.line(line)
    elif options.name:
        for view in views:
            out.line(view.name)
    else:
        shown: dict[str, Callable[[View], str]] = {
            "Name": lambda view: view.name, "Creation Time": lambda view: moment(view.created), **columns,
            **({"Parent": lambda view: view.parent or ""} if options.parent else {}),
        }  # fmt: skip
        out.table(list(shown), [[cell(view) for cell in shown.values()] for view in views])


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def tree(views: Sequence[View], start: str | None = None) -> Iterator[str]:
    """Names as virsh draws a tree, below a start that is itself not among them perhaps."""
    known = {view.name for view in views}

    def draw(name: str, indent: str) -> Iterator[str]:
        children = [one.name for one in views if one.parent == name]
        for number, child in enumerate(children):
            yield f"{indent}|"
            yield f"{indent}+- {child}"
            yield from draw(child, indent + ("|   " if number + 1 < len(children) else "    "))

    roots = [start] if start is not None else [view.name for view in views if view.parent not in known]
    for root in roots:
        yield root
        yield from draw(root, "  ")
        yield ""
