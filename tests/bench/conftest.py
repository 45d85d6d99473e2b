"""The fixtures of real guests."""

from support.real import agent_image, daemon, guest_image, place, probed

__all__ = ["agent_image", "daemon", "guest_image", "place", "probed"]
