"""A network of a test's own: its links are seen by nobody else and go with it."""

from __future__ import annotations

import asyncio
import ctypes
import functools
import os
import traceback
from collections.abc import Callable, Coroutine
from typing import ParamSpec

import pytest

CLONE_NEWNET, CLONE_NEWNS = 0x40000000, 0x00020000
_libc = ctypes.CDLL(None, use_errno=True)

P = ParamSpec("P")


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


def own_network(test: Callable[P, Coroutine[object, object, None]]) -> Callable[P, None]:
    """A test that runs in a network of its own."""

    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        in_own_network(lambda: test(*args, **kwargs))

    functools.update_wrapper(run, test)
    return run
