"""Users and their roles, in a file that only the provider can read; `frontinus-cim adduser|deluser|users`.

A user proves who they are by a password over TLS, or by a client certificate whose common name is theirs.
"""

from __future__ import annotations

import argparse
import getpass
import hashlib
import hmac
import os
import pwd
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from frontinus import durable
from frontinus.client import private
from frontinus.client.private import BadState

FILE = "users.json"
Role = Literal["monitor", "control"]
ROLES: Sequence[Role] = ("monitor", "control")
COST, BLOCK, PARALLEL = 2**14, 8, 1
"""scrypt's parameters: 16 MiB and some 50 ms a try."""
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}", re.ASCII)
LEAST_PASSWORD = 8


class User(msgspec.Struct, frozen=True):
    """A user. Without a `key` no password fits: a certificate is needed."""

    name: str
    role: Role
    salt: str = ""
    key: str = ""

    def knows(self, password: bytes) -> bool:
        """Whether a password is theirs. Takes long on purpose."""
        made = _derive(password, bytes.fromhex(self.salt))
        return bool(self.key) and hmac.compare_digest(made, bytes.fromhex(self.key))


NOBODY = User("", "monitor", "00" * 16)
"""Whom the password of an unknown user is tried with, so that the answer takes as long."""


def _derive(password: bytes, salt: bytes) -> bytes:
    return hashlib.scrypt(password, salt=salt or b"\0" * 16, n=COST, r=BLOCK, p=PARALLEL, dklen=32, maxmem=64 * 2**20)


def make(name: str, role: Role, password: bytes | None) -> User:
    """A user. Raises ValueError."""
    if not NAME.fullmatch(name):
        raise ValueError("a user's name has 1 to 64 letters, digits and .@_-")
    if password is None:
        return User(name, role)
    if len(password) < LEAST_PASSWORD:
        raise ValueError(f"a password has at least {LEAST_PASSWORD} octets")
    salt = secrets.token_bytes(16)
    return User(name, role, salt.hex(), _derive(password, salt).hex())


def read(folder: Path) -> Mapping[str, User]:
    """Users by name. Raises BadState."""
    try:
        found = msgspec.json.decode(private.read(folder / FILE), type=list[User])
        for user in found:
            bytes.fromhex(user.salt), bytes.fromhex(user.key)
    except FileNotFoundError:
        return {}
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadState(f"{folder / FILE} is damaged: {error}") from None
    return {user.name: user for user in found}


def write(folder: Path, users: Mapping[str, User], owner: tuple[int, int] | None = None) -> None:
    durable.write(folder / FILE, msgspec.json.format(msgspec.json.encode(list(users.values()))), owner=owner)


# --- the commands


def add_commands(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", title="commands (without one, the provider runs)"
    )
    add = commands.add_parser("adduser", help="add a user, or replace one")
    add.add_argument("name")
    add.add_argument("--role", choices=ROLES, default="monitor", help="what the user may do (default: %(default)s)")
    how = add.add_mutually_exclusive_group()
    how.add_argument("--password-fd", type=int, metavar="N", help="read the password from this descriptor, a line")
    how.add_argument("--certificate", action="store_true", help="no password: only a client certificate with this name")
    add.add_argument("--owner", help="the provider's user on this host (default: frontinus-cim or frontinus, for root)")
    remove = commands.add_parser("deluser", help="remove a user")
    remove.add_argument("name")
    commands.add_parser("users", help="list the users")


def run(options: argparse.Namespace, folder: Path) -> int:
    """Do one command; the exit code."""
    try:
        {"adduser": _add, "deluser": _remove, "users": _list}[options.command](options, folder)
    except (BadState, OSError, ValueError) as error:
        sys.stderr.write(f"frontinus-cim: {error}\n")
        return 1
    return 0


def _password(options: argparse.Namespace) -> bytes | None:
    if options.certificate:
        return None
    if options.password_fd is not None:
        with os.fdopen(options.password_fd, "rb") as file:
            return file.read(4096).split(b"\n")[0]
    first = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != first:
        raise ValueError("the two differ")
    return first.encode()


def _owner(options: argparse.Namespace) -> tuple[int, int] | None:
    """Whom the files belong to: None for ourselves."""
    if os.geteuid() != 0:
        return None
    for name in [options.owner] if options.owner else ["frontinus-cim", "frontinus"]:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            if options.owner:
                raise ValueError(f"there is no user '{options.owner}'") from None
        else:
            return entry.pw_uid, entry.pw_gid
    return None


def _add(options: argparse.Namespace, folder: Path) -> None:
    user, owner = make(options.name, options.role, _password(options)), _owner(options)
    if not folder.exists():
        folder.mkdir(mode=0o700, parents=True)
    if owner is not None:
        os.chown(folder, *owner, follow_symlinks=False)
    write(folder, {**read(folder), user.name: user}, owner)
    print(f"{user.name}: {user.role}")


def _remove(options: argparse.Namespace, folder: Path) -> None:
    known = dict(read(folder))
    if known.pop(options.name, None) is None:
        raise ValueError(f"there is no user '{options.name}'")
    status = (folder / FILE).stat()
    write(folder, known, (status.st_uid, status.st_gid))


def _list(options: argparse.Namespace, folder: Path) -> None:
    for user in read(folder).values():
        print(f"{user.name}: {user.role}, {'password' if user.key else 'certificate'}")
