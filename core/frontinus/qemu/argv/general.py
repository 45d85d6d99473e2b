"""The general family of the command line."""

from __future__ import annotations

from frontinus.qemu.argv.context import Context


def build(ctx: Context) -> None:
    """Emit the family's items."""


def build_head(ctx: Context) -> None:
    """Emit what comes first: name, secrets, the stopped start."""


def build_tail(ctx: Context) -> None:
    """Emit what comes last: sandbox, messages, the user's own arguments."""
