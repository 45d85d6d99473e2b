"""A bar on standard error for whoever sits at a terminal: rich's where it is installed, else the percentage."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Show = Callable[[float], None]


@contextmanager
def bar(title: str) -> Iterator[Show]:
    """A function that shows how much is done, 0 to 1; where nobody looks it shows nothing."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        yield lambda done: print(f"\r{title}: [{int(done * 100):3d} %]", end="", file=sys.stderr, flush=True)
        sys.stderr.write("\n")
        return
    with Progress(console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task(title, total=1.0)
        yield lambda done: progress.update(task, completed=done)
