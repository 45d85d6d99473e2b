"""What a command is: a name, arguments as data, and a coroutine that gets the engine and prints."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frontinus.api.descriptor import Descriptor
    from frontinus.api.engine import Engine

Run = Callable[["Engine", argparse.Namespace, "Output"], Awaitable["int | None"]]


@dataclass(frozen=True)
class Argument:
    """One argument as argparse takes it. `complete`: what a shell completes it with (guest, file, command)."""

    names: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)
    complete: str | None = None


@dataclass(frozen=True)
class Command:
    """A row of the table. `offline` commands get no engine."""

    name: str
    help: str
    arguments: Sequence[Argument]
    run: Run | None = None
    offline: Callable[[argparse.Namespace], int] | None = None


def arg(*names: str, complete: str | None = None, **options: Any) -> Argument:
    """An argument or an option with a value."""
    return Argument(names, options, complete)


def flag(*names: str, help: str = "") -> Argument:
    """A switch."""
    return Argument(names, {"action": "store_true", "help": help})


GUEST = arg("guest", complete="guest", help="name, UUID or id of a guest")
LIVE = flag("--live", help="change the running guest")
CONFIG = flag("--config", help="change the persistent definition")
CURRENT = flag("--current", help="change what is there now: the running guest, else the definition (the default)")
SCOPE = (LIVE, CONFIG, CURRENT)
XPATH = (arg("--xpath", help="only the nodes that this finds"), flag("--wrap", help="in an element <nodes>"))
FILE = arg("file", complete="file", help="an XML file, - for standard input")


class Output:
    """Prints for a person, or as JSON for a program."""

    def __init__(self, *, json: bool, quiet: bool = False) -> None:
        self.json, self.quiet = json, quiet

    def line(self, text: str = "") -> None:
        """A line for a person; left out in JSON."""
        if not self.json:
            sys.stdout.write(text + "\n")

    def done(self, text: str) -> None:
        """That something is done: left out where nobody wants to hear it."""
        if not self.quiet:
            self.line(text)

    def text(self, text: str) -> None:
        """The answer itself, such as XML: in JSON a string."""
        if self.json:
            self.value(text)
        else:
            sys.stdout.write(text if text.endswith("\n") else text + "\n")

    def xml(self, text: str, options: argparse.Namespace) -> None:
        """A document, or (XPATH) what an expression finds in it. Raises InvalidValue for a wrong expression."""
        if options.xpath is None:
            self.text(text)
            return
        from frontinus.client.xpath import found

        self.text(found(text, options.xpath, wrap=options.wrap))

    def value(self, value: object) -> None:
        """The answer as JSON; for a person the command prints lines instead."""
        if self.json:
            import msgspec

            sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
            sys.stdout.flush()

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Columns as virsh aligns them."""
        if self.json:
            return
        cells = [[str(cell) for cell in row] for row in rows]
        widths = [max([len(title), *(len(row[n]) for row in cells)]) for n, title in enumerate(header)]
        lines = [" " + "   ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
                 for row in (header, *cells)]  # fmt: skip
        lines.insert(1, "-" * (sum(widths) + 3 * len(widths)))
        shown = lines[2:] if self.quiet else lines
        sys.stdout.write("".join(line + "\n" for line in shown) + "\n")

    def pairs(self, pairs: Sequence[tuple[str, object]], width: int = 15) -> None:
        """Name and value, a line each; values begin behind a column of a width that virsh has too."""
        width = max([width, *(len(name) + 1 for name, _ in pairs)])
        for name, value in pairs:
            self.line(f"{(name + ':').ljust(width)} {value}")


def given(numbers: Sequence[int]) -> list[Descriptor]:
    """Descriptors of this program, for the engine."""
    from frontinus.api.descriptor import Descriptor

    return [Descriptor(number) for number in numbers]


def chosen(options: argparse.Namespace, kind: object) -> list[Any]:
    """The flags of a kind (a Literal of the facade's) that were given as switches of the same names."""
    from typing import get_args

    return switches(options, *get_args(kind))


def switches(options: argparse.Namespace, *names: str) -> list[Any]:
    """Those of the switches that were given."""
    return [name for name in names if getattr(options, name.replace("-", "_"), False)]


def read(file: str) -> str:
    """The text of a file, or of standard input for -. Raises StorageFailed."""
    from frontinus.api.errors import StorageFailed

    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise StorageFailed(f"cannot read '{file}': {error}", path=file) from None


def in_editor(text: str) -> str:
    """The text as the user's editor leaves it. Raises InvalidValue when the editor fails."""
    import os
    import subprocess
    import tempfile

    from frontinus.api.errors import InvalidValue

    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.NamedTemporaryFile("w+", suffix=".xml") as file:
        file.write(text)
        file.flush()
        if subprocess.run([*editor.split(), file.name], check=False).returncode != 0:
            raise InvalidValue(f"the editor '{editor}' failed", field="editor")
        return Path(file.name).read_text()


async def edit(what: str, before: str, define: Callable[[str], Awaitable[object]], out: Output) -> None:
    """Have a document edited, and defined anew if it was changed. `what`: whose document it is, as a line begins."""
    after = in_editor(before)
    if after == before:
        out.done(f"{what} XML configuration not changed.")
        return
    await define(after)
    out.done(f"{what} XML configuration edited.")


async def autostart(
    what: str, options: argparse.Namespace, mark: Callable[[bool], Awaitable[None]], out: Output
) -> None:
    """Mark or unmark something to be started with the engine."""
    await mark(not options.disable)
    out.done(f"{what} {'unmarked' if options.disable else 'marked'} as autostarted")


SIZES: dict[str, int] = {"b": 1} | {
    name: base**power
    for power, letter in enumerate("kmgtpe", 1)
    for name, base in ((letter, 2**10), (f"{letter}ib", 2**10), (f"{letter}b", 10**3))
}
LARGEST = 2**63 - 1
"""Bytes that a size can be."""


def descriptors(text: str) -> list[int]:
    """An argparse type: numbers of descriptors that this program was started with."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no list of descriptors, such as 3,4") from None


def size(default: str = "kib") -> Callable[[str], int]:
    """An argparse type: a number with an optional unit, as bytes."""

    def parse(text: str) -> int:
        digits = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
        unit = text[len(digits) :].lower() or default
        if not (digits.isascii() and digits.isdigit()) or unit not in SIZES:
            raise argparse.ArgumentTypeError(f"'{text[:40]}' is not a size, such as 512MiB")
        if len(digits) > len(str(LARGEST)) or (found := int(digits) * SIZES[unit]) > LARGEST:
            raise argparse.ArgumentTypeError(f"'{text[:40]}' is more than {LARGEST} bytes")
        return found

    return parse
