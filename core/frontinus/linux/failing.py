"""OSError in words for a person."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from frontinus.api.errors import HostFailed


@contextmanager
def failing(doing: str, what: str) -> Iterator[None]:
    """Turn an OSError of the body into HostFailed: "cannot DOING WHAT: the kernel's reason"."""
    try:
        yield
    except OSError as error:
        raise HostFailed(f"cannot {doing} {what}: {error.strerror or error}", what=what) from error
