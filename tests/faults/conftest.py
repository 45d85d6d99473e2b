"""The fixtures of real guests; a test may leave nothing behind."""

from support.leftovers import nothing_left
from support.real import agent_image, daemon, guest_image, place, probed

__all__ = ["agent_image", "daemon", "guest_image", "nothing_left", "place", "probed"]
