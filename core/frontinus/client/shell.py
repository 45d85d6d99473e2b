"""Commands one after the other on one connection: typed at a prompt, or read from standard input."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence

from frontinus.client.commands import FILES, find

PROMPT = "frontinus # "
WELCOME = "Commands of Frontinus, one a line: 'help' lists them, 'quit' leaves."
LEAVES = frozenset({"quit", "exit"})

Perform = Callable[[Sequence[str]], int]
"""Runs one command, given by its words; returns its exit code."""


def commands_of(line: str) -> Iterator[list[str]]:
    """The commands of a line, each as its words; a semicolon parts them, # begins a comment. Raises ValueError."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) == {";"}:
            if words:
                yield words
            words = []
        else:
            words.append(word)
    if words:
        yield words


def run_line(line: str, perform: Perform) -> tuple[int, bool]:
    """Run the commands of a line until one fails; the exit code, and whether one of them leaves."""
    try:
        parted = list(commands_of(line))
    except ValueError as error:
        sys.stderr.write(f"frontinus: {error}: {line.strip()}\n")
        return 1, False
    for words in parted:
        if words[0] in LEAVES:
            return 0, True
        if code := perform(words):
            return code, False
    return 0, False


def run(perform: Perform) -> int:
    """Take lines until they end; the exit code of the last command."""
    asks = sys.stdin.isatty()
    if asks:
        _complete()
        sys.stdout.write(WELCOME + "\n\n")
    code = 0
    while True:
        try:
            line = input(PROMPT if asks else "")
        except EOFError:
            return code
        except KeyboardInterrupt:
            sys.stdout.write("\n")
            continue
        try:
            code, leaves = run_line(line, perform)
        except SystemExit as wrong:  # argparse has said what is wrong, or printed help
            code, leaves = int(wrong.code or 0), False
        if leaves:
            return 0
        sys.stdout.flush()


def _complete() -> None:
    """The first word is completed by commands, the others by its options."""
    import readline

    def complete(text: str, state: int) -> str | None:
        found = [word for word in candidates(readline.get_line_buffer()) if word.startswith(text)]
        return found[state] + " " if state < len(found) else None

    readline.set_completer_delims(" \t\n;=")
    readline.set_completer(complete)
    readline.parse_and_bind("tab: complete")


def candidates(line: str) -> list[str]:
    """What the last word of a line may be."""
    words = line.rpartition(";")[2].split()
    if not words or (len(words) == 1 and not line.endswith(" ")):
        return sorted(name for names in FILES.values() for name in names.split())
    row = find(words[0])
    return [name for a in row.arguments for name in a.names if name.startswith("--")] if row is not None else []
