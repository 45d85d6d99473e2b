"""A program that reads what guests have written: it sees no files but those of its command, and is waited for in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import select
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence

from frontinus.linux.landlock import Sight, begin
from frontinus.ports.storage import Progress

MOST = 16 << 20
"""Bytes of output that are taken."""
PERCENT = re.compile(rb"\((\d+)\.(\d\d)/100%\)")

Outcome = tuple[bytes, bytes, int]
"""What a program printed, what it complained of, its exit status."""


async def run(argv: Sequence[str], sight: Sight, environment: Mapping[str, str], deadline: float | None,
              fds: tuple[int, ...] = (), progress: Progress | None = None) -> Outcome:  # fmt: skip
    """Run to the end. On a cancellation, and past the deadline (TimeoutError), it is killed first."""
    child = Child(argv, environment, fds, progress)
    task = asyncio.wrap_future(begin(sight, child.run))
    try:
        async with asyncio.timeout(deadline):
            return await asyncio.shield(task)
    except (TimeoutError, asyncio.CancelledError):
        child.kill()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise


class Child:
    """The program. Its thread lives as long as it does: the kernel ends the one with the other."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], fds: tuple[int, ...],
                 progress: Progress | None) -> None:  # fmt: skip
        self._argv, self._environment, self._fds, self._progress = argv, environment, fds, progress
        self._lock, self._killed = threading.Lock(), False
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> Outcome:
        """Start it and wait for it. Status -1: it was killed before."""
        with self._lock:
            if self._killed:
                return b"", b"", -1
            self._process = process = subprocess.Popen(
                self._argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self._environment,
                pass_fds=self._fds, start_new_session=True, cwd="/", bufsize=0,
            )  # fmt: skip
        taken = {pipe.fileno(): bytearray() for pipe in (process.stdout, process.stderr) if pipe is not None}
        with process:
            self._read(taken)
        output, errors = taken.values()
        return bytes(output), bytes(errors), process.returncode

    def _read(self, taken: Mapping[int, bytearray]) -> None:
        poll = select.poll()
        for fd in taken:
            poll.register(fd, select.POLLIN)
        left = len(taken)
        while left:
            for fd, _ in poll.poll():
                if data := os.read(fd, 65536):
                    self._take(taken[fd], data)
                else:
                    poll.unregister(fd)
                    left -= 1

    def _take(self, taken: bytearray, data: bytes) -> None:
        if self._progress is not None and (found := PERCENT.findall(data)):
            self._progress(int(found[-1][0]) * 100 + int(found[-1][1]), 10_000)
        elif len(taken) < MOST:
            taken += data

    def kill(self) -> None:
        """End it, from another thread; nothing happens to one that has ended."""
        with self._lock:
            self._killed = True
            if self._process is not None and self._process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
