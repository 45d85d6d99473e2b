"""frontinus-prometheus: the process. It holds no privilege and no state; SIGTERM ends it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from frontinus import __version__
from frontinus_prometheus.httpd import Server
from frontinus_prometheus.link import Link
from frontinus_prometheus.own import Own
from frontinus_prometheus.routes import Routes

log = logging.getLogger(__name__)
ADDRESS = "127.0.0.1:9177"
"""The port that Debian's exporter for libvirt uses, so that scrape configurations stay as they are."""


def address(text: str) -> tuple[str, int]:
    """HOST:PORT, [IPV6]:PORT or :PORT for all addresses. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError(text)
    return host.removeprefix("[").removesuffix("]"), int(port)


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="frontinus-prometheus", description="Serve the engine's figures to Prometheus."
    )
    parser.add_argument("--socket", type=Path, help="the manage socket; this adapter does not use it")
    parser.add_argument("--monitor-socket", type=Path, default=Path("/run/frontinus/frontinus-ro.sock"))
    parser.add_argument("--listen", type=address, action="append", metavar="HOST:PORT",
                        help=f"where to listen, can be repeated (default: {ADDRESS})")  # fmt: skip
    parser.add_argument(
        "--max-age", type=float, default=1.0, help="seconds that figures may be old (default: %(default)s)"
    )
    parser.add_argument("--deadline", type=float, default=3.0,
                        help="seconds that a scrape waits before it shows the last figures (default: %(default)s)")  # fmt: skip
    parser.add_argument("--version", action="version", version=__version__)
    return parser.parse_args(given)


async def serve(options: argparse.Namespace) -> None:
    """Serve until told to stop. Raises OSError when an address cannot be had."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    own = Own()
    link = Link(options.monitor_socket, own, max_age=options.max_age, deadline=options.deadline)
    server = Server(Routes(link, own), lambda reason: own.refused.labels(reason).inc())
    for host, port in options.listen or [address(ADDRESS)]:
        for taken in await server.listen(host, port):
            log.info("listening on %s port %d", host or "all addresses", taken)
    following = asyncio.create_task(link.run())
    try:
        await stop.wait()
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        await server.close()


def main(given: Sequence[str] | None = None) -> int:
    """Run; the exit code."""
    options = arguments(given)
    logging.basicConfig(level=logging.INFO, format="frontinus-prometheus: %(message)s")
    try:
        asyncio.run(serve(options))
    except OSError as error:
        sys.stderr.write(f"frontinus-prometheus: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
