"""Programs that run beside a QEMU (swtpm, passt...): as the guest's user, without privileges, until the guest ends."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import socket
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from frontinus import procfs, untrusted
from frontinus.api.errors import HostFailed
from frontinus.domain.plan import Helper, Use
from frontinus.linux import inotify
from frontinus.linux.failing import failing
from frontinus.linux.folders import make_way
from frontinus.linux.inotify import Inotify
from frontinus.linux.setup import Maker, Setup, Undo, number
from frontinus.ports.hypervisor import SecretValues
from frontinus.ports.resources import Credentials

READY_SECONDS = 30.0
SETUP_SECONDS = 60.0
END_SECONDS = 2.0
"""How long a helper may take to end by itself before it is killed."""
TOOLS = ("/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/libexec", "/usr/lib/qemu")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LISTEN_SECONDS = 0.002
"""How often a socket that is bound is asked whether it listens."""
LAST_WORDS = 500

_CLOSE_RANGE_CLOEXEC = 4
_ACCEPTS = 1 << 16
"""__SO_ACCEPTCON among the flags of a socket."""
_libc = ctypes.CDLL(None, use_errno=True)


class Helpers(Maker[Helper]):
    """Starts helpers and waits until they listen. Their environment names the guest's private folder as HOME.

    `secret_of` tells the value of a secret.
    """

    kinds = ("helper",)

    def __init__(self, secret_of: SecretValues | None = None) -> None:
        self._secret_of = secret_of

    def intend(self, resource: Helper, setup: Setup) -> list[Undo]:
        for argv in (resource.argv, resource.setup):
            if argv:
                tool(argv[0])
        if resource.secrets and self._secret_of is None:
            raise HostFailed(f"{resource.name} needs a secret, and this engine keeps none", what=resource.name)
        return [{"kind": "helper", "name": resource.name}]

    def make(self, resource: Helper, records: list[Undo], setup: Setup) -> None:
        for folder in resource.folders:
            with failing("make the folder", folder):
                _own(Path(folder), setup)
        if resource.setup:
            with self._pipes(resource) as fds:
                self._run(resource, setup, fds)
        with self._pipes(resource) as fds:
            self._start(resource, records[0], setup, fds)

    def undo(self, record: Mapping[str, object]) -> None:
        if "pid" in record:
            end(number(record, "pid"), number(record, "started"), END_SECONDS)

    @contextlib.contextmanager
    def _pipes(self, resource: Helper) -> Iterator[dict[int, int]]:
        """Descriptors from which a program reads its secrets, once."""
        with contextlib.ExitStack() as stack:
            told = {number: self._secret(use) for number, use in resource.secrets.items()}
            told |= {number: text.encode() for number, text in resource.texts.items()}
            yield {number: stack.enter_context(_pipe_of(data)) for number, data in told.items()}

    def _start(self, resource: Helper, record: Undo, setup: Setup, fds: Mapping[int, int]) -> None:
        """Spawn the program and wait until it listens, or is joined to QEMU by a pair of sockets."""
        log = Path(setup.home, f"{resource.name}.log")
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ends = {resource.pair[1]: theirs.fileno()} if resource.pair else {}
            argv = resource.argv if resource.privileged else unprivileged(resource.argv, setup.who)
            pid = spawn(argv, log, setup, {**fds, **ends}, resource.env)
            record |= {"pid": pid, "started": procfs.start_time(pid, ended=True) or 0}
            try:
                if resource.pair is not None:
                    setup.fds[resource.pair[0]] = ours.detach()
                    return
                _wait_for(Path(resource.socket), pid)
                if resource.privileged and setup.who is not None:
                    os.chown(resource.socket, setup.who.uid, setup.who.gid, follow_symlinks=False)
            except HostFailed as error:
                self.undo(record)
                raise HostFailed(f"{resource.name} {error.message}{_last_words(log)}", what=resource.name) from None
            except BaseException:
                self.undo(record)
                raise

    def _run(self, resource: Helper, setup: Setup, fds: Mapping[int, int]) -> None:
        """Run the program that comes first to its end."""
        log = Path(setup.home, f"{resource.name}-setup.log")
        pid = spawn(unprivileged(resource.setup, setup.who), log, setup, fds, resource.env)
        started = procfs.start_time(pid, ended=True) or 0
        pidfd = os.pidfd_open(pid)
        try:
            if not _ends(pidfd, SETUP_SECONDS):
                end(pid, started, END_SECONDS)
                raise HostFailed(f"{resource.setup[0]} did not end within {SETUP_SECONDS:g} s", what=resource.name)
            done = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        finally:
            os.close(pidfd)
        if done is None or done.si_code != os.CLD_EXITED or done.si_status != 0:
            raise HostFailed(f"{resource.setup[0]} failed{_last_words(log)}", what=resource.name)

    def _secret(self, use: Use) -> bytes:
        assert self._secret_of is not None
        return self._secret_of(*use)


def _own(folder: Path, setup: Setup) -> None:
    """Make a lasting folder of the helper's, or hand it to the guest's present user."""
    make_way(folder.parent, setup)
    folder.mkdir(mode=0o700, exist_ok=True)
    if setup.who is None:
        return
    for path in (folder, *folder.rglob("*")):
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode) or status.st_nlink == 1:  # a second name may be one that somebody else gave it
            os.chown(path, setup.who.uid, setup.who.gid, follow_symlinks=False)


@contextlib.contextmanager
def _pipe_of(data: bytes) -> Iterator[int]:
    """A descriptor from which data is read once."""
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)  # a pipe holds 64 KiB: more is no passphrase
        os.write(writing, data)
        os.close(writing)
        yield reading
    finally:
        os.close(reading)


def tool(name: str) -> str:
    """The path of a system program, looked for in fixed places. Raises HostFailed when it is missing."""
    places = (name,) if name.startswith("/") else tuple(f"{folder}/{name}" for folder in TOOLS)
    for place in places:
        if os.access(place, os.X_OK):
            return place
    raise HostFailed(f"the program '{name}' is not installed", what=name)


def unprivileged(argv: Sequence[str], who: Credentials | None) -> list[str]:
    """An argument vector that gives up every privilege before it becomes the program."""
    argv = [tool(argv[0]), *argv[1:]]
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


def spawn(argv: Sequence[str], log: Path, setup: Setup, fds: Mapping[int, int], env: Mapping[str, str] = {}) -> int:
    """Start a program in its own session, its output in a log, with no descriptors but these; returns its pid."""
    program = tool(argv[0])
    with contextlib.ExitStack() as stack:
        output = untrusted.open_regular(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)  # the folder is the guest's
        stack.callback(os.close, output)
        setup.give(output)
        above = max(fds, default=2) + 1
        actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        ]
        for target, source in {1: output, 2: output, **fds}.items():
            copy = fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, above)  # out of the way of every target
            stack.callback(os.close, copy)
            actions.append((os.POSIX_SPAWN_DUP2, copy, target))
        with failing("start", argv[0]):
            _close_on_exec()
            return os.posix_spawn(
                program, list(argv), {"PATH": PATH, "LC_ALL": "C", "HOME": setup.home, **env}, file_actions=actions, setsid=True,
                setsigmask=(), setsigdef=(signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD),
            )  # fmt: skip


def _close_on_exec() -> None:
    """Mark all our descriptors: Python's are marked, but not what a library opened or our own parent left us."""
    if _libc.close_range(3, 0xFFFFFFFF, _CLOSE_RANGE_CLOEXEC) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _wait_for(path: Path, pid: int) -> None:
    """Wait until a socket listens. Raises HostFailed when the process ends before, or takes too long."""
    process = os.pidfd_open(pid)
    try:
        with _changes_in(path.parent) as changes:
            poll = select.poll()
            poll.register(process, select.POLLIN)
            poll.register(changes, select.POLLIN)
            deadline = time.monotonic() + READY_SECONDS
            while not _listens(path):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise HostFailed(f"does not listen on {path} after {READY_SECONDS:g} s")
                bound = path.is_socket()  # what comes between bind(2) and listen(2) has no event
                ready = dict(poll.poll(min(left, LISTEN_SECONDS if bound else left) * 1000))
                if process in ready:
                    raise HostFailed("ended at once")
                if changes.fileno() in ready:
                    changes.read()
    finally:
        os.close(process)


def _listens(path: Path) -> bool:
    """Whether a socket takes connections, without making one: some helpers serve only their first.

    By /proc/net/unix, whose rows are: address, count, protocol, flags, type, state, inode, path.
    """
    if not path.is_socket():
        return False
    name = os.fsencode(path)
    rows = (row.split(maxsplit=7) for row in Path("/proc/net/unix").read_bytes().splitlines() if row.endswith(name))
    return any(int(row[3], 16) & _ACCEPTS for row in rows if row[7:] == [name])


def _changes_in(folder: Path) -> Inotify:
    """What is readable when a name came into a folder."""
    with contextlib.ExitStack() as stack:
        try:
            watched = stack.enter_context(Inotify())
            watched.watch(folder, inotify.CREATE | inotify.MOVED_TO)
        except OSError as error:
            raise HostFailed(f"cannot be waited for in {folder}: {error.strerror}", what=str(folder)) from None
        stack.pop_all()
        return watched


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
    """What a program said last, to be added to a message."""
    with contextlib.suppress(OSError):
        words = untrusted.tail(log, LAST_WORDS).decode(errors="replace").strip()
        return f": {words}" if words else ""
    return ""
