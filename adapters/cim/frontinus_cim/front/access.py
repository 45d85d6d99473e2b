"""Who a request is from: a client certificate's name, or a name and password; guessing is slowed down."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import logging
import secrets
import time
from collections.abc import Mapping

from frontinus_cim.front.pam import Pam
from frontinus_cim.front.users import NOBODY, User

log = logging.getLogger(__name__)
REMEMBERED, REMEMBERED_OF_PAM = 300.0, 60.0
"""Seconds that a password which was good is not computed, or asked about, again."""
MOST_REMEMBERED = 1024
TRIES, WINDOW = 10, 60.0
"""Bad passwords that an address may send within so many seconds."""


class Access:
    """The users, and what they proved lately. Whom the users' file does not name, PAM may know."""

    def __init__(self, users: Mapping[str, User], pam: Pam | None = None) -> None:
        self.users = users
        self._pam = pam
        self._secret = secrets.token_bytes(32)
        self._good: dict[bytes, tuple[User, float]] = {}
        self._bad: dict[str, list[float]] = {}
        self._asking: dict[bytes, asyncio.Task[User | None]] = {}
        self._turns = asyncio.Semaphore(2)

    async def by_password(self, header: str, address: str) -> User | None:
        """The user of an Authorization header."""
        kind, _, word = header.partition(" ")
        if kind.lower() != "basic" or len(word) > 2048:
            return None
        mark = hmac.digest(self._secret, word.encode(errors="replace"), "sha256")
        now = time.monotonic()
        known, until = self._good.get(mark, (NOBODY, 0.0))
        if until > now:
            return known
        if self._barred(address, now):
            return None
        asking = self._asking.get(mark)
        if asking is None:  # who asks the same at the same time shares the answer
            self._bad.setdefault(address, []).append(now)  # counts while it is tried: many at once are no way around
            asking = self._asking[mark] = asyncio.create_task(self._prove(word, mark, address, now))
            asking.add_done_callback(lambda _: self._asking.pop(mark, None))
        return await asyncio.shield(asking)

    async def close(self) -> None:
        """Ask no further."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def _prove(self, word: str, mark: bytes, address: str, now: float) -> User | None:
        user, seconds = await self._try(word, address)
        if user is None:
            log.info("%s: a name or password that is not right", address)
            return None
        if now in (tries := self._bad.get(address, [])):
            tries.remove(now)
        if len(self._good) >= MOST_REMEMBERED:
            self._good.clear()
        self._good[mark] = (user, time.monotonic() + seconds)
        return user

    def _barred(self, address: str, now: float) -> bool:
        """Whether an address guesses too much."""
        recent = [moment for moment in self._bad.pop(address, []) if now - moment < WINDOW]
        if recent:
            self._bad[address] = recent
        if len(self._bad) > MOST_REMEMBERED:
            self._bad.clear()
        return len(recent) >= TRIES

    async def _try(self, word: str, address: str) -> tuple[User | None, float]:
        """The user of a name and password, and for how many seconds that is good."""
        try:
            name, _, password = base64.b64decode(word, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return None, 0.0
        user = self.users.get(name)
        if user is None and self._pam is not None:
            return await self._pam.user(name, password, address), REMEMBERED_OF_PAM
        async with self._turns:
            good = await asyncio.to_thread((user or NOBODY).knows, password.encode())
        return (user if good else None), REMEMBERED

    def by_certificate(self, subject: object) -> User | None:
        """The user whom a verified certificate names: `subject` as ssl's getpeercert has it."""
        for part in subject if isinstance(subject, tuple) else ():
            for name, value in part:
                if name == "commonName":
                    return self.users.get(value)
        return None
