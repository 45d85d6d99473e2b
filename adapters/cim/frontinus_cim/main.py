"""frontinus-cim: the process. It holds no privilege; without a user it opens no port and waits calmly."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import platform
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from frontinus import __version__
from frontinus.client.places import Places, adapter_places
from frontinus.client.private import BadState
from frontinus.client.toml import BadConfig
from frontinus_cim.front import config as configuration
from frontinus_cim.front import users

log = logging.getLogger(__name__)
LOOK_AGAIN = 2.0
"""Seconds between looks at the configuration and the users' file; a change of either is taken over."""


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="frontinus-cim", description="Serve the engine as a CIM provider: CIM-XML over HTTPS."
    )
    parser.add_argument(
        "--socket", type=Path, default=Path("/run/frontinus/frontinus.sock"), help="the engine's manage socket"
    )
    parser.add_argument("--monitor-socket", type=Path, help="the engine's monitor socket")
    parser.add_argument("--config", type=Path, help="default: /etc/frontinus-cim.toml for the system's engine")
    parser.add_argument("--state", type=Path, help="default: /var/lib/frontinus/cim for the system's engine")
    parser.add_argument("--version", action="version", version=__version__)
    users.add_commands(parser)
    return parser.parse_args(given)


def places(options: argparse.Namespace) -> Places:
    found = adapter_places("cim", options.socket)
    return Places(options.config or found.config, options.state or found.state)


def _stamp(where: Places, *more: Path | None) -> tuple[object, ...]:
    """What changes when a file that we read is replaced."""
    found: list[object] = []
    for path in (where.config, where.state / users.FILE, *more):
        if path is None:
            continue
        try:
            status = path.stat()
            found.append((status.st_ino, status.st_mtime_ns, status.st_size))
        except OSError as error:
            found.append(error.errno)
    return tuple(found)


async def run(options: argparse.Namespace) -> None:
    """Serve until cancelled, anew whenever the configuration or the users change."""
    where = places(options)
    while True:
        stamp = _stamp(where)
        async with contextlib.AsyncExitStack() as stack:
            following = None
            try:
                following = await _open(stack, options, where)
            except (BadConfig, BadState, OSError) as error:
                log.error("no port is open: %s", error)
            while _stamp(where) == stamp:
                if following is not None and following.done():
                    following.result()  # what must not happen ends the process, which is then started anew
                await asyncio.sleep(LOOK_AGAIN)
        log.info("the configuration or the users changed")


async def _open(
    stack: contextlib.AsyncExitStack, options: argparse.Namespace, where: Places
) -> asyncio.Task[None] | None:
    """Open the ports if somebody may use them; the task that follows the engine."""
    config, known = configuration.load(where.config), users.read(where.state)
    if not known and config.pam is None:
        log.info("no user is configured, so no port is open; add one with: frontinus-cim adduser NAME")
        return None
    from frontinus_cim.catalogue import registry
    from frontinus_cim.front import tls
    from frontinus_cim.front.access import Access
    from frontinus_cim.front.httpd import Front
    from frontinus_cim.front.pam import Pam
    from frontinus_cim.host.world import World
    from frontinus_cim.indications.delivery import Delivery
    from frontinus_cim.indications.news import Indications
    from frontinus_cim.operations.service import Service
    from frontinus_cim.schema.compile import load
    from frontinus_cim.subscriptions.store import Subscriptions

    context = tls.context(config, where.state, platform.node())
    monitor = options.monitor_socket or options.socket.with_name("frontinus-ro.sock")
    schema = load(where.state)
    kept = Subscriptions(schema, where.state)
    world = World(options.socket, monitor, kept, config.max_age)
    service = Service(world, registry(schema))
    delivery = Delivery(schema, allowed=config.destinations, trust=tls.trust(config))
    stack.push_async_callback(delivery.close)
    Indications(world, service.registry, kept, delivery)
    front = Front(service, Access(known, Pam(config.pam) if config.pam else None), connections=config.connections)
    stack.push_async_callback(front.close)
    ports = await front.listen(config.listen, context)
    following = asyncio.create_task(world.run())
    stack.push_async_callback(_ended, following)
    for (host, _), port in zip(config.listen, ports, strict=True):
        log.info(
            "listening on https://%s:%d/cimom for %d users%s", host, port, len(known), " and PAM's" * bool(config.pam)
        )
    return following


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def serve(options: argparse.Namespace) -> None:
    """Serve until told to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    running = asyncio.create_task(run(options))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if running.done():
        running.result()
    await _ended(running)


def main(given: Sequence[str] | None = None) -> int:
    """Run; the exit code."""
    options = arguments(given)
    if options.command is not None:
        return users.run(options, places(options).state)
    logging.basicConfig(level=logging.INFO, format="frontinus-cim: %(message)s")
    asyncio.run(serve(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
