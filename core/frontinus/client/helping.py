"""Help: the commands by group, a manual page of all, and what to say to a word that nothing answers to."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from frontinus.client.commands import FILES, load
from frontinus.client.commands.base import Argument, Command
from frontinus.client.virsh import LACKING, LACKING_OPTIONS


@dataclass(frozen=True)
class Group:
    """Commands that are shown together: a title, and the files that they are in."""

    title: str
    files: tuple[str, ...]


GROUPS: Mapping[str, Group] = {
    "domain": Group("Guests", ("power", "definitions", "devices", "saved", "inside", "blockjobs", "tuning", "interaction")),
    "monitor": Group("Looking at guests", ("guests", "figures", "looks")),
    "snapshot": Group("Snapshots, checkpoints, backups", ("snapshots", "checkpoints")),
    "host": Group("The engine and its host", ("host",)),
    "network": Group("Networks", ("networks",)),
    "filter": Group("Network filters", ("filters",)),
    "pool": Group("Storage pools", ("pools",)),
    "volume": Group("Storage volumes", ("volumes",)),
    "secret": Group("Secrets", ("secrets",)),
    "events": Group("Events", ("storageevents",)),
    "virsh": Group("This program", ("program", "offline")),
}  # fmt: skip
"""Groups by the keywords that virsh's users know; a test looks that every file is in one."""
CLOSE = 3
"""How many similar words are proposed."""


def overview() -> str:
    """All commands, by group."""
    return "\n".join(["Commands by group (frontinus help GROUP, frontinus help COMMAND):", "",
                      *(line for keyword in GROUPS for line in (*of_group(keyword), ""))])  # fmt: skip


def of_group(keyword: str) -> list[str]:
    """The lines of a group."""
    rows = sorted((row for file in GROUPS[keyword].files for row in load(file).values()), key=lambda row: row.name)
    return [f" {GROUPS[keyword].title} (help keyword '{keyword}'):",
            *(f"    {row.name.ljust(30)} {row.help}" for row in rows)]  # fmt: skip


def unknown(word: str) -> str:
    """What to say of a word that is no command: what it lacks where virsh has it, else what was meant perhaps."""
    if word in LACKING:
        return f"'{word}' is a command of virsh that Frontinus lacks: {LACKING[word]}"
    names = [name for names in FILES.values() for name in names.split()]
    close = difflib.get_close_matches(word, names, CLOSE)
    meant = f"; did you mean {' or '.join(close)}?" if close else ""
    return f"unknown command: '{word}'{meant}"


def refused(row: Command, message: str) -> str:
    """A parser's complaint, with what an option lacks that virsh has."""
    lacks = LACKING_OPTIONS.get(row.name, {})
    said = [f"--{name}: {why}" for name, why in lacks.items() if f"--{name}" in message.replace("=", " ").split()]
    return "; ".join([message, *said])


# --- the manual page

ESCAPES = str.maketrans({"\\": "\\e", "-": "\\-", "'": "\\(aq"})


def manual(parser: argparse.ArgumentParser) -> str:
    """frontinus(1), in the macros of man(7)."""
    lines = [".TH FRONTINUS 1", ".SH NAME", "frontinus \\- manage the guests of a Frontinus engine", ".SH SYNOPSIS",
             ".B frontinus", "[\\fIOPTION\\fR]... [\\fICOMMAND\\fR [\\fIARGUMENT\\fR]...]",
             ".SH DESCRIPTION",
             "Without a command, commands are read from standard input, one a line; a semicolon parts those of a line.",
             ".SH OPTIONS"]  # fmt: skip
    for action in parser._actions:
        if action.option_strings:
            lines += [".TP", ".B " + _roff(", ".join(action.option_strings)), _roff(action.help or "")]
    for group in GROUPS.values():
        lines.append(f".SH {_roff(group.title.upper())}")
        for file in group.files:
            for row in load(file).values():
                lines += _described(row)
    lines += [".SH EXIT STATUS", *(line for code, text in CODES.items() for line in (".TP", f".B {code}", _roff(text)))]
    return "\n".join(lines) + "\n"


CODES: Mapping[int, str] = {
    0: "done", 1: "not done: the engine refused, failed or cannot be reached, or the usage is wrong; the message says why",
    130: "interrupted",
}  # fmt: skip
"""Exit codes; the guide's table is the same."""


def _described(row: Command) -> Iterable[str]:
    yield ".TP"
    yield ".B " + " ".join([_roff(row.name), *(_roff(usage(argument)) for argument in row.arguments)])
    yield _roff(row.help[:1].upper() + row.help[1:]) + "."
    for argument in row.arguments:
        if text := argument.options.get("help"):
            yield ".br"
            yield f"\\fI{_roff(argument.names[0])}\\fR: {_roff(str(text))}"


def usage(argument: Argument) -> str:
    """An argument as a usage line has it."""
    name = argument.names[0]
    many = argument.options.get("nargs")
    if name.startswith("-"):
        return f"[{name}]" if argument.options.get("action") == "store_true" else f"[{name} VALUE]"
    return {"?": f"[{name}]", "*": f"[{name}...]", "+": f"{name}..."}.get(many or "", name)


def _roff(text: str) -> str:
    return text.replace("%%", "%").translate(ESCAPES)
