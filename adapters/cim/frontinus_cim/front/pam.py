"""Passwords that the host's PAM knows, and the roles of its users and groups. Each is asked in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

import msgspec

from frontinus.client.toml import BadConfig, Reader
from frontinus_cim.front import pam_check
from frontinus_cim.front.users import NAME, Role, User

log = logging.getLogger(__name__)
SECONDS = 30.0
"""How long PAM may take; a wrong password costs about two by itself."""
AT_ONCE, MOST_WAITING = 4, 32
"""Questions that are asked at once, and that wait for it; more are refused."""
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
MOST_PASSWORD = 1024


class Known(msgspec.Struct, frozen=True):
    """What `pam_check` says of a user."""

    name: str
    groups: list[str]


@dataclass(frozen=True)
class Roles:
    """Who may do what: names of users, and of groups with an @ before them."""

    control: Set[str]
    monitor: Set[str]

    def of(self, known: Known) -> Role | None:
        """The role of a user, None without one."""
        names = {known.name, *(f"@{group}" for group in known.groups)}
        return "control" if names & self.control else "monitor" if names & self.monitor else None


@dataclass(frozen=True)
class Settings:
    """The table `pam` of the configuration: the service, where its file is if not in /etc/pam.d, and who may do what."""

    service: str
    roles: Roles
    folder: Path | None = None

    @classmethod
    def of(cls, reader: Reader) -> Settings:
        """Raises BadConfig."""
        found = cls(
            reader.text("service", "frontinus-cim"),
            Roles(frozenset(reader.strings("control")), frozenset(reader.strings("monitor"))),
            reader.path("directory"),
        )
        reader.done()
        if not found.service or "/" in found.service or found.service.startswith("."):
            raise BadConfig(f"{reader.where('service')} must be the name of a file in /etc/pam.d")
        if not found.roles.control | found.roles.monitor:
            raise BadConfig(f"{reader.where('control')} or 'pam.monitor' must name users or @groups")
        return found


class Pam:
    """Asks PAM."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def user(self, name: str, password: str, address: str) -> User | None:
        """The user with their role, if the password is theirs and they have one. Never blocks."""
        if not NAME.fullmatch(name) or not 0 < len(password) <= MOST_PASSWORD or "\0" in password:
            return None
        if self._waiting >= MOST_WAITING:
            log.warning("too many wait for PAM: %s was not asked about", name)
            return None
        self._waiting += 1
        try:
            async with self._turns:
                known = await self._ask(name, password, address)
        finally:
            self._waiting -= 1
        role = self._settings.roles.of(known) if known is not None else None
        if known is not None and role is None:
            log.info("PAM knows %s, who has no role here", known.name)
        return User(known.name, role) if known is not None and role is not None else None

    async def _ask(self, name: str, password: str, address: str) -> Known | None:
        settings = self._settings
        asked = {"service": settings.service, "folder": str(settings.folder) if settings.folder else None, "name": name,
                 "password": password, "host": address}  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-IS", pam_check.__file__, env=ENVIRONMENT, start_new_session=True,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)  # fmt: skip
        try:
            async with asyncio.timeout(SECONDS):
                said, words = await process.communicate(json.dumps(asked).encode())
        except TimeoutError:
            log.error("PAM's service '%s' took more than %.0f s", settings.service, SECONDS)
            return None
        finally:
            if process.returncode is None:
                await _end(process)
        if process.returncode == pam_check.YES:
            return msgspec.json.decode(said, type=Known)
        level = logging.INFO if process.returncode == pam_check.NO else logging.ERROR
        log.log(level, "%s from %s: %s", name, address, words.decode(errors="replace").strip()[-500:])
        return None


async def _end(process: asyncio.subprocess.Process) -> None:
    """A check that hangs, with all that its modules began."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
