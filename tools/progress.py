"""One line for each long step: what it is and how long it took. Stdlib only: it runs before anything is installed."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

TICK = 0.1  # seconds between two pictures of the spinner
PICTURES = "|/-\\"


@contextmanager
def step(title: str, stream: TextIO = sys.stderr) -> Iterator[None]:
    """Show the title while the block runs (with a spinner where a person watches), then one line with its seconds."""
    start = time.monotonic()
    ended = threading.Event()
    spinner = threading.Thread(target=_spin, args=(title, stream, start, ended), daemon=True)
    if stream.isatty():
        spinner.start()
    else:
        print(f"... {title}", file=stream, flush=True)
    word = "failed"
    try:
        yield
        word = "done"
    finally:
        ended.set()
        if spinner.ident:
            spinner.join()
        clear = "\r\033[K" if stream.isatty() else ""
        print(f"{clear}{word:>6}  {title} ({time.monotonic() - start:.1f} s)", file=stream, flush=True)


def _spin(title: str, stream: TextIO, start: float, ended: threading.Event) -> None:
    turn = 0
    while not ended.wait(TICK):
        turn += 1
        stream.write(f"\r\033[K{PICTURES[turn % len(PICTURES)]:>6}  {title} ({time.monotonic() - start:.0f} s)")
        stream.flush()
