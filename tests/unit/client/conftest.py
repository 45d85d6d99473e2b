"""The command line's fixtures: a shell on a mock engine."""

from support.shell import shell, socket

__all__ = ["shell", "socket"]
