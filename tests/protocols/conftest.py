"""A test may leave nothing behind."""

from support.leftovers import nothing_left

__all__ = ["nothing_left"]
