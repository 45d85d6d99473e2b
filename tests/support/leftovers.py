"""What this process has that outlives a test: children, threads, sockets that listen."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

Things = Mapping[object, str]
"""What there is, and what to call it."""

SECONDS = 60.0
"""That what was told to end may take."""
TASKS = Path("/proc/self/task")


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """A test that leaves something to those after it has failed."""
    before = here()
    yield
    assert not (more := left(before)), f"the test left {'; '.join(more)}"


def here() -> Things:
    return {**children(), **threads(), **listeners()}


def left(before: Things) -> list[str]:
    """What was not there before and does not go by itself either."""
    deadline = time.monotonic() + SECONDS
    while more := [name for thing, name in here().items() if thing not in before]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return more


def children() -> Things:
    """Processes that this one has started and not waited for."""
    found: dict[object, str] = {}
    for task in TASKS.iterdir():
        with contextlib.suppress(OSError):
            for pid in (task / "children").read_text().split():
                found["process", pid] = f"process {pid}: {_command(Path('/proc', pid))}"
    return found


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200] or "a zombie"
    except OSError:
        return "gone by now"


def threads() -> Things:
    return {("thread", thread.ident): f"thread {thread.name}" for thread in threading.enumerate()}


def listeners() -> Things:
    found: dict[object, str] = {}
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if (name := str(fd.readlink())).startswith("socket:"):
                with socket.socket(fileno=os.dup(int(fd.name))) as one:
                    if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        found["socket", name] = f"listening socket {one.getsockname()!r}"
    return found
