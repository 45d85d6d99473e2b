"""Of this program itself: help, its manual, and words that matter where commands are typed one after the other."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from frontinus.client.commands.base import Command, Output, arg, flag


def _help(options: argparse.Namespace) -> int:
    from frontinus.client import helping
    from frontinus.client.commands import find
    from frontinus.client.main import make_parser

    word = options.word
    if word is None:
        sys.stdout.write(helping.overview() + "\n")
    elif word in helping.GROUPS:
        sys.stdout.write("\n".join(helping.of_group(word)) + "\n")
    elif (row := find(word)) is not None:
        make_parser([row]).parse_args([word, "--help"])
    else:
        sys.stderr.write(f"frontinus: {helping.unknown(word)}\n")
        return 1
    return 0


def _manual(options: argparse.Namespace) -> int:
    from frontinus.client.helping import manual
    from frontinus.client.main import make_parser

    sys.stdout.write(manual(make_parser([])))
    return 0


def _echo(options: argparse.Namespace) -> int:
    import shlex
    from xml.sax.saxutils import escape

    text = " ".join(options.words)
    if options.xml:
        text = escape(text, {"'": "&apos;", '"': "&quot;"})
    text = shlex.quote(text) if options.shell else text
    (sys.stderr if options.err else sys.stdout).write(text + "\n")
    return 0


def _cd(options: argparse.Namespace) -> int:
    try:
        os.chdir(options.dir or os.environ.get("HOME") or "/")
    except OSError as error:
        sys.stderr.write(f"frontinus: cd: {options.dir}: {error.strerror}\n")
        return 1
    return 0


def _pwd(options: argparse.Namespace) -> int:
    Output(json=options.json).text(str(Path.cwd()))
    return 0


def _uri(options: argparse.Namespace) -> int:
    from frontinus.client.main import socket_path

    Output(json=options.json).text(f"frontinus+unix://{socket_path(options)}")
    return 0


def _leave(options: argparse.Namespace) -> int:
    """The shell sees the word; alone it has nothing to leave."""
    return 0


COMMANDS = (
    Command("help", "show commands by group, or how one is used", (
        arg("word", nargs="?", complete="command", help="a command, or the keyword of a group"),), offline=_help),
    Command("manual", "print the manual page of this program, for man", (), offline=_manual),
    Command("uri", "print where the engine listens", (), offline=_uri),
    Command("echo", "print words", (
        flag("--shell", help="quoted for a shell"), flag("--xml", help="escaped for XML"), flag("--err", help="to standard error"),
        arg("words", nargs="*")), offline=_echo),
    Command("cd", "change the folder that files are looked for in", (arg("dir", nargs="?", complete="file"),), offline=_cd),
    Command("pwd", "print that folder", (), offline=_pwd),
    Command("quit", "leave", (), offline=_leave),
    Command("exit", "leave", (), offline=_leave),
)  # fmt: skip
