"""frontinus-snmp: the process. It holds no privilege; without a user or a community it opens no port and waits calmly."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from frontinus import __version__
from frontinus.client.places import Places, adapter_places
from frontinus_snmp import users
from frontinus_snmp.service import Service, ended


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="frontinus-snmp", description="Serve the engine's guests over SNMP (VM-MIB).")
    parser.add_argument("--socket", type=Path, help="the manage socket, used only where a user has a write view")
    parser.add_argument("--monitor-socket", type=Path, default=Path("/run/frontinus/frontinus-ro.sock"))
    parser.add_argument("--config", type=Path, help="default: /etc/frontinus-snmp.toml for the system's engine")
    parser.add_argument("--state", type=Path, help="default: /var/lib/frontinus/snmp for the system's engine")
    parser.add_argument("--version", action="version", version=__version__)
    users.add_commands(parser)
    return parser.parse_args(given)


def places(options: argparse.Namespace) -> Places:
    found = adapter_places("snmp", options.monitor_socket)
    return Places(options.config or found.config, options.state or found.state)


async def serve(options: argparse.Namespace) -> None:
    """Serve until told to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    running = asyncio.create_task(Service(options, places(options)).run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if running.done():
        running.result()
    await ended(running)


def main(given: Sequence[str] | None = None) -> int:
    """Run; the exit code."""
    options = arguments(given)
    if options.command is not None:
        return users.run(options, places(options).state)
    logging.basicConfig(level=logging.INFO, format="frontinus-snmp: %(message)s")
    gc.set_threshold(
        50_000, 20, 100
    )  # figures of thousands of guests come and go: what lives long is not looked at for each
    asyncio.run(serve(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
