"""What outlives the agent, in a folder that only its user can read: engine and boots, users' localized keys, guests' numbers.

Every write is complete on disk before it counts.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from frontinus import durable
from frontinus.client import private
from frontinus.client.private import BadState
from frontinus.durable import sync_folder
from frontinus_snmp.roots import ENTERPRISE
from frontinus_snmp.usm import AUTHS, LAST_BOOT, PRIVS, User

ENGINE, USERS, GUESTS, HOST, LOCK = "engine.json", "users.json", "guests", "host", "lock"
MOST_KEPT = 100_000
"""Guests whose numbers are remembered at least; the oldest beyond are forgotten when the agent starts."""


def lock(folder: Path) -> int:
    """Keep a second agent off this state for as long as the descriptor is open. Raises BadState."""
    fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise BadState(f"another agent uses {folder}") from None
    return fd


# --- the engine


def read_engine(folder: Path) -> tuple[bytes, int] | None:
    """The engine's identity and boots so far; None before it exists. Raises BadState."""
    try:
        found = json.loads(private.read(folder / ENGINE))
        engine_id, boots = bytes.fromhex(found["engine_id"]), found["boots"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise BadState(f"{folder / ENGINE} is damaged: {error}") from None
    if not 5 <= len(engine_id) <= 32 or not isinstance(boots, int) or not 0 <= boots <= LAST_BOOT:
        raise BadState(f"{folder / ENGINE} is damaged")
    return engine_id, boots


def make_engine(folder: Path, owner: tuple[int, int] | None = None) -> bytes:
    """The engine's identity, made of random octets if it has none (RFC 3411, snmpEngineID, format 5)."""
    found = read_engine(folder)
    if found is not None:
        return found[0]
    engine_id = (0x80000000 | ENTERPRISE).to_bytes(4, "big") + b"\x05" + os.urandom(12)
    durable.write(folder / ENGINE, json.dumps({"engine_id": engine_id.hex(), "boots": 0}).encode(), owner=owner)
    return engine_id


def boot(folder: Path) -> tuple[bytes, int]:
    """Identity and number of this boot, which is on disk when this returns. Raises BadState."""
    engine_id = make_engine(folder)
    found = read_engine(folder)
    assert found is not None
    boots = min(found[1] + 1, LAST_BOOT)
    if boots == LAST_BOOT:
        raise BadState("the engine was started too often: make a new identity by removing the state, and new users")
    durable.write(folder / ENGINE, json.dumps({"engine_id": engine_id.hex(), "boots": boots}).encode())
    return engine_id, boots


# --- users


def read_all(folder: Path) -> list[User]:
    """All users. Raises BadState, also when they belong to another engine."""
    try:
        found = json.loads(private.read(folder / USERS))
        users = [_user(entry) for entry in found["users"]]
        engine_id = bytes.fromhex(found["engine_id"])
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise BadState(f"{folder / USERS} is damaged: {error}") from None
    engine = read_engine(folder)
    if users and (engine is None or engine[0] != engine_id):
        raise BadState(f"the keys in {folder / USERS} are those of another engine: add the users again")
    return users


def read_users(folder: Path) -> dict[bytes, User]:
    """Who may ask this engine, by their names' octets. Raises BadState."""
    return {user.name.encode(): user for user in read_all(folder) if not user.engine_id}


def read_peers(folder: Path) -> dict[tuple[bytes, str], User]:
    """As whom informs are sent, by the receiver's engine and the name. Raises BadState."""
    return {(user.engine_id, user.name): user for user in read_all(folder) if user.engine_id}


def _user(entry: Mapping[str, str]) -> User:
    user = User(entry["name"], entry["auth"], entry["priv"], bytes.fromhex(entry["auth_key"]), bytes.fromhex(entry["priv_key"]),
                entry["view"], entry.get("write", ""), bytes.fromhex(entry.get("engine_id", "")))  # fmt: skip
    if user.auth not in AUTHS or len(user.priv_key) != PRIVS.get(user.priv) or len(user.auth_key) < 28:
        raise ValueError(f"keys of user '{user.name}'")
    return user


HEX = ("auth_key", "priv_key", "engine_id")


def write_users(folder: Path, engine_id: bytes, users: Sequence[User], owner: tuple[int, int] | None = None) -> None:
    entries = [{**asdict(user), **{name: getattr(user, name).hex() for name in HEX}} for user in users]
    document = {"engine_id": engine_id.hex(), "users": entries}
    durable.write(folder / USERS, json.dumps(document, indent=1).encode(), owner=owner)


# --- guests' numbers


class Numbers:
    """Numbers by UUID (vmIndex, for one): a journal that a line is appended to, and on disk, before a number is shown.

    A number is never used twice.
    """

    def __init__(self, folder: Path, name: str = GUESTS) -> None:
        self.path = folder / name
        self.numbers: dict[str, int] = {}
        self._next = 1
        self._turn = threading.Lock()
        lines = self.path.read_text(errors="replace").split("\n") if self.path.exists() else []
        for line in lines[:-1]:  # a last line without an end was never shown
            uuid, _, number = line.partition(" ")
            if number.isdecimal():
                self._next = max(self._next, int(number) + 1)
                if len(uuid) == 36:
                    self.numbers[uuid] = int(number)
        if lines and (lines[-1] or len(self.numbers) > MOST_KEPT):
            self._compact()

    def _compact(self) -> None:
        self.numbers = dict(sorted(self.numbers.items(), key=lambda item: item[1])[-MOST_KEPT:])
        lines = [f"next {self._next - 1}\n", *(f"{uuid} {number}\n" for uuid, number in self.numbers.items())]
        durable.write(self.path, "".join(lines).encode())

    def learn(self, uuids: Sequence[str]) -> None:
        """Give numbers to those that have none. Raises OSError: then none of them has one."""
        with self._turn:
            new = [uuid for uuid in uuids if uuid not in self.numbers]
            if self._next + len(new) > 2**31 - 1:
                raise OSError("all numbers are used up")
            if new:
                self._append({uuid: self._next + n for n, uuid in enumerate(new)})

    def assign(self, uuid: str, number: int) -> None:
        """Give a number that a manager chose: the next one. Raises OSError, ValueError when it is no more the next."""
        with self._turn:
            if number != self._next or uuid in self.numbers:
                raise ValueError(f"{number} is not the next number")
            self._append({uuid: number})

    @property
    def next(self) -> int:
        """The number that is given next."""
        return self._next

    def _append(self, given: Mapping[str, int]) -> None:
        """What fails leaves no line behind, so the next one does not run into it; its numbers are lost all the same."""
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        first, self._next = self._next == 1, self._next + len(given)
        try:
            size = os.fstat(fd).st_size
            try:
                _write_all(fd, "".join(f"{uuid} {number}\n" for uuid, number in given.items()).encode())
                os.fsync(fd)
            except OSError:
                os.ftruncate(fd, size)
                raise
        finally:
            os.close(fd)
        if first:
            sync_folder(self.path.parent)
        self.numbers.update(given)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
