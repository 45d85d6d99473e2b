"""The `frontinus` command: finds its row in the table, connects, runs, and says plainly what went wrong.

Exit codes are virsh's, for scripts that know it: 0 done, 1 anything else; 130 interrupted. `--json` tells more of an error.
Without a command it reads them from standard input, and keeps its connection from one to the next.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from frontinus import __version__
from frontinus.client.commands import find
from frontinus.client.commands.base import Command, Output
from frontinus.client.words import arranged

if TYPE_CHECKING:
    import asyncio

    from frontinus.client.remote import RemoteEngine

FAILED, INTERRUPTED = 1, 130
VALUED = ("--socket", "-c", "--connect")
"""Options before the command that have a value."""
CONNECTIONS = {"qemu:///system": False, "qemu:///session": True}
"""What virsh calls the system's engine, and one's own."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, or those that are typed; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    at = command_at(given)
    try:
        if at is None:
            return _typed(given)
        with Caller(given[:at]) as caller:
            if at == len(given) - 1 and any(sign in given[at] for sign in "; \n"):
                from frontinus.client.shell import run_line

                return run_line(given[at], caller.perform)[0]
            return caller.perform(given[at:])
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def command_at(given: Sequence[str]) -> int | None:
    """Where the command stands: the first word that is no option and no option's value."""
    words = iter(enumerate(given))
    for index, word in words:
        if not word.startswith("-"):
            return index
        if word in VALUED:
            next(words, None)
    return None


def _typed(given: Sequence[str]) -> int:
    """No command: help where that is asked for, else commands from standard input."""
    if {"-h", "--help"} & set(given):
        from frontinus.client.helping import overview

        parser = make_parser([])
        sys.stdout.write(parser.format_help() + "\n" + overview() + "\n")
        return 0
    make_parser([]).parse_args(given)
    from frontinus.client import shell

    with Caller(given) as caller:
        return shell.run(caller.perform)


class Parser(argparse.ArgumentParser):
    """Says what an option lacks that virsh has."""

    row: Command | None = None

    def error(self, message: str) -> NoReturn:
        if self.row is not None:
            from frontinus.client.helping import refused

            message = refused(self.row, message)
        self.print_usage(sys.stderr)
        self.exit(FAILED, f"{self.prog}: error: {message}\n")


def make_parser(table: Sequence[Command]) -> argparse.ArgumentParser:
    """The parser, made from the table: of one command, as a rule, since each costs time to set up."""
    parser = Parser(prog="frontinus", description="Manage the guests of a Frontinus engine.")
    parser.add_argument("--version", "-v", action="version", version=__version__, help="print the version")
    parser.add_argument("--socket", type=Path, default=None, help="the engine's socket (default: $FRONTINUS_SOCKET)")
    parser.add_argument(
        "--connect", "-c", default=None, help="qemu:///system or qemu:///session, as virsh's users say it"
    )
    parser.add_argument("--session", action="store_true", help="your own engine, not the system's")
    parser.add_argument("--readonly", "-r", action="store_true", help="through the monitor socket")
    parser.add_argument("--quiet", "-q", action="store_true", help="no headings, and no word that something is done")
    parser.add_argument("--timing", "-t", action="store_true", help="print how long each command took")
    parser.add_argument("--json", action="store_true", help="print JSON")
    if table:
        rows = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        for command in table:
            row = rows.add_parser(command.name, help=command.help, description=command.help)
            row.row = parser.row = command
            row.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
            row.set_defaults(row=command)
            for argument in command.arguments:
                row.add_argument(*argument.names, **argument.options)
    return parser


def socket_path(options: argparse.Namespace) -> Path:
    """The socket that the options and the environment ask for; a monitor socket lies beside its manage socket.

    Raises InvalidValue for a connection that is none of ours.
    """
    from frontinus.client.places import default_socket

    session = options.session
    if options.connect is not None:
        if options.connect not in CONNECTIONS:
            from frontinus.api.errors import InvalidValue

            known = " and ".join(CONNECTIONS)
            raise InvalidValue(f"'{options.connect}' cannot be reached: this program knows {known} of this host",
                               field="connect")  # fmt: skip
        session = CONNECTIONS[options.connect]
    named = os.environ.get("FRONTINUS_SOCKET", "") if options.connect is None else ""
    chosen: Path = options.socket or Path(named or default_socket(session=session))
    return chosen.with_name("frontinus-ro.sock") if options.readonly else chosen


class Caller:
    """Performs commands: connects when the first one needs that, and keeps the connection for those after it."""

    def __init__(self, given: Sequence[str]) -> None:
        self._given = list(given)
        self._runner: asyncio.Runner | None = None
        self._engine: RemoteEngine | None = None
        self._place: Path | None = None

    def __enter__(self) -> Caller:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._engine is not None:
            self._loop(self._closed(self._engine))
        if self._runner is not None:
            self._runner.close()

    def perform(self, words: Sequence[str]) -> int:
        """Run one command, given by its words; returns the exit code. Raises SystemExit for wrong usage."""
        found = find(words[0])
        if found is None:
            from frontinus.client.helping import unknown

            sys.stderr.write(f"frontinus: {unknown(words[0])}\n")
            return FAILED
        row, arranged_words = arranged(found, words)
        options = make_parser([row]).parse_args([*self._given, *arranged_words])
        began = time.monotonic()
        code = row.offline(options) if row.offline is not None else self._online(row, options)
        if options.timing:
            sys.stdout.write(f"\n(Time: {(time.monotonic() - began) * 1000:.3f} ms)\n\n")
        return code

    def _online(self, command: Command, options: argparse.Namespace) -> int:
        from frontinus.api.errors import Disconnected, FrontinusError

        try:
            code: int = self._loop(self._run(command, options))
            return code
        except Disconnected as error:
            self._engine = None
            return _complain(options, error)
        except FrontinusError as error:
            return _complain(options, error)

    async def _run(self, command: Command, options: argparse.Namespace) -> int:
        from frontinus.client.remote import as_engine, connect

        assert command.run is not None
        place = socket_path(options)
        if self._engine is None or place != self._place:
            self._engine, self._place = await connect(place), place
        out = Output(json=options.json, quiet=options.quiet)
        return await command.run(as_engine(self._engine), options, out) or 0

    @staticmethod
    async def _closed(engine: RemoteEngine) -> None:
        engine.close()

    def _loop(self, work: Coroutine[Any, Any, Any]) -> Any:
        if self._runner is None:
            import asyncio

            self._runner = asyncio.Runner()
        return self._runner.run(work)


def _complain(options: argparse.Namespace, error: Exception) -> int:
    from frontinus.api.errors import FrontinusError

    assert isinstance(error, FrontinusError)
    if options.json:
        Output(json=True).value({"error": {"code": error.code, "message": error.message, **error.details}})
    sys.stderr.write(f"frontinus: {error.message}\n")
    if log := error.details.get("log"):
        sys.stderr.write(log.rstrip() + "\n")
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
