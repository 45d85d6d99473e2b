"""Where files have data, and where holes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator


def spans(fd: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where a file has data (lseek(2)); all of it on a file system that does not tell, and for a device."""
    at = start
    while at < end:
        try:
            begins = os.lseek(fd, at, os.SEEK_DATA)
            ends = os.lseek(fd, begins, os.SEEK_HOLE)
        except OSError as error:
            if error.errno != errno.ENXIO:
                yield at, end
            return
        if begins >= end:
            return
        yield begins, min(ends, end)
        at = ends


def layout(fd: int, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    """A file from start to end: begin and end of each part, and whether it is data."""
    at = start
    for begins, ends in spans(fd, start, end):
        if begins > at:
            yield at, begins, False
        yield begins, ends, True
        at = ends
    if at < end:
        yield at, end, False
