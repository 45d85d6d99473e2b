"""Secrets. A value comes from a file, standard input or a prompt: an argument would be seen by everybody on the host."""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import getpass
import sys
from pathlib import Path

from frontinus.api.engine import Engine
from frontinus.api.errors import InvalidValue, StorageFailed
from frontinus.client.commands.base import FILE, XPATH, Command, Output, arg, flag, read

SECRET = arg("secret", complete="secret", help="UUID of a secret")


async def _list(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    secrets = [
        secret
        for secret in await engine.secrets()
        if not (options.ephemeral and not secret.ephemeral)
        and not (options.no_ephemeral and secret.ephemeral)
        and not (options.private and not secret.private)
        and not (options.no_private and secret.private)
    ]
    out.value(secrets)
    out.table(["UUID", "Usage"], [
        [s.uuid, "Unused" if s.usage_type == "none" else f"{s.usage_type} {s.usage}"] for s in secrets])  # fmt: skip


async def _info(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    secret = await engine.secret(options.secret)
    out.value(secret)
    out.pairs([
        ("UUID", secret.uuid), ("Usage", f"{secret.usage_type} {secret.usage}".strip()),
        *([("Description", secret.description)] if secret.description else []),
        ("Ephemeral", "yes" if secret.ephemeral else "no"), ("Private", "yes" if secret.private else "no"),
        ("Value", "yes" if secret.has_value else "no"), ("Protection", PROTECTIONS.get(secret.protection or "", "unknown")),
    ])  # fmt: skip


PROTECTIONS = {
    "memory": "in memory only",
    "file": "encrypted with a key in a file of this host",
    "credential": "encrypted with a key that is a credential of the service",
}


async def _define(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    secret = await engine.define_secret(read(options.file), validate=options.validate)
    out.value(secret)
    out.done(f"Secret {secret.uuid} created")


async def _dumpxml(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.xml(await engine.secret_xml(options.secret), options)


async def _set(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    value = options.base64.encode() if options.base64 is not None else await asyncio.to_thread(
        given_value, options.file, interactive=options.interactive)  # fmt: skip
    if not (options.plain and options.base64 is None) and not options.interactive:
        try:
            value = base64.b64decode(b"".join(value.split()), validate=True)
        except binascii.Error:
            raise InvalidValue("the value is not in base64; --plain takes it as it is", field="value") from None
    await engine.set_secret_value(options.secret, value)
    out.done("Secret value set")


def given_value(file: str | None, *, interactive: bool) -> bytes:
    """What the user gives: typed unseen, from a file, or from standard input. Raises StorageFailed."""
    if interactive or (file is None and sys.stdin.isatty()):
        return getpass.getpass("Enter new value for secret: ").encode()
    if file in (None, "-"):
        return sys.stdin.buffer.read()
    try:
        return Path(str(file)).read_bytes()
    except OSError as error:
        raise StorageFailed(f"cannot read '{file}': {error.strerror}", path=str(file)) from None


async def _get(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    value = await engine.secret_value(options.secret)
    if options.plain and not options.json:
        sys.stdout.buffer.write(value)
        sys.stdout.buffer.flush()
    else:
        out.text(base64.b64encode(value).decode())


async def _undefine(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.undefine_secret(options.secret)
    out.done(f"Secret {options.secret} deleted")


COMMANDS = (
    Command("secret-list", "list secrets", (
        flag("--ephemeral"), flag("--no-ephemeral"), flag("--private"), flag("--no-private")), _list),
    Command("secret-info", "show a secret, and what protects its value", (SECRET,), _info),
    Command("secret-define", "store a secret from XML", (FILE, flag("--validate", help="refuse what is not known")), _define),
    Command("secret-dumpxml", "print a secret's XML", (SECRET, *XPATH), _dumpxml),
    Command("secret-set-value", "give a secret its value", (
        arg("--file", complete="file", help="where the value is; - and default: standard input"),
        flag("--plain", help="the value as it is, not in base64"), flag("--interactive", help="type it"),
        arg("--base64", help="the value itself, which others of this host may see"), SECRET), _set),
    Command("secret-get-value", "print a secret's value in base64", (flag("--plain", help="as it is"), SECRET), _get),
    Command("secret-undefine", "forget a secret and its value", (SECRET,), _undefine),
)  # fmt: skip
