"""Processes of guests: spawned with their own descriptors, user, limits and session, and watched by pidfd.

A guest's process outlives the engine, so what is known of it must also hold for a process that is not our child.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import resource
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from frontinus import procfs
from frontinus.api.errors import HostFailed, HypervisorFailed, NoSuchProcess, Unsupported
from frontinus.ports.resources import Credentials

TOOLS = ("/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin")
CAP_SYS_RESOURCE = 24
RIGHTS = {"sys_rawio": 17}
"""Capabilities that a guest can ask for (linux/capability.h)."""
OUR_MARK = b"-no-user-config"
"""A word that each of our command lines has."""
LIMITS: Mapping[str, int] = {
    "core": resource.RLIMIT_CORE,
    "memlock": resource.RLIMIT_MEMLOCK,
    "nofile": resource.RLIMIT_NOFILE,
    "nproc": resource.RLIMIT_NPROC,
}


def tool(name: str) -> str:
    """The path of a system program; never taken from the environment. Raises HostFailed when it is missing."""
    for folder in TOOLS:
        path = Path(folder, name)
        if os.access(path, os.X_OK):
            return str(path)
    raise HostFailed(f"the program '{name}' is not installed", what=name)


def as_user(argv: Sequence[str], who: Credentials | None, *, dies_with_us: bool = False,
            rights: Sequence[str] = ()) -> list[str]:  # fmt: skip
    """The argument vector that gives up every privilege but `rights` and becomes the guest's user before it runs QEMU.

    `dies_with_us`: the kernel kills it when the thread that started it is gone, however the engine ended.
    Raises Unsupported for rights that the engine itself has not.
    """
    if lacking := [right for right in rights if not _has(RIGHTS[right])]:
        raise Unsupported(f"this engine runs without the right to {lacking[0]}, which the guest asks for")
    bound = ["--pdeathsig", "KILL"] if dies_with_us else []
    if who is None:
        return [tool("setpriv"), *bound, "--", *argv] if bound else list(argv)
    groups = f"--groups={','.join(map(str, who.groups))}" if who.groups else "--clear-groups"
    ids = [f"--reuid={who.uid}", f"--regid={who.gid}", groups]
    kept = ",".join(("-all", *(f"+{right}" for right in rights)))
    caps = [f"--inh-caps={kept}", f"--bounding-set={kept}", *([f"--ambient-caps={kept}"] if rights else [])]
    return [tool("setpriv"), *bound, *ids, "--no-new-privs", *caps, "--", *argv]


def with_limits(argv: Sequence[str], limits: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """The argument vector that sets limits first, and a line for each limit that this engine may not raise that far.

    A negative limit is none. They are set in the child before it changes its user: another user's process is out of
    our reach.
    """
    options: list[str] = []
    refused: list[str] = []
    for name, value in limits.items():
        hard = resource.getrlimit(LIMITS[name])[1]
        text = "unlimited" if value < 0 else str(value)
        wanted = resource.RLIM_INFINITY if value < 0 else value
        if hard != resource.RLIM_INFINITY and not 0 <= wanted <= hard and not _has(CAP_SYS_RESOURCE):
            refused.append(f"{name} stays at {hard}: raising it to {text} needs CAP_SYS_RESOURCE")
        else:
            options.append(f"--{name}={text}")
    return ([tool("prlimit"), *options, *argv] if options else list(argv)), refused


def raise_limits(pid: int, limits: Mapping[str, int]) -> None:
    """Raise limits of a running process; none is lowered. Raises HostFailed where this engine may not."""
    for name, value in limits.items():
        wanted = resource.RLIM_INFINITY if value < 0 else value
        try:
            soft, hard = resource.prlimit(pid, LIMITS[name])
            if soft != resource.RLIM_INFINITY and (value < 0 or soft < wanted):
                high = hard if hard == resource.RLIM_INFINITY or (value >= 0 and hard > wanted) else wanted
                resource.prlimit(pid, LIMITS[name], (wanted, high))
        except OSError as error:
            raise HostFailed(f"cannot raise {name} of process {pid}: {error.strerror}") from error


def restore_limits(pid: int, names: Iterable[str]) -> None:
    """Bring limits of a running process back to the engine's own. Raises HostFailed where this engine may not."""
    for name in names:
        ours = resource.getrlimit(LIMITS[name])
        try:
            if resource.prlimit(pid, LIMITS[name]) != ours:
                resource.prlimit(pid, LIMITS[name], ours)
        except OSError as error:
            raise HostFailed(f"cannot lower {name} of process {pid}: {error.strerror}") from error


def _has(capability: int) -> bool:
    """Whether this engine has a capability."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> capability & 1)
    return False


@contextlib.contextmanager
def _out_of_the_way(fds: Mapping[int, int]) -> Iterator[list[tuple[int, int]]]:
    """(source, target) pairs where no source is a target: a source that would be overwritten is duplicated above."""
    taken = {0, *fds}
    above = max(taken) + 1
    copies: list[int] = []
    try:
        pairs: list[tuple[int, int]] = []
        for target, source in fds.items():
            if source in taken:
                source = fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, above)
                copies.append(source)
            pairs.append((source, target))
        yield pairs
    finally:
        for fd in copies:
            os.close(fd)


def _keep_descriptors() -> None:
    """Mark all of ours close-on-exec: Python's are, but not those that a library opened or our own parent left us."""
    for entry in Path("/proc/self/fd").iterdir():
        if (fd := int(entry.name)) > 2:
            with contextlib.suppress(OSError):  # the listing's own
                os.set_inheritable(fd, False)


def spawn(argv: Sequence[str], env: Mapping[str, str], fds: Mapping[int, int], output: int) -> int:
    """Start a program in its own session and return its pid.

    `fds` maps the child's descriptor numbers to ours; standard input is /dev/null, both outputs go to `output`; the
    child has no other. Raises HypervisorFailed when the program cannot be started.
    """
    _keep_descriptors()
    with _out_of_the_way({**fds, 1: output, 2: output}) as pairs:
        actions: list[tuple[int, str, int, int] | tuple[int, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),  # type: ignore[list-item]
            *((os.POSIX_SPAWN_DUP2, source, target) for source, target in pairs),
        ]
        try:
            return os.posix_spawn(
                argv[0],
                list(argv),
                dict(env),
                file_actions=actions,
                setsid=True,
                setsigmask=(),
                setsigdef=(signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD),
            )
        except OSError as error:
            raise HypervisorFailed(f"{argv[0]} cannot be started: {error.strerror}") from error


def strays(folder: str) -> list[int]:
    """Processes of QEMU whose command line names a guest's private folder: left by an engine that died starting it."""
    below = os.fsencode(folder + "/")
    return [pid for pid in procfs.processes() if _is_of(procfs.arguments(pid), below)]


def _is_of(words: Sequence[bytes], below: bytes) -> bool:
    return OUR_MARK in words and any(below in word for word in words)


class Process:
    """One process, ours or not, held by its pidfd so that its number cannot come to mean another."""

    def __init__(self, pid: int, pidfd: int, started: int) -> None:
        self.pid = pid
        self.started = started
        self.status: int | None = None
        """The exit status, or minus the signal's number; None while it lives, and for good if it was not our child."""
        self.ended = asyncio.Event()
        self._pidfd = pidfd
        self._watchers: list[Callable[[], None]] = []
        asyncio.get_running_loop().add_reader(pidfd, self._end)

    @classmethod
    def child(cls, pid: int) -> Process:
        """Watch a child just spawned."""
        return cls(pid, os.pidfd_open(pid), procfs.start_time(pid, ended=True) or 0)

    @classmethod
    def found(cls, pid: int, started: int) -> Process:
        """Watch the process that an earlier engine started. Raises NoSuchProcess if it is gone or another's."""
        try:
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            raise NoSuchProcess(f"process {pid} is gone") from error
        if (
            procfs.start_time(pid, ended=True) != started
        ):  # asked after the pidfd is held, so the answer is about this very process
            os.close(pidfd)
            raise NoSuchProcess(f"process {pid} is another's now")
        return cls(pid, pidfd, started)

    @property
    def watched(self) -> bool:
        """Whether it lives, as far as is known, and is ours to watch."""
        return self._pidfd >= 0

    def when_ended(self, callback: Callable[[], None]) -> None:
        """Call back at the end, or soon if it has ended already."""
        if self.ended.is_set():
            asyncio.get_running_loop().call_soon(callback)
        else:
            self._watchers.append(callback)

    def kill(self, number: signal.Signals) -> None:
        """Send a signal; a process that has ended does not mind."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    async def wait(self, seconds: float | None) -> bool:
        """Wait for the end; False if it still lives after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self.ended.wait()
        except TimeoutError:
            return False
        return True

    def release(self) -> None:
        """Stop watching; the process lives on."""
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _end(self) -> None:
        with contextlib.suppress(ChildProcessError):
            info = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
            if info is not None:
                self.status = info.si_status if info.si_code == os.CLD_EXITED else -info.si_status
        self.release()
        self.ended.set()
        for callback in self._watchers:
            callback()


def describe(status: int | None) -> str:
    """An exit status in words."""
    if status is None:
        return "ended"
    if status >= 0:
        return f"exited with status {status}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-status).name}"
    return f"was killed by signal {-status}"
