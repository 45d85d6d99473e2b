"""Listening unix sockets that exist before QEMU does, so that nobody has to wait for them."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from frontinus.api.errors import HostFailed
from frontinus.domain.plan import Listener
from frontinus.linux.failing import failing
from frontinus.linux.folders import make_way
from frontinus.linux.setup import Maker, Setup, Undo, is_below, text

LONGEST = 107
"""Bytes of a socket's path that the kernel takes (unix(7))."""

MODE = 0o600
QUEUE = 16


class Listeners(Maker[Listener]):
    """Makes sockets that only the guest's user and the engine reach. `roots`: where missing folders are made."""

    kinds = ("socket",)

    def __init__(self, roots: tuple[str, ...]) -> None:
        self._roots = roots

    def intend(self, resource: Listener, setup: Setup) -> list[Undo]:
        path = resource.path
        if setup.is_inside(path):
            return []
        if _is_in_use(path):
            raise HostFailed(f"the socket {path} is in use", what=path)
        return [{"kind": "socket", "path": path}]

    def make(self, resource: Listener, records: list[Undo], setup: Setup) -> None:
        path = Path(resource.path)
        with failing("listen on", resource.path):
            if is_below(resource.path, self._roots):
                make_way(path.parent, setup)
            setup.fds[resource.fd] = listen(path, setup)

    def undo(self, record: Mapping[str, object]) -> None:
        path = Path(text(record, "path"))
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(path.lstat().st_mode):
                path.unlink()


def listen(path: Path, setup: Setup) -> int:
    """Bind and listen; a socket that nobody holds any more makes room. Returns the descriptor."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        os.fchmod(listener.fileno(), MODE)  # before the bind: the file gets this mode from its first moment
        with short(path) as address:
            try:
                listener.bind(address)
            except OSError as error:
                if not path.is_socket() or _is_in_use(str(path)):
                    raise error
                path.unlink()
                listener.bind(address)
        try:
            if setup.who is not None:
                os.chown(path, setup.who.uid, setup.who.gid, follow_symlinks=False)
            listener.listen(QUEUE)
        except OSError:
            path.unlink()
            raise
        return listener.detach()


@contextlib.contextmanager
def short(path: Path) -> Iterator[str]:
    """An address for a path of any length: the path, or its folder as a descriptor in /proc and the name in it."""
    if len(os.fsencode(path)) <= LONGEST:
        yield str(path)
        return
    fd = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)


def _is_in_use(path: str) -> bool:
    """Whether there is a file that must not make room: no socket, or one that somebody listens on."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return False
    if not stat.S_ISSOCK(mode):
        return True
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe,
        short(Path(path)) as address,
    ):
        try:
            probe.connect(address)
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
        return True
