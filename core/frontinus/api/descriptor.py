"""Open files that cross the socket."""

from __future__ import annotations


class Descriptor(int):
    """An open file descriptor that crosses the socket. The receiver owns it and closes it."""
