"""Programs that run beside a QEMU (swtpm, passt...): as the guest's user, without privileges, until the guest ends."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from frontinus import procfs
from frontinus.api.errors import HostFailed
from frontinus.domain.plan import Helper
from frontinus.linux.failing import failing
from frontinus.linux.folders import make_way
from frontinus.linux.setup import Maker, Setup, Undo, number
from frontinus.ports.resources import Credentials

READY_SECONDS = 10.0
END_SECONDS = 2.0
"""How long a helper may take to end by itself before it is killed."""
TOOLS = ("/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/libexec", "/usr/lib/qemu")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LAST_WORDS = 500

_IN_CREATE, _IN_MOVED_TO, _IN_CLOEXEC = 0x100, 0x80, 0o2000000
_libc = ctypes.CDLL(None, use_errno=True)


class Helpers(Maker[Helper]):
    """Starts helpers and waits until they listen. Their environment names the guest's private folder as HOME."""

    kinds = ("helper",)

    def __init__(self, roots: tuple[str, ...]) -> None:
        self._roots = roots

    def intend(self, resource: Helper, setup: Setup) -> list[Undo]:
        tool(resource.argv[0])
        return [{"kind": "helper", "name": resource.name, "socket": resource.socket}]

    def make(self, resource: Helper, records: list[Undo], setup: Setup) -> None:
        for folder in resource.folders:
            self._own(Path(folder), setup)
        log = Path(setup.home, f"{resource.name}.log")
        pid = _spawn(resource, setup, log)
        records[0] |= {"pid": pid, "started": procfs.start_time(pid, ended=True) or 0}
        try:
            _wait_for(Path(resource.socket), pid)
        except HostFailed as error:
            self.undo(records[0])
            words = _last_words(log)
            raise HostFailed(
                f"{resource.name} {error.message}{f': {words}' if words else ''}", what=resource.name
            ) from None
        except BaseException:
            self.undo(records[0])
            raise

    def undo(self, record: Mapping[str, object]) -> None:
        if "pid" in record:
            end(number(record, "pid"), number(record, "started"), END_SECONDS)

    def _own(self, folder: Path, setup: Setup) -> None:
        """Make a lasting folder of the helper's, or hand it to the guest's present user."""
        with failing("make the folder", str(folder)):
            make_way(folder.parent, setup)
            folder.mkdir(mode=0o700, exist_ok=True)
            for path in (folder, *folder.rglob("*")):
                if setup.who is not None and not path.is_symlink():
                    os.chown(path, setup.who.uid, setup.who.gid, follow_symlinks=False)


def tool(name: str) -> str:
    """The path of a system program, looked for in fixed places. Raises HostFailed when it is missing."""
    places = (name,) if name.startswith("/") else tuple(f"{folder}/{name}" for folder in TOOLS)
    for place in places:
        if os.access(place, os.X_OK):
            return place
    raise HostFailed(f"the program '{name}' is not installed", what=name)


def unprivileged(argv: Sequence[str], who: Credentials | None) -> list[str]:
    """An argument vector that gives up every privilege before it becomes the program."""
    if who is None:
        return [tool("setpriv"), "--no-new-privs", "--", *argv]
    groups = f"--groups={','.join(map(str, who.groups))}" if who.groups else "--clear-groups"
    ids = (f"--reuid={who.uid}", f"--regid={who.gid}", groups)
    return [tool("setpriv"), *ids, "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--", *argv]


def end(pid: int, started: int, seconds: float) -> None:
    """End a process, kindly and after some seconds by force, and reap it if it is our child."""
    try:
        fd = procfs.open_process(pid, started)
    except ProcessLookupError:
        _reap(pid, started)
        return
    try:
        for kind in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, kind)
            if _ends(fd, seconds):
                break
    finally:
        os.close(fd)
    _reap(pid, started)


def _spawn(resource: Helper, setup: Setup, log: Path) -> int:
    argv = unprivileged([tool(resource.argv[0]), *resource.argv[1:]], setup.who)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        setup.give(output)
        actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_DUP2, output, 2),
        ]
        with failing("start", argv[-len(resource.argv)]):
            return os.posix_spawn(
                argv[0], argv, {"PATH": PATH, "LC_ALL": "C", "HOME": setup.home}, file_actions=actions, setsid=True,
                setsigmask=(), setsigdef=(signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD),
            )  # fmt: skip
    finally:
        os.close(output)


def _wait_for(path: Path, pid: int) -> None:
    """Wait until a socket is there. Raises HostFailed when the process ends before, or takes too long."""
    process = os.pidfd_open(pid)
    try:
        with _changes_in(path.parent) as changes:
            poll = select.poll()
            poll.register(process, select.POLLIN)
            poll.register(changes, select.POLLIN)
            deadline = time.monotonic() + READY_SECONDS
            while not path.is_socket():
                ready = dict(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))
                if process in ready:
                    raise HostFailed("ended at once")
                if changes not in ready:
                    raise HostFailed(f"does not listen on {path} after {READY_SECONDS:g} s")
                os.read(changes, 65536)
    finally:
        os.close(process)


@contextlib.contextmanager
def _changes_in(folder: Path) -> Iterator[int]:
    """A descriptor that is readable when a name came into a folder (inotify(7))."""
    fd = _libc.inotify_init1(_IN_CLOEXEC)
    if fd < 0 or _libc.inotify_add_watch(fd, os.fsencode(folder), _IN_CREATE | _IN_MOVED_TO) < 0:
        code = ctypes.get_errno()
        if fd >= 0:
            os.close(fd)
        raise HostFailed(f"cannot be waited for in {folder}: {os.strerror(code)}", what=str(folder))
    try:
        yield fd
    finally:
        os.close(fd)


def _ends(pidfd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _reap(pid: int, started: int) -> None:
    """Reap it if it is our child; its number may be another's by now."""
    if procfs.start_time(pid, ended=True) != started:
        return
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)


def _last_words(log: Path) -> str:
    with contextlib.suppress(OSError):
        return log.read_text(errors="replace").strip()[-LAST_WORDS:]
    return ""
