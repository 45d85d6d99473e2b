"""frontinusd: the composition root. Ports are chosen here, and nowhere else."""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import grp
import logging
import os
import resource
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from frontinus import __version__
from frontinus.api.errors import FrontinusError, HostFailed
from frontinus.daemon import config as configuration
from frontinus.daemon import logs
from frontinus.daemon.adapters import Supervisor, speakers
from frontinus.daemon.compose import make_engine
from frontinus.daemon.config import Config
from frontinus.daemon.notify import notify
from frontinus.daemon.server import Server

log = logging.getLogger(__name__)

PR_SET_DUMPABLE = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon until SIGTERM or SIGINT; returns the exit code."""
    parser = argparse.ArgumentParser(prog="frontinusd", description="The engine of Frontinus.")
    parser.add_argument("--config", type=Path, help=f"a TOML file (default: {configuration.SYSTEM_FILE} if it exists)")
    parser.add_argument("--session", action="store_true", help="run as this user, in this user's folders")
    parser.add_argument("--root", type=Path, help="keep everything under this folder (trials, tests)")
    parser.add_argument("--version", action="version", version=__version__)
    options = parser.parse_args(arguments)
    try:
        config = configuration.load(options.config, session=options.session, root=options.root)
        logs.set_up(config.log_level, config.log_format)
        asyncio.run(serve(config))
    except FrontinusError as error:
        sys.stderr.write(f"frontinusd: {error.message}\n")
        return 1
    return 0


async def serve(config: Config) -> None:
    """Serve until told to stop. Guests run on."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    keep_out_of_cores()
    _folders(config)
    _raise_descriptor_limit()
    async with AsyncExitStack() as stack:
        engine = await make_engine(config)
        stack.push_async_callback(engine.stop)
        await engine.start(autostart=config.autostart)
        for path, readonly in ((config.socket, False), (config.monitor_socket, True)):
            server = Server(
                path, engine.session, readonly=readonly, mode=_mode(config, readonly), group=_group(config),
                trusted=speakers(),
            )  # fmt: skip
            stack.push_async_callback(server.ended)
            stack.callback(server.close)
        supervisor = Supervisor(config)
        _spare_the_collector()
        engine.world.restarts = supervisor.restarts
        names = supervisor.start()
        stack.push_async_callback(supervisor.stop)
        log.info("frontinusd %s serves %s; adapters: %s", __version__, config.socket, ", ".join(names) or "none")
        notify("READY=1")
        await stop.wait()
        notify("STOPPING=1")
        log.info("frontinusd stops; guests run on")


def _spare_the_collector() -> None:
    """What was loaded at the start stays, and a guest's model is thousands of objects: looking through all of them for
    garbage would hold up every caller for hundreds of milliseconds. References count what goes; cycles are few."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def keep_out_of_cores() -> None:
    """No core file of ours is ever written: values of secrets pass through our memory (prctl(2), PR_SET_DUMPABLE)."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def _raise_descriptor_limit() -> None:
    """A guest costs a handful of descriptors, and one more a vCPU: take all that the hard limit gives."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _folders(config: Config) -> None:
    """Make the daemon's folders. The sockets' folder can be entered by all, the rest is the engine's.

    Raises HostFailed for a folder that is another user's: in a place open to all, such as /tmp, anyone may have made it.
    """
    paths = config.paths
    modes = {paths.config: 0o700, paths.state: 0o711, paths.run: 0o755, paths.log: 0o711, paths.cache: 0o755}
    for path, mode in modes.items():
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        for one in (folder, folder.parent) if config.session else ():
            if (owner := one.lstat().st_uid) not in (0, os.getuid()):
                raise HostFailed(f"'{one}' belongs to uid {owner}: it must be our own", what=str(one))
        folder.chmod(0o700 if config.session else mode)


def _mode(config: Config, readonly: bool) -> int:
    if config.session:
        return 0o600
    return 0o666 if readonly else 0o660


def _group(config: Config) -> int | None:
    """The group that may manage; without it, root alone."""
    if config.session or os.getuid() != 0:
        return None
    try:
        return grp.getgrnam(config.group).gr_gid
    except KeyError:
        log.info("there is no group '%s': only root can manage", config.group)
        return 0


if __name__ == "__main__":
    sys.exit(main())
