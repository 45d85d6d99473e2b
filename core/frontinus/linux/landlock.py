"""Landlock (landlock(7)): a program sees no files but those that it was given, whatever it is made to believe.

The kernel restricts a thread, and what that thread starts. So a thread is made for one piece of work, restricted, and ends with it.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import stat
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")

_CREATE, _ADD, _RESTRICT = 444, 445, 446
"""System calls; the same on every architecture."""
_VERSION, _PATH_BENEATH = 1, 1
_NO_NEW_PRIVS = 38
_EXECUTE, _WRITE, _READ, _LIST, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_ALL = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1}
"""All rights of the file system that a version of the interface knows."""
_OF_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE

SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
          "/sys/devices/system/cpu", "/dev/urandom", "/dev/random", "/dev/zero")  # fmt: skip
"""What any program needs to be one."""
NETWORK = ("/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services", "/etc/ceph",
           "/etc/ssl")  # fmt: skip
"""What it needs to reach a server by its name."""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Sight:
    """Files and folders that a program may read, and those that it may write to as well. What is not there is left out."""

    reads: Iterable[str] = field(default_factory=tuple)
    writes: Iterable[str] = field(default_factory=tuple)


@cache
def version() -> int:
    """Of the kernel's interface; 0 for a kernel without Landlock, which is said once."""
    found: int = _libc.syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION)
    if found < 1:
        log.warning("this kernel has no Landlock: programs that read images are confined by their rights alone")
    return max(0, found)


def inside(sight: Sight, work: Callable[[], T]) -> T:
    """Do work in a thread that sees no other files, and neither does what it starts. What the work raises is raised.

    A kernel without Landlock lets it see all. Raises OSError when the kernel refuses to restrict.
    """
    return begin(sight, work).result()


def begin(sight: Sight, work: Callable[[], T]) -> Future[T]:
    """The same without waiting: the future of what the work returns or raises. It can't be cancelled."""
    outcome: Future[T] = Future()
    outcome.set_running_or_notify_cancel()

    def restricted() -> None:
        try:
            _restrict(sight)
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=restricted, name="landlock").start()
    return outcome


def _restrict(sight: Sight) -> None:
    if not version():
        return
    handled = _ALL[min(version(), max(_ALL))]
    rules = ctypes.c_uint64(handled)
    ruleset = _call(_CREATE, ctypes.byref(rules), ctypes.c_size_t(ctypes.sizeof(rules)), 0)
    try:
        for path in SYSTEM:
            _allow(ruleset, path, handled & (_EXECUTE | _READ | _LIST))
        for path in sight.reads:
            _allow(ruleset, path, handled & (_READ | _LIST))
        for path in ("/dev/null", *sight.writes):
            _allow(ruleset, path, handled & (_READ | _LIST | _WRITE | _TRUNCATE))
        if _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
        _call(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
            return
        raise
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= _OF_FILES
        _call(_ADD, ruleset, _PATH_BENEATH, ctypes.byref(_PathBeneath(rights, fd)), 0)
    finally:
        os.close(fd)


def _call(number: int, *arguments: object) -> int:
    answer: int = _libc.syscall(number, *arguments)
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return answer
