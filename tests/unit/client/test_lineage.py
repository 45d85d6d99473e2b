"""Which snapshots a list shows: by ancestry and by kind."""

from __future__ import annotations

import argparse

import pytest

from frontinus.api.errors import InvalidValue
from frontinus.api.snapshots import SnapshotView
from frontinus.client import lineage
from frontinus.client.commands import find
from frontinus.client.main import make_parser


def view(name: str, parent: str | None, children: int, state: str = "running", disks: str = "internal") -> SnapshotView:
    return SnapshotView(guest="g", name=name, created=0, state=state, parent=parent, children=children, disks=disks)  # type: ignore[arg-type]


VIEWS = [
    view("base", None, 2, "shutoff"), view("left", "base", 1), view("leaf", "left", 0, "disk-snapshot", "external"),
    view("right", "base", 0, "paused"), view("alone", None, 0, "shutoff", "external"),
]  # fmt: skip


def options(*words: str) -> argparse.Namespace:
    row = find("snapshot-list")
    assert row is not None
    return make_parser([row]).parse_args(["snapshot-list", "web", *words])


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("", "base left leaf right alone"),
        ("--roots", "base alone"),
        ("--leaves", "leaf right alone"),
        ("--no-leaves", "base left"),
        ("--leaves --no-leaves", ""),
        ("--from base", "left right"),
        ("--from base --descendants", "left leaf right"),
        ("--from base --descendants --leaves", "leaf right"),
        ("--from base --tree", "left leaf right"),
        ("--inactive", "base alone"),
        ("--active", "left right"),
        ("--inactive --active", "base left right alone"),
        ("--disk-only", "leaf"),
        ("--external", "leaf alone"),
        ("--internal --active", "left right"),
        ("--no-metadata", ""),
        ("--metadata", "base left leaf right alone"),
    ],
)
def test_chosen(words: str, wanted: str) -> None:
    given = options(*words.split())
    found = lineage.of_kind(lineage.chosen(VIEWS, given, given.start), given)
    assert " ".join(one.name for one in found) == wanted


def test_a_start_that_is_not_there() -> None:
    with pytest.raises(InvalidValue, match="no 'x'"):
        lineage.chosen(VIEWS, options("--from", "x"), "x")


def test_trees() -> None:
    assert list(lineage.tree(VIEWS)) == [
        "base", "  |", "  +- left", "  |   |", "  |   +- leaf", "  |", "  +- right", "", "alone", ""]  # fmt: skip
    assert list(lineage.tree(lineage.below(VIEWS, "base", deep=True), "base"))[0] == "base"
    assert list(lineage.tree(lineage.below(VIEWS, "left", deep=True), "left")) == ["left", "  |", "  +- leaf", ""]
