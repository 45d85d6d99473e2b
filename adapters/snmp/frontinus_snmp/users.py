"""`frontinus-snmp adduser|deluser|users|discover`: users with localized keys. A password comes from a prompt or a descriptor."""

from __future__ import annotations

import argparse
import getpass
import ipaddress
import os
import pwd
import socket
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

from frontinus.client.private import BadState
from frontinus_snmp import store
from frontinus_snmp.peer import discovered, discovery
from frontinus_snmp.usm import AUTHS, LEAST_MAX_SIZE, PRIVS, Authority, User, make_user


def add_commands(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands (without one, the agent runs)")
    add = commands.add_parser("adduser", help="add a user, or replace one")
    add.add_argument("name")
    add.add_argument("--auth", choices=AUTHS, default="SHA-256")
    add.add_argument("--priv", choices=PRIVS, default="AES-128")
    add.add_argument("--view", default="all", help="what the user may read (default: %(default)s)")
    add.add_argument("--write-view", default="", help="what the user may change (default: nothing)")
    add.add_argument("--engine", default="", metavar="HEX",
                     help="the engine of a receiver: the user is then one that informs are sent as")  # fmt: skip
    add.add_argument("--password-fd", type=int, metavar="N",
                     help="read the passwords from this descriptor, a line each: authentication's, privacy's")  # fmt: skip
    add.add_argument("--owner", help="the agent's user on this host (default: frontinus if there is one, for root)")
    remove = commands.add_parser("deluser", help="remove a user")
    remove.add_argument("name")
    remove.add_argument("--engine", default="", metavar="HEX", help="the receiver's, if it is a user for informs")
    commands.add_parser("users", help="list the users")
    ask = commands.add_parser(
        "discover", help="ask a receiver of informs for its engine; compare it with what it says itself"
    )
    ask.add_argument("address", metavar="ADDRESS:PORT")


def run(options: argparse.Namespace, folder: Path) -> int:
    """Do one command; the exit code."""
    try:
        return {"adduser": _add, "deluser": _remove, "users": _list, "discover": _discover}[options.command](
            options, folder
        )
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


def _engine(options: argparse.Namespace) -> bytes:
    """The receiver's engine that was named, if any. Raises ValueError."""
    engine_id = bytes.fromhex(options.engine.removeprefix("0x"))
    if engine_id and not 5 <= len(engine_id) <= 32:
        raise ValueError("an engine's identity has 5 to 32 octets")
    return engine_id


def _add(options: argparse.Namespace, folder: Path) -> int:
    passwords, owner, theirs = _passwords(options), _owner(options), _engine(options)
    _folder(folder, owner)
    engine_id = store.make_engine(folder, owner)
    made = make_user(options.name, options.auth, options.priv, passwords, theirs or engine_id, options.view)
    user = replace(made, write=options.write_view, engine_id=theirs)
    known = {(each.engine_id, each.name): each for each in store.read_all(folder)}
    known[theirs, user.name] = user
    store.write_users(folder, engine_id, list(known.values()), owner)
    print(f"{_line(user)}, engine {(theirs or engine_id).hex()}")
    return 0


def _line(user: User) -> str:
    change = f", changes {user.write}" if user.write else ""
    return f"{user.name}: {user.auth}, {user.priv}, view {user.view}{change}"


def _remove(options: argparse.Namespace, folder: Path) -> int:
    known = {(each.engine_id, each.name): each for each in store.read_all(folder)}
    if known.pop((_engine(options), options.name), None) is None:
        raise ValueError(f"there is no user '{options.name}'")
    status = (folder / store.USERS).stat()
    store.write_users(folder, store.make_engine(folder), list(known.values()), (status.st_uid, status.st_gid))
    return 0


def _list(options: argparse.Namespace, folder: Path) -> int:
    for user in store.read_all(folder):
        print(_line(user) + (f", for informs to engine {user.engine_id.hex()}" if user.engine_id else ""))
    return 0


def _discover(options: argparse.Namespace, folder: Path) -> int:
    host, _, port = options.address.rpartition(":")
    address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        asking.connect((str(address), int(port)))
        asking.send(discovery(Authority(b"", 0, {}, Counter(), LEAST_MAX_SIZE)))
        print(discovered(asking.recv(65536)).hex())
    return 0
