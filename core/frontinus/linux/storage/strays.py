"""Programs that an earlier engine left at work on an image. All of it blocks."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterator

from frontinus import procfs
from frontinus.storage.steps import EndStrays

PROGRAMS = frozenset({b"qemu-img", b"setpriv", b"unshare", b"prlimit"})
"""What stands first in the command line of qemu-img, and of what becomes it."""
SECONDS = 60


def end(step: EndStrays) -> None:
    """End them and wait until they have let go of the image."""
    for pid in list(_strays(os.fsencode(step.path))):
        with contextlib.suppress(ProcessLookupError):
            fd = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(fd, signal.SIGKILL)
                poll = select.poll()
                poll.register(fd, select.POLLIN)
                poll.poll(SECONDS * 1000)
            finally:
                os.close(fd)


def _strays(path: bytes) -> Iterator[int]:
    for pid in procfs.processes():
        words = procfs.arguments(pid)
        if (
            words
            and words[0].rpartition(b"/")[2] in PROGRAMS
            and any(path in word for word in words)
            and procfs.is_orphan(pid)
        ):
            yield pid
