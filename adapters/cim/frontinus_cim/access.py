"""Who a request is from: a client certificate's name, or a name and password; guessing is slowed down."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import secrets
import time
from collections.abc import Mapping

from frontinus_cim.users import NOBODY, User

REMEMBERED = 300.0
"""Seconds that a password which was good is not computed again."""
MOST_REMEMBERED = 1024
TRIES, WINDOW = 10, 60.0
"""Bad passwords that an address may send within so many seconds."""


class Access:
    """The users, and what they proved lately."""

    def __init__(self, users: Mapping[str, User]) -> None:
        self.users = users
        self._secret = secrets.token_bytes(32)
        self._good: dict[bytes, tuple[str, float]] = {}
        self._bad: dict[str, list[float]] = {}
        self._turns = asyncio.Semaphore(2)

    async def by_password(self, header: str, address: str) -> User | None:
        """The user of an Authorization header."""
        kind, _, word = header.partition(" ")
        if kind.lower() != "basic" or len(word) > 2048:
            return None
        mark = hmac.digest(self._secret, word.encode(errors="replace"), "sha256")
        now = time.monotonic()
        name, until = self._good.get(mark, ("", 0.0))
        if until > now and name in self.users:
            return self.users[name]
        if self._barred(address, now):
            return None
        user = await self._try(word)
        if user is None:
            self._bad.setdefault(address, []).append(now)
            return None
        if len(self._good) >= MOST_REMEMBERED:
            self._good.clear()
        self._good[mark] = (user.name, now + REMEMBERED)
        return user

    def _barred(self, address: str, now: float) -> bool:
        """Whether an address guesses too much."""
        recent = [moment for moment in self._bad.pop(address, []) if now - moment < WINDOW]
        if recent:
            self._bad[address] = recent
        if len(self._bad) > MOST_REMEMBERED:
            self._bad.clear()
        return len(recent) >= TRIES

    async def _try(self, word: str) -> User | None:
        try:
            name, _, password = base64.b64decode(word, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return None
        user = self.users.get(name)
        async with self._turns:
            good = await asyncio.to_thread((user or NOBODY).knows, password.encode())
        return user if good else None

    def by_certificate(self, subject: object) -> User | None:
        """The user whom a verified certificate names: `subject` as ssl's getpeercert has it."""
        for part in subject if isinstance(subject, tuple) else ():
            for name, value in part:
                if name == "commonName":
                    return self.users.get(value)
        return None
