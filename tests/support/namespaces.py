"""A network of a test's own: its links are seen by nobody else and go with it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import traceback
from collections.abc import Callable, Coroutine

import pytest

CLONE_NEWNET, CLONE_NEWNS = 0x40000000, 0x00020000
_libc = ctypes.CDLL(None, use_errno=True)


def in_own_network(work: Callable[[], Coroutine[object, object, None]]) -> None:
    """Run a coroutine in a child process with a network namespace of its own; what it raises fails the test."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        status = 1
        try:
            if _libc.unshare(CLONE_NEWNET | CLONE_NEWNS) != 0:
                raise OSError(ctypes.get_errno(), "cannot have a network namespace")
            asyncio.run(work())
            status = 0
        except BaseException:
            os.write(writing, traceback.format_exc().encode()[-60_000:])
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read().decode(errors="replace")
    _, status = os.waitpid(pid, 0)
    if status:
        pytest.fail(told or f"the child ended with status {status}", pytrace=False)
