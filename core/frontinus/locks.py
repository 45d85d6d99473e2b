"""Locks of files (flock(2)) that are waited for as long as the caller has patience."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable

LOOK_AGAIN_SECONDS = 0.01


def take(fd: int, gives_up: Callable[[float], bool]) -> bool:
    """Lock a file for us alone; whether we have it. Blocks. `gives_up` is asked after each look, with the seconds waited."""
    began = time.monotonic()
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            if gives_up(time.monotonic() - began):
                return False
        time.sleep(LOOK_AGAIN_SECONDS)
