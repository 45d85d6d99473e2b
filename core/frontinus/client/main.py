"""The `frontinus` command: finds its row in the table, connects, runs, and says plainly what went wrong.

Exit codes: 0 done, 1 the engine refused or failed, 2 wrong usage, 3 the engine cannot be reached, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from frontinus import __version__
from frontinus.client.commands import commands, find
from frontinus.client.commands.base import Command, Output
from frontinus.client.words import arranged

FAILED, UNREACHABLE, INTERRUPTED = 1, 3, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    rows = _rows(given)
    if len(rows) == 1:
        row, given = arranged(rows[0], given)
        rows = [row]
    options = make_parser(rows).parse_args(given)
    command: Command = options.row
    try:
        if command.offline is not None:
            return command.offline(options)
        return _online(command, options)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _rows(arguments: Sequence[str]) -> Sequence[Command]:
    """The one command that is asked for where that is plain, else all: each costs time to set up."""
    found = next((row for word in arguments if not word.startswith("-") and (row := find(word))), None)
    return [found] if found else list(commands().values())


def make_parser(table: Sequence[Command]) -> argparse.ArgumentParser:
    """The parser, made from the table."""
    parser = argparse.ArgumentParser(prog="frontinus", description="Manage the guests of a Frontinus engine.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--socket", type=Path, default=None, help="the engine's socket (default: $FRONTINUS_SOCKET)")
    parser.add_argument("--session", action="store_true", help="your own engine, not the system's")
    parser.add_argument("--readonly", "-r", action="store_true", help="through the monitor socket")
    parser.add_argument("--json", action="store_true", help="print JSON")
    rows = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in sorted(table, key=lambda row: row.name):
        row = rows.add_parser(command.name, help=command.help, description=command.help)
        row.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        row.set_defaults(row=command)
        for argument in command.arguments:
            row.add_argument(*argument.names, **argument.options)
    return parser


def socket_path(options: argparse.Namespace) -> Path:
    """The socket that the options and the environment ask for; a monitor socket lies beside its manage socket."""
    from frontinus.client.places import default_socket

    chosen: Path = options.socket or Path(
        os.environ.get("FRONTINUS_SOCKET", "") or default_socket(session=options.session)
    )
    return chosen.with_name("frontinus-ro.sock") if options.readonly else chosen


def _online(command: Command, options: argparse.Namespace) -> int:
    import asyncio

    from frontinus.api.errors import Disconnected, FrontinusError
    from frontinus.client.remote import connect

    async def run() -> int:
        assert command.run is not None
        async with await connect(socket_path(options)) as engine:
            return await command.run(engine, options, Output(json=options.json)) or 0

    try:
        return asyncio.run(run())
    except Disconnected as error:
        return _complain(options, error, UNREACHABLE)
    except FrontinusError as error:
        return _complain(options, error, FAILED)


def _complain(options: argparse.Namespace, error: Exception, code: int) -> int:
    from frontinus.api.errors import FrontinusError

    assert isinstance(error, FrontinusError)
    if options.json:
        Output(json=True).value({"error": {"code": error.code, "message": error.message, **error.details}})
    sys.stderr.write(f"frontinus: {error.message}\n")
    if log := error.details.get("log"):
        sys.stderr.write(log.rstrip() + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
