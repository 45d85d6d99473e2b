"""The `frontinus` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="frontinus")
    commands = parser.add_subparsers(dest="command", required=True)
    _offline(commands.add_parser("argv", help="print the command line of domain XML files"))
    xml = commands.add_parser("xml", help="print canonical XML")
    xml.add_argument("kind", choices=["domain"])
    xml.add_argument("--view", choices=["inactive", "active"], default="inactive")
    _offline(xml)
    return _run_offline(parser.parse_args(arguments))


def _offline(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--capabilities", help="a recorded QMP probe")
    parser.add_argument("--host", help="a JSON file that stands in for this host")
    parser.add_argument("files", nargs="+")


def _run_offline(options: argparse.Namespace) -> int:
    from frontinus.client.offline import argv_lines, xml_lines
    from frontinus.domain.hostfile import load_host
    from frontinus.qemu.caps.replies import load_replies

    caps = load_replies(options.capabilities)
    host = load_host(options.host)
    lines = argv_lines(options.files, caps, host) if options.command == "argv" else xml_lines(
        options.files, caps, host, options.view)  # fmt: skip
    for line in lines:
        sys.stdout.write(line + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
