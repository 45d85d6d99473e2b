"""frontinus-dbus: the process. It holds no privilege and no state; SIGTERM ends it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from frontinus import __version__
from frontinus.client.places import default_socket

if TYPE_CHECKING:
    from frontinus_dbus.world import World

log = logging.getLogger(__name__)
SYSTEM = "unix:path=/run/dbus/system_bus_socket"


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="frontinus-dbus", description="Serve the engine on D-Bus.")
    parser.add_argument("--socket", type=Path, help="the engine's manage socket")
    parser.add_argument("--monitor-socket", type=Path, help="the engine's monitor socket")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--system", action="store_true", help="serve on the system bus")
    which.add_argument("--session", action="store_true",
                       help="serve on this user's bus: this user's engine, or a mock if there is none")  # fmt: skip
    parser.add_argument("--version", action="version", version=__version__)
    return parser.parse_args(given)


def bus_address(options: argparse.Namespace) -> str | None:
    """The bus that is meant: as told, else the system's for the system's engine, else the one in the environment."""
    system, session = os.environ.get("DBUS_SYSTEM_BUS_ADDRESS"), os.environ.get("DBUS_SESSION_BUS_ADDRESS")
    if options.system or (not options.session and options.socket in (None, default_socket(session=False))):
        return system or SYSTEM
    if options.session and not session and (place := os.environ.get("XDG_RUNTIME_DIR")):
        return f"unix:path={place}/bus"
    return session if options.session else session or system


def world_of(options: argparse.Namespace) -> World:
    """The engine that is meant; for a session without one, a mock in this process."""
    from frontinus_dbus.world import Remote

    manage = options.socket or default_socket(session=options.session)
    monitor = options.monitor_socket or manage.with_name("frontinus-ro.sock")
    if options.session and options.socket is None and not manage.exists():
        from frontinus_dbus.playground import Playground

        return Playground()
    return Remote(manage, monitor)


async def serve(options: argparse.Namespace) -> int:
    """Serve until told to stop; the exit code."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    address = bus_address(options)
    if address is None:
        log.info("there is no bus to serve on: neither DBUS_SYSTEM_BUS_ADDRESS nor DBUS_SESSION_BUS_ADDRESS is set")
        await stop.wait()
        return 0
    from frontinus_dbus.presence import Presence

    world = world_of(options)
    keeping = asyncio.ensure_future(world.run())
    present = asyncio.ensure_future(Presence(address, world).keep())
    stopping = asyncio.ensure_future(stop.wait())
    done, _ = await asyncio.wait([keeping, present, stopping], return_when=asyncio.FIRST_COMPLETED)
    for task in (keeping, present, stopping):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return 0 if stopping in done else 1


def main(given: Sequence[str] | None = None) -> int:
    """Run; the exit code."""
    options = arguments(given)
    logging.basicConfig(level=logging.INFO, format="frontinus-dbus: %(message)s")
    return asyncio.run(serve(options))


if __name__ == "__main__":
    sys.exit(main())
