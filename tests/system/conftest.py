"""What the tests on real guests share."""

from __future__ import annotations

import guest_image as images
import pytest


@pytest.fixture(scope="session")
def guest_image() -> images.GuestImage:
    """Kernel and initrd of the small test guest (tools/guest_image.py)."""
    try:
        return images.build()
    except images.GuestImageError as error:
        pytest.skip(f"no guest image: {error}")


@pytest.fixture(scope="session")
def agent_image() -> images.GuestImage:
    """The same with QEMU's guest agent in it."""
    try:
        return images.build(agent=True)
    except images.GuestImageError as error:
        pytest.skip(f"no guest image with the agent: {error}")
