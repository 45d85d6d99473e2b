"""The words of a command line as virsh allows them: options anywhere, every argument also by its name (`--domain web1`),
and the values of options without their names, in the order of the command's table (`pool-define-as p dir - - - - /images`).
"""

from __future__ import annotations

from collections import deque
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

NAMED = frozenset(
    {("secret-set-value", "--file"), ("secret-set-value", "--base64"), ("snapshot-create-as", "--memspec")}
)
"""Options whose values are always said with their names."""


def arranged(row: Command, given: Sequence[str]) -> tuple[Command, list[str]]:
    """A command and its words, as argparse understands them."""
    named = replace(row, arguments=by_name(row, given))
    at = given.index(row.name) + 1
    options, others = options_first(named, given[at:])
    more, others = without_names(named, options, others)
    return named, [*given[:at], *options, *more, *(["--"] if "--" in given else []), *others]


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


def options_first(row: Command, given: Sequence[str]) -> tuple[list[str], list[str]]:
    """The command's options with their values, and its other words: argparse fills an open-ended argument only once."""
    valued = {name: argument for argument in row.arguments for name in argument.names if _has_value(argument)}
    options: list[str] = []
    others: list[str] = []
    words = deque(given)
    while words:
        word = words.popleft()
        if word == "--":
            return options, [*others, *words]
        if not _is_option(word):
            others.append(word)
            continue
        options.append(word)
        maybe = word in valued and valued[word].options.get("nargs") == "?"
        if word in valued and words and not (maybe and _is_option(words[0])):
            options.append(words.popleft())
    return options, others


def without_names(row: Command, options: Sequence[str], words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options that words fill which are too many for the arguments, and the arguments. A word - leaves an option out.

    An option that may be said more than once takes all that are left.
    """
    arguments = [argument for argument in row.arguments if not argument.names[0].startswith("-")]
    if any(argument.options.get("nargs") in ("*", "+", "...") for argument in arguments):
        return [], list(words)
    own, more = list(words[: len(arguments)]), list(words[len(arguments) :])
    said = {word.partition("=")[0] for word in options}
    filled: list[str] = []
    for argument in fillable(row):
        if said.isdisjoint(argument.names):
            taken = len(more) if argument.options.get("action") == "append" else 1
            filled += [part for word in more[:taken] if word != "-" for part in _as_said(argument.names[0], word)]
            more = more[taken:]
    return filled, own + more


def _has_value(argument: Argument) -> bool:
    return bool(argument.options.get("action", "append") == "append")


def _is_option(word: str) -> bool:
    return word.startswith("-") and len(word) > 1


def _as_said(name: str, word: str) -> list[str]:
    return [f"{name}={word}"] if word.startswith("-") else [name, word]


def fillable(row: Command) -> list[Argument]:
    """The options that have values, in their order, but for those that must be named."""
    return [argument for argument in row.arguments if _is_filled(row, argument)]


def _is_filled(row: Command, argument: Argument) -> bool:
    name = argument.names[0]
    special = (row.name, name) in NAMED or not {"nargs", "dest"}.isdisjoint(argument.options)
    return name.startswith("-") and _has_value(argument) and not special
