"""A test may leave nothing behind."""

from support.leftovers import nothing_left
from support.real import probed

__all__ = ["nothing_left", "probed"]
