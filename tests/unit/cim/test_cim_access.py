"""Who is let in by a password, and how often one may guess."""

from __future__ import annotations

import asyncio
import base64

import pytest

from frontinus_cim.front import access, users
from frontinus_cim.front.access import Access


def basic(password: str, name: str = "admin") -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Passwords that were compared; comparing takes no time."""
    seen: list[bytes] = []

    def knows(self: users.User, password: bytes) -> bool:
        seen.append(password)
        return password == b"right" and self.name == "admin"

    monkeypatch.setattr(users.User, "knows", knows)
    return seen


async def test_guesses_count_even_if_all_come_in_one_moment(tried: list[bytes]) -> None:
    known = Access({"admin": users.User("admin", "control")})
    found = await asyncio.gather(*(known.by_password(basic(f"guess-{n}"), "::1") for n in range(3 * access.TRIES)))
    assert found == [None] * 3 * access.TRIES and len(tried) == access.TRIES
    assert await known.by_password(basic("right"), "::1") is None, "who guessed has to wait"
    assert (await known.by_password(basic("right"), "::2")) is not None, "others need not"


async def test_an_unknown_name_takes_as_long_as_a_wrong_password(tried: list[bytes]) -> None:
    known = Access({"admin": users.User("admin", "control")})
    assert await known.by_password(basic("x", "nobody"), "::1") is None
    assert tried == [b"x"]


async def test_a_good_password_is_computed_once_and_is_no_guess(tried: list[bytes]) -> None:
    known = Access({"admin": users.User("admin", "control")})
    for _ in range(2 * access.TRIES):
        assert await known.by_password(basic("right"), "::1") is not None
    assert tried == [b"right"]
    for n in range(access.TRIES):
        assert await known.by_password(basic(f"guess-{n}"), "::1") is None
    assert len(tried) == 1 + access.TRIES
