"""The words of a command line as virsh allows them: options anywhere, every argument also by its name (`--domain web1`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from frontinus.client.commands.base import Argument, Command

NAMES: Mapping[str, tuple[str, ...]] = {
    "guest": ("domain",), "guests": ("domain",), "snapshot": ("snapshotname",), "checkpoint": ("checkpointname",),
    "filter": ("nwfilter",), "link": ("binding",), "file": ("xmlfile",), "name": ("new-name",), "newname": ("new-name",),
    "text": ("new-desc",), "command": ("cmd",), "keys": ("keycode",), "device": ("interface",), "spec": ("srcSpec",),
    "cell": ("cellno",), "fds": ("pass-fds",), "words": ("string",), "word": ("command",),
}  # fmt: skip
"""What virsh calls our positional arguments, where it has other names."""


def arranged(row: Command, given: Sequence[str]) -> tuple[Command, list[str]]:
    """A command and its words, as argparse understands them."""
    named = replace(row, arguments=by_name(row, given))
    return named, options_first(named, given)


def by_name(row: Command, given: Sequence[str]) -> list[Argument]:
    """The command's arguments; positional ones that were given by name are options."""
    said = {word.partition("=")[0] for word in given}
    options = {name for argument in row.arguments for name in argument.names}
    return [_as_option(argument, said - options) for argument in row.arguments]


def _as_option(argument: Argument, said: set[str]) -> Argument:
    (own, *_) = argument.names
    names = [f"--{name}" for name in dict.fromkeys((own, *NAMES.get(own, ()))) if f"--{name}" in said]
    if own.startswith("-") or not names:
        return argument
    facts: dict[str, Any] = {**argument.options, "dest": own}
    many = facts.pop("nargs", None)
    if many in ("*", "+"):
        facts["action"] = "append"
    return replace(argument, names=tuple(names), options={**facts, "required": many in (None, "+")})


def options_first(row: Command, given: Sequence[str]) -> list[str]:
    """The words with the command's options before its other arguments: argparse fills an open-ended argument only once."""
    at = given.index(row.name) + 1
    valued = {
        name: argument.options.get("action", "append") == "append"
        for argument in row.arguments
        for name in argument.names
    }
    options: list[str] = []
    others: list[str] = []
    words = iter(given[at:])
    for word in words:
        if word == "--":
            others += ["--", *words]
        elif word.startswith("-") and len(word) > 1:
            options.append(word)
            if valued.get(word):
                options += [value for value in [next(words, None)] if value is not None]
        else:
            others.append(word)
    return [*given[:at], *options, *others]
