"""`frontinus-snmp adduser|deluser|users`: users with localized keys. A password comes from a prompt or a descriptor."""

from __future__ import annotations

import argparse
import getpass
import os
import pwd
import sys
from pathlib import Path

from frontinus_snmp import store
from frontinus_snmp.store import BadState
from frontinus_snmp.usm import AUTHS, PRIVS, make_user


def add_commands(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands (without one, the agent runs)")
    add = commands.add_parser("adduser", help="add a user, or replace one")
    add.add_argument("name")
    add.add_argument("--auth", choices=AUTHS, default="SHA-256")
    add.add_argument("--priv", choices=PRIVS, default="AES-128")
    add.add_argument("--view", default="all", help="what the user may read (default: %(default)s)")
    add.add_argument("--password-fd", type=int, metavar="N",
                     help="read the passwords from this descriptor, a line each: authentication's, privacy's")  # fmt: skip
    add.add_argument("--owner", help="the agent's user on this host (default: frontinus if there is one, for root)")
    remove = commands.add_parser("deluser", help="remove a user")
    remove.add_argument("name")
    commands.add_parser("users", help="list the users")


def run(options: argparse.Namespace, folder: Path) -> int:
    """Do one command; the exit code."""
    try:
        return {"adduser": _add, "deluser": _remove, "users": _list}[options.command](options, folder)
    except (BadState, OSError, ValueError) as error:
        sys.stderr.write(f"frontinus-snmp: {error}\n")
        return 1


def _passwords(options: argparse.Namespace) -> tuple[bytes, bytes]:
    """Authentication's and privacy's."""
    if options.password_fd is not None:
        with os.fdopen(options.password_fd, "rb") as file:
            lines = file.read(4096).splitlines()
        if len(lines) != 2:
            raise ValueError("two lines are needed: the passwords of authentication and of privacy")
        return lines[0], lines[1]
    return _ask("authentication"), _ask("privacy")


def _ask(what: str) -> bytes:
    first = getpass.getpass(f"Password for {what}: ")
    if getpass.getpass("Again: ") != first:
        raise ValueError("the two differ")
    return first.encode()


def _owner(options: argparse.Namespace) -> tuple[int, int] | None:
    """Whom the files belong to: None for ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(options.owner or "frontinus")
    except KeyError:
        if options.owner:
            raise ValueError(f"there is no user '{options.owner}'") from None
        return None
    return entry.pw_uid, entry.pw_gid


def _folder(folder: Path, owner: tuple[int, int] | None) -> None:
    """The state's folder: the agent's own."""
    if not folder.exists():
        folder.mkdir(mode=0o700, parents=True)
    if owner is not None:
        os.chown(folder, *owner, follow_symlinks=False)


def _add(options: argparse.Namespace, folder: Path) -> int:
    passwords = _passwords(options)
    owner = _owner(options)
    _folder(folder, owner)
    engine_id = store.make_engine(folder, owner)
    user = make_user(options.name, options.auth, options.priv, passwords, engine_id, options.view)
    known = store.read_users(folder)
    known[user.name.encode()] = user
    store.write_users(folder, engine_id, list(known.values()), owner)
    print(f"{user.name}: {user.auth}, {user.priv}, view {user.view}, engine {engine_id.hex()}")
    return 0


def _remove(options: argparse.Namespace, folder: Path) -> int:
    known = store.read_users(folder)
    if known.pop(options.name.encode(), None) is None:
        raise ValueError(f"there is no user '{options.name}'")
    status = (folder / store.USERS).stat()
    store.write_users(folder, store.make_engine(folder), list(known.values()), (status.st_uid, status.st_gid))
    return 0


def _list(options: argparse.Namespace, folder: Path) -> int:
    for user in store.read_users(folder).values():
        print(f"{user.name}: {user.auth}, {user.priv}, view {user.view}")
    return 0
