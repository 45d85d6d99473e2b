"""frontinus-prometheus: the process. It holds no privilege and no state; SIGTERM ends it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import signal
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from frontinus import __version__
from frontinus.api.errors import InvalidValue
from frontinus_prometheus.httpd import Server
from frontinus_prometheus.labels import places
from frontinus_prometheus.link import Link
from frontinus_prometheus.own import Own
from frontinus_prometheus.routes import Routes

if TYPE_CHECKING:
    from frontinus_prometheus.webconfig import Guard

log = logging.getLogger(__name__)

FILE = Path("/etc/frontinus-prometheus.toml")
"""Not beside the engine's own configuration, which only the engine may read."""

DEFAULTS: Mapping[str, object] = {"listen": ["127.0.0.1:9177"], "web_config": None, "max_age": 1.0, "deadline": 3.0,
                                 "agent": True, "compress": False, "created": True, "labels": {}}  # fmt: skip
"""What the file and the command line can set. The port is the one of Debian's exporter for libvirt: scrapers stay as they are."""

KINDS: Mapping[str, tuple[type, ...]] = {
    "listen": (list,),
    "web_config": (str,),
    "max_age": (float, int),
    "deadline": (float, int),
    "agent": (bool,),
    "compress": (bool,),
    "created": (bool,),
    "labels": (dict,),
}


LONGEST = 3600.0
"""Seconds that a setting of time can be at most."""


def seconds(options: argparse.Namespace, name: str, least: float) -> None:
    """Check a setting of time. Raises InvalidValue."""
    if not least <= getattr(options, name) <= LONGEST:
        raise InvalidValue(
            f"'{name}' must be from {least:g} to {LONGEST:g} seconds, not {getattr(options, name)}", field=name
        )


def address(text: str) -> tuple[str, int]:
    """HOST:PORT, [IPV6]:PORT or :PORT for all addresses. Raises InvalidValue."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise InvalidValue(f"'{text}' is no HOST:PORT", field="listen")
    return host.removeprefix("[").removesuffix("]"), int(port)


def configured(file: Path | None) -> dict[str, object]:
    """The fields that a file sets, by default the usual one if it exists. Raises InvalidValue naming the field."""
    chosen = file or (FILE if FILE.exists() else None)
    if chosen is None:
        return {}
    try:
        document = tomllib.loads(chosen.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InvalidValue(f"{chosen}: {error}", field="file") from None
    for name, value in document.items():
        if name not in KINDS:
            raise InvalidValue(f"{chosen}: unknown field '{name}'", field=name)
        if type(value) not in KINDS[name]:
            raise InvalidValue(f"{chosen}: '{name}' must be a {KINDS[name][0].__name__}", field=name)
    return document


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """The command line, over the file, over the defaults. Raises InvalidValue."""
    parser = argparse.ArgumentParser(
        prog="frontinus-prometheus", description="Serve the engine's figures to Prometheus."
    )
    parser.add_argument("--socket", type=Path, help="the manage socket, which this adapter has no use for")
    parser.add_argument("--monitor-socket", type=Path, default=Path("/run/frontinus/frontinus-ro.sock"))
    parser.add_argument(
        "--config", type=Path, help=f"a TOML file with the options below (default: {FILE} if it exists)"
    )
    parser.add_argument("--listen", action="append", metavar="HOST:PORT",
                        help="where to listen, can be repeated (default: 127.0.0.1:9177)")  # fmt: skip
    parser.add_argument(
        "--web-config", metavar="FILE", help="TLS and passwords, in the format of Prometheus' exporters"
    )
    parser.add_argument("--max-age", type=float, metavar="SECONDS", help="age that figures may have (default: 1)")
    parser.add_argument("--deadline", type=float, metavar="SECONDS",
                        help="how long a scrape waits before it shows the last figures (default: 3)")  # fmt: skip
    parser.add_argument("--no-agent", dest="agent", action="store_false", default=None,
                        help="do not ask guests' agents for file systems, users and system")  # fmt: skip
    parser.add_argument("--compress", action="store_true", default=None,
                        help="pack answers for scrapers that take gzip, which costs CPU")  # fmt: skip
    parser.add_argument("--no-created", dest="created", action="store_false", default=None,
                        help="do not tell in OpenMetrics since when counters count, which takes a series each")  # fmt: skip
    parser.set_defaults(labels=None)
    parser.add_argument("--version", action="version", version=__version__)
    options = parser.parse_args(given)
    for name, value in {**DEFAULTS, **configured(options.config)}.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    seconds(options, "max_age", 0.0)
    seconds(options, "deadline", 0.1)
    options.places = places(options.labels)
    options.addresses = [address(str(text)) for text in options.listen]
    return options


def guarded(file: str | None) -> Guard | None:
    """The guard of a web configuration; its libraries are imported only with one."""
    if file is None:
        return None
    from frontinus_prometheus.webconfig import Guard

    return Guard(Path(file))


async def serve(options: argparse.Namespace) -> None:
    """Serve until told to stop. Raises OSError when an address cannot be had, InvalidValue for the web configuration."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    own = Own(created=options.created)
    link = Link(options.monitor_socket, own, max_age=options.max_age, deadline=options.deadline, agent=options.agent,
                places=options.places)  # fmt: skip
    guard = guarded(options.web_config)
    server = Server(
        Routes(link, own, guard, created=options.created),
        lambda reason: own.refused.labels(reason).inc(),
        compress=options.compress,
    )
    for host, port in options.addresses:
        for taken in await server.listen(host, port, guard.tls if guard else None):
            log.info(
                "listening on %s port %d%s", host or "all addresses", taken, " with TLS" if guard and guard.tls else ""
            )
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
    logging.basicConfig(level=logging.INFO, format="frontinus-prometheus: %(message)s")
    gc.set_threshold(50_000)  # figures come and go by the thousand: not all is looked through for each scrape
    try:
        asyncio.run(serve(arguments(given)))
    except (OSError, InvalidValue) as error:
        sys.stderr.write(f"frontinus-prometheus: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
